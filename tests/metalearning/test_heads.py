"""Heads against brute force: names, prototypes and both regressions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import check_grad, minimize
from sklearn.linear_model import LogisticRegression

from metalearning import heads
from tests.metalearning.blobs import blobs


def ones(count: int) -> np.ndarray:
    return np.ones(count, dtype=np.float32)


def test_names_are_centred_on_their_own_mean_and_nameless_labels_stay_zero() -> None:
    names = blobs(labels=5).names.copy()
    names[3] = 0
    found = heads.name_vectors(names, np.full(12, 0.1, np.float32))
    kept = [0, 1, 2, 4]
    centre = sum(names[i] for i in kept) / 4
    for i in kept:
        expected = (names[i] - centre) / np.linalg.norm(names[i] - centre)
        np.testing.assert_allclose(found[i], expected, atol=1e-6)
    assert not found[3].any()


@pytest.mark.parametrize("labels", [1, 2])
def test_one_or_two_names_are_centred_on_the_pool(labels: int) -> None:
    names, mean = blobs(labels=labels).names, np.full(12, 0.1, np.float32)
    expected = (names - mean) / np.linalg.norm(names - mean, axis=1, keepdims=True)
    np.testing.assert_allclose(heads.name_vectors(names, mean), expected, atol=1e-6)


def test_names_move_towards_the_texts_they_claim() -> None:
    data = blobs(items=80, labels=4)
    found = heads.names_to_text(data.x, data.names, sharpness=3.0)
    for c in range(4):
        claims = [np.exp(3 * x @ data.names[c]) / sum(np.exp(3 * x @ n) for n in data.names) for x in data.x]
        surest = np.argsort(claims)[-5:]  # a quarter of 80 items over 4 labels
        middle = sum(claims[i] * data.x[i] for i in surest)
        moved = data.names[c] + middle / np.linalg.norm(middle)
        np.testing.assert_allclose(found[c], moved / np.linalg.norm(moved), atol=1e-4)


def test_prototypes_count_a_name_as_one_answer() -> None:
    data = blobs()
    rows = np.array([0, 4, 1])
    sums = heads.label_sums(data.x[rows], data.label_ids[rows], 4, np.array([1, 2, 1], np.float32))
    raw = data.names[0] + data.x[0] + 2 * data.x[4]
    np.testing.assert_allclose(heads.prototypes(sums, data.names)[0], raw / np.linalg.norm(raw), atol=1e-6)
    np.testing.assert_allclose(heads.prototypes(sums, data.names)[3], data.names[3], atol=1e-6)


def objective(
    head: np.ndarray, x: np.ndarray, y: np.ndarray, w: np.ndarray, prior: np.ndarray, c: float, bias: float
) -> float:
    logits = x @ head[:, :-1].T + head[:, -1]
    surprise = sum(wi * (np.log(np.exp(row).sum()) - row[yi]) for wi, row, yi in zip(w, logits, y, strict=True))
    pull = ((head - prior) ** 2).sum(axis=0)
    return float(surprise + (pull[:-1].sum() + pull[-1] * bias) / (2 * c))


@pytest.mark.parametrize("bias", [0.1, 1.0])
def test_the_regression_finds_the_minimum_of_its_objective(bias: float) -> None:
    data, rng = blobs(items=24, labels=3, dim=5), np.random.default_rng(1)
    weights = rng.uniform(0.5, 2, 24).astype(np.float32)
    prior = rng.standard_normal((3, 6)).astype(np.float32)
    found = heads.fit_linear(data.x, data.label_ids, weights, prior, strength=2.0, iterations=200, bias_penalty=bias)

    def flat(v: np.ndarray) -> float:
        return objective(v.reshape(3, 6), data.x.astype(float), data.label_ids, weights, prior, 2.0, bias)

    best = minimize(flat, prior.ravel().astype(float), method="BFGS", options={"gtol": 1e-6})
    np.testing.assert_allclose(found.ravel(), best.x, atol=5e-3)
    assert check_grad(flat, lambda v: np.zeros(18), found.ravel().astype(float)) < 0.05


def test_a_zero_prior_is_scikit_learns_logistic_regression() -> None:
    data = blobs(items=60, labels=4)
    found = heads.fit_linear(data.x, data.label_ids, ones(60), np.zeros((4, 13), np.float32), iterations=300)
    theirs = LogisticRegression(C=3.0, max_iter=1000).fit(data.x, data.label_ids)
    ours = heads.linear(data.x, found)
    # Their bias is not penalised, ours a little; the balanced blobs keep it near zero in both.
    np.testing.assert_allclose(ours - ours.mean(1, keepdims=True), theirs.decision_function(data.x), atol=0.05)


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(4)), st.integers(0, 5))
def test_permuting_labels_permutes_the_heads_rows(order: list[int], seed: int) -> None:
    data, place = blobs(items=20, seed=seed), np.argsort(order)
    prior = heads.without_bias(10 * data.names)
    plain = heads.fit_linear(data.x, data.label_ids, ones(20), prior, iterations=100)
    turned = heads.fit_linear(data.x, place[data.label_ids], ones(20), prior[order], iterations=100)
    np.testing.assert_allclose(turned, plain[order], atol=2e-2)


def test_a_weight_of_two_is_the_answer_given_twice() -> None:
    data, prior = blobs(items=8), np.zeros((4, 13), np.float32)
    doubled = heads.fit_linear(data.x, data.label_ids, 2 * ones(8), prior, iterations=100)
    twice = heads.fit_linear(np.vstack([data.x, data.x]), np.tile(data.label_ids, 2), ones(16), prior, iterations=100)
    np.testing.assert_allclose(doubled, twice, atol=1e-2)


def test_no_answers_leave_the_prior_and_a_point_at_the_mean_is_nowhere() -> None:
    prior = np.ones((2, 13), np.float32)
    empty = np.zeros(0, dtype=np.intp)
    np.testing.assert_array_equal(heads.fit_linear(np.zeros((0, 12), np.float32), empty, ones(0), prior), prior)
    same = np.full((3, 12), 0.3, np.float32)
    assert np.abs(heads.centred(same, same.mean(axis=0))).max() < 1e-3
