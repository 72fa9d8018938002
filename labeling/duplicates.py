"""Duplicates: labelled items that are nearly the same and yet have different labels; read and never written."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from labeling import pool
from labeling.models import Item, Project

SAME = 0.95  # cosine from which two items are taken for the same; rewordings of one question lie above it
WITHOUT_GRAPH = 6_000  # labelled items compared with each other where no neighbours have been drawn
LISTED = 200


@dataclass(frozen=True)
class Pair:
    """Two items that disagree. `cosine` in [0.95, 1]."""

    first: Item
    second: Item
    cosine: float


def disagreeing(project: Project) -> list[Pair]:
    """Pairs of near-duplicates with different labels, the most alike first; at most `LISTED`.

    Looked for among each item's nearest neighbours where these have been drawn, else among the first `WITHOUT_GRAPH`
    labelled items.
    """
    rows, label_ids = _labelled(project)
    dimension = pool.stored_dimension(project.pk, project.encoder) if project.encoder else None
    if len(rows) < 2 or dimension is None:
        return []
    vectors = pool.vectors(project.pk, project.encoder, dimension, project.tally.items)
    label_of = np.full(len(vectors.values), -1, dtype=np.int64)
    inside = rows < len(label_of)
    label_of[rows[inside]] = label_ids[inside]
    pairs = _candidates(project, label_of)
    cosines = _cosines(vectors.values, pairs)
    alike = np.flatnonzero(cosines >= SAME)
    alike = alike[np.argsort(-cosines[alike], kind="stable")][:LISTED]
    return _pairs(project, pairs[alike], cosines[alike])


def _labelled(project: Project) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    found = Item.objects.filter(project=project, label__isnull=False).order_by("row")
    given = np.array(list(found.values_list("row", "label_id").iterator(chunk_size=20_000)), dtype=np.int64)
    return given.reshape(-1, 2)[:, 0], given.reshape(-1, 2)[:, 1]


def _candidates(project: Project, label_of: Int[np.ndarray, " items"]) -> Int[np.ndarray, "pairs 2"]:
    """Pairs of rows, the lower first, whose labels differ and that may be near each other."""
    graph = pool.read_graph(project.pk, project.encoder, len(label_of))
    if graph is None:
        rows = np.flatnonzero(label_of >= 0)[:WITHOUT_GRAPH]
        first, second = (rows[side] for side in np.triu_indices(len(rows), 1))
    else:
        first = np.repeat(np.arange(len(label_of)), np.diff(graph["indptr"]))
        second = graph["indices"].astype(np.int64)
        once = first < second  # the graph is symmetric
        first, second = first[once], second[once]
    differ = (label_of[first] >= 0) & (label_of[second] >= 0) & (label_of[first] != label_of[second])
    return np.stack([first[differ], second[differ]], axis=1)


def _cosines(x: Float[np.ndarray, "items dim"], pairs: Int[np.ndarray, "pairs 2"]) -> Float[np.ndarray, " pairs"]:
    cosines = np.zeros(len(pairs), dtype=np.float32)
    for start in range(0, len(pairs), 8192):
        part = slice(start, start + 8192)
        first, second = (np.asarray(x[pairs[part, side]], dtype=np.float32) for side in (0, 1))
        cosines[part] = np.einsum("pd,pd->p", first, second)
    return cosines


def _pairs(project: Project, pairs: Int[np.ndarray, "pairs 2"], cosines: Float[np.ndarray, " pairs"]) -> list[Pair]:
    rows = np.unique(pairs).tolist()
    items = {item.row: item for item in Item.objects.filter(project=project, row__in=rows).select_related("label")}
    return [
        Pair(items[int(first)], items[int(second)], float(cosine))
        for (first, second), cosine in zip(pairs, cosines, strict=True)
        if int(first) in items and int(second) in items
    ]
