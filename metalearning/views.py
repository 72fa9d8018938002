"""Views: a pool as encoders see it that learned from answers, each kept from a part of them.

An encoder that was told an answer has moved the item towards its label. A model that is judged there foresees what it
was told, even if its own heads never saw the answer. So the models that judge held-out answers look at the pool through
an encoder that has not seen these either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from metalearning.pool import Pool
from metalearning.vectors import Rows, unit

SHARE = 0.5
"""How much a tuned vector counts for beside the published one, found on development data."""

Vectors = Float[np.ndarray, "rows dim"]


@dataclass(frozen=True, eq=False)
class View:
    """A pool and the embedded label names, as one encoder sees both; a zero row is a label without a name."""

    pool: Pool
    names: Vectors


@dataclass(frozen=True, eq=False)
class Views:
    """The pool as it is seen without each part of the answers, and by the encoder that has learned nothing.

    `rows` are the items whose answers encoders learned from, ascending, and `part` which view has missed each of these.
    """

    published: View
    without: Sequence[View]
    rows: Rows
    part: Int[np.ndarray, " learned"]

    def deal(self, rows: Rows, generator: np.random.Generator) -> Rows:
        """For each answer the number of the view that is to judge it: the one that missed it.

        Of what none has learned from any may judge; it is dealt evenly, all answers to one item to the same.
        """
        once, item = np.unique(rows, return_inverse=True)
        turn = np.empty(len(once), dtype=np.intp)
        known = np.isin(once, self.rows)
        turn[known] = self.part[np.searchsorted(self.rows, once[known])]
        turn[~known] = generator.permutation(int((~known).sum())) % len(self.without)
        return turn[item]


def blended(published: Vectors, tuned: Vectors, share: float = SHARE) -> Vectors:
    """`norm(published + share * tuned)`, rows of length 1; a row of zeros in `published` stays one.

    Both lie in one space, since tuning starts at the published weights and goes a short way; their mean is more robust
    than either, as that of weights is (Wortsman et al. 2022).
    """
    there = np.any(published != 0, axis=1, keepdims=True)
    return unit(np.asarray(published, dtype=np.float32) + np.float32(share) * tuned) * there
