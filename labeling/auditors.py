"""Auditors: how often those who audited a certificate err themselves, in figures and in words."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import override

from labeling.models import Answer, Certificate, Project, Purpose
from metalearning import human_error


@dataclass(frozen=True)
class Said:
    """What people said blind of one audited item: the first one decides, a second one tells how reliable they are."""

    answer: int | None  # the first answer's id; None where nobody could say
    label: int | None
    second: int | None = None  # the second person's label
    at: datetime | None = None  # when the first one was given

    def wrong(self, suggested: int) -> bool:
        """Whether the frozen label is refuted; what nobody could say counts as that."""
        return self.label != suggested


def seen(certificate: Certificate, found: Mapping[int, Said]) -> human_error.Seen:
    """What is known of them: what was written when it was decided, or what is there to see while it runs."""
    if certificate.human_error:
        return human_error.Seen(**certificate.human_error)
    doubles = [one for one in found.values() if one.label and one.second]
    answers = Answer.objects.filter(pk__in=[one.answer for one in found.values() if one.answer]).order_by()
    people = set(answers.values_list("author", flat=True)) - {None}
    right = count = 0
    if certificate.state == Certificate.State.RUNNING:  # what came after a decision is no part of it
        right, count = gold_score(certificate.project, people)
    return human_error.Seen(
        people=len(people),
        doubles=len(doubles),
        disagreements=sum(one.label != one.second for one in doubles),
        gold=count,
        gold_wrong=count - right,
    )


def gold_score(project: Project, people: Collection[int], since: datetime | None = None) -> tuple[int, int]:
    """(right, all) of these people's gold answers; the first of each to each item counts, training does not."""
    answers = Answer.objects.filter(project=project, author__in=people, purpose=Purpose.GOLD, item__gold__isnull=False)
    if since:
        answers = answers.filter(created_at__gt=since)
    first: dict[tuple[int | None, int], bool] = {}
    for author, item, label, right in answers.order_by("pk").values_list(
        "author", "item", "label", "item__gold__label"
    ):
        first.setdefault((author, item), label == right)
    return sum(first.values()), len(first)


def describe(certificate: Certificate, found: Mapping[int, Said]) -> dict[str, Any]:
    """The counts, the share of items on which an auditor errs, and what that leaves of a claim that passed.

    `from`: "gold", "doubles", or None where nothing tells. `most_wrong` and `confidence`: the bound on wrong labels,
    auditors' mistakes counted, and how sure it is.
    """
    known = seen(certificate, found)
    told, bounded = human_error.auditors_err(known), _bounded(certificate, known)
    error = None
    if told:
        error = {"estimate": told[0].value, "low": told[0].low, "high": told[0].high}
    return asdict(known) | {
        "from": told[1] if told else None,
        "error": {name: round(value, 4) for name, value in error.items()} if error else None,
        "most_wrong": round(bounded.most_wrong, 4) if bounded else None,
        "confidence": round(bounded.confidence, 4) if bounded else None,
        "words": in_words(certificate, known),
    }


def in_words(certificate: Certificate, known: human_error.Seen) -> str:
    """How often they err, from what, and what that leaves of the claim; or that it is not known."""
    return " ".join(part for part in (_how_often(known), _corrected(certificate, known)) if part)


def in_english(words: Callable[..., str], *arguments: Any) -> str:
    """The same for files that go out, which speak English."""
    with override("en"):
        return words(*arguments)


def _how_often(known: human_error.Seen) -> str:
    told = human_error.auditors_err(known)
    if told is None:
        return _(
            "How often the auditors err themselves is not known: no audit was answered by two people, and they "
            "answered fewer than %(n)d gold items. What holds is a bound on labels that differ from what they say."
        ) % {"n": human_error.FEWEST_GOLD}
    error, source = told
    figures = {"error": f"{error.value:.1%}", "low": f"{error.low:.1%}", "high": f"{error.high:.1%}"}
    if source == "gold":
        return _(
            "The auditors err on about %(error)s of the items (%(low)s to %(high)s), as their answers to %(n)d gold "
            "items show."
        ) % (figures | {"n": known.gold})
    return _(
        "One auditor errs on about %(error)s of the items (%(low)s to %(high)s): two people answered %(n)d of the "
        "audits and differ on %(d)d. What both mistake alike is not seen by this."
    ) % (figures | {"n": known.doubles, "d": known.disagreements})


def _corrected(certificate: Certificate, known: human_error.Seen) -> str:
    """What a passed claim says once wrong labels that auditors confirm by mistake are counted too."""
    told = _bounded(certificate, known)
    if told is None:
        return ""
    return _(
        "A wrong label that an auditor confirms by mistake escapes the audits. With those counted too, at most "
        "%(most)s of the labels are wrong, with a confidence of at least %(level)s."
    ) % {"most": f"{told.most_wrong:.1%}", "level": f"{told.confidence:.1%}"}


def _bounded(certificate: Certificate, known: human_error.Seen) -> human_error.Bounded | None:
    if certificate.state != Certificate.State.PASSED:
        return None
    return human_error.bounded(known, certificate.eps, certificate.delta)
