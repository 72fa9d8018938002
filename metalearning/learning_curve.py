"""Learning curve: how many more answers a goal may need, and what the next ones may gain, from accuracies so far.

    error(n) = floor + start * exp(-(n / scale) ** shape)

Of the families of learning curves (Viering & Loog 2022, "The shape of learning curves: a review") this one, Weibull's,
fits best where a model asks next what it is unsure of: the hard items leave the pool, and the error of the rest falls
faster than an inverse shape of the answers (bench/forecasting.py: that one foretold two to four times too many). Its
four numbers are fitted in logarithms, under broad priors, to the log-odds of the estimated accuracies by weighted least
squares. The errors of these estimates are not independent: each round's answers are mostly those of the last one, so
what is off in one is off in the next. They are whitened by a covariance that decays with the ratio of their answers.
Draws around the fit (Laplace's approximation) give intervals; where these say too little, nothing is said.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy.optimize import least_squares

from metalearning.audits import Interval

FEWEST_POINTS = 5
"""Estimates below which no curve is fitted."""
LEAST_GROWTH = 1.5
"""The newest estimate's answers over the oldest's, below which they are one place and not a curve."""
MOST_POINTS = 40
"""Of more estimates, as many evenly spread are fitted."""
PRIOR_MEAN = np.log([0.3, 150.0, 1.0, 0.003])
PRIOR_SPREAD = np.array([0.4, 0.7, 0.25, 1.0])
"""Of log start, scale, shape and floor over projects: all that is known before the first estimate."""
SPREAD = 1.0
"""The estimates' errors as a share of what their own intervals allow (bench/forecasting.py)."""
JITTER = 0.05
"""Log-odds by which one round's estimate differs from the next for no reason."""
MEMORY = 1.4
"""Difference of log(answers) at which the errors of two estimates are correlated by exp(-1)."""
FARTHEST = 4.0
"""A goal that may be farther away than so many times the answers so far is not foretold."""
WIDEST = 5.0
"""A forecast is told where its upper end is at most so many times its median, both with a round of answers added."""
ROUND = 10
"""Answers that make no difference to anybody."""
DRAWS = 400
PAYS = 0.01
"""Accuracy that the next answers must be able to gain, else they no longer pay."""

Reason = Literal["", "few", "far", "wide"]


@dataclass(frozen=True, eq=False)
class Curve:
    """Draws of the four numbers that the estimates so far allow, and how many answers there were."""

    answers: int
    start: Float[np.ndarray, " draws"]
    scale: Float[np.ndarray, " draws"]
    shape: Float[np.ndarray, " draws"]
    floor: Float[np.ndarray, " draws"]

    def accuracy(self, answers: float) -> Float[np.ndarray, " draws"]:
        """The accuracy at so many answers, one value for each draw."""
        return 1 - _error(answers, self.start, self.scale, self.shape, self.floor)

    def needed(self, goal: float) -> Float[np.ndarray, " draws"]:
        """Answers in all at which each draw reaches the goal; infinite where it levels off below it."""
        return self._where((1 - goal - self.floor) / self.start)

    def needed_to_shrink(self, factor: float) -> Float[np.ndarray, " draws"]:
        """Answers in all at which each draw's error is `factor`, in (0, 1], of what it is now; infinite as above."""
        left = ((1 - self.accuracy(self.answers)) * factor - self.floor) / self.start
        return self._where(left)

    def _where(self, left: Float[np.ndarray, " draws"]) -> Float[np.ndarray, " draws"]:
        """Answers in all at which so much of the start's error above the floor is left."""
        found = self.scale * (-np.log(np.clip(left, 1e-300, 1.0))) ** (1 / self.shape)
        return np.where(left > 0, found, np.inf)


@dataclass(frozen=True)
class Forecast:
    """How many more answers reach the goal: median and 95 % interval, None where it cannot be told.

    `reason` says why: "few" estimates; the goal is "far", as likely as not beyond the horizon if it is reached at
    all; or the interval is too "wide". `low` may then still be known: so many more at least.
    """

    likely: int | None
    low: int | None
    high: int | None
    reason: Reason


def fit(
    answers: Float[np.ndarray, " rounds"],
    accuracy: Float[np.ndarray, " rounds"],
    low: Float[np.ndarray, " rounds"],
    high: Float[np.ndarray, " rounds"],
    generator: np.random.Generator,
) -> Curve | None:
    """The curves that estimates with their 95 % intervals allow; None where there are too few, or of one place.

    One estimate for each number of answers, ascending, in [0, 1].
    """
    if len(answers) < FEWEST_POINTS or answers[-1] < LEAST_GROWTH * max(answers[0], 1):
        return None
    kept = np.unique(np.linspace(0, len(answers) - 1, MOST_POINTS).round().astype(int))
    n, told = answers[kept].astype(np.float64), _log_odds(accuracy[kept])
    spread = SPREAD * (_log_odds(high[kept]) - _log_odds(low[kept])) / (2 * 1.96)
    ages = np.log(n + 1)
    alike = np.exp(-np.abs(ages[:, None] - ages[None, :]) / MEMORY)
    whiten = np.linalg.inv(np.linalg.cholesky(alike * np.outer(spread, spread) + JITTER**2 * np.eye(len(n))))

    def residuals(numbers: Float[np.ndarray, " 4"]) -> Float[np.ndarray, " n"]:
        off = _log_odds(1 - _error(n, *np.exp(numbers))) - told
        return np.concatenate([whiten @ off, (numbers - PRIOR_MEAN) / PRIOR_SPREAD])

    found = least_squares(residuals, PRIOR_MEAN, method="trf", max_nfev=200)
    covariance = np.linalg.inv(found.jac.T @ found.jac)
    drawn = generator.multivariate_normal(found.x, covariance, DRAWS, method="cholesky")
    return Curve(int(answers[-1]), *np.exp(drawn.T))


def forecast(curve: Curve | None, goal: float) -> Forecast:
    """How many more answers the goal needs, if that can be told."""
    return Forecast(None, None, None, "few") if curve is None else _told(curve, curve.needed(goal))


def forecast_shrinking(curve: Curve | None, factor: float) -> Forecast:
    """How many more answers bring the error down to `factor`, in (0, 1], of what it is now, if that can be told."""
    return Forecast(None, None, None, "few") if curve is None else _told(curve, curve.needed_to_shrink(factor))


def _told(curve: Curve, needed: Float[np.ndarray, " draws"]) -> Forecast:
    more = np.maximum(needed - curve.answers, 0.0)
    low, likely, high = np.quantile(more, [0.025, 0.5, 0.975], method="higher")
    horizon = FARTHEST * curve.answers
    least = _whole(min(low, horizon))
    if likely > horizon:
        return Forecast(None, least, None, "far")
    if high > horizon or high + ROUND > WIDEST * (likely + ROUND):
        return Forecast(None, least, None, "wide")
    return Forecast(_whole(likely), _whole(low), _whole(high), "")


def gain(curve: Curve, more: int) -> Interval:
    """How much accuracy so many more answers add, in [0, 1]: median and 95 % interval."""
    added = curve.accuracy(curve.answers + more) - curve.accuracy(curve.answers)
    low, value, high = np.quantile(added, [0.025, 0.5, 0.975])
    return Interval(float(value), float(low), float(high))


def pays(expected: Interval) -> bool:
    """Whether more answers may pay: not where even the upper end of what they gain is next to nothing."""
    return expected.high >= PAYS


def _error(
    answers: float | Float[np.ndarray, " n"],
    start: float | Float[np.ndarray, " n"],
    scale: float | Float[np.ndarray, " n"],
    shape: float | Float[np.ndarray, " n"],
    floor: float | Float[np.ndarray, " n"],
) -> Float[np.ndarray, " n"]:
    return np.minimum(floor + start * np.exp(-((answers / scale) ** shape)), 1.0)


def _log_odds(share: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    held = np.clip(np.asarray(share, dtype=np.float64), 1e-4, 1 - 1e-4)
    return np.log(held / (1 - held))


def _whole(answers: float) -> int:
    return int(np.ceil(answers))
