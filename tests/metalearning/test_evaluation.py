"""Evaluation: scores, reliability and the rule of the mix against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from scipy.stats import binom

from metalearning import evaluation
from metalearning.evaluation import Score

counts = some.integers(0, 60).flatmap(lambda n: some.tuples(some.just(n), some.integers(0, n)))


@given(counts)
def test_an_interval_holds_its_accuracy_and_lies_in_the_unit(given_: tuple[int, int]) -> None:
    score = Score(*given_)
    low, high = score.interval
    assert 0 <= low <= high <= 1
    if score.count:
        assert low - 1e-9 <= score.accuracy <= high + 1e-9


def test_the_interval_holds_the_true_rate_about_as_often_as_it_says() -> None:
    """Exactly, over all outcomes of 40 answers."""
    for rate in (0.5, 0.8, 0.9):
        held = [low <= rate <= high for low, high in (Score(40, k).interval for k in range(41))]
        assert binom.pmf(np.arange(41), 40, rate)[held].sum() > 0.92


@given(counts, counts)
def test_a_difference_turns_its_sign_with_its_sides(one: tuple[int, int], other: tuple[int, int]) -> None:
    if not one[0] or not other[0]:
        return
    gap, low, high = evaluation.difference(Score(*one), Score(*other))
    back, low_back, high_back = evaluation.difference(Score(*other), Score(*one))
    assert (gap, low, high) == pytest.approx((-back, -high_back, -low_back))
    assert low <= gap <= high


def test_the_difference_of_a_textbook() -> None:
    """Newcombe 1998, table II, row (a), method 10: 56/70 against 48/80."""
    assert evaluation.difference(Score(70, 56), Score(80, 48)) == pytest.approx((0.2, 0.0524, 0.3339), abs=1e-4)


def test_reliability_counts_every_prediction_once() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.random(500)
    right = rng.random(500) < confidence
    bins = evaluation.reliability(confidence, right)
    assert sum(one.score.count for one in bins) == 500
    for one in bins:
        inside = (confidence >= one.low) & (confidence < one.high)
        assert one.score == Score(int(inside.sum()), int((inside & right).sum()))
        assert one.low <= one.confidence <= one.high
    assert evaluation.reliability(np.array([1.0]), np.array([True]))[0].high == 1.0


def test_the_calibration_error_tells_chance_from_a_braggart() -> None:
    rng = np.random.default_rng(1)
    confidence = rng.uniform(0.5, 1, 200)
    honest = evaluation.calibration_error(confidence, rng.random(200) < confidence, np.random.default_rng(2))
    braggart = evaluation.calibration_error(confidence, rng.random(200) < confidence - 0.3, np.random.default_rng(2))
    assert honest.low <= honest.value <= honest.high
    assert honest.low < honest.by_chance, "nothing speaks against it"
    assert braggart.low > braggart.by_chance
    assert braggart.value == pytest.approx(0.3, abs=0.1)
    assert evaluation.calibration_error(confidence[:0], confidence[:0] > 0, rng).high == 1


@given(counts, counts)
def test_the_probability_is_that_of_draws(one: tuple[int, int], other: tuple[int, int]) -> None:
    first, second = Score(*one), Score(*other)
    rng = np.random.default_rng(0)
    drawn = rng.beta(1 + first.count - first.right, 1 + first.right, 4000)
    against = rng.beta(1 + second.count - second.right, 1 + second.right, 4000)
    assert evaluation.probability_more_wrong(first, second) == pytest.approx((drawn > against).mean(), abs=0.04)


@given(counts, counts, some.floats(0, 1))
def test_the_mix_is_bounded(one: tuple[int, int], other: tuple[int, int], share: float) -> None:
    mixed = evaluation.mix(Score(*one), Score(*other), share)
    assert mixed.margin + mixed.typical + mixed.random == pytest.approx(1)
    assert mixed.random >= share - 1e-12
    assert mixed.margin >= (1 - share) * (1 - evaluation.MOST_MOVED) - 1e-12


def test_the_mix_follows_the_evidence() -> None:
    finds, same, misses = Score(100, 40), Score(100, 80), Score(100, 95)
    at_random = Score(40, 32)
    assert evaluation.mix(finds, at_random, 0.05).margin == pytest.approx(0.95), "it finds what the model gets wrong"
    assert evaluation.mix(misses, at_random, 0.05).margin < 0.6, "it asks what the model knows"
    assert 0.6 < evaluation.mix(same, at_random, 0.05).margin <= 0.95
    assert evaluation.mix(misses, Score(10, 5), 0.05).margin == pytest.approx(0.95), "too few to tell"
    assert evaluation.mix(misses, at_random, 0.0).doubt == 0, "who asks nothing at random learns nothing of it"
