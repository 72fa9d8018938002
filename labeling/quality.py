"""Quality: what is known of how right a project's labels are, from what, and which of them to worry about."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from django.db.models import Count, F, Q
from django.utils.translation import gettext as _

from labeling import annotators, auditors, certificates, doubts, duplicates, evaluation, overview, suggestions
from labeling.models import Answer, Certificate, Gold, Item, Label, Mark, Project, Purpose, Snapshot, Status
from metalearning.shares import Share, wilson

MOST_LABELS = 20  # rows and columns of the confusion matrix: as many as can be read at a glance
SHOWN = 3  # certificates, the newest
FEWEST = 5  # cases below which a share is not shown


def describe(project: Project) -> dict[str, Any]:
    """Everything on the quality page that can be told from what is stored, in plain values."""
    snapshot = suggestions.latest(project)
    told = doubts.held_out(project)
    doubted = doubts.open_doubts(project, told)
    return {
        "origins": origins(project, snapshot),
        "confusion": confusion(project, told),
        "doubts": {
            "count": len(doubted),
            "likely": sum(doubt["likely"] for doubt in doubted),
            "sure": sum(doubt["sure"] for doubt in doubted),
            "checked": len(told["row"]),
            "expected": round(doubts.expected_mistakes(told), 1),
        },
        "duplicates": len(duplicates.disagreeing(project)),
        "agreement": annotators.together(project),
        "gold": Gold.objects.filter(project=project).count(),
        "calibration": evaluation.calibration(project),
        "certificates": [_certified(one) for one in certificates.of(project)[:SHOWN]],
        "flagged": Mark.objects.filter(project=project, code=Mark.Code.FLAG).values("item").distinct().count(),
    }


def origins(project: Project, snapshot: Snapshot | None) -> list[dict[str, Any]]:
    """For each origin of labels: how many there are, and every measure of how right they are.

    A measure is {"how", "estimate", "low", "high", "count"}: a share in [0, 1] with its 95 % interval, from `count`
    cases; one by audits names its `sample`, the number of the newest that measured this origin. No measure at all where
    nothing was measured; never a guess.
    """
    tally = project.tally
    referenced, audited = _against_reference(project, snapshot), _audited(project)
    counts = {
        Status.ANSWERED: tally.answered,
        Status.IMPORTED: tally.imported,
        Status.ACCEPTED: tally.accepted,
        Status.OPEN: tally.open,
    }
    rows = []
    for status, count in counts.items():
        measures = audited.get(status.value, [])
        measures += [_measure("reference", referenced[status])] if status in referenced else []
        if status == Status.ANSWERED:
            measures += _gold(project)
        if status == Status.OPEN:
            measures += _asked_at_random(project) + _estimated(project, snapshot)
        rows.append({"origin": status.value, "count": count, "measures": measures})
    return rows


def confusion(project: Project, told: dict[str, np.ndarray]) -> dict[str, Any]:
    """What the model said of answers held back from it: {"labels", "cells", "answers", "right", "others"}.

    `cells[i][j]`: answers of `labels[i]` of which it said `labels[j]`. Only the labels most often confused are shown,
    at most `MOST_LABELS`; `others` is how many confusions lie outside the matrix.
    """
    names = dict(Label.objects.filter(project=project).values_list("pk", "name"))
    said = doubts.spoken(told)
    pairs = Counter(zip(told["answer"].tolist(), said.tolist(), strict=True))
    pairs = Counter({pair: n for pair, n in pairs.items() if pair[0] in names and pair[1] in names})
    wrong: Counter[int] = Counter()
    for (answer, other), count in pairs.items():
        if answer != other:
            wrong[answer] += count
            wrong[other] += count
    order = list(names)  # by position
    shown = sorted((label_id for label_id, _n in wrong.most_common(MOST_LABELS)), key=order.index)
    inside = sum(n for (a, b), n in pairs.items() if a != b and a in shown and b in shown)
    return {
        "labels": [{"id": label_id, "name": names[label_id]} for label_id in shown],
        "cells": [[pairs[answer, other] for other in shown] for answer in shown],
        "answers": pairs.total(),
        "right": sum(n for (a, b), n in pairs.items() if a == b),
        "others": sum(n for (a, b), n in pairs.items() if a != b) - inside,
    }


def how(code: str) -> str:
    """How a measure was got, in words."""
    return {
        "audit": _("by an audit sample that people labelled blind"),
        "reference": _("against the hidden reference labels of the imported file"),
        "gold": _("on gold items mixed unmarked into people's questions"),
        "random": _("on items that people were then asked at random"),
        "cross_validation": _("estimated by holding answers back from the model"),
    }.get(code, code)


def _certified(one: Certificate) -> dict[str, Any]:
    state = str(one.get_state_display())
    kind = str(one.get_kind_display())
    return {"number": one.number, "kind": kind, "state": one.state, "state_name": state, "words": _claimed(one)}


def _claimed(one: Certificate) -> str:
    return certificates.claim_in_words(one) if one.state == Certificate.State.PASSED else ""


def _audited(project: Project) -> dict[str, list[dict[str, Any]]]:
    """What the newest audit samples measured, by the origin whose labels they drew from."""
    found: dict[str, list[dict[str, Any]]] = {}
    for sample in certificates.of(project):
        if sample.state != Certificate.State.MEASURED:
            continue
        for origin, told in certificates.measured(sample)["strata"].items():
            if told["right"] and origin not in found:
                found[origin] = [{"how": "audit", **told["right"], "count": told["audits"], "sample": sample.number}]
    return found


def _against_reference(project: Project, snapshot: Snapshot | None) -> dict[Status, Share]:
    """Labels compared with the hidden references, by status; of open items the suggestions are compared."""
    with_reference = Item.objects.filter(project=project, reference__isnull=False).order_by()
    settled = with_reference.exclude(status=Status.OPEN).values_list("status")
    counts = settled.annotate(n=Count("pk"), right=Count("pk", filter=Q(label=F("reference__label"))))
    found = {Status(status): wilson(right, n) for status, n, right in counts}
    found[Status.OPEN] = _suggestions_against_reference(project, snapshot)
    return {status: share for status, share in found.items() if share is not None and share.count >= FEWEST}


def _suggestions_against_reference(project: Project, snapshot: Snapshot | None) -> Share | None:
    if snapshot is None or not suggestions.has_arrays(snapshot):
        return None
    open_items = Item.objects.filter(project=project, status=Status.OPEN, reference__isnull=False)
    truth = dict(open_items.order_by().values_list("row", "reference__label"))
    said = suggestions.of_rows(snapshot, list(truth))
    right = sum(truth[int(row)] == label_id for row, label_id in zip(said.rows, said.label_ids, strict=True))
    return wilson(int(right), len(said))


def _gold(project: Project) -> list[dict[str, Any]]:
    """What people made of the gold items mixed into their questions."""
    authors = Answer.objects.filter(project=project, purpose=Purpose.GOLD).order_by().values_list("author", flat=True)
    share = wilson(*auditors.gold_score(project, {author for author in authors.distinct() if author is not None}))
    return [_measure("gold", share)] if share is not None and share.count >= FEWEST else []


def _asked_at_random(project: Project) -> list[dict[str, Any]]:
    """Suggestions for items that people were then asked at random: the newest of them."""
    told = evaluation.predictions(project)
    right = told.right[told.by("random")][-evaluation.RECENT :]
    share = wilson(int(right.sum()), len(right))
    return [_measure("random", share)] if share is not None and share.count >= FEWEST else []


def _estimated(project: Project, snapshot: Snapshot | None) -> list[dict[str, Any]]:
    known = overview.accuracy(project, snapshot)
    if snapshot is None or known["estimate"] is None:
        return []
    shares = {key: known[key] for key in ("estimate", "low", "high")}
    return [{"how": known["how"], **shares, "count": snapshot.answers}]


def _measure(code: str, share: Share) -> dict[str, Any]:
    return {"how": code, "estimate": share.estimate, "low": share.low, "high": share.high, "count": share.count}
