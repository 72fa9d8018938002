"""Candidates: which labels can be certified or sampled, and how they are drawn."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from labeling import asking, suggestions
from labeling.models import Audit, Certificate, Item, Label, Project, Snapshot, Status
from metalearning import audits as sampling
from metalearning import certificate as betting

FEW = 2_000  # items whose numbers are looked up one by one; for more, all are read


@dataclass(frozen=True, eq=False)
class Frozen:
    """Labels that are to be tested as they stand; all arrays have one entry per item."""

    item_ids: Int[np.ndarray, " n"]
    rows: Int[np.ndarray, " n"]
    label_ids: Int[np.ndarray, " n"]
    confidence: Float[np.ndarray, " n"]
    """In [0, 1]; 1 where no model said it."""

    def __len__(self) -> int:
        return len(self.item_ids)

    def __getitem__(self, chosen: slice | Sequence[int] | np.ndarray) -> Frozen:
        return Frozen(self.item_ids[chosen], self.rows[chosen], self.label_ids[chosen], self.confidence[chosen])

    def keys(self) -> tuple[str, ...]:
        """The items as records and exports name them."""
        return tuple(str(item_id) for item_id in self.item_ids.tolist())

    def names(self, project_id: int) -> list[str]:
        """The labels' names."""
        named = dict(Label.objects.filter(project=project_id).values_list("pk", "name"))
        return [named[label_id] for label_id in self.label_ids.tolist()]


def claimed(
    project: Project, people: Collection[int], eps: float, delta: float
) -> tuple[Snapshot | None, Frozen, betting.Claim]:
    """The surest open suggestions of the newest snapshot, as many as a claim is tried for, surest (by margin) first.

    Without those that none of these `people`, who may audit, can label blind any more.
    """
    claim = betting.Claim(eps, delta, attempts(project) + 1)
    snapshot = suggestions.latest(project)
    if snapshot is None or not suggestions.has_arrays(snapshot):
        return None, _nothing(), claim
    found = suggestions.of(project, snapshot)
    found = found[~np.isin(found.rows, _taken(project, people))]
    found = found[np.lexsort((found.rows, -found.margin))]
    found = found[: betting.candidate_size(found.confidence.tolist(), claim)]
    return snapshot, _frozen(project, found.rows, found.label_ids, found.confidence), claim


def _taken(project: Project, people: Collection[int]) -> Int[np.ndarray, " n"]:
    """The rows of open items that somebody looks at now, with a suggestion, or that all these people have seen so."""
    still_open = Item.objects.filter(project=project, status=Status.OPEN)
    spoiled = asking.spoiled(still_open, accepted=False)  # an open item's acceptance was taken back
    lost = [item_id for item_id, who in spoiled.items() if who.issuperset(people)]
    taken = [still_open.filter(leases__isnull=False), still_open.filter(asks__isnull=False)]
    taken += [still_open.filter(pk__in=lost[start : start + FEW]) for start in range(0, len(lost), FEW)]
    return np.array([row for items in taken for row in items.values_list("row", flat=True)], dtype=np.int64)


def attempts(project: Project) -> int:
    """How many claims of this project have spent some of delta: one given up before its first answer has not."""
    claims = Certificate.objects.filter(project=project, kind=Certificate.Kind.CLAIM)
    answered = Audit.objects.exclude(outcome="").values("certificate")
    return (
        claims.exclude(state=Certificate.State.GIVEN_UP).count()
        + claims.filter(state=Certificate.State.GIVEN_UP, pk__in=answered).count()
    )


def strata(project: Project, statuses: Sequence[str], snapshot: Snapshot | None) -> dict[str, Frozen]:
    """The items in each of these states with the label that stands for them; of open ones, what is suggested."""
    found = {str(status): _labelled(project, status, snapshot) for status in statuses}
    return {name: one for name, one in found.items() if len(one)}


def drawn(found: dict[str, Frozen], audits: int, seed: str) -> dict[str, Frozen]:
    """So many of them at random, spread over the strata by their sizes: of each, the first by SHA-256 of "seed:id"."""
    shares = sampling.allocate([len(one) for one in found.values()], audits)
    return {
        name: one[list(betting.audit_order(one.keys(), seed)[:count])]
        for (name, one), count in zip(found.items(), shares, strict=True)
    }


def together(parts: Sequence[Frozen]) -> Frozen:
    """All of them, one part after the other."""
    return Frozen(
        np.concatenate([part.item_ids for part in parts]),
        np.concatenate([part.rows for part in parts]),
        np.concatenate([part.label_ids for part in parts]),
        np.concatenate([part.confidence for part in parts]),
    )


def _labelled(project: Project, status: str, snapshot: Snapshot | None) -> Frozen:
    if status == Status.OPEN:
        if snapshot is None or not suggestions.has_arrays(snapshot):
            return _nothing()
        found = suggestions.of(project, snapshot)
        return _frozen(project, found.rows, found.label_ids, found.confidence)
    items = Item.objects.filter(project=project, status=status).order_by("row").values_list("pk", "row", "label_id")
    table = np.array(list(items.iterator(chunk_size=20_000)), dtype=np.int64).reshape(-1, 3)
    return Frozen(table[:, 0], table[:, 1], table[:, 2], np.ones(len(table), dtype=np.float32))


def _frozen(
    project: Project,
    rows: Int[np.ndarray, " n"],
    label_ids: Int[np.ndarray, " n"],
    confidence: Float[np.ndarray, " n"],
) -> Frozen:
    ids = dict(_numbers(project, rows))
    return Frozen(np.array([ids[row] for row in rows.tolist()], dtype=np.int64), rows, label_ids, confidence)


def _numbers(project: Project, rows: Int[np.ndarray, " n"]) -> Iterator[tuple[int, int]]:
    """(row, item id) of at least these rows."""
    items = Item.objects.filter(project=project).order_by()
    if len(rows) <= FEW:
        items = items.filter(row__in=rows.tolist())
    return items.values_list("row", "pk").iterator(chunk_size=20_000)


def _nothing() -> Frozen:
    none = np.zeros(0, dtype=np.int64)
    return Frozen(none, none, none, none.astype(np.float32))
