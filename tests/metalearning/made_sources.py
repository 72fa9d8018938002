"""Made-up sources: blobs in which every label has enough items to draw tasks from."""

from __future__ import annotations

from metalearning.sources import TaskSource
from tests.metalearning.blobs import blobs


def made(name: str, *, labels: int = 6, seed: int = 0, items: int = 240) -> TaskSource:
    """Labels that overlap somewhat, so that there is something to learn."""
    data = blobs(items, labels, 16, spread=0.8, seed=seed)
    return TaskSource(
        name, data.x, data.label_ids, tuple(f"label {n}" for n in range(labels)), data.names, encoder="blobs"
    )
