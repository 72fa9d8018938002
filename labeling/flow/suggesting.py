"""Suggesting: what the model says of an item in somebody's hands, and why that item was asked."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _

from labeling import asking, rulebook, suggestions
from labeling.models import Lease, Project, Snapshot

DIGITS = 9  # the likeliest labels, one for each digit key

Top = list[tuple[int, float]]  # (label id, probability in [0, 1]), likeliest first


def for_leases(project: Project, leases: list[Lease], snapshot: Snapshot | None) -> list[dict[str, Any] | None]:
    """One suggestion for each lease, in order, or None.

    It has "label", "confidence", "runner_up", "snapshot", "top", and the "rules" that spoke. None where the project
    hides suggestions, where the item is asked blind, or where the model cannot say anything yet.
    """
    if not project.show_suggestions:
        return [None] * len(leases)
    rows = [lease.item.row for lease in leases]
    # What the model thinks of an item that somebody has answered would tell the next person what that was.
    untold = [lease.item.row for lease in leases if lease.reason.get("code") != "second"]
    newest, spoken = _newest(snapshot, untold), rulebook.spoken(snapshot, rows)
    return [
        suggestion and suggestion | {"rules": spoken.get(lease.item.row, [])}
        if lease.reason.get("code") != asking.BLIND
        else None
        for lease in leases
        for suggestion in [_suggestion(lease, newest.get(lease.item.row), snapshot)]
    ]


def why(reason: dict[str, Any], labels: dict[int, str], *, hidden: bool = False) -> str:
    """The reason in words, with label names by id. `hidden`: without naming what the model thinks."""
    code = reason.get("code", "open")
    if reason.get("training"):
        return _("training: you are told at once whether it was right")
    if code == "sent_back":
        return _("sent back by %(name)s: %(reason)s") % {"name": reason["by"], "reason": reason["note"]}
    if code == "margin" and not hidden:
        return _torn(reason, labels)
    return {
        "margin": _("asked because the model is unsure"),
        "typical": _("asked because many items are like it"),
        "random": _("asked at random, to keep the measure honest"),
        "returned": _("asked again: it came back unanswered"),
        asking.BLIND: _("asked without a suggestion, to keep the measure honest"),
        "rejected": _("asked because a reviewer rejected the suggestion"),
        "doubted": _("asked once more because the label it had is in doubt"),
    }.get(code, _("asked next; the model has not ranked it yet"))


def _torn(reason: dict[str, Any], labels: dict[int, str]) -> str:
    named = [
        f"{labels[label_id]} {share:.0%}"
        for label_id, share in zip(reason.get("labels", []), reason.get("p", []), strict=False)
        if label_id in labels
    ]
    return _("asked because the model is torn: %(labels)s") % {"labels": " · ".join(named)}


def _newest(snapshot: Snapshot | None, rows: list[int]) -> dict[int, Top]:
    """The best two labels by the newest snapshot, by row; rows it does not cover are absent."""
    if snapshot is None or not rows or not suggestions.has_arrays(snapshot):
        return {}
    found = suggestions.of_rows(snapshot, rows)
    tops: dict[int, Top] = {}
    for place, row in enumerate(found.rows):
        confidence = float(found.confidence[place])
        tops[int(row)] = [(int(found.label_ids[place]), confidence)]
        if found.runner_up_ids[place] >= 0:
            tops[int(row)].append((int(found.runner_up_ids[place]), confidence - float(found.margin[place])))
    return tops


def _suggestion(lease: Lease, newest: Top | None, snapshot: Snapshot | None) -> dict[str, Any] | None:
    asked: Top = [(int(label_id), float(share)) for label_id, share in lease.top]
    top = asked if not newest else _merged(newest, asked)
    if not top:
        return None
    number = snapshot.number if newest and snapshot else lease.snapshot.number if lease.snapshot else None
    return {
        "label": top[0][0],
        "confidence": round(top[0][1], 4),
        "runner_up": top[1][0] if len(top) > 1 else None,
        "snapshot": number,
        "top": [[label_id, round(share, 4)] for label_id, share in top[:DIGITS]],
    }


def _merged(newest: Top, asked: Top) -> Top:
    """The newest best two, then the others as they stood when the item was queued, within what probability is left."""
    known = {label_id for label_id, _share in newest}
    others = [(label_id, share) for label_id, share in asked if label_id not in known]
    left, claimed = max(1 - sum(share for _id, share in newest), 0.0), sum(share for _id, share in others)
    scale = min(left / claimed, 1.0) if claimed else 0.0
    smallest = newest[-1][1]
    return newest + [(label_id, min(share * scale, smallest)) for label_id, share in others]
