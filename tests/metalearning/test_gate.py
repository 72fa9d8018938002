"""The gate: its features against brute force, its file, its weights against torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from metalearning import gate
from tests.metalearning.blobs import blobs, unit


def some_tensors(members: int = 1, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal((members, *shape)).astype(np.float32) for name, shape in gate.TENSORS.items()}


def test_without_training_the_weights_are_fixed_and_nothing_is_leant_on() -> None:
    named, nameless = np.ones(12, np.float32), np.zeros(12, np.float32)
    np.testing.assert_array_equal(gate.fixed(named), gate.UNTRAINED)
    np.testing.assert_array_equal(gate.fixed(nameless), gate.UNTRAINED_NAMELESS)
    assert gate.fixed(nameless)[0] == 0
    assert gate.Gate().share(named) == 0


def test_leaning_moves_trust_to_the_proximal_head_and_loses_none() -> None:
    np.testing.assert_array_equal(gate.leaning(gate.UNTRAINED, 0.0), gate.UNTRAINED)
    for share in (0.5, 1.0):
        leant = gate.leaning(gate.UNTRAINED, share)
        assert leant.sum() == pytest.approx(gate.UNTRAINED.sum())
        np.testing.assert_allclose(leant[:3], (1 - share) * gate.UNTRAINED[:3], atol=1e-6)


def test_leaning_twice_is_leaning_by_both_together() -> None:
    twice = gate.leaning(gate.leaning(gate.UNTRAINED, 0.5), 0.4)
    np.testing.assert_allclose(twice, gate.leaning(gate.UNTRAINED, gate.together(0.5, 0.4)), atol=1e-6)
    assert gate.together(0.5, 0.4) == pytest.approx(0.7)


def test_a_network_gives_the_proximal_head_a_share_averaged_over_its_members() -> None:
    tensors, features = some_tensors(members=3), np.linspace(-1, 1, 12).astype(np.float32)
    features[8] = 30 / 200
    theirs = []
    for member in range(3):
        layer = torch.nn.Linear(2, 1)
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(tensors["gate.weight"][member]))
            layer.bias.fill_(float(tensors["gate.bias"][member]))
            theirs.append(float(torch.sigmoid(layer(torch.from_numpy(features[[10, 11]])))))
    assert gate.Gate.of(tensors).share(features) == pytest.approx(0.8 * 30 / 50 * np.mean(theirs), abs=1e-6)


@given(st.lists(st.floats(-100, 100, width=32), min_size=12, max_size=12), st.integers(0, 400), st.integers(0, 100))
def test_what_a_gate_may_do_grows_with_the_answers(features: list[float], answers: int, seed: int) -> None:
    found = gate.Gate.of(some_tensors(members=2, seed=seed))
    given = np.array(features, dtype=np.float32)
    given[8] = answers / 200
    assert 0 <= found.share(given) <= gate.MOST * answers / (answers + gate.HALF) + 1e-6
    given[8] = 0
    assert found.share(given) == 0, "before the first answer every project begins with the fixed weights"


def test_wrong_tensors_are_refused_by_name() -> None:
    good = some_tensors()
    with pytest.raises(ValueError, match=r"gate\.bias"):
        gate.Gate.of({name: value for name, value in good.items() if name != "gate.bias"})
    with pytest.raises(ValueError, match=r"\(1, 6\)"):
        gate.Gate.of(good | {"gate.weight": np.zeros((1, 6))})


def test_leave_one_out_features_by_leaving_out() -> None:
    data = blobs(items=120, spread=1.2)
    rows = np.array([0, 4, 8, 1, 5, 2])
    z, y = data.x[rows], data.label_ids[rows]
    right = []
    for i in range(6):
        others = np.delete(np.arange(6), i)
        prototypes = [data.names[c] + sum((z[j] for j in others if y[j] == c), np.zeros(12)) for c in range(4)]
        right.append(int(np.argmax(unit(np.stack(prototypes)) @ z[i])) == y[i])
    found = gate.features(z, y, np.ones(6, np.float32), data.names, np.array([0.2, 0.4]))
    assert found[4] == pytest.approx((sum(right) + 0.25) / 7)
    assert found[2] == pytest.approx((((z @ data.names.T).argmax(1) == y).sum() + 0.5) / 7)
    assert found[5] == pytest.approx(3 / 4)
    assert found[6] == pytest.approx(3)
    assert found[0] == pytest.approx(np.log1p(6 / 4))


def test_no_answers_are_no_accuracies_and_no_ranks() -> None:
    found = gate.features(np.zeros((0, 12)), np.zeros(0, np.intp), np.zeros(0), blobs().names, np.full(3, 0.1))
    assert found[[2, 3, 4, 5, 7, 8, 10, 11]].tolist() == [0] * 8


def test_ranks_tell_hard_items_from_random_ones() -> None:
    data = blobs(items=400, spread=1.2)
    cosines = data.x @ data.names.T
    pool = np.array([row[-1] - row[-2] for row in np.sort(cosines, axis=1)])
    rng = np.random.default_rng(0)
    for rows in (np.argsort(pool)[:40], rng.permutation(400)[:40], rng.permutation(400)[:3]):
        told = gate.features(data.x[rows], data.label_ids[rows], np.ones(len(rows), np.float32), data.names, pool)
        ranks = [np.mean([1.0 * (other < pool[row]) + 0.5 * (other == pool[row]) for other in pool]) for row in rows]
        assert told[10] == pytest.approx(10 * (np.mean(ranks) - 0.5), abs=1e-4)
        score = (np.mean(ranks) - 0.5) / (1 / (12 * len(rows))) ** 0.5
        assert told[11] == pytest.approx(min(max(score, -4), 0), abs=1e-4)
    hard = gate.features(data.x[:9], data.label_ids[:9], np.ones(9, np.float32), np.zeros((4, 12)), np.zeros(400))
    assert hard[[10, 11]].tolist() == [0, 0], "without names no item is harder than another"


def test_margins_of_two_best() -> None:
    np.testing.assert_allclose(gate.margins(np.array([[0.1, 0.9, 0.4], [0.2, 0.1, 0.2]])), [0.5, 0])
    assert gate.margins(np.array([[0.1]])).tolist() == [0]
