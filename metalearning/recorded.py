"""Recorded: what the experts say of small labelling projects, written down once for a gate to be trained on."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from metalearning import gate as gates
from metalearning.adapt import Config as Recipe
from metalearning.adapt import adapt
from metalearning.experts import silent_labels, weigh
from metalearning.gate import Features, Gate
from metalearning.graph import smooth
from metalearning.labelling import LabellingTask
from metalearning.vectors import Rows, softmax


@dataclass(frozen=True, eq=False)
class Record:
    """A task as the gate sees it: what each expert says of some unanswered items, and what is right."""

    features: Features
    opinions: Float[np.ndarray, "5 items labels"]
    """Log-probabilities by the four experts, then the neighbours' share of each label times the recipe's smoothing.
    Labels of which nothing is known are left out."""
    label_ids: Rows


def record(task: LabellingTask, queries: int, rng: np.random.Generator) -> Record | None:
    """What the experts and the neighbours say of up to `queries` open items; None if there is nothing to judge by."""
    recipe = Recipe(choose_from=10**9)
    found = adapt(
        task.pool,
        task.names,
        task.rows,
        task.answers,
        task.label_count,
        generator=rng,
        gate=_AllExperts(),
        config=recipe,
    )
    if task.pool.graph is None:
        raise ValueError("A task to be recorded needs the neighbour graph of its pool.")
    silent = silent_labels(found.answers, found.names)
    rows = rng.permutation(task.open_rows[~silent[task.label_ids[task.open_rows]]])[:queries]
    if not len(rows) or (~silent).sum() < 2:
        return None
    head = weigh(found.experts, Gate().trust(found.features), silent)
    smoothed = softmax(smooth(head.logits(task.pool.x), task.pool.graph, recipe.smoothing, *found.clamped))
    clamped, clamped_to = found.clamped
    smoothed[clamped] = clamped_to
    neighbours = recipe.smoothing * (task.pool.graph[rows] @ smoothed)
    opinions = np.concatenate([found.experts.logits(task.pool.x[rows]), neighbours[None]])
    place = np.cumsum(~silent) - 1
    return Record(found.features, opinions[:, :, ~silent].astype(np.float16), place[task.label_ids[rows]])


class _AllExperts(Gate):
    """Trusts every expert a little, so that all are fitted."""

    def trust(self, features: Features) -> gates.Trust:
        return np.full(4, 0.25, dtype=np.float32)


def save(path: Path, records: Sequence[Record]) -> None:
    arrays: dict[str, Any] = {}
    for number, one in enumerate(records):
        arrays |= {f"{number} features": one.features, f"{number} opinions": one.opinions}
        arrays[f"{number} label_ids"] = one.label_ids
    partial = path.with_suffix(".partial.npz")
    np.savez(partial, **arrays)
    os.replace(partial, path)


def load(path: Path) -> list[Record]:
    with np.load(path) as stored:
        return [
            Record(stored[f"{k} features"], stored[f"{k} opinions"], stored[f"{k} label_ids"])
            for k in range(len(stored.files) // 3)
        ]
