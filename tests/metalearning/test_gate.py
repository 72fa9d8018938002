"""The gate: its features against brute force, its file, its weights against torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from metalearning import gate
from tests.metalearning.blobs import blobs, unit


def some_network(seed: int = 0) -> gate.Network:
    rng = np.random.default_rng(seed)
    shapes = ((16, 9), (16,), (4, 16), (4,))
    return gate.Network(*(rng.standard_normal(shape).astype(np.float32) for shape in shapes))


def test_without_training_the_weights_are_fixed() -> None:
    features = np.zeros(9, np.float32)
    np.testing.assert_allclose(gate.Gate().trust(features, has_names=True), [0.18, 0.31, 0, 0.57])
    assert gate.Gate().trust(features, has_names=False)[0] == 0


def test_the_network_is_two_torch_layers() -> None:
    network, features = some_network(), np.linspace(-1, 1, 9).astype(np.float32)
    hidden, output = torch.nn.Linear(9, 16), torch.nn.Linear(16, 4)
    with torch.no_grad():
        for layer, weight, bias in (
            (hidden, network.hidden_weight, network.hidden_bias),
            (output, network.output_weight, network.output_bias),
        ):
            layer.weight.copy_(torch.from_numpy(weight))
            layer.bias.copy_(torch.from_numpy(bias))
        theirs = torch.nn.functional.softplus(output(torch.tanh(hidden(torch.from_numpy(features)))))
    np.testing.assert_allclose(gate.Gate(network).trust(features, has_names=True), theirs.numpy(), atol=1e-5)


def test_a_saved_gate_is_loaded_the_same(tmp_path: Path) -> None:
    trained = gate.Gate(some_network())
    trained.save(tmp_path / "gate.safetensors")
    features = np.ones(9, np.float32)
    np.testing.assert_array_equal(
        gate.Gate.load(tmp_path / "gate.safetensors").trust(features, has_names=True),
        trained.trust(features, has_names=True),
    )


def test_a_wrong_file_is_refused_by_the_tensors_name(tmp_path: Path) -> None:
    good = {"hidden.weight": np.zeros((16, 9)), "hidden.bias": np.zeros(16), "output.weight": np.zeros((4, 16))}
    save_file(good, tmp_path / "short")
    with pytest.raises(ValueError, match=r"output\.bias"):
        gate.Gate.load(tmp_path / "short")
    save_file(good | {"output.bias": np.zeros(5)}, tmp_path / "odd")
    with pytest.raises(ValueError, match=r"\(5,\)"):
        gate.Gate.load(tmp_path / "odd")
    with pytest.raises(ValueError, match="untrained"):
        gate.Gate().save(tmp_path / "none")


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
