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


def test_without_training_the_weights_are_fixed() -> None:
    named, nameless = np.ones(10, np.float32), np.zeros(10, np.float32)
    np.testing.assert_array_equal(gate.Gate().trust(named), gate.UNTRAINED)
    np.testing.assert_array_equal(gate.Gate().trust(nameless), gate.UNTRAINED_NAMELESS)
    assert gate.Gate().trust(nameless)[0] == 0


def test_leaning_moves_trust_to_the_proximal_head_and_loses_none() -> None:
    np.testing.assert_array_equal(gate.leaning(gate.UNTRAINED, 0.0), gate.UNTRAINED)
    for share in (0.5, 1.0):
        leant = gate.leaning(gate.UNTRAINED, share)
        assert leant.sum() == pytest.approx(gate.UNTRAINED.sum())
        np.testing.assert_allclose(leant[:3], (1 - share) * gate.UNTRAINED[:3], atol=1e-6)


def test_a_network_moves_the_fixed_weights_by_bounded_factors_averaged_over_its_members() -> None:
    tensors, features = some_tensors(members=3), np.linspace(-1, 1, 10).astype(np.float32)
    theirs = []
    for member in range(3):
        layer = torch.nn.Linear(8, 3)
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(tensors["gate.weight"][member]))
            layer.bias.copy_(torch.from_numpy(tensors["gate.bias"][member]))
            moved = torch.tanh(layer(torch.from_numpy(features[[0, 2, 3, 4, 5, 6, 7, 9]])))
        theirs.append(moved.numpy())
    factors = np.exp(0.5 * np.mean(theirs, axis=0))
    ours = gate.Gate.of(tensors)
    moved = gate.UNTRAINED[[0, 1, 3]] * factors
    expected = moved * gate.UNTRAINED.sum() / moved.sum()
    np.testing.assert_allclose(ours.trust(features)[[0, 1, 3]], expected, atol=1e-5)
    assert ours.trust(features)[2] == 0, "what nobody listens to is not fitted"


@given(st.lists(st.floats(-100, 100, width=32), min_size=10, max_size=10), st.integers(0, 100))
def test_no_project_is_led_further_than_the_reach(features: list[float], seed: int) -> None:
    found = gate.Gate.of(some_tensors(members=2, seed=seed))
    given = np.array(features, dtype=np.float32)
    fixed = gate.Gate().trust(given)
    heard = fixed > 0
    ratios = found.trust(given)[heard] / fixed[heard]
    assert np.abs(np.log(ratios[:, None] / ratios)).max() <= 2 * gate.REACH + 1e-4
    np.testing.assert_array_equal(found.trust(given)[~heard], 0)
    assert found.trust(given).sum() == pytest.approx(fixed.sum(), abs=1e-5)


def test_wrong_tensors_are_refused_by_name() -> None:
    good = some_tensors()
    with pytest.raises(ValueError, match=r"gate\.bias"):
        gate.Gate.of({name: value for name, value in good.items() if name != "gate.bias"})
    with pytest.raises(ValueError, match=r"\(1, 6\)"):
        gate.Gate.of(good | {"gate.bias": np.zeros((1, 6))})


def test_leave_one_out_features_by_leaving_out() -> None:
    data = blobs(items=120, spread=1.2)
    rows = np.array([0, 4, 8, 1, 5, 2])
    z, y = data.x[rows], data.label_ids[rows]
    right = []
    for i in range(6):
        others = np.delete(np.arange(6), i)
        prototypes = [data.names[c] + sum((z[j] for j in others if y[j] == c), np.zeros(12)) for c in range(4)]
        right.append(int(np.argmax(unit(np.stack(prototypes)) @ z[i])) == y[i])
    found = gate.features(z, y, np.ones(6, np.float32), data.names, 0.3)
    assert found[4] == pytest.approx((sum(right) + 0.25) / 7)
    assert found[2] == pytest.approx((((z @ data.names.T).argmax(1) == y).sum() + 0.5) / 7)
    assert found[5] == pytest.approx(3 / 4)
    assert found[6] == pytest.approx(3)
    assert found[0] == pytest.approx(np.log1p(6 / 4))


def test_no_answers_are_no_accuracies() -> None:
    found = gate.features(np.zeros((0, 12)), np.zeros(0, np.intp), np.zeros(0), blobs().names, 0.1)
    assert found[[2, 3, 4, 5, 7, 8]].tolist() == [0] * 6


def test_mean_margin_of_two_best() -> None:
    assert gate.mean_margin(np.array([[0.1, 0.9, 0.4], [0.2, 0.1, 0.2]])) == pytest.approx(0.25)
    assert gate.mean_margin(np.array([[0.1]])) == 0
