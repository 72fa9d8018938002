"""Disagreements: items on which people differ, or whose label is unsure all the same; who said what, and when."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.db.models import Count, Max, Q, QuerySet, TextChoices
from django.utils.translation import gettext_lazy as _

from labeling import suggestions, weighing
from labeling.models import Answer, Comment, Gold, Item, Project, Purpose, Snapshot
from labeling.weighing import Verdict


class State(TextChoices):
    """Which of them."""

    OPEN = "open", _("To decide")
    DECIDED = "decided", _("Decided")


@dataclass(frozen=True)
class Behind:
    """The items behind a figure, in place of those to decide; whatever is None does not narrow them."""

    person: int | None = None
    """A user's id: this person answered them,"""
    said: int | None = None
    """with this label;"""
    label: int | None = None
    """they came to have this one;"""
    other: int | None = None
    """this person answered them too,"""
    equal: bool | None = None
    """with the same label as `person`, or another;"""
    week: date | None = None
    """several people answered them, the last one within seven days from here."""

    def __bool__(self) -> bool:
        return self != Behind()


def found(project: Project, state: str = State.OPEN, behind: Behind = Behind()) -> list[tuple[int, Verdict]]:
    """Item ids with what the answers say together, least sure first.

    To decide: answers differ, or agree and still leave the label less sure than the project's `sure_enough`.
    """
    if state == State.DECIDED:
        wanted = weighing.current(project).filter(purpose=Purpose.DECISION).values_list("item", flat=True)
    else:
        wanted = _chosen(project, behind) if behind else _of_several(project).values_list("item", flat=True)
    judged: dict[int, Verdict] = {}
    ids = list(wanted)
    for start in range(0, len(ids), 5_000):
        judged |= weighing.verdicts(project, ids[start : start + 5_000])
    if behind.label:
        judged = {pk: verdict for pk, verdict in judged.items() if verdict.label_id == behind.label}
    elif state == State.OPEN and not behind:
        judged = {pk: verdict for pk, verdict in judged.items() if _is_open(project, verdict)}
    return sorted(judged.items(), key=lambda pair: (pair[1].p, pair[0]))


def describe(
    project: Project, chosen: Sequence[tuple[int, Verdict]], snapshot: Snapshot | None
) -> list[dict[str, Any]]:
    """These items with everything a reviewer wants to see before deciding, in plain values but for the item itself."""
    ids = [item_id for item_id, _verdict in chosen]
    items = Item.objects.in_bulk(ids)
    answers: dict[int, list[Answer]] = defaultdict(list)
    said = Answer.objects.filter(item__in=ids, purpose__in=[Purpose.LABEL, Purpose.DECISION])
    for answer in said.select_related("author", "withdrawn_by").order_by("pk"):
        answers[answer.item_id].append(answer)
    talk = comments(project, ids)
    golden = set(Gold.objects.filter(item__in=ids).values_list("item", flat=True))
    thought = _thought(snapshot, [item.row for item in items.values()])
    return [
        {
            "item": items[item_id],
            "answers": [_answer(one) for one in answers[item_id]],
            "consensus": {"label": verdict.label_id, "p": round(verdict.p, 4), "method": verdict.method},
            "decided": verdict.method == weighing.DECIDED,
            "gold": item_id in golden,
            "suggestion": thought.get(items[item_id].row),
            "comments": talk[item_id],
        }
        for item_id, verdict in chosen
        if item_id in items
    ]


def comments(project: Project, item_ids: Sequence[int]) -> dict[int, list[dict[str, Any]]]:
    """What was said about these items, oldest first, by item id."""
    talk: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for one in Comment.objects.filter(project=project, item__in=item_ids).select_related("author", "sent_to"):
        talk[one.item_id].append(comment(one))
    return talk


def comment(one: Comment) -> dict[str, Any]:
    """A comment in plain values."""
    return {
        "id": one.pk,
        "author": str(one.author),
        "text": one.text,
        "sent_to": str(one.sent_to) if one.sent_to else None,
        "created_at": one.created_at.isoformat(),
    }


def _is_open(project: Project, verdict: Verdict) -> bool:
    differs = verdict.equal < verdict.answers
    return verdict.method != weighing.DECIDED and (differs or verdict.p < project.sure_enough)


def _of_several(project: Project) -> Any:
    """Items that more than one person answers now, with the time of the last answer."""
    # An order would become part of the grouping.
    answers = weighing.current(project).filter(purpose=Purpose.LABEL).order_by().values("item")
    return answers.annotate(n=Count("pk"), last=Max("created_at")).filter(n__gt=1)


def _chosen(project: Project, behind: Behind) -> Any:
    if behind.week:
        begin = datetime.combine(behind.week, time(), UTC)
        within = _of_several(project).filter(last__gte=begin, last__lt=begin + timedelta(days=7))
        return within.values_list("item", flat=True)
    wanted = Q(purpose=Purpose.LABEL)
    wanted &= Q(author=behind.person) if behind.person else Q()
    wanted &= Q(label=behind.said) if behind.said else Q()
    answers = weighing.current(project).filter(wanted)
    if behind.other:
        return _of_both(project, answers, behind)
    return answers.values_list("item", flat=True).distinct()


def _of_both(project: Project, answers: QuerySet[Answer], behind: Behind) -> list[int]:
    theirs = weighing.current(project).filter(purpose=Purpose.LABEL, author=behind.other)
    said = dict(theirs.values_list("item", "label"))
    return [
        item_id
        for item_id, label_id in answers.values_list("item", "label")
        if item_id in said and behind.equal in (None, said[item_id] == label_id)
    ]


def _answer(answer: Answer) -> dict[str, Any]:
    return {
        "id": answer.pk,
        "author": str(answer.author) if answer.author else "",
        "label": answer.label_id,
        "purpose": answer.purpose,
        "origin": answer.origin,
        "at": answer.created_at.isoformat(),
        "seconds": answer.seconds,
        "suggested": answer.suggested_id,
        "withdrawn": answer.withdrawn_at is not None,
        "withdrawn_by": str(answer.withdrawn_by) if answer.withdrawn_by else None,
    }


def _thought(snapshot: Snapshot | None, rows: Sequence[int]) -> dict[int, dict[str, Any]]:
    """What the newest snapshot says of these rows. It has learned from their answers; reviewers are told so."""
    if snapshot is None or not rows or not suggestions.has_arrays(snapshot):
        return {}
    told = suggestions.of_rows(snapshot, rows)
    return {
        int(row): {"label": int(told.label_ids[place]), "confidence": round(float(told.confidence[place]), 4)}
        for place, row in enumerate(told.rows)
    }
