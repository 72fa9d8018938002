"""Label errors: which answers a model that had not seen them finds unlikely, the likeliest mistake first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from metalearning.vectors import Rows, softmax

TINY = 1e-12
"""Probabilities below this are not told apart."""
MISTAKEN = (2.0, 38.0)
"""How often people err before anything is known of these: a Beta distribution of mean 5 %, worth 40 answers."""
ANYTHING = 0.9
"""The part of all mistakes that may be any other label; the rest are labels that the model confuses too. Chosen, as the
exponents below, on 80 draws with planted mistakes: docs/results.md."""
EXPONENTS = (0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0)
"""By which the model's probabilities may be too sharp (below 1) or too flat far from the likeliest label."""
LIKELY = 0.5
"""The chance from which on an answer is taken for a mistake."""


@dataclass(frozen=True, eq=False)
class Doubts:
    """Answers that the model would have given otherwise. Parallel arrays but `chance`, the likeliest mistake first.

    With many labels most of them are right answers to hard items; `chance` says which are not.
    """

    place: Rows
    """Which answer: an index into the arrays that `doubts` was given."""
    label_id: Int[np.ndarray, " doubted"]
    """The label that is likelier."""
    odds: Float[np.ndarray, " doubted"]
    """Logarithm of how many times likelier that label is than the answer's; higher is likelier a mistake."""
    confident: Bool[np.ndarray, " doubted"]
    """Whether the answer lies off the diagonal of the confident joint: of these the model is confident, which
    with many labels is not yet probability: see docs/results.md."""
    chance: Float[np.ndarray, " answers"]
    """How likely each answer is a mistake, in [0, 1], doubted or not: see `chances`. Indexed by `place`."""

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

    The order is the chance of a mistake, and among equals the ratio of the two probabilities. Their difference (the
    paper's normalised margin) finds fewer of the mistakes that nobody would confuse, the answer's probability alone
    fewer of those that are easily made.
    """
    able = np.ones(len(label_ids), dtype=bool) if foreseeable is None else foreseeable
    likeliest, odds = _others(probabilities, label_ids)
    confident = confidently(probabilities, label_ids, able)
    off = able & (confident >= 0) & (confident != label_ids)
    chance = chances(probabilities, label_ids, able)
    place = np.flatnonzero(off | (able & (odds > 0)) | (chance >= LIKELY))
    order = place[np.lexsort((place, -odds[place], -chance[place]))]
    return Doubts(order, likeliest[order], odds[order], off[order], chance)


def chances(
    probabilities: Float[np.ndarray, "answers labels"], label_ids: Rows, able: Bool[np.ndarray, " answers"]
) -> Float[np.ndarray, " answers"]:
    """How likely each answer is a mistake, in [0, 1]; 0 for those whose label could not be foreseen.

    By Bayes: an item is label t with the model's probability p(t), and whoever answers says t, or by mistake, with a
    chance e that is the same for all items, another label y with probability q(y | t). Then

        P(mistake | y) = e m / ((1 - e) p(y) + e m),   m = sum over t of p(t) q(y | t)

    Errors that depend on the label alone, and not on the item, are what confident learning assumes too (Northcutt et
    al. 2021, section 2). A right answer to a hard item has a small p(y) too, but seldom one as small as m: that tells
    it from a mistake. So much depends on small probabilities, which nothing has calibrated: p is raised to one of the
    `EXPONENTS`. That and e are where the answers' likelihood times the prior `MISTAKEN` of e is highest; its logarithm
    is concave in e. What people and the model mistake alike is not seen.
    """
    told = np.zeros(len(label_ids))
    if able.any() and probabilities.shape[1] > 1:
        given, logs = label_ids[able], np.log(np.maximum(probabilities[able].astype(np.float64), TINY))
        fits = [_chances(softmax(exponent * logs), given) for exponent in EXPONENTS]
        _fit, told[able] = max(fits, key=lambda fit: fit[0])
    return told


def _chances(p: Float[np.ndarray, "answers labels"], label_ids: Rows) -> tuple[float, Float[np.ndarray, " answers"]]:
    """The logarithm of likelihood times prior at the likeliest error, and the chances there."""
    right = p[np.arange(len(p)), label_ids]
    mistaken = (p * said_by_mistake(p)[:, label_ids].T).sum(axis=1)
    error = _error(right, mistaken)
    said = np.maximum((1 - error) * right + error * mistaken, TINY**2)
    ones, others = MISTAKEN[0] - 1, MISTAKEN[1] - 1
    fit = float(np.log(said).sum()) + ones * np.log(error) + others * np.log1p(-error)
    return fit, error * mistaken / said


def said_by_mistake(p: Float[np.ndarray, "answers labels"]) -> Float[np.ndarray, "labels labels"]:
    """q[t, y]: how likely a mistake at an item of label t says y; rows sum to 1, the diagonal is 0."""
    labels = p.shape[1]
    anything = (1 - np.eye(labels)) / (labels - 1)
    confused = p.T @ p * (1 - np.eye(labels))
    total = confused.sum(axis=1, keepdims=True)
    shares = np.divide(confused, total, out=anything.copy(), where=total > TINY)
    return ANYTHING * anything + (1 - ANYTHING) * shares


def _error(right: Float[np.ndarray, " n"], mistaken: Float[np.ndarray, " n"]) -> float:
    """The likeliest share of mistakes, by bisection on the derivative, which falls in it."""
    ones, others = MISTAKEN[0] - 1, MISTAKEN[1] - 1
    low, high = 0.0, 1.0
    for _ in range(50):
        error = (low + high) / 2
        said = np.maximum((1 - error) * right + error * mistaken, TINY**2)
        rises = float(((mistaken - right) / said).sum()) + ones / error > others / (1 - error)
        low, high = (error, high) if rises else (low, error)
    return (low + high) / 2


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
