"""Label errors: the confident joint by brute force, and planted mistakes found."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metalearning.adapt import adapt
from metalearning.label_errors import doubts
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
    assert (np.diff(found.odds) <= 0).all(), "the worst first"


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
