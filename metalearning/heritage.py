"""Heritage: answers of other projects to labels of the same name speak in a new one, as far as it bears them out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from metalearning.experts import SCALE
from metalearning.heads import Weights, centred, fit_linear, label_sums, linear, prototypes, without_bias
from metalearning.pool import Pool
from metalearning.vectors import Rows, softmax
from metalearning.voices import Voice

STRENGTH = 10.0
ITERATIONS = 40


@dataclass(frozen=True, eq=False)
class Heritage:
    """Answered items of earlier projects that have a label of the new project: its columns, ascending."""

    head: Weights
    """A row per shared label, on items centred in their own pool."""
    columns: Rows
    """Which of the new project's labels each row of `head` is."""

    def logits(self, z: Float[np.ndarray, "items dim"], label_count: int) -> Float[np.ndarray, "items labels"]:
        """Log-probabilities of all labels, for items centred in their own pool.

        Of labels that are not shared nothing is known, so each gets an equal share, 1 / label_count, whatever the item:
        where the head is torn among what it knows, they win.
        """
        shared = softmax(linear(z, self.head)) * (len(self.columns) / label_count)
        shares = np.full((len(z), label_count), 1 / label_count, dtype=np.float32)
        shares[:, self.columns] = shared
        return np.log(np.maximum(shares, 1e-6))


def learn(z: Float[np.ndarray, "rows dim"], columns: Rows) -> Heritage:
    """A head started at the earlier projects' prototypes and fitted to their answers, as the proximal expert is.

    `z`: items centred in the pool that each came from. `columns`: their labels as columns of the new project.
    """
    shared, label_ids = np.unique(columns, return_inverse=True)
    ones = np.ones(len(z), dtype=np.float32)
    start = label_sums(z, label_ids, len(shared), ones)
    prior = without_bias(SCALE * prototypes(start, np.zeros_like(start)))
    head = fit_linear(z, label_ids, ones, prior, strength=STRENGTH, iterations=ITERATIONS)
    return Heritage(head, shared)


def voice(heritage: Heritage, pool: Pool, rows: Rows, label_count: int) -> Voice:
    """What earlier projects say of this pool's items. It has learned from none of its answers, so all are `unseen`."""

    def said(place: slice | Rows) -> Float[np.ndarray, "items labels"]:
        return heritage.logits(centred(pool.vectors(np.arange(len(pool))[place]), pool.mean), label_count)

    return Voice("earlier projects", said, said(rows))
