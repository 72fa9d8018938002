"""Replay: what flows again is what `predict` says, and its gradients are those of finite differences."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from metalearning import recorded, replay
from metalearning.adapt import adapt
from metalearning.gate import TENSORS, Gate
from metalearning.graph import smooth
from metalearning.labelling import LabellingTask, answered_evenly, whole
from metalearning.predict import predict
from metalearning.replay import Replay
from metalearning.vectors import softmax
from tests.metalearning.made_sources import made


def task(per_label: int = 2, seed: int = 0) -> LabellingTask:
    return answered_evenly(whole(made("replayed", seed=2)), per_label, np.random.default_rng(seed))


def recording(per_label: int = 2) -> recorded.Record:
    found = recorded.record(task(per_label), 50, np.random.default_rng(1))
    assert found is not None
    return found


@pytest.mark.parametrize("per_label", [0, 2, 5])
def test_without_a_gate_it_is_what_the_recipe_predicts(per_label: int) -> None:
    project, one = task(per_label), recording(per_label)
    found = adapt(project.pool, project.names, project.rows, project.answers, 6, generator=np.random.default_rng(1))
    said = predict(found, project.pool).probabilities
    assert said is not None
    shares = softmax(replay.flowed(one, one.trust) / np.float32(found.calibration.temperature))
    if per_label < 5:  # from twenty answers on the folds are dealt by lot
        np.testing.assert_allclose(shares[one.rows], said[one.rows], atol=0.01)
    else:
        assert (shares[one.rows].argmax(axis=1) == said[one.rows].argmax(axis=1)).mean() > 0.9
    np.testing.assert_array_equal(one.label_ids, project.label_ids[one.rows])
    assert not np.isin(one.rows, project.rows).any()


def test_the_loss_is_the_cross_entropy_of_neighbours_asked_again() -> None:
    one, moved = recording(), np.array([0.2, -0.3, 0.1], dtype=np.float32)
    opinions, graph = one.opinions.astype(np.float64), one.graph.toarray().astype(np.float64)
    shares = softmax(smooth_plainly(one, one.trust))
    shares[one.clamped] = one.clamped_to
    trust = one.trust * np.exp(moved)
    logits = np.tensordot(trust * one.trust.sum() / trust.sum(), opinions, 1)
    for _ in range(2):
        shares = softmax(logits + one.smoothing * graph @ shares)
        shares[one.clamped] = one.clamped_to
    final = (logits + one.smoothing * graph @ shares)[one.rows]
    tempered = [softmax(final / t)[np.arange(len(one.rows)), one.label_ids] for t in replay.TEMPERATURES]
    expected = min(-np.log(0.98 * right + 0.02 / 6).mean() for right in tempered)
    assert float(replay.loss(torch.from_numpy(moved), Replay.of(one))) == pytest.approx(expected, abs=2e-3)


def smooth_plainly(one: recorded.Record, trust: np.ndarray) -> np.ndarray:
    logits = np.tensordot(trust, one.opinions.astype(np.float32), 1).astype(np.float32)
    return smooth(logits, one.graph, one.smoothing, one.clamped, one.clamped_to)


def test_gradients_through_the_neighbours_are_those_of_finite_differences() -> None:
    one = Replay.of(recording())
    moved = torch.tensor([0.1, 0.0, -0.2], requires_grad=True)
    replay.loss(moved, one).backward()
    assert moved.grad is not None
    for place in range(3):
        step = torch.zeros(3)
        step[place] = 0.02
        with torch.no_grad():
            ends = [float(replay.loss(moved + sign * step, one)) for sign in (1, -1)]
        assert float(moved.grad[place]) == pytest.approx((ends[0] - ends[1]) / 0.04, abs=1e-3)


def test_replayed_rounds_end_where_all_of_them_would() -> None:
    project, one = task(), recording()
    tensors = {name: np.zeros((1, *shape), np.float32) for name, shape in TENSORS.items()}
    tensors["gate.bias"][0] = [0.4, -0.5, 0.6]
    gate = Gate.of(tensors)
    found = adapt(
        project.pool, project.names, project.rows, project.answers, 6, generator=np.random.default_rng(1), gate=gate
    )
    said = smooth(found.head.logits(project.pool.x), project.pool.graph, found.smoothing, *found.clamped)[one.rows]
    places = np.arange(len(one.rows))
    tempered = [softmax(said / np.float32(t))[places, one.label_ids] for t in replay.TEMPERATURES]
    moved = torch.from_numpy(0.5 * np.tanh(tensors["gate.bias"][0]))
    expected = min(-np.log(0.98 * right + 0.02 / 6).mean() for right in tempered)
    assert float(replay.loss(moved, Replay.of(one))) == pytest.approx(expected, abs=0.02)


def test_records_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "chunk.npz"
    kept = [recording(0), recording(5)]
    recorded.save(path, kept)
    for one, read in zip(kept, recorded.load(path), strict=True):
        np.testing.assert_array_equal(one.opinions, read.opinions)
        assert (one.graph != read.graph).nnz == 0
        assert (one.smoothing, one.leaning) == (read.smoothing, read.leaning)
