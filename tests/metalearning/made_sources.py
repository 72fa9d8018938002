"""Made-up sources: blobs in which every label has enough items to draw tasks from."""

from __future__ import annotations

import numpy as np

from metalearning.sources import TaskSource
from metalearning.vectors import unit
from tests.metalearning.blobs import blobs


def made(name: str, *, labels: int = 6, seed: int = 0, items: int = 240) -> TaskSource:
    """Labels that overlap somewhat, so that there is something to learn."""
    data = blobs(items, labels, 16, spread=0.8, seed=seed)
    return TaskSource(
        name, data.x, data.label_ids, tuple(f"label {n}" for n in range(labels)), data.names, encoder="blobs"
    )


def misnamed(name: str, *, seed: int = 0, items: int = 160, spread: float = 0.5) -> TaskSource:
    """Four labels of two blobs each, called by the names of others: what a head that heeds the answers gains on."""
    rng = np.random.default_rng(seed)
    centres = unit(rng.standard_normal((8, 16)).astype(np.float32))
    blob = np.arange(items) % 8
    x = unit((centres[blob] + spread * rng.standard_normal((items, 16))).astype(np.float32))
    return TaskSource(name, x, blob // 2, tuple("abcd"), np.roll(centres[::2], 1, axis=0), encoder="made up")
