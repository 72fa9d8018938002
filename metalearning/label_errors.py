"""Label errors: which answers a model that had not seen them finds unlikely, the likeliest mistake first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from metalearning.vectors import Rows

TINY = 1e-12
"""Probabilities below this are not told apart."""


@dataclass(frozen=True, eq=False)
class Doubts:
    """Answers that the model would have given otherwise. Parallel arrays, the likeliest mistake first."""

    place: Rows
    """Which answer: an index into the arrays that `doubts` was given."""
    label_id: Int[np.ndarray, " doubted"]
    """The label that is likelier."""
    odds: Float[np.ndarray, " doubted"]
    """Logarithm of how many times likelier that label is than the answer's; higher is likelier a mistake."""
    confident: Bool[np.ndarray, " doubted"]
    """Whether the answer lies off the diagonal of the confident joint: of these the model is confident, which
    with many labels is not yet probability: see docs/results.md."""

    def __len__(self) -> int:
        return len(self.place)


def doubts(
    probabilities: Float[np.ndarray, "answers labels"],
    label_ids: Rows,
    foreseeable: Bool[np.ndarray, " answers"] | None = None,
) -> Doubts:
    """Answers to which the model gives another label, by how many times likelier that label is.

    `probabilities` are held-out: each row from a model that had not learned from that answer. A label is confidently
    said of an item where its probability reaches the mean probability that the label has among its own answers, and
    of several the likeliest counts (Northcutt, Jiang and Chuang 2021, eqs. 1 and 2). Where a model is nearly always
    sure that bar is so high that mistakes pass below it: so all that lean to another label are listed, and the
    confident ones marked. `foreseeable` leaves out answers whose label the model could not have said: there its
    silence means nothing.

    The order is the ratio of the two probabilities. Their difference (the paper's normalised margin) finds fewer of the
    mistakes that nobody would confuse, the answer's probability alone fewer of those that are easily made.
    """
    able = np.ones(len(label_ids), dtype=bool) if foreseeable is None else foreseeable
    likeliest, odds = _others(probabilities, label_ids)
    confident = confidently(probabilities, label_ids, able)
    off = able & (confident >= 0) & (confident != label_ids)
    place = np.flatnonzero(off | (able & (odds > 0)))
    order = place[np.lexsort((place, -odds[place]))]
    return Doubts(order, likeliest[order], odds[order], off[order])


def confidently(
    probabilities: Float[np.ndarray, "answers labels"], label_ids: Rows, able: Bool[np.ndarray, " answers"]
) -> Int[np.ndarray, " answers"]:
    """The label that is confidently said of each answer's item; -1 where none is."""
    if not len(label_ids):
        return np.zeros(0, dtype=np.int64)
    said = np.where(probabilities >= thresholds(probabilities, label_ids, able), probabilities, -1.0)
    return np.where(said.max(axis=1) >= 0, said.argmax(axis=1), -1).astype(np.int64)


def thresholds(
    probabilities: Float[np.ndarray, "answers labels"], label_ids: Rows, able: Bool[np.ndarray, " answers"]
) -> Float[np.ndarray, " labels"]:
    """For each label the mean probability it has among its own answers; infinite for a label without any."""
    labels = probabilities.shape[1]
    own = probabilities[np.arange(len(label_ids)), label_ids]
    count = np.bincount(label_ids[able], minlength=labels)
    total = np.bincount(label_ids[able], weights=own[able], minlength=labels)
    return np.divide(total, count, out=np.full(labels, np.inf), where=count > 0)


def _others(
    probabilities: Float[np.ndarray, "answers labels"], label_ids: Rows
) -> tuple[Int[np.ndarray, " answers"], Float[np.ndarray, " answers"]]:
    """The likeliest label other than the answer's, and the logarithm of how many times likelier it is."""
    if not len(label_ids) or probabilities.shape[1] < 2:
        return np.asarray(label_ids, dtype=np.int64), np.full(len(label_ids), -np.inf, dtype=np.float32)
    rows = np.arange(len(label_ids))
    others = probabilities.copy()
    others[rows, label_ids] = -1.0
    best = others.argmax(axis=1)
    odds = np.log(np.maximum(others[rows, best], TINY)) - np.log(np.maximum(probabilities[rows, label_ids], TINY))
    return best.astype(np.int64), odds.astype(np.float32)
