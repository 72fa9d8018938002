"""The neighbour graph against brute force, and the laws of smoothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metalearning import graph
from metalearning.vectors import softmax
from tests.metalearning.blobs import blobs

RNG = np.random.default_rng
NOBODY = np.zeros(0, dtype=np.intp)


def nearest_by_sorting(x: np.ndarray, k: int) -> list[set[int]]:
    similarity = x @ x.T
    np.fill_diagonal(similarity, -9)
    return [set(np.argsort(-row)[:k].tolist()) for row in similarity]


def test_exact_neighbours_are_the_nearest() -> None:
    x = blobs(items=90).x
    found = graph.exact_neighbours(x, 7)
    assert [set(row) for row in found.row.tolist()] == nearest_by_sorting(x, 7)
    assert np.all(np.diff(found.similarity, axis=1) <= 0)


def test_half_precision_is_enough() -> None:
    x = blobs(items=60).x
    np.testing.assert_allclose(
        graph.exact_neighbours(x.astype(np.float16), 3).similarity, graph.exact_neighbours(x, 3).similarity, atol=2e-3
    )


def test_approximate_neighbours_are_mostly_the_nearest() -> None:
    x = blobs(items=3000, labels=40, dim=24, spread=0.8).x
    exact = nearest_by_sorting(x, 10)

    def recall(probes: int) -> float:
        found = graph.approximate_neighbours(x, 10, RNG(0), probes=probes)
        assert not np.any(found.row == np.arange(3000)[:, None])
        return float(np.mean([len(set(row) & true) / 10 for row, true in zip(found.row.tolist(), exact, strict=True)]))

    assert recall(100) == 1  # every cell searched
    assert recall(8) > 0.5  # blobs without any structure within them are the worst case


@pytest.mark.parametrize("old", [1, 50, 89])
def test_extending_equals_starting_again(old: int) -> None:
    x = blobs(items=90).x
    grown = graph.extend(graph.exact_neighbours(x[:old], 5), x)
    np.testing.assert_allclose(grown.similarity, graph.exact_neighbours(x, 5).similarity, atol=1e-6)
    assert [set(row) for row in grown.row.tolist()] == nearest_by_sorting(x, 5)


@pytest.mark.parametrize("items", [0, 1, 2, 3])
def test_tiny_pools_have_what_neighbours_there_are(items: int) -> None:
    x = blobs(items=4).x[:items]
    found = graph.neighbours(x, 10, RNG(0))
    assert (found.row >= 0).sum(axis=1).tolist() == [max(items - 1, 0)] * items
    affinity = graph.affinity(found)
    assert affinity.shape == (items, items)
    assert np.isfinite(affinity.data).all()


def test_affinity_is_the_symmetrised_cubed_cosine_by_row() -> None:
    x = blobs(items=30).x
    found = graph.exact_neighbours(x, 4)
    dense = np.zeros((30, 30))
    for i in range(30):
        for j, s in zip(found.row[i], found.similarity[i], strict=True):
            dense[i, j] += max(s, 0) ** 3
            dense[j, i] += max(s, 0) ** 3
    expected = dense / dense.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(graph.affinity(found).toarray(), expected, atol=1e-6)


def test_duplicates_are_neighbours_like_others() -> None:
    x = np.repeat(blobs(items=2, labels=2).x, 8, axis=0)
    affinity = graph.neighbour_graph(x, 5, RNG(0))
    np.testing.assert_allclose(affinity.sum(axis=1), 1, atol=1e-5)


def smoothed_by_hand(
    logits: np.ndarray, dense: np.ndarray, strength: float, clamp: dict[int, np.ndarray]
) -> np.ndarray:
    p = softmax(logits)
    for _ in range(10):
        for row, value in clamp.items():
            p[row] = value
        flowed = logits + strength * dense @ p
        p = softmax(flowed)
    return flowed


def test_smoothing_is_ten_rounds_of_asking_the_neighbours() -> None:
    data = blobs(items=40)
    affinity = graph.neighbour_graph(data.x, 5, RNG(0))
    logits = RNG(1).standard_normal((40, 4)).astype(np.float32)
    rows, to = np.array([3, 8]), np.eye(4, dtype=np.float32)[[2, 0]]
    ours = graph.smooth(logits, affinity, 2.0, rows, to, tolerance=0)
    by_hand = smoothed_by_hand(logits, affinity.toarray(), 2.0, dict(zip([3, 8], to, strict=True)))
    np.testing.assert_allclose(ours, by_hand, atol=1e-4)


def test_a_weight_of_zero_changes_nothing() -> None:
    logits = RNG(1).standard_normal((40, 4)).astype(np.float32)
    affinity = graph.neighbour_graph(blobs(items=40).x, 5, RNG(0))
    np.testing.assert_array_equal(graph.smooth(logits, affinity, 0.0, NOBODY, np.zeros((0, 4))), logits)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_permuting_items_permutes_what_flows(seed: int) -> None:
    order = RNG(seed).permutation(30)
    x, logits = blobs(items=30).x, RNG(1).standard_normal((30, 4)).astype(np.float32)
    clamp, to = np.array([4]), np.eye(4, dtype=np.float32)[[1]]
    plain = graph.smooth(logits, graph.neighbour_graph(x, 5, RNG(0)), 2.0, clamp, to)
    where = np.argsort(order)[clamp]
    turned = graph.smooth(logits[order], graph.neighbour_graph(x[order], 5, RNG(0)), 2.0, where, to)
    np.testing.assert_allclose(turned, plain[order], atol=1e-4)


def test_votes_share_a_row_by_weight() -> None:
    rows, shares = graph.votes(np.array([7, 2, 7]), np.array([0, 1, 1]), np.array([3, 1, 1], np.float32), 3)
    assert rows.tolist() == [2, 7]
    np.testing.assert_allclose(shares, [[0, 1, 0], [0.75, 0.25, 0]])
