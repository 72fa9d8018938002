"""Confidences that come true: recovered temperatures, weighed evidence, covered accuracies."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metalearning import calibration
from metalearning.calibration import Calibration, Evidence
from metalearning.vectors import softmax


def drawn(count: int, *, temperature: float, labels: int = 5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and labels drawn from `softmax(logits / temperature)`."""
    rng = np.random.default_rng(seed)
    logits = rng.standard_normal((count, labels)).astype(np.float32) * 3
    chances = softmax(logits / temperature)
    return logits, np.array([rng.choice(labels, p=row / row.sum()) for row in chances.astype(float)])


def in_full(count: int) -> Evidence:
    return Evidence(np.ones(count, dtype=np.float32), count, np.ones(count, dtype=np.float32))


@pytest.mark.parametrize("temperature", [0.7, 1.0, 2.0])
def test_the_true_temperature_is_found(temperature: float) -> None:
    logits, label_ids = drawn(4000, temperature=temperature)
    found = calibration.fit(logits, label_ids, in_full(4000), 1.0)
    assert found.temperature == pytest.approx(temperature, rel=0.1)
    confidence = softmax(found.temper(logits)).max(axis=1)
    assert calibration.expected_calibration_error(confidence, logits.argmax(axis=1) == label_ids) < 0.03


def test_few_answers_hardly_move_the_prior() -> None:
    logits, label_ids = drawn(4, temperature=5.0)
    assert calibration.fit(logits, label_ids, in_full(4), 1.1).temperature == pytest.approx(1.1, rel=0.25)
    assert calibration.fit(logits[:0], label_ids[:0], in_full(0), 1.1).temperature == 1.1


def test_the_prior_expects_less_overrating_with_more_answers() -> None:
    for has_names in (True, False):
        expected = [calibration.prior_temperature(n, 10, has_names=has_names) for n in (0, 10, 50, 1000)]
        assert expected == sorted(expected, reverse=True)
        assert expected[-1] == pytest.approx(1, abs=0.01)


def test_calibration_error_by_hand() -> None:
    confidence = np.array([0.95, 0.95, 0.55, 0.15, 1.0])
    correct = np.array([True, False, True, False, True])
    by_hand = (abs(0.95 + 0.95 + 1.0 - 2) + abs(0.55 - 1) + abs(0.15 - 0)) / 5
    assert calibration.expected_calibration_error(confidence, correct) == pytest.approx(by_hand)
    assert calibration.expected_calibration_error(confidence[:0], correct[:0]) == 0


def test_a_random_sample_keeps_its_worth_and_a_biased_one_loses_it() -> None:
    rng = np.random.default_rng(0)
    pool = rng.uniform(0.2, 1, 2000).astype(np.float32)
    fair = calibration.represent(pool[:200], pool, np.ones(200, np.float32))
    assert fair.size > 180
    biased = calibration.represent(np.sort(pool)[:200], pool, np.ones(200, np.float32))
    assert biased.size < 5


@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=40), st.lists(st.floats(0, 1, width=32), max_size=40))
def test_evidence_sums_to_its_size_and_never_exceeds_the_answers(held_out: list[float], pool: list[float]) -> None:
    count = len(held_out)
    found = calibration.represent(np.array(held_out), np.array(pool), np.ones(count, np.float32))
    assert 0 <= found.size <= count + 1e-6
    assert found.weights.sum() == pytest.approx(found.size, rel=1e-4)
    assert found.discounted(0.5).size == pytest.approx(found.size / 2)


def test_weighing_undoes_a_biased_choice() -> None:
    """Asked mostly about unsure items, the plain share of right answers misleads; the estimate does not."""
    rng = np.random.default_rng(1)
    logits, label_ids = drawn(6000, temperature=1.0)
    confidence = softmax(logits).max(axis=1)
    chance = np.where(confidence < np.median(confidence), 0.9, 0.1)
    asked = rng.uniform(size=6000) < chance * 0.2
    right = logits.argmax(axis=1) == label_ids
    evidence = calibration.represent(confidence[asked], confidence[~asked], np.ones(asked.sum(), np.float32))
    estimate = calibration.estimate_accuracy(
        logits[asked], label_ids[asked], evidence, Calibration(1.0), confidence[~asked], np.ones(asked.sum(), bool)
    )
    assert estimate is not None
    truth = right[~asked].mean()
    assert abs(right[asked].mean() - truth) > 0.1
    assert abs(estimate.value - truth) < 0.06
    assert estimate.low <= truth <= estimate.high


@pytest.mark.parametrize("temperature", [0.8, 1.0, 1.5])
def test_the_interval_covers_the_truth(temperature: float) -> None:
    """Of 60 made-up projects of 80 random answers, at least nine in ten intervals hold the pool's accuracy."""
    covered = 0
    for seed in range(60):
        logits, label_ids = drawn(480, temperature=temperature, seed=seed)
        held, rest = logits[:80], logits[80:]
        evidence = calibration.represent(softmax(held).max(1), softmax(rest).max(1), np.ones(80, np.float32))
        fitted = calibration.fit(held, label_ids[:80], evidence, 1.0)
        confidence = softmax(fitted.temper(rest)).max(axis=1)
        estimate = calibration.estimate_accuracy(
            held, label_ids[:80], evidence, fitted, confidence, np.ones(80, dtype=bool)
        )
        assert estimate is not None
        covered += estimate.low <= (rest.argmax(axis=1) == label_ids[80:]).mean() <= estimate.high
    assert covered >= 54


def test_what_cannot_be_told_is_not() -> None:
    logits, label_ids = drawn(20, temperature=1.0)
    worthless = Evidence(np.zeros(20, np.float32), 0.0, np.zeros(20, np.float32))
    unsure = np.full(300, 0.5, np.float32)
    estimate = calibration.estimate_accuracy
    assert estimate(logits, label_ids, in_full(20), Calibration(1.0), unsure[:0]) is None
    assert estimate(logits[:0], label_ids[:0], worthless, Calibration(1.0), unsure) is None
    assert estimate(logits, label_ids, worthless, Calibration(1.0), unsure[:10]) is None


def test_the_estimate_is_that_of_a_hundred_thousand_pools_drawn_from_the_prior() -> None:
    """Importance sampling needs no Laplace approximation: draw the shifts, weigh each by how likely the answers are."""
    logits, label_ids = drawn(330, temperature=1.3, seed=3)
    held, rest = logits[:30], logits[30:]
    at_random = np.arange(30) < 10
    pool = softmax(rest).max(axis=1)
    estimate = calibration.estimate_accuracy(held, label_ids[:30], in_full(30), Calibration(1.0), pool, at_random)
    assert estimate is not None

    def log_odds(p: np.ndarray) -> np.ndarray:
        return np.log(p / (1 - p))

    rng = np.random.default_rng(0)
    common = rng.normal(0, calibration.SHIFT_SPREAD, 100_000)
    fifths = rng.normal(0, calibration.PART_SPREAD, (100_000, 5)) + common[:, None]
    asked = rng.normal(calibration.ASKED_SHIFT, calibration.ASKED_SPREAD, 100_000)
    edges = np.quantile(pool, [0.2, 0.4, 0.6, 0.8])
    sooner = calibration.SOONER_SHIFT + calibration.SPARSE_SHIFT * np.exp(-30 / 5 / calibration.SPARSE)
    likelihood = np.zeros(100_000)
    for row, label_id, fair in zip(softmax(held).clip(1e-4, 1 - 1e-4), label_ids[:30], at_random, strict=True):
        odds = log_odds(row.max()) - sooner + fifths[:, (edges <= row.max()).sum()] + (0 if fair else asked)
        chance = 1 / (1 + np.exp(-odds))
        likelihood += np.log(chance if row.argmax() == label_id else 1 - chance)
    weight = np.exp(likelihood - likelihood.max())
    accuracy = np.zeros(100_000)
    for fifth in range(5):
        inside = log_odds(pool[(edges[None] <= pool[:, None]).sum(axis=1) == fifth].clip(1e-4, 1 - 1e-4))
        for odds in inside:
            accuracy += 1 / (1 + np.exp(-odds - fifths[:, fifth])) / len(pool)
    mean = np.average(accuracy, weights=weight)
    spread = np.average((accuracy - mean) ** 2, weights=weight) ** 0.5
    assert estimate.value == pytest.approx(mean, abs=0.015)
    assert 0.9 * 2 * 1.96 * spread < estimate.high - estimate.low < 1.4 * 2 * 1.96 * spread


def test_asked_items_say_less_than_random_ones_and_their_errors_are_expected() -> None:
    logits, label_ids = drawn(400, temperature=1.0)
    held, pool = logits[:60], softmax(logits[60:]).max(axis=1)
    fair, asked = (
        calibration.estimate_accuracy(held, label_ids[:60], in_full(60), Calibration(1.0), pool, np.full(60, at_random))
        for at_random in (True, False)
    )
    assert fair is not None
    assert asked is not None
    assert asked.value > fair.value
    assert asked.high - asked.low > fair.high - fair.low
    assert asked.evidence < fair.evidence


def test_labels_and_confusions_are_counted() -> None:
    logits = np.eye(3, dtype=np.float32)[[0, 1, 1, 2, 1]]
    label_ids = np.array([0, 0, 0, 2, 2])
    assert calibration.per_label(logits, label_ids) == [
        calibration.LabelAccuracy(0, 3, 1),
        calibration.LabelAccuracy(2, 2, 1),
    ]
    assert calibration.confusions(logits, label_ids) == [
        calibration.Confusion(0, 1, 2),
        calibration.Confusion(2, 1, 1),
    ]
    assert calibration.confusions(logits[:1], label_ids[:1]) == []
