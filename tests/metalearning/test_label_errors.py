"""Label errors: the confident joint by brute force, and planted mistakes found."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metalearning.adapt import adapt
from metalearning.label_errors import EXPONENTS, LIKELY, chances, doubts
from metalearning.vectors import softmax
from tests.metalearning.blobs import blobs


def by_hand(p: np.ndarray, given_ids: np.ndarray) -> dict[int, int]:
    """Northcutt et al. 2021 in loops: the answers off the diagonal, each with the label it is counted to."""
    labels = p.shape[1]
    threshold = []
    for j in range(labels):
        own = [p[k, j] for k in range(len(p)) if given_ids[k] == j]
        threshold.append(sum(own) / len(own) if own else float("inf"))
    found = {}
    for k in range(len(p)):
        confident = [j for j in range(labels) if p[k, j] >= threshold[j]]
        if confident:
            best = max(confident, key=lambda j: (p[k, j], -j))
            if best != given_ids[k]:
                found[k] = best
    return found


@given(st.integers(0, 60), st.integers(2, 5), st.integers(0, 10_000))
def test_the_confident_joint_by_hand(answers: int, labels: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    p = softmax(2 * rng.standard_normal((answers, labels))).astype(np.float64)
    label_ids = rng.integers(0, labels, answers)
    found = doubts(p, label_ids)
    confident = {place for place, sure in zip(found.place.tolist(), found.confident.tolist(), strict=True) if sure}
    assert confident == set(by_hand(p, label_ids))
    for k, place in enumerate(found.place):
        other = max((j for j in range(labels) if j != label_ids[place]), key=lambda j: (p[place, j], -j))
        assert found.label_id[k] == other
        assert found.odds[k] == pytest.approx(np.log(p[place, other] / p[place, label_ids[place]]), rel=1e-5, abs=1e-6)
    assert set(np.flatnonzero(p.argmax(axis=1) != label_ids)) <= set(found.place.tolist())
    assert (np.diff(found.chance[found.place]) <= 0).all(), "the likeliest mistake first"


def chances_by_hand(sharp: np.ndarray, given_ids: np.ndarray) -> list[float]:
    """Bayes in loops, with the share of mistakes found by trying a thousand, for each exponent."""
    fits = [(_by_hand(sharp**power / (sharp**power).sum(axis=1, keepdims=True), given_ids)) for power in EXPONENTS]
    return max(fits, key=lambda fit: fit[0])[1]


def _by_hand(p: np.ndarray, given_ids: np.ndarray) -> tuple[float, list[float]]:
    n, labels = p.shape
    q = np.zeros((labels, labels))
    for t in range(labels):
        both = [0.0 if y == t else sum(p[k, t] * p[k, y] for k in range(n)) for y in range(labels)]
        for y in range(labels):
            if y != t:
                q[t, y] = 0.9 / (labels - 1) + 0.1 * both[y] / sum(both)
    mistaken = [sum(p[k, t] * q[t, given_ids[k]] for t in range(labels)) for k in range(n)]
    best, error = -np.inf, 0.0
    for e in np.linspace(0.0005, 0.9995, 1000):
        fit = sum(np.log((1 - e) * p[k, given_ids[k]] + e * mistaken[k]) for k in range(n))
        fit += np.log(e) + 37 * np.log(1 - e)  # Beta(2, 38)
        best, error = max((best, error), (fit, e))
    return best, [error * m / ((1 - error) * p[k, given_ids[k]] + error * m) for k, m in enumerate(mistaken)]


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(2, 5), st.floats(1, 5), st.integers(0, 10_000))
def test_the_chances_of_a_mistake_by_hand(answers: int, labels: int, sure: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    p = softmax(sure * rng.standard_normal((answers, labels))).astype(np.float64)
    label_ids = np.where(rng.random(answers) < 0.8, p.argmax(axis=1), rng.integers(0, labels, answers))
    expected = chances_by_hand(p, label_ids)
    assert chances(p, label_ids, np.ones(answers, dtype=bool)) == pytest.approx(expected, abs=0.02)
    assert doubts(p, label_ids).chance.sum() == pytest.approx(sum(expected), abs=0.02 * answers)


def test_hard_items_are_no_mistakes_and_planted_ones_are_counted() -> None:
    """Answers drawn from what the model says are right, however unlikely; one in ten is then replaced."""
    rng = np.random.default_rng(0)
    p = softmax(2.5 * rng.standard_normal((2000, 40))).astype(np.float64)
    right = (p.cumsum(axis=1) > rng.random((2000, 1))).argmax(axis=1)
    clean = doubts(p, right)
    assert clean.chance.sum() < 10
    assert (clean.chance >= LIKELY).sum() <= 2 < 500 < clean.confident.sum()
    wrong = rng.permutation(2000)[:200]
    given_ids = right.copy()
    given_ids[wrong] = (given_ids[wrong] + rng.integers(1, 40, 200)) % 40
    found = doubts(p, given_ids)
    assert 150 < found.chance.sum() < 250
    likely = np.flatnonzero(found.chance >= LIKELY)
    assert set(likely) <= set(found.place)
    assert np.isin(likely, wrong).mean() == pytest.approx(found.chance[likely].mean(), abs=0.12)  # calibrated


def test_planted_mistakes_come_first() -> None:
    found, named = zip(*(planted_and_found(seed) for seed in range(6)), strict=True)
    assert np.mean(found) > 0.85
    assert np.mean(named) > 0.8, "the label that is right is named"


def planted_and_found(seed: int) -> tuple[float, float]:
    """Of 12 mistakes among 150 answers the share among the 12 most doubted; of these, how often the truth is named."""
    made = blobs(items=300, labels=5, spread=0.4, seed=seed)
    rng = np.random.default_rng(seed)
    rows = rng.permutation(300)[:150]
    given_ids = made.label_ids[rows].copy()
    wrong = rng.permutation(150)[:12]
    given_ids[wrong] = (given_ids[wrong] + 1) % 5
    adapted = adapt(made.pool(), made.names, rows, given_ids, 5, generator=rng)
    assert adapted.held_out is not None
    probabilities = softmax(adapted.calibration.temper(adapted.held_out.logits))
    doubted = doubts(probabilities, adapted.held_out.answers.label_ids, adapted.held_out.foreseeable)
    named = made.label_ids[rows[doubted.place[:12]]] == doubted.label_id[:12]
    return np.isin(doubted.place[:12], wrong).mean(), named.mean()


def test_what_could_not_be_foreseen_is_not_doubted() -> None:
    p = np.array([[0.9, 0.1], [0.9, 0.1], [0.8, 0.2]])
    label_ids = np.array([0, 0, 1])
    assert doubts(p, label_ids, np.array([True, True, False])).place.tolist() == []
    assert doubts(np.zeros((0, 3)), np.zeros(0, dtype=np.intp)).place.tolist() == []
