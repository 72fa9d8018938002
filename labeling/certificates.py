"""Certificates: what was frozen for one, what its auditors said so far, where that leaves the claim, and its record."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from django.db.models import F, Q
from django.utils.translation import gettext as _

from labeling import asking, auditors, tested
from labeling.auditors import Said
from labeling.candidates import Frozen
from labeling.models import (
    Acceptance,
    Answer,
    Audit,
    Batch,
    Certificate,
    Item,
    Label,
    Lease,
    Mark,
    Member,
    Origin,
    Project,
    Status,
)
from labeling.suggestions import Suggestions
from metalearning import audits as sampling
from metalearning import certificate as betting
from metalearning.certificate_record import to_record

# What is stored


def of(project: Project) -> list[Certificate]:
    """The project's certificates and samples, newest first."""
    found = Certificate.objects.filter(project=project).select_related("snapshot", "started_by", "project")
    return list(found.order_by("-number"))


def frozen(certificate: Certificate) -> Frozen:
    """What it froze."""
    return _frozen(certificate.project_id, certificate.number, certificate.seed)


def plan(certificate: Certificate) -> betting.Plan:
    """Its plan, as the engine judges it."""
    return _plan(
        certificate.project_id,
        certificate.number,
        betting.Claim(certificate.eps, certificate.delta, certificate.attempt),
        tuple(certificate.prefixes),
        certificate.seed,
    )


def said(certificate: Certificate) -> dict[int, Said]:
    """By item id, what people said blind so far; items that still wait for somebody are absent.

    Once it is decided this is what was written then, whatever happened to the answers since.
    """
    audits = list(Audit.objects.filter(certificate=certificate))
    if certificate.state != Certificate.State.RUNNING:
        return {a.item_id: Said(a.answer_id, a.label_id, a.second_label_id) for a in audits if a.outcome}
    given = _blind_answers(certificate, [audit.item_id for audit in audits])
    found = {
        item_id: Said(answers[0].pk, answers[0].label_id, _second(answers), answers[0].created_at)
        for item_id, answers in given.items()
    }
    nobody = _nobody_left(certificate, [audit.item_id for audit in audits if audit.item_id not in found])
    return found | {item_id: Said(None, None) for item_id in nobody}


def wrong(certificate: Certificate, found: Mapping[int, Said]) -> dict[str, bool]:
    """The outcome of each audit that has one, as the engine's `judge` takes it."""
    suggested = dict(Audit.objects.filter(certificate=certificate).values_list("item_id", "suggested_id"))
    return {str(item_id): one.wrong(suggested[item_id]) for item_id, one in found.items() if item_id in suggested}


def may_audit(certificate: Certificate) -> set[int]:
    """The ids of the members who may audit: all but whoever asked, unless there was nobody else."""
    people = Member.objects.filter(project=certificate.project_id)
    if not certificate.self_audited:
        people = people.exclude(user=certificate.started_by_id)
    return set(people.values_list("user_id", flat=True))


def to_accept(project: Project, certificate: Certificate) -> Suggestions:
    """The certified suggestions whose items are still open and whose labels are still offered, by row."""
    candidates = frozen(certificate)
    first = slice(0, certificate.accepted)
    order = np.argsort(candidates.rows[first])
    rows, label_ids = candidates.rows[first][order], candidates.label_ids[first][order]
    confidence = candidates.confidence[first][order]
    open_rows = Item.objects.filter(project=project, status=Status.OPEN).values_list("row", flat=True)
    offered = project.labels.filter(archived_at=None).values_list("pk", flat=True)
    wanted = np.isin(rows, np.fromiter(open_rows.iterator(chunk_size=20_000), dtype=np.int64))
    wanted &= np.isin(label_ids, np.fromiter(offered, dtype=np.int64))
    return Suggestions(
        rows[wanted], label_ids[wanted], confidence[wanted], np.full(wanted.sum(), -1), confidence[wanted]
    )


def marks_of_batches(project: Project) -> dict[int, Certificate]:
    """The certificates whose sets stand accepted, by number: passed, and accepted by a batch that was not undone."""
    accepted = Batch.objects.filter(project=project, undone_at=None, certificate__isnull=False)
    found = Certificate.objects.filter(pk__in=accepted.values("certificate"))
    return {certificate.number: certificate for certificate in found.select_related("project", "snapshot")}


# In plain values


def record(certificate: Certificate) -> dict[str, Any]:
    """The record of a claim that has ended, from which anyone can recompute it; also who, when, and of what project."""
    candidates = frozen(certificate)
    names = dict(Label.objects.filter(project=certificate.project_id).values_list("pk", "name"))
    found = said(certificate)
    known = auditors.seen(certificate, found)
    told: dict[str, Any] = to_record(
        plan(certificate),
        [names[label_id] for label_id in candidates.label_ids.tolist()],
        {str(item_id): names[one.label] if one.label else None for item_id, one in found.items()},
        certificate.budget,
        certificate.number,
        seconds={str(item_id): names[one.second] for item_id, one in found.items() if one.label and one.second},
        seen=known,
    )
    told["human_error"]["statement"] = auditors.in_english(auditors.in_words, certificate, known)
    if certificate.state == Certificate.State.GIVEN_UP:
        told["state"] = "given_up"
    return told | {
        "claim": claim_in_english(certificate),
        "project": certificate.project.name,
        "snapshot": certificate.snapshot.number if certificate.snapshot else None,
        "started_at": certificate.started_at.isoformat(),
        "decided_at": certificate.decided_at.isoformat() if certificate.decided_at else None,
        "auditor_is_who_asked": certificate.self_audited,
        "auditors_error": _interval(auditors_error(certificate, found)),
    }


def claim_in_words(certificate: Certificate) -> str:
    """What a passed certificate says, in one sentence."""
    return _(
        "At most %(eps)s of these %(count)s labels differ from what people say who label them blind, with a confidence "
        "of at least %(level)s."
    ) % {
        "eps": f"{certificate.eps:.1%}",
        "count": certificate.accepted,
        "level": f"{1 - certificate.delta:.0%}",
    }


def claim_in_english(certificate: Certificate) -> str:
    """The same for files that go out, which speak English."""
    return auditors.in_english(claim_in_words, certificate) if certificate.accepted else "Nothing is certified."


def auditors_error(certificate: Certificate, found: Mapping[int, Said] | None = None) -> sampling.Interval | None:
    """How often one auditor errs, from the items that two labelled blind; None where there is none."""
    found = said(certificate) if found is None else found
    doubles = [one for one in found.values() if one.label and one.second]
    if not doubles:
        return None
    return sampling.auditor_error(len(doubles), sum(one.label != one.second for one in doubles))


def describe(certificate: Certificate) -> dict[str, Any]:
    """Where a certificate or sample stands, in plain values. Which items are audited is told once it is decided."""
    found = said(certificate)
    outcomes = wrong(certificate, found)
    told: dict[str, Any] = {
        "number": certificate.number,
        "kind": certificate.kind,
        "state": certificate.state,
        "state_name": str(certificate.get_state_display()),
        "snapshot": certificate.snapshot.number if certificate.snapshot else None,
        "items": certificate.items,
        "items_sha256": certificate.items_sha256,
        "started_by": str(certificate.started_by),
        "started_at": certificate.started_at.isoformat(),
        "decided_at": certificate.decided_at.isoformat() if certificate.decided_at else None,
        "budget": certificate.budget,
        "self_audited": certificate.self_audited,
        "audits": {
            "answered": len(outcomes),
            "wrong": sum(outcomes.values()),
            "unanswered": sum(one.label is None for one in found.values()),
            "doubles": sum(bool(one.label and one.second) for one in found.values()),
            "disagreements": sum(bool(one.label and one.second and one.label != one.second) for one in found.values()),
            "waiting": Audit.objects.filter(certificate=certificate).count() - len(outcomes)
            if certificate.state == Certificate.State.RUNNING
            else 0,
            "auditors": len(may_audit(certificate)),
        },
        "auditors_error": _interval(auditors_error(certificate, found)),
        "human_error": auditors.describe(certificate, found),
        "problem": _problem(certificate),
    }
    return told | (
        _claim(certificate, outcomes) if certificate.kind == Certificate.Kind.CLAIM else _sample(certificate)
    )


def describe_audits(certificate: Certificate) -> list[dict[str, Any]]:
    """The audited items with what was suggested and said, in order; nothing while it runs, for audits are unmarked."""
    if certificate.state == Certificate.State.RUNNING:
        return []
    audits = Audit.objects.filter(certificate=certificate).exclude(outcome="")
    return [
        {
            "item": audit.item_id,
            "text": audit.item.text[:160] or audit.item.name or f"#{audit.item.row + 1}",
            "suggested": audit.suggested.name,
            "label": audit.label.name if audit.label else "",
            "second": audit.second_label.name if audit.second_label else "",
            "stratum": audit.stratum,
            "outcome": audit.outcome,
        }
        for audit in audits.select_related("item", "suggested", "label", "second_label")
    ]


def measured(certificate: Certificate) -> dict[str, Any]:
    """What a sample that has ended says: the share of right labels by stratum and over all of them."""
    strata = _strata(certificate)
    known = [name for name, one in strata.items() if one.audits]
    told = {name: _interval(sampling.share_right(strata[name])) for name in known}
    counts = {name: {"size": one.size, "audits": one.audits, "wrong": one.wrong} for name, one in strata.items()}
    whole = _interval(sampling.share_right_of_all(list(strata.values()))) if len(known) == len(strata) else None
    return {"strata": {name: counts[name] | {"right": told.get(name)} for name in strata}, "right": whole}


def _claim(certificate: Certificate, outcomes: Mapping[str, bool]) -> dict[str, Any]:
    evidence = betting.judge(plan(certificate), outcomes, certificate.budget)
    batch = certificate.batches.filter(undone_at=None).order_by("-pk").first()
    return {
        "eps": certificate.eps,
        "delta": certificate.delta,
        "attempt": certificate.attempt,
        "level": betting.Claim(certificate.eps, certificate.delta, certificate.attempt).level,
        "prefixes": certificate.prefixes,
        "accepted": evidence.accepted,
        "tests": [
            {
                "size": test.size,
                "audits": test.draws,
                "wrong": test.errors,
                "evidence": round(min(test.capital, 1e9), 4),
                "needed": round(test.needed, 4),
                "state": test.state,
            }
            for test in evidence.tests
        ],
        "clean_to_next": evidence.clean_to_next,
        "clean_to_all": evidence.clean_to_all,
        "claim": claim_in_words(certificate) if certificate.state == Certificate.State.PASSED else "",
        "batch": batch.pk if batch else None,
    }


def _sample(certificate: Certificate) -> dict[str, Any]:
    return measured(certificate) if certificate.state == Certificate.State.MEASURED else {"strata": {}, "right": None}


def _strata(certificate: Certificate) -> dict[str, sampling.Stratum]:
    """What was audited of each stratum; its size was frozen when the sample was drawn."""
    by_name: dict[str, list[str]] = defaultdict(list)
    for name, outcome in Audit.objects.filter(certificate=certificate).values_list("stratum", "outcome"):
        by_name[name].append(outcome)
    return {
        name: sampling.Stratum(size, len(by_name[name]), sum(o != Audit.Outcome.RIGHT for o in by_name[name]))
        for name, size in certificate.strata
        if size
    }


def _problem(certificate: Certificate) -> str:
    """In words, what keeps a running one from getting on."""
    if certificate.state != Certificate.State.RUNNING or may_audit(certificate):
        return ""
    return _("Nobody is left who may audit: invite somebody, or give it up.")


def _interval(known: sampling.Interval | None) -> dict[str, float] | None:
    if known is None:
        return None
    return {"estimate": round(known.value, 4), "low": round(known.low, 4), "high": round(known.high, 4)}


def _blind_answers(certificate: Certificate, item_ids: Collection[int]) -> dict[int, list[Answer]]:
    """By item id, the blind answers that count, one of each person, first come first.

    An answer that its author took back does not count, one that somebody else corrected does: they saw more. Whoever
    has left the project since was a member when the answer was given.
    """
    out = _refused_by(certificate, item_ids)
    given = Answer.objects.filter(
        item__in=item_ids, origin=Origin.PERSON, reason=asking.BLIND, created_at__gte=certificate.started_at
    ).exclude(Q(withdrawn_at__isnull=False) & (Q(withdrawn_by=F("author")) | Q(withdrawn_by=None)))
    if not certificate.self_audited:
        given = given.exclude(author=certificate.started_by_id)
    found: dict[int, list[Answer]] = defaultdict(list)
    for answer in given.order_by("pk"):
        known = {other.author_id for other in found[answer.item_id]} | out.get(answer.item_id, set())
        if answer.author_id not in known:
            found[answer.item_id].append(answer)
    return {item_id: answers for item_id, answers in found.items() if answers}


def _refused_by(certificate: Certificate, item_ids: Collection[int]) -> dict[int, set[int]]:
    """By item id, who accepted or refused its suggestion: they know what was suggested."""
    who: dict[int, set[int]] = defaultdict(set)
    marks = Mark.objects.filter(item__in=item_ids, code=Mark.Code.REJECT).values_list("item_id", "author_id")
    accepted: Any = ()
    if not certificate.self_audited:
        accepted = Acceptance.objects.filter(item__in=item_ids).values_list("item_id", "batch__accepted_by_id")
    for item_id, user_id in [*marks, *accepted]:
        who[item_id].add(user_id)
    return who


def _second(answers: list[Answer]) -> int | None:
    return answers[1].label_id if len(answers) > 1 else None


def _nobody_left(certificate: Certificate, item_ids: Collection[int]) -> list[int]:
    """Of these unanswered audits, those that everybody who may audit has skipped or spoiled; never where nobody may."""
    people = may_audit(certificate)
    if not people or not item_ids:
        return []
    who = asking.spoiled(item_ids, accepted=not certificate.self_audited)
    held = set(Lease.objects.filter(item__in=item_ids).values_list("item_id", flat=True))
    return [item_id for item_id in item_ids if not people - who.get(item_id, set()) and item_id not in held]


def _frozen(project_id: int, number: int, seed: str) -> Frozen:
    arrays = tested.frozen(project_id, number, seed)
    return Frozen(arrays["item_ids"], arrays["rows"], arrays["label_ids"], arrays["confidence"])


@lru_cache(maxsize=4)
def _plan(project_id: int, number: int, claim: betting.Claim, prefixes: tuple[int, ...], seed: str) -> betting.Plan:
    keys = _frozen(project_id, number, seed).keys()
    return betting.Plan(claim, keys, prefixes, seed, betting.audit_order(keys, seed))
