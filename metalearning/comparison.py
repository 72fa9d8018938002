"""Comparison: is one way of learning better than another, on the same answers, with an interval."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from metalearning.adapt import Adaptation
from metalearning.pool import Pool
from metalearning.predict import predict, top
from metalearning.vectors import Rows

FLOOR = 1e-3
"""Probability below which an answer counts as no less likely: no single one may decide a comparison."""
Learn = Callable[[Rows, Rows], Adaptation]
"""From answered rows and their label ids to a model."""


@dataclass(frozen=True)
class Judged:
    """What models said of answers that they had not seen, in the order of the answers."""

    right: Bool[np.ndarray, " answers"]
    log_likelihood: Float[np.ndarray, " answers"]
    """Log-probability of each answer, at least log(FLOOR)."""


@dataclass(frozen=True)
class Difference:
    """A mean difference with its 95 % interval."""

    mean: float
    low: float
    high: float


def judge(
    learn: Learn, pool: Pool, rows: Rows, label_ids: Rows, *, folds: int, generator: np.random.Generator
) -> Judged:
    """Cross-validation (Stone 1974): each answer judged by a model that learned from the other folds alone.

    The same state of `generator` deals the same folds, so that two ways of learning are compared answer by answer. All
    answers to one item fall into the same fold, or the item would answer for itself.
    """
    items, item = np.unique(rows, return_inverse=True)
    fold = generator.permutation(np.arange(len(items)) % folds)[item]
    right = np.zeros(len(rows), dtype=bool)
    likelihood = np.full(len(rows), np.log(FLOOR))
    for number in np.unique(fold):
        inside = np.flatnonzero(fold == number)
        known = fold != number
        model = learn(rows[known], label_ids[known])
        if not model.informed:
            continue
        columns, shares = top(model, pool, rows[inside], predict(model, pool), model.label_count)
        right[inside] = columns[:, 0] == label_ids[inside]
        given = (shares * (columns == label_ids[inside, None])).sum(axis=1)
        likelihood[inside] = np.log(np.maximum(given, FLOOR))
    return Judged(right, likelihood)


def paired(differences: Float[np.ndarray, " n"], generator: np.random.Generator, draws: int = 2000) -> Difference:
    """The mean of differences taken pair by pair, with a bootstrap interval over the pairs (Efron 1979)."""
    return over_groups([differences], generator, draws)


def over_groups(
    groups: Sequence[Float[np.ndarray, " _"]], generator: np.random.Generator, draws: int = 2000
) -> Difference:
    """The mean over groups of each group's mean difference; groups, and then members, are drawn anew.

    A group is a project kept out, its members the draws in it: what holds in one project need not hold in the next, so
    with few projects the interval is wide (two-stage bootstrap, Davison and Hinkley 1997, section 3.8).
    """
    means = np.array(
        [
            np.mean([generator.choice(group, len(group)).mean() for group in _drawn(groups, generator)])
            for _ in range(draws)
        ]
    )
    low, high = np.quantile(means, [0.025, 0.975])
    return Difference(float(np.mean([group.mean() for group in groups])), float(low), float(high))


def _drawn(groups: Sequence[Float[np.ndarray, " _"]], generator: np.random.Generator) -> list[Float[np.ndarray, " _"]]:
    return [groups[place] for place in generator.integers(0, len(groups), len(groups))]
