"""Evaluation: how predictions did that people answered afterwards, and what that says of the way items were asked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import betainc

from metalearning.calibration import expected_calibration_error
from metalearning.shares import wilson

FEWEST = 20
"""Answered predictions of margin and of random alike before the mix of strategies may change."""
MOST_MOVED = 0.5
"""The largest part of the margin's places that evidence can give to others: a wrong conclusion costs no more."""


@dataclass(frozen=True)
class Score:
    """How many predictions were answered, and how many of them were right."""

    count: int
    right: int

    @property
    def accuracy(self) -> float:
        """The share that was right, in [0, 1]; 0 without predictions."""
        return self.right / self.count if self.count else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the accuracy (Wilson 1927); [0, 1] without predictions."""
        share = wilson(self.right, self.count)
        return (share.low, share.high) if share else (0.0, 1.0)


@dataclass(frozen=True)
class Bin:
    """Predictions whose confidence lies in [low, high): how sure they were on average, and how many were right."""

    low: float
    high: float
    confidence: float
    score: Score


@dataclass(frozen=True)
class CalibrationError:
    """Expected calibration error in [0, 1] with its 95 % interval, and what chance alone would show.

    `by_chance` is what a perfectly calibrated model with the same confidences shows on so few answers, on average: the
    error of few answers is never near 0, so a value near this one says nothing against the model.
    """

    value: float
    low: float
    high: float
    by_chance: float


@dataclass(frozen=True)
class Mix:
    """Shares of the queue by strategy; they sum to 1. `doubt` in [0, 1] is how far the margin's places were cut."""

    margin: float
    typical: float
    random: float
    doubt: float


def difference(first: Score, second: Score) -> tuple[float, float, float]:
    """The first accuracy less the second, with its 95 % interval (Newcombe 1998, method 10); needs both non-empty."""
    gap = first.accuracy - second.accuracy
    (low_1, high_1), (low_2, high_2) = first.interval, second.interval
    below = ((first.accuracy - low_1) ** 2 + (high_2 - second.accuracy) ** 2) ** 0.5
    above = ((high_1 - first.accuracy) ** 2 + (second.accuracy - low_2) ** 2) ** 0.5
    return gap, gap - below, gap + above


def reliability(confidence: Float[np.ndarray, " n"], right: Bool[np.ndarray, " n"], bins: int = 10) -> list[Bin]:
    """The non-empty ones of equally wide bins of confidence, ascending (DeGroot and Fienberg 1983)."""
    part = np.minimum((confidence * bins).astype(int), bins - 1)
    return [
        Bin(
            number / bins,
            (number + 1) / bins,
            float(confidence[part == number].mean()),
            Score(int((part == number).sum()), int(right[part == number].sum())),
        )
        for number in np.unique(part).tolist()
    ]


def calibration_error(
    confidence: Float[np.ndarray, " n"],
    right: Bool[np.ndarray, " n"],
    generator: np.random.Generator,
    draws: int = 500,
) -> CalibrationError:
    """Expected calibration error of answered predictions, with a bootstrap interval (Efron 1979).

    A sample drawn from the sample is less even than it, so its error is too large on average: by that much the
    percentiles are moved back, or the interval of a well calibrated model would lie above its own value.
    """
    count = len(confidence)
    if not count:
        return CalibrationError(0.0, 0.0, 1.0, 0.0)
    again = generator.integers(0, count, (draws, count))
    errors = [expected_calibration_error(confidence[rows], right[rows]) for rows in again]
    lucky = generator.random((draws, count)) < confidence
    chance = [expected_calibration_error(confidence, one) for one in lucky]
    value = expected_calibration_error(confidence, right)
    low, high = np.quantile(errors, [0.025, 0.975]) - (np.mean(errors) - value)
    return CalibrationError(value, max(float(low), 0.0), min(float(high), 1.0), float(np.mean(chance)))


def probability_more_wrong(first: Score, second: Score) -> float:
    """P(the first's error rate is the higher), in [0, 1], under uniform priors on both rates.

    Each rate is Beta(1 + wrong, 1 + right) a posteriori (Bayes 1763); integrated over 4,000 slices by their midpoints.
    """
    edges = np.linspace(0, 1, 4001)
    slices = np.diff(betainc(1 + first.count - first.right, 1 + first.right, edges))
    lower = betainc(1 + second.count - second.right, 1 + second.right, (edges[1:] + edges[:-1]) / 2)
    return float(np.clip(slices @ lower, 0, 1))


def mix(margin: Score, at_random: Score, random_share: float) -> Mix:
    """How the queue is shared among the strategies, given how the predictions asked by each did.

    A question pays where the model was wrong. If items asked for their small margin turn out wrong no more often than
    items drawn at random, the margin has lost its reason, and its places go in equal parts to typical and random
    items: the more surely so, the more of them, at most `MOST_MOVED` (probability matching, Thompson 1933, cut off at
    even odds). Nothing moves below `FEWEST` answers of either kind, nor where nothing is asked at random.
    """
    doubt = 0.0
    if random_share and min(margin.count, at_random.count) >= FEWEST:
        doubt = max(0.0, 1 - 2 * probability_more_wrong(margin, at_random))
    moved = (1 - random_share) * MOST_MOVED * doubt
    return Mix(1 - random_share - moved, moved / 2, random_share + moved / 2, doubt)
