"""Evidence: which encoder tells the items that people answered apart, and whether another does so clearly better."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Int
from numpy.typing import NDArray

from labeling.encoders.base import Vectors, unit

CANDIDATES = ("pixels", "conv4", "efficientnet-lite0")  # for images, the quickest first
FEWEST = 20  # answers, before which no encoder is called better
LEVEL = 0.025  # of the sign test: how often chance alone may make a challenger of equal worth win


def right_without(vectors: Vectors, columns: Int[NDArray[np.int64], " answers"]) -> Bool[np.ndarray, " answers"]:
    """Whether each answered item lies nearest to its own label's mean, the item itself left out of that mean.

    `vectors` (answers, dim) of length 1, `columns` their labels' numbers. An item whose label has no other item is
    never right: nothing can be said of it.
    """
    x = np.asarray(vectors, dtype=np.float64)
    members = np.eye(int(columns.max()) + 1)[columns]  # (answers, labels)
    sums, counts, every = members.T @ x, members.sum(0), np.arange(len(x))
    scores = np.where(counts > 0, x @ unit(sums).T.astype(np.float64), -np.inf)
    others = sums[columns] - x
    scores[every, columns] = (x * unit(others)).sum(1)
    right: Bool[np.ndarray, " answers"] = (scores.argmax(1) == columns) & (counts[columns] > 1)
    return right


def winner(right: Mapping[str, Bool[np.ndarray, " answers"]], current: str) -> str:
    """The encoder to go on with: `current`, unless another is right clearly more often on the same items.

    Clearly: by a one-sided exact sign test on the items that just one of the two has right (McNemar 1947).
    """
    from scipy.stats import binomtest

    best = max(right, key=lambda name: (int(right[name].sum()), name == current))
    gained, lost = int((right[best] & ~right[current]).sum()), int((right[current] & ~right[best]).sum())
    if gained <= lost or len(right[best]) < FEWEST:
        return current
    chance = float(binomtest(gained, gained + lost, alternative="greater").pvalue)
    return best if chance <= LEVEL else current
