"""Graph: which items of a pool lie next to each other, and how labels flow between them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.sparse import csr_matrix, diags

from metalearning.vectors import Rows, one_hot, softmax, unit

EXACT_LIMIT = 20_000
"""Up to this many items every pair is compared; beyond it only items in neighbouring cells are."""

NEIGHBOURS = 10
"""Of each item in the recipe's graph."""


@dataclass(frozen=True)
class Neighbours:
    """Each item's nearest others, nearest first. Both arrays are all there is to save."""

    row: Int[np.ndarray, "items k"]
    """int32 rows of the pool; -1 where a pool is too small to have k others."""
    similarity: Float[np.ndarray, "items k"]
    """Cosines, float32 in [-1, 1]; 0 where `row` is -1."""


def neighbour_graph(x: Float[np.ndarray, "items dim"], k: int, rng: np.random.Generator) -> csr_matrix:
    """The row-normalised neighbour graph of a pool of L2-normalised embeddings: `affinity(neighbours(...))`."""
    return affinity(neighbours(x, k, rng))


def neighbours(x: Float[np.ndarray, "items dim"], k: int, rng: np.random.Generator) -> Neighbours:
    """The k most similar others of each item: exact for up to `EXACT_LIMIT` items, approximate beyond.

    `x` may be a float16 memory map; it is cast block by block. `rng` only chooses the cells of the approximate search.
    """
    return exact_neighbours(x, k) if len(x) <= EXACT_LIMIT else approximate_neighbours(x, k, rng)


def exact_neighbours(x: Float[np.ndarray, "items dim"], k: int) -> Neighbours:
    """Every pair compared: items^2 * dim multiplications, a fixed amount of memory."""
    found = _nothing(len(x), k)
    vectors = np.asarray(x, dtype=np.float32)
    for rows in _blocks(len(x), 1024):
        similarity = vectors[rows] @ vectors.T
        similarity[np.arange(len(rows)), rows] = -np.inf
        _keep_best(found, rows, similarity, np.arange(len(x)))
    return found


def approximate_neighbours(
    x: Float[np.ndarray, "items dim"], k: int, rng: np.random.Generator, *, probes: int = 8
) -> Neighbours:
    """Neighbours sought in the `probes` cells nearest to an item's own cell of about sqrt(items) k-means cells.

    An inverted file as in Sivic & Zisserman 2003. The cells are fitted to a sample; what crosses a border that lies
    further than `probes` cells away is missed.
    """
    centres = _cell_centres(x, max(8, int(len(x) ** 0.5)), rng)
    cell = np.concatenate([(_floats(x, rows) @ centres.T).argmax(axis=1) for rows in _blocks(len(x), 4096)])
    by_cell = np.argsort(cell, kind="stable")
    members = np.split(by_cell, np.searchsorted(cell[by_cell], np.arange(1, len(centres))))
    nearest_cells = np.argsort(-(centres @ centres.T), axis=1)[:, :probes]
    found = _nothing(len(x), k)
    for own, cells in zip(members, nearest_cells, strict=True):
        candidates = np.concatenate([members[other] for other in cells])
        vectors = _floats(x, candidates)
        for block in _blocks(len(own), 2048):
            rows = own[block]
            similarity = _floats(x, rows) @ vectors.T
            similarity[rows[:, None] == candidates[None]] = -np.inf
            _keep_best(found, rows, similarity, candidates)
    return found


def extend(found: Neighbours, x: Float[np.ndarray, "items dim"]) -> Neighbours:
    """The neighbours of a pool that has grown: `x` begins with the items of `found` and goes on with new ones.

    Exact for the new items, and old items adopt new ones that lie nearer: (new * items * dim) multiplications, which is
    cheaper than starting again as long as fewer than about a tenth of the items are new.
    """
    old, k = found.row.shape
    grown = _nothing(len(x), k)
    grown.row[:old], grown.similarity[:old] = found.row, found.similarity
    fresh = np.arange(old, len(x))
    for rows in _blocks(old, 1024):
        _adopt(grown, rows, _floats(x, rows) @ _floats(x, fresh).T, fresh)
    for block in _blocks(len(fresh), 1024):
        _search_all(grown, x, fresh[block])
    return grown


def affinity(found: Neighbours) -> csr_matrix:
    """Neighbour lists as a symmetric graph of cosine^3, each row summing to one; an item without neighbours has none.

    Cubing lets the nearest speak loudest; negative cosines are no neighbours at all.
    """
    items, k = found.row.shape
    present = found.row.ravel() >= 0
    weight = np.maximum(found.similarity.ravel()[present], 0) ** 3
    source = np.repeat(np.arange(items), k)[present]
    one_way = csr_matrix((weight, (source, found.row.ravel()[present])), shape=(items, items), dtype=np.float32)
    both_ways = one_way + one_way.T
    total = np.asarray(both_ways.sum(axis=1)).ravel()
    scale = np.divide(1, total, out=np.zeros_like(total), where=total > 0)
    return csr_matrix(diags(scale) @ both_ways, dtype=np.float32)


def smooth(
    logits: Float[np.ndarray, "items labels"],
    graph: csr_matrix,
    strength: float,
    clamped: Rows,
    clamped_to: Float[np.ndarray, "rows labels"],
    *,
    steps: int = 10,
    tolerance: float = 1e-2,
) -> Float[np.ndarray, "items labels"]:
    """Logits after `steps` rounds of asking the neighbours: `logits + strength * graph @ probabilities`.

    The bound updates of LaplacianShot (Ziko et al. 2020, eq. 9), except that what people said is clamped while it
    flows. Returned unclamped, as logits, so that they can still be tempered. Stops early once no probability moves by
    more than `tolerance`.
    """
    if not strength:
        return logits
    smoothed = np.array(logits)
    probabilities, following = softmax(logits), np.empty_like(logits)
    probabilities[clamped] = clamped_to
    parts = [(part, graph[part] * np.float32(strength)) for part in _slices(len(logits), 4096)]
    for _ in range(steps):
        for part, links in parts:  # block by block, so that a block's five passes find it in the cache
            smoothed[part] = logits[part] + links @ probabilities
            following[part] = softmax(smoothed[part])
        following[clamped] = clamped_to
        moved = float(np.abs(following - probabilities).max(initial=0))
        probabilities, following = following, probabilities
        if moved < tolerance:
            break
    return smoothed


def votes(
    rows: Rows, label_ids: Rows, weights: Float[np.ndarray, " rows"], label_count: int
) -> tuple[Rows, Float[np.ndarray, "rows labels"]]:
    """The answered rows, each once and ascending, with the share of the (weighted) votes that each label got."""
    answered, position = np.unique(rows, return_inverse=True)
    counted = np.zeros((len(answered), label_count), dtype=np.float32)
    np.add.at(counted, position, one_hot(label_ids, label_count) * weights[:, None])
    return answered, counted / np.maximum(counted.sum(axis=1, keepdims=True), 1e-8)


def _nothing(items: int, k: int) -> Neighbours:
    return Neighbours(np.full((items, k), -1, dtype=np.int32), np.zeros((items, k), dtype=np.float32))


def _keep_best(found: Neighbours, rows: Rows, similarity: Floats2, candidates: Rows) -> None:
    """Write the best k of `candidates` into `rows` of `found`; a similarity of -inf is no candidate."""
    k = min(found.row.shape[1], similarity.shape[1])
    best_value, best_place = torch.from_numpy(similarity).topk(k, dim=1)  # ten times numpy's argpartition
    value, best = best_value.numpy(), best_place.numpy()
    real = np.isfinite(value)
    found.row[rows, :k] = np.where(real, candidates[best], -1)
    found.similarity[rows, :k] = np.where(real, value, 0)


def _search_all(found: Neighbours, x: Floats2, rows: Rows) -> None:
    """Compare `rows` with the whole pool, a block of the pool at a time."""
    for others in _blocks(len(x), 16_384):
        similarity = _floats(x, rows) @ _floats(x, others).T
        similarity[rows[:, None] == others[None]] = -np.inf
        _adopt(found, rows, similarity, others)


def _adopt(found: Neighbours, rows: Rows, similarity: Floats2, candidates: Rows) -> None:
    """Let `rows` keep the best of what they have and of `candidates`."""
    have = np.where(found.row[rows] >= 0, found.similarity[rows], -np.inf)
    better = similarity.max(axis=1, initial=-np.inf) > have.min(axis=1, initial=np.inf)
    for place in np.flatnonzero(better):
        value = np.concatenate([have[place], similarity[place]])
        name = np.concatenate([found.row[rows[place]], candidates])
        best = np.argsort(-value, kind="stable")[: found.row.shape[1]]
        real = np.isfinite(value[best])
        found.row[rows[place]] = np.where(real, name[best], -1)
        found.similarity[rows[place]] = np.where(real, value[best], 0)


def _cell_centres(x: Floats2, cells: int, rng: np.random.Generator) -> Floats2:
    """Spherical k-means on a sample of 20 items a cell, four rounds: cells need to be even, not optimal."""
    sample = _floats(x, np.sort(rng.choice(len(x), min(len(x), 20 * cells), replace=False)))
    centres = sample[rng.choice(len(sample), cells, replace=False)]
    for _ in range(4):
        nearest = (sample @ centres.T).argmax(axis=1)
        sums = np.zeros_like(centres)
        np.add.at(sums, nearest, sample)
        centres = np.where(np.any(sums != 0, axis=1, keepdims=True), unit(sums), centres)
    return centres


def _floats(x: Floats2, rows: Rows) -> Floats2:
    return np.asarray(x[rows], dtype=np.float32)


def _blocks(count: int, size: int) -> Iterator[Rows]:
    for start in range(0, count, size):
        yield np.arange(start, min(start + size, count))


def _slices(count: int, size: int) -> Iterator[slice]:
    for start in range(0, count, size):
        yield slice(start, start + size)


Floats2 = Float[np.ndarray, "rows dim"]
