"""Pool: all items of a project as vectors, and what an adaptation needs to know about them as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float
from scipy.sparse import csr_matrix

from metalearning.heads import centred
from metalearning.vectors import Rows

BLOCK = 8192
"""Items cast to float32 at a time: 12 MB at 384 dimensions."""
SAMPLE = 20_000
"""Items that stand for the pool where an average over all of them would only cost time."""
CROWD = 4_000
"""Items whose likely labels say something of the labels: all of a small pool, so many of a larger one."""


@dataclass(frozen=True, eq=False)
class Crowd:
    """The items of a pool that help to find its labels although nobody has labelled them: rows ascending, centred."""

    rows: Rows
    z: Float[np.ndarray, "items dim"]
    graph: csr_matrix | None
    """Their neighbours, where the crowd is the whole pool."""


@dataclass(frozen=True, eq=False)
class Pool:
    """L2-normalised embeddings by row, and the graph over them if it has been computed.

    `x` may be a float16 memory map of any length; nothing here ever casts all of it at once. Keep one Pool for as long
    as its items stay the same: the mean and the sample are computed once and remembered.
    """

    x: Float[np.ndarray, "items dim"]
    graph: csr_matrix | None = None

    def __post_init__(self) -> None:
        if self.graph is not None and self.graph.shape != (len(self.x), len(self.x)):
            raise ValueError(f"The graph has {self.graph.shape[0]} rows for {len(self.x)} items; extend it first.")

    def __len__(self) -> int:
        return len(self.x)

    @cached_property
    def sample(self) -> Rows:
        """Up to `SAMPLE` rows, evenly spread over the pool, so that a file sorted by label is sampled fairly."""
        return np.unique(np.linspace(0, max(len(self) - 1, 0), min(len(self), SAMPLE)).astype(np.intp))

    @cached_property
    def mean(self) -> Float[np.ndarray, " dim"]:
        """The mean embedding of the sample; zero for an empty pool."""
        if not len(self):
            return np.zeros(self.x.shape[1], dtype=np.float32)
        return np.asarray(self.vectors(self.sample).mean(axis=0), dtype=np.float32)

    @cached_property
    def sample_centred(self) -> Float[np.ndarray, "items dim"]:
        """The sample's centred embeddings, `norm(x - mean)`."""
        return centred(self.vectors(self.sample), self.mean)

    @cached_property
    def crowd(self) -> Crowd:
        """The whole pool up to `CROWD` items, with its neighbours; an even sample of a larger one, without."""
        if len(self) <= CROWD:
            return Crowd(self.sample, self.sample_centred, self.graph)
        places = np.unique(np.linspace(0, len(self.sample) - 1, CROWD).astype(np.intp))
        return Crowd(self.sample[places], self.sample_centred[places], None)

    def vectors(self, rows: Rows) -> Float[np.ndarray, "rows dim"]:
        """The embeddings of some rows as float32."""
        return _float32(self.x[rows])

    def blocks(self, rows: Rows | None = None) -> Iterator[tuple[slice, Float[np.ndarray, "items dim"]]]:
        """All items, or `rows`, a block at a time: their places (in the pool, or in `rows`) and float32 embeddings."""
        for start in range(0, len(self) if rows is None else len(rows), BLOCK):
            place = slice(start, start + BLOCK)
            yield place, _float32(self.x[place if rows is None else rows[place]])


def _float32(x: Float[np.ndarray, "items dim"]) -> Float[np.ndarray, "items dim"]:
    """`x` as float32; half precision goes through torch, which casts it twice as fast as numpy."""
    if x.dtype != np.float16:
        return np.asarray(x, dtype=np.float32)
    return torch.from_numpy(np.array(x)).float().numpy()
