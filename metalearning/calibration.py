"""Calibration: confidences that come true, and accuracies that were measured on answers the model had not seen.

Answers are no random sample: people were asked where the model was least sure. Taken as they come they make a good
model look bad and its easy items look doubtful. So for the temperature held-out answers are weighed until their
confidences are spread as the pool's are; what is left of them as evidence (`Evidence.size`) may be little, and then the
prior speaks instead. For the accuracy all of them count, and what sets them apart from the pool is estimated too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import minimize_scalar

from metalearning.vectors import Rows, softmax

BINS = 5
"""Equal parts of the pool by confidence, each of which must be vouched for by answers of its own."""
TEMPERATURE_SPREAD = 0.2
"""Standard deviation of log(temperature) over projects, around `prior_temperature`."""
SHIFT_SPREAD = 0.8
"""Standard deviation over projects of how far, in log-odds, the pool's accuracy lies from its tempered confidences."""
PART_SPREAD = 0.3
"""How far each fifth of the pool may lie from that again."""
ASKED_SHIFT, ASKED_SPREAD = -0.6, 0.6
"""Items that were not asked at random are harder than others of the same confidence, by about so much in log-odds."""
SOONER_SHIFT, SPARSE_SHIFT, SPARSE = 0.2, 0.3, 5.0
"""In log-odds: how much better the whole model is than those that judged the held-out answers, which knew only three in
four; and how much more so where labels have hardly an answer, which falls to a third at `SPARSE` answers per label."""
RESIDUE = 0.2
"""What no number of answers removes, in log-odds: the pool differs from the answers in more than all this."""
SAMPLE = 50_000
"""Items over which an accuracy is averaged, evenly taken from a larger pool: more would only cost time."""
WIDEST = 0.35
"""An interval wider than this says nothing that a person could use."""


@dataclass(frozen=True)
class Calibration:
    """How logits become probabilities: `softmax(logits / temperature)`."""

    temperature: float

    def temper(self, logits: Float[np.ndarray, "items labels"]) -> Float[np.ndarray, "items labels"]:
        """The logits whose softmax is calibrated."""
        return logits / np.float32(self.temperature)


@dataclass(frozen=True)
class Evidence:
    """Held-out answers that stand for a pool."""

    weights: Float[np.ndarray, " rows"]
    """Each answer's share of the evidence; they sum to `size`."""
    size: float
    """How many random answers they are worth, in [0, answers]."""
    own: Float[np.ndarray, " rows"]
    """How far each counts by itself, before it is made to stand for others."""

    def discounted(self, factor: float) -> Evidence:
        """The same answers standing for the pool at `factor`, at most 1, of their worth."""
        factor = min(factor, 1.0)
        return Evidence(self.weights * factor, self.size * factor, self.own)


@dataclass(frozen=True)
class Estimate:
    """An accuracy in [0, 1] with a 95 % interval, and the number of random answers that would tell it as well."""

    value: float
    low: float
    high: float
    evidence: float


@dataclass(frozen=True)
class LabelAccuracy:
    """How often the held-out answers of one label were foreseen; a count, not a claim about the pool."""

    label_id: int
    answers: int
    correct: int


@dataclass(frozen=True)
class Confusion:
    """So many held-out answers of one label for which the model would have suggested another."""

    label_id: int
    suggested_id: int
    answers: int


def prior_temperature(answers: int, label_count: int, *, has_names: bool) -> float:
    """The temperature to expect before looking: the fewer answers per label, the more a model overrates itself."""
    per_label = answers / max(label_count, 1)
    return 1 + 0.5 * np.exp(-per_label / (2 if has_names else 3))


def loudness(smoothing: float) -> float:
    """How much hotter the prior is where neighbours count for more than usual: they agree with each other's errors."""
    return float(np.exp(0.1 * max(smoothing - 2, 0)))


def represent(
    held_out: Float[np.ndarray, " rows"], pool: Float[np.ndarray, " items"], weights: Float[np.ndarray, " rows"]
) -> Evidence:
    """Weigh answers so that their confidences are spread as the pool's: each fifth of the pool gets an equal say.

    The size is Kish's effective sample size of such a stratified sample; a fifth without answers counts as half an
    answer, which leaves hardly anything of the rest.
    """
    part = _parts(held_out, pool)
    present = np.bincount(part, weights=weights, minlength=BINS)
    total = float(weights.sum())
    size = min(float(BINS**2 / (1 / np.maximum(present, 0.5)).sum()), total)
    size *= size / max(total, 1e-8)
    filled = max(int((present > 0).sum()), 1)
    return Evidence(size * weights / (filled * np.maximum(present, 1e-8)[part]), size, weights)


def fit(
    logits: Float[np.ndarray, "rows labels"],
    label_ids: Rows,
    evidence: Evidence,
    prior: float,
) -> Calibration:
    """The temperature that best foretells which held-out suggestions are right, drawn to `prior` if they are few.

    Guo et al. 2017 fit it to the likelihood of the labels. The likelihood of being right is what a confidence promises,
    and a label's very first answer, which no model could foresee, costs it one mistake and not a flattening of all.
    """
    correct = logits.argmax(axis=1) == label_ids

    def loss(log_temperature: float) -> float:
        confidence = softmax(logits * np.float32(np.exp(-log_temperature))).max(axis=1).clip(1e-4, 1 - 1e-4)
        surprise = -np.log(np.where(correct, confidence, 1 - confidence))
        return float(evidence.weights @ surprise + 0.5 * ((log_temperature - np.log(prior)) / TEMPERATURE_SPREAD) ** 2)

    if not len(label_ids):
        return Calibration(prior)
    found = minimize_scalar(loss, bounds=(np.log(0.1), np.log(10)), method="bounded", options={"xatol": 1e-3})
    return Calibration(float(np.exp(found.x)))


def expected_calibration_error(
    confidence: Float[np.ndarray, " items"], correct: Bool[np.ndarray, " items"], bins: int = 10
) -> float:
    """Mean gap between confidence and accuracy over equally wide bins, weighted by their items; in [0, 1]."""
    if not len(confidence):
        return 0.0
    part = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(part, weights=confidence - correct, minlength=bins)
    return float(np.abs(gaps).sum() / len(confidence))


def estimate_accuracy(
    logits: Float[np.ndarray, "rows labels"],
    label_ids: Rows,
    evidence: Evidence,
    calibration: Calibration,
    pool: Float[np.ndarray, " items"],
    at_random: Bool[np.ndarray, " rows"] | None = None,
) -> Estimate | None:
    """The share of right suggestions among unanswered items whose calibrated confidences are `pool`.

    log-odds(right) = log-odds(confidence) + shift + the shift of its fifth of the pool, each with a normal prior, is
    fitted to the held-out answers (`logits`, not tempered) by Laplace's approximation and averaged over the pool:
    multilevel regression and poststratification (Gelman and Little 1997). So the others tell of a fifth that nobody was
    asked about, with a wider interval. An answer's log-odds differ from those of an item like it by `ASKED_SHIFT`
    unless it was drawn `at_random` (None: none was), and because it was judged by a model that knew fewer answers.
    None if the pool is empty or the interval would be wider than `WIDEST`.
    """
    if not len(pool) or not len(label_ids):
        return None
    tempered = softmax(calibration.temper(logits))
    confidence, correct = tempered.max(axis=1), tempered.argmax(axis=1) == label_ids
    asked = np.ones(len(label_ids)) if at_random is None else ~at_random
    design = _design(_parts(confidence, pool), asked)
    mean, covariance = _posterior(_log_odds(confidence) - _sooner(logits.shape), correct, evidence.own, design)
    some = pool[:: -(-len(pool) // SAMPLE)]
    items = _design(_parts(some, pool), np.zeros(len(some)))
    odds = _log_odds(some) + items @ mean
    right = _logistic(odds)
    value, slope = float(right.mean()), right * (1 - right)
    along = slope @ items / max(float(slope.sum()), 1e-8)  # how a shift of each term moves the whole pool
    spread = 1.96 * float(np.hypot(np.sqrt(along @ covariance @ along), RESIDUE))
    chance = 1.96 * float(np.sqrt(slope.mean() / len(pool)))
    low = max(value - float(np.hypot(value - _logistic(odds - spread).mean(), chance)), 0.0)
    high = min(value + float(np.hypot(_logistic(odds + spread).mean() - value, chance)), 1.0)
    if high - low > WIDEST:
        return None
    worth = value * (1 - value) / max(((high - low) / (2 * 1.96)) ** 2, 1e-8)
    return Estimate(value, low, high, worth)


def _sooner(shape: tuple[int, ...]) -> float:
    """How much lower the log-odds of answers are for having been judged by models that knew fewer of them."""
    answers, label_count = shape
    return SOONER_SHIFT + SPARSE_SHIFT * float(np.exp(-answers / label_count / SPARSE))


def _parts(confidence: Float[np.ndarray, " rows"], pool: Float[np.ndarray, " items"]) -> Rows:
    """The equal part of the pool, by confidence, into which each falls."""
    edges = np.quantile(pool, np.arange(1, BINS) / BINS) if len(pool) else np.zeros(BINS - 1)
    return np.searchsorted(edges, confidence, side="right")


def _design(
    part: Rows, asked: Bool[np.ndarray, " rows"] | Float[np.ndarray, " rows"]
) -> Float[np.ndarray, "rows terms"]:
    """Which shifts each row's log-odds have: the common one, its part's, and that of items that were asked."""
    return np.column_stack([np.ones(len(part)), np.eye(BINS)[part], asked])


def _posterior(
    odds: Float[np.ndarray, " rows"],
    correct: Bool[np.ndarray, " rows"],
    weights: Float[np.ndarray, " rows"],
    design: Float[np.ndarray, "rows terms"],
) -> tuple[Float[np.ndarray, " terms"], Float[np.ndarray, "terms terms"]]:
    """Mean and covariance of the shifts by Laplace's approximation."""
    prior = np.array([0.0] * (BINS + 1) + [ASKED_SHIFT])
    precision = np.array([SHIFT_SPREAD] + [PART_SPREAD] * BINS + [ASKED_SPREAD]) ** -2.0
    found, curvature = prior, np.diag(precision)
    for _ in range(50):
        expected = _logistic(odds + design @ found)
        slope = design.T @ (weights * (correct - expected)) - precision * (found - prior)
        curvature = (design.T * (weights * expected * (1 - expected))) @ design + np.diag(precision)
        step = np.linalg.solve(curvature, slope)
        step /= max(float(np.abs(step).max()), 1.0)  # where all are sure and wrong a whole step would leap too far
        found = found + step
        if np.abs(step).max() < 1e-6:
            break
    return found, np.linalg.inv(curvature)


def per_label(logits: Float[np.ndarray, "rows labels"], label_ids: Rows) -> list[LabelAccuracy]:
    """For each answered label, ascending: its held-out answers and how many of them were foreseen."""
    foreseen = logits.argmax(axis=1) == label_ids
    return [
        LabelAccuracy(int(label_id), int((label_ids == label_id).sum()), int(foreseen[label_ids == label_id].sum()))
        for label_id in np.unique(label_ids)
    ]


def confusions(logits: Float[np.ndarray, "rows labels"], label_ids: Rows) -> list[Confusion]:
    """Pairs of an answered label and what would have been suggested instead, the most frequent first."""
    suggested = logits.argmax(axis=1)
    wrong = suggested != label_ids
    pairs, counts = np.unique(np.stack([label_ids[wrong], suggested[wrong]]), axis=1, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return [Confusion(int(pairs[0, place]), int(pairs[1, place]), int(counts[place])) for place in order]


def _log_odds(probability: Float[np.ndarray, " items"]) -> Float[np.ndarray, " items"]:
    held = np.clip(np.asarray(probability, dtype=np.float64), 1e-4, 1 - 1e-4)
    return np.log(held / (1 - held))


def _logistic(log_odds: Float[np.ndarray, " items"]) -> Float[np.ndarray, " items"]:
    return 1 / (1 + np.exp(-log_odds))
