"""Recorded: what the experts say of small labelling projects, written down once for a gate to be trained on."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.sparse import csr_matrix

from metalearning.adapt import adapt
from metalearning.experts import silent_labels
from metalearning.gate import HEARD, RECIPE, Features, Gate
from metalearning.labelling import LabellingTask, Sampling, draw
from metalearning.sources import TaskSource
from metalearning.vectors import Rows

CHUNK = 20
"""Tasks recorded between two writes."""


@dataclass(frozen=True, eq=False)
class Record:
    """A project as the untrained recipe sees it, with all that a gate may change, and what is right.

    Labels of which nothing is known are left out, since no expert speaks of them.
    """

    features: Features
    trust: Float[np.ndarray, " heard"]
    """The fixed weights of the experts that are heard, the proximal head last."""
    leaning: float
    """The share of them that the proximal head gets, as the recipe chose it; see `gate.leaning`."""
    opinions: Float[np.ndarray, "heard items labels"]
    """Log-probabilities of every item by each of them, half precision."""
    weights: Float[np.ndarray, " links"]
    indices: Rows
    starts: Rows
    """The neighbour graph in compressed rows."""
    clamped: Rows
    clamped_to: Float[np.ndarray, "answered labels"]
    smoothing: float
    """The neighbours' weight, as the recipe chose it."""
    rows: Rows
    """The unanswered items on which the gate is judged."""
    label_ids: Rows
    """Their labels."""

    @property
    def graph(self) -> csr_matrix:
        """The row-normalised neighbour graph over all items."""
        items = self.opinions.shape[1]
        return csr_matrix((self.weights, self.indices, self.starts), shape=(items, items))


def record(task: LabellingTask, queries: int, rng: np.random.Generator) -> Record | None:
    """What is said of the task's items, judged by up to `queries` open ones; None if there is nothing to judge by."""
    if task.pool.graph is None:
        raise ValueError("A task to be recorded needs the neighbour graph of its pool.")
    found = adapt(task.pool, task.names, task.rows, task.answers, task.label_count, generator=rng)
    silent = silent_labels(found.answers, found.names)
    rows = rng.permutation(task.open_rows[~silent[task.label_ids[task.open_rows]]])[:queries]
    if not len(rows) or (~silent).sum() < 2:
        return None
    clamped, clamped_to = found.clamped
    heard = list(HEARD)
    place = np.cumsum(~silent) - 1
    return Record(
        features=found.features,
        trust=Gate().trust(found.features)[heard],
        leaning=found.leaning,
        opinions=found.experts.logits(task.pool.vectors(np.arange(len(task.pool))))[heard][:, :, ~silent].astype(
            np.float16
        ),
        weights=task.pool.graph.data,
        indices=task.pool.graph.indices,
        starts=task.pool.graph.indptr,
        clamped=clamped,
        clamped_to=clamped_to[:, ~silent],
        smoothing=found.smoothing,
        rows=rows,
        label_ids=place[task.label_ids[rows]],
    )


def of_source(
    source: TaskSource, count: int, sampling: Sampling, queries: int, seed: int, folder: Path
) -> list[Record]:
    """`count` recorded tasks drawn from the source, a chunk at a time; chunks that are in the folder are read.

    A file's name tells all that its numbers depend on, so that several trainings may share a folder.
    """
    facts = [source.content_hash, source.encoder, source.x.shape[1], asdict(sampling), queries, seed, RECIPE]
    key = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
    records: list[Record] = []
    for first in range(0, count, CHUNK):
        path = folder / f"tasks-{key}-{first:04d}.npz"
        if not path.exists():
            save(path, [_drawn(source, sampling, queries, [seed, place]) for place in range(first, first + CHUNK)])
        records += load(path)
    return records[:count]


def _drawn(source: TaskSource, sampling: Sampling, queries: int, seed: list[int]) -> Record:
    """The task of this number, whatever was drawn before; one without anything to judge by is drawn again."""
    rng = np.random.default_rng(seed)
    while True:
        found = record(draw([source], sampling, rng), queries, rng)
        if found is not None:
            return found


def save(path: Path, records: Sequence[Record]) -> None:
    """Write the records whole or not at all."""
    arrays: dict[str, Any] = {
        f"{number} {field.name}": getattr(one, field.name)
        for number, one in enumerate(records)
        for field in fields(Record)
    }
    partial = path.with_suffix(".partial.npz")
    np.savez(partial, **arrays)
    os.replace(partial, path)


def load(path: Path) -> list[Record]:
    """The records that `save` wrote."""
    names = [field.name for field in fields(Record)]
    with np.load(path) as stored:
        count = len(stored.files) // len(names)
        return [Record(**{name: _value(stored[f"{k} {name}"]) for name in names}) for k in range(count)]


def _value(array: np.ndarray) -> Any:
    """The array, or the number where it is one."""
    return array if array.ndim else float(array)
