"""Suggestions: what a snapshot says of the items, read from its arrays and never written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from django.db.models import QuerySet, TextChoices
from django.utils.translation import gettext_lazy as _
from jaxtyping import Bool, Float, Int

from labeling import pool, prepared
from labeling.errors import NotFound
from labeling.models import Item, Label, Mark, Project, Snapshot, Status

BINS = 20
STEPS = 100  # thresholds at which the page can say what accepting would settle: 0.00, 0.01, ... 1.00


class State(TextChoices):
    """Where a suggested item stands: as its status, but the ones whose suggestion a reviewer refused stand apart."""

    OPEN = "open", _("To review")
    REJECTED = "rejected", _("Rejected, waiting for a person")
    ACCEPTED = "accepted", _("Accepted")
    ANSWERED = "answered", _("Answered by a person")
    IMPORTED = "imported", _("Came with the file")


class Order(TextChoices):
    """Which suggestions come first."""

    LEAST = "least", _("Least sure first")
    MOST = "most", _("Most sure first")


@dataclass(frozen=True, eq=False)
class Suggestions:
    """Some of a snapshot's suggestions, by ascending row; all arrays have one entry per suggestion."""

    rows: Int[np.ndarray, " n"]
    label_ids: Int[np.ndarray, " n"]
    confidence: Float[np.ndarray, " n"]
    """float32 in [0, 1], calibrated."""
    runner_up_ids: Int[np.ndarray, " n"]
    """-1 where there is no second label."""
    margin: Float[np.ndarray, " n"]
    """float32 in [0, 1]: confidence less the runner-up's."""

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, chosen: Any) -> Suggestions:
        return Suggestions(
            self.rows[chosen],
            self.label_ids[chosen],
            self.confidence[chosen],
            self.runner_up_ids[chosen],
            self.margin[chosen],
        )

    def between(self, low: float, high: float = 1.0) -> Suggestions:
        """Those with a confidence in [low, high], both as the arrays' own float16 can tell them apart."""
        # Without this a suggestion shown as 0.72 is not accepted at a threshold of 0.72: float16 keeps 0.71973.
        return self[
            (self.confidence >= np.float32(np.float16(low))) & (self.confidence <= np.float32(np.float16(high)))
        ]

    def expected_errors(self) -> float:
        """How many of these the model itself expects to be wrong: the sum of 1 - confidence."""
        return float(np.sum(1.0 - self.confidence, dtype=np.float64))


def latest(project: Project) -> Snapshot | None:
    """The snapshot that the project goes by: the one an admin went back to, else the newest; None before the first."""
    if project.pinned_id:
        return Snapshot.objects.get(pk=project.pinned_id)
    return _newest.first(project=project.pk)


def numbered(project: Project, number: int | None) -> Snapshot:
    """The snapshot with this number, or the newest for None.

    Raises NotFound where there is none. Where its arrays are no longer kept, reading them raises pool.NotKept (409).
    """
    wanted = Snapshot.objects.filter(project=project)
    snapshot = latest(project) if number is None else wanted.filter(number=number).first()
    if snapshot is None:
        raise NotFound("snapshot")
    return snapshot


def has_arrays(snapshot: Snapshot) -> bool:
    """Whether what the snapshot says is still kept."""
    return pool.has_predictions(snapshot.project_id, snapshot.number)


def of(project: Project, snapshot: Snapshot, *, state: str = State.OPEN, label: Label | None = None) -> Suggestions:
    """What the snapshot suggests for the items in this state, of one label or of all that are still offered."""
    everything = _read(snapshot)
    wanted = everything.label_ids >= 0
    wanted &= _standing(project, len(wanted), _status(state))
    if label is not None:
        wanted &= everything.label_ids == label.pk
    elif state == State.OPEN:
        wanted &= np.isin(everything.label_ids, _offered(project))
    _narrow_to_rejected(project, everything, wanted, state)
    return everything[np.flatnonzero(wanted)]


def of_rows(snapshot: Snapshot, rows: Sequence[int]) -> Suggestions:
    """What the snapshot suggests for these rows, whatever state they are in; rows it does not cover are left out."""
    predictions = pool.read_predictions(snapshot.project_id, snapshot.number)
    wanted = np.unique(np.asarray(rows, dtype=np.int64))
    wanted = wanted[(wanted >= 0) & (wanted < len(predictions))]
    # Looked up in the memory map: reading all of a million rows for one item would take longer than the request.
    found = _suggestions(predictions, wanted)
    return found[found.label_ids >= 0]


def least_sure(project: Project, snapshot: Snapshot, count: int) -> list[dict[str, Any]]:
    """The open items of smallest margin, as the learner's ranking would list them: for a snapshot of long ago."""
    found = of(project, snapshot)
    found = found[np.argsort(found.margin, kind="stable")[:count]]
    asked = []
    for place in range(len(found)):
        first, second = float(found.confidence[place]), float(found.confidence[place] - found.margin[place])
        top = [[int(found.label_ids[place]), round(first, 4)]]
        if found.runner_up_ids[place] >= 0:
            top.append([int(found.runner_up_ids[place]), round(second, 4)])
        labels, shares = [label_id for label_id, _share in top], [share for _label, share in top]
        asked.append({"row": int(found.rows[place]), "code": "margin", "labels": labels, "p": shares, "top": top})
    return asked


def histogram(chosen: Suggestions) -> dict[str, Any]:
    """How the suggestions spread over confidence, and what accepting above each threshold would settle.

    `bins`: counts in 20 equal parts of [0, 1]. `above[t]` and `errors[t]`: how many suggestions have a confidence of at
    least t / 100, and how many of those the model expects to be wrong.
    """
    order = np.sort(chosen.confidence)
    wrong = np.concatenate([[0.0], np.cumsum(1.0 - order.astype(np.float64))])
    thresholds = (np.arange(STEPS + 1) / STEPS).astype(np.float16).astype(np.float32)
    below = np.searchsorted(order, thresholds, side="left")
    counts, _edges = np.histogram(chosen.confidence, bins=BINS, range=(0, 1))
    return {
        "count": len(chosen),
        "bins": counts.tolist(),
        "above": (len(chosen) - below).tolist(),
        "errors": np.round(wrong[-1] - wrong[below], 3).tolist(),
    }


def by_label(chosen: Suggestions) -> dict[int, int]:
    """How many suggestions each label has, most first."""
    label_ids, counts = np.unique(chosen.label_ids, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return {int(label_ids[k]): int(counts[k]) for k in order}


def page(chosen: Suggestions, order: str, after: tuple[float, int] | None, limit: int) -> Suggestions:
    """At most `limit` suggestions in this order, behind the one with `after` = (confidence, row).

    Ties are ordered by row, so that no suggestion is shown twice or left out while others are settled.
    """
    sign = np.float32(1 if order == Order.LEAST else -1)
    key = chosen.confidence * sign
    if after is not None:
        last, row = np.float32(after[0]) * sign, after[1]
        chosen = chosen[(key > last) | ((key == last) & (chosen.rows > row))]
        key = chosen.confidence * sign
    if len(chosen) > limit:
        # Sorting all of a million for one page would take a second; all that tie with the last stay in.
        nearest = np.flatnonzero(key <= np.partition(key, limit - 1)[limit - 1])
        chosen, key = chosen[nearest], key[nearest]
    return chosen[np.lexsort((chosen.rows, key))[:limit]]


def rejections(project: Project) -> dict[int, set[int]]:
    """The labels that reviewers refused, by the row of the item."""
    refused: dict[int, set[int]] = {}
    marks = Mark.objects.filter(project=project, code=Mark.Code.REJECT, label__isnull=False)
    for row, label_id in marks.values_list("item__row", "label_id"):
        refused.setdefault(row, set()).add(label_id)
    return refused


@prepared.rows(project=prepared.ID)
def _newest(project: Any) -> QuerySet[Snapshot]:
    return Snapshot.objects.filter(project=project).order_by("-number")[:1]


def _read(snapshot: Snapshot) -> Suggestions:
    """All rows, in order, also those of which nothing is said."""
    predictions = pool.read_predictions(snapshot.project_id, snapshot.number)
    return _suggestions(predictions, slice(None))


def _suggestions(predictions: pool.Predictions, chosen: Any) -> Suggestions:
    rows = np.arange(len(predictions)) if isinstance(chosen, slice) else chosen
    return Suggestions(
        rows,
        predictions.label_id[chosen].astype(np.int64),
        predictions.confidence[chosen].astype(np.float32),
        predictions.runner_up[chosen].astype(np.int64),
        predictions.margin[chosen].astype(np.float32),
    )


def _narrow_to_rejected(
    project: Project, everything: Suggestions, wanted: Bool[np.ndarray, " items"], state: str
) -> None:
    """Keep only the refused suggestions for that state, and none of them among the open ones; changes `wanted`."""
    if state not in (State.OPEN, State.REJECTED):
        return
    refused = np.zeros(len(wanted), dtype=bool)
    for row, label_ids in rejections(project).items():
        if row < len(wanted):
            refused[row] = int(everything.label_ids[row]) in label_ids
    wanted &= refused if state == State.REJECTED else ~refused


def _status(state: str) -> str:
    return Status.OPEN if state == State.REJECTED else state


def _standing(project: Project, size: int, status: str) -> Bool[np.ndarray, " items"]:
    """Which of the first `size` rows have this status."""
    tally = project.tally
    count = tally.open if status == Status.OPEN else getattr(tally, status)
    rows = Item.objects.filter(project=project, row__lt=size).order_by()
    # Reading row numbers is the slow part, so the smaller side is read.
    if count <= tally.items / 2:
        mask = np.zeros(size, dtype=bool)
        mask[_numbers(rows.filter(status=status))] = True
    else:
        mask = np.ones(size, dtype=bool)
        mask[_numbers(rows.filter(status__in=[other for other in Status if other != status]))] = False
    return mask


def _numbers(items: Any) -> Int[np.ndarray, " n"]:
    return np.fromiter(items.values_list("row", flat=True).iterator(chunk_size=20_000), dtype=np.int64)


def _offered(project: Project) -> Int[np.ndarray, " n"]:
    return np.fromiter(project.labels.filter(archived_at=None).values_list("pk", flat=True), dtype=np.int64)
