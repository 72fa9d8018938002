"""Recorded: what small labelling projects would gain by leaning on the proximal head, for a gate to be trained on."""

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

from metalearning.adapt import Adaptation, adapt
from metalearning.experts import silent_labels, weigh
from metalearning.gate import MOST, RECIPE, Features, fixed, leaning, together
from metalearning.graph import smooth
from metalearning.labelling import LabellingTask, Sampling, draw
from metalearning.sources import TaskSource

CHUNK = 20
"""Tasks recorded between two writes."""
SHARES = tuple(MOST * step / 4 for step in range(5))
"""Shares to lean by at which a task is tried, from none to the largest that a gate may give."""


@dataclass(frozen=True, eq=False)
class Record:
    """A project as the untrained recipe sees it, and how it would fare with a gate."""

    features: Features
    accuracies: Float[np.ndarray, " shares"]
    """Share of right suggestions among the judged items, in [0, 1], at each of `SHARES`."""


def record(task: LabellingTask, rng: np.random.Generator) -> Record | None:
    """How the task's open items fare; None if there is nothing to judge by."""
    if task.pool.graph is None:
        raise ValueError("A task to be recorded needs the neighbour graph of its pool.")
    found = adapt(task.pool, task.names, task.rows, task.answers, task.label_count, generator=rng)
    silent = silent_labels(found.answers, found.names)
    rows = task.open_rows[~silent[task.label_ids[task.open_rows]]]
    if not len(rows) or (~silent).sum() < 2:
        return None
    right = [(leant(found, task, share)[rows].argmax(axis=1) == task.label_ids[rows]).mean() for share in SHARES]
    return Record(found.features, np.array(right, dtype=np.float32))


def leant(found: Adaptation, task: LabellingTask, share: float) -> Float[np.ndarray, "items labels"]:
    """Every item's logits if a gate gave the proximal head this share, neighbours asked; not tempered."""
    trust = leaning(fixed(found.features), together(found.leaning, share))
    head = weigh(found.experts, trust, silent_labels(found.answers, found.names))
    return smooth(head.logits(task.pool.x), task.pool.graph, found.smoothing, *found.clamped)


def of_source(source: TaskSource, count: int, sampling: Sampling, seed: int, folder: Path) -> list[Record]:
    """`count` recorded tasks drawn from the source, a chunk at a time; chunks that are in the folder are read.

    A file's name tells all that its numbers depend on, so that several trainings may share a folder.
    """
    facts = [source.content_hash, source.encoder, source.x.shape[1], asdict(sampling), seed, RECIPE]
    key = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
    records: list[Record] = []
    for first in range(0, count, CHUNK):
        path = folder / f"tasks-{key}-{first:04d}.npz"
        if not path.exists():
            save(path, [_drawn(source, sampling, [seed, place]) for place in range(first, first + CHUNK)])
        records += load(path)
    return records[:count]


def _drawn(source: TaskSource, sampling: Sampling, seed: list[int]) -> Record:
    """The task of this number, whatever was drawn before; one without anything to judge by is drawn again."""
    rng = np.random.default_rng(seed)
    while True:
        found = record(draw([source], sampling, rng), rng)
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
        return [Record(**{name: stored[f"{k} {name}"] for name in names}) for k in range(count)]
