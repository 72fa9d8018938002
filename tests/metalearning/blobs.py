"""Made-up pools: unit vectors scattered around one direction per label."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metalearning.graph import neighbour_graph
from metalearning.pool import Pool


@dataclass(frozen=True)
class Blobs:
    """A pool with the truth that its makers know."""

    x: np.ndarray
    label_ids: np.ndarray
    names: np.ndarray

    def pool(self, *, graph: bool = True) -> Pool:
        return Pool(self.x, neighbour_graph(self.x, 10, np.random.default_rng(0)) if graph else None)


def blobs(items: int = 120, labels: int = 4, dim: int = 12, *, spread: float = 0.5, seed: int = 0) -> Blobs:
    """`items` spread evenly over `labels`; names are blurred directions of their labels."""
    rng = np.random.default_rng(seed)
    directions = unit(rng.standard_normal((labels, dim)))
    label_ids = np.arange(items) % labels
    x = unit(directions[label_ids] + spread * rng.standard_normal((items, dim)) / dim**0.5 * 2)
    names = unit(directions + 0.3 * rng.standard_normal((labels, dim)) / dim**0.5)
    return Blobs(x, label_ids, names)


def unit(x: np.ndarray) -> np.ndarray:
    return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)
