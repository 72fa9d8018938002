"""Predicting in blocks, on half precision and memory maps, and the likeliest labels of single items."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from metalearning import pool as pools
from metalearning.adapt import Adaptation, Config, adapt
from metalearning.graph import neighbour_graph
from metalearning.pool import Pool
from metalearning.predict import Prediction, estimated_accuracy, predict, top, uses_graph
from metalearning.vectors import softmax
from tests.metalearning.blobs import Blobs, blobs

DATA = blobs(spread=1.0)


def adapted(
    data: Blobs = DATA, pool: Pool | None = None, answers: int = 16, config: Config | None = None
) -> Adaptation:
    rows = np.arange(answers)
    pool = pool or data.pool()
    generator = np.random.default_rng(0)
    return adapt(pool, data.names, rows, data.label_ids[rows], len(data.names), generator=generator, config=config)


def test_without_a_graph_each_item_speaks_for_itself() -> None:
    pool = DATA.pool(graph=False)
    found = adapted(pool=pool)
    expected = softmax(found.head.logits(DATA.x) / found.calibration.temperature)[16:]
    prediction = predict(found, pool)
    np.testing.assert_allclose(prediction.confidence[16:], expected.max(axis=1), atol=1e-5)
    np.testing.assert_array_equal(prediction.runner_up[16:], np.argsort(expected, axis=1)[:, -2])
    assert prediction.probabilities is None


def test_a_zero_weight_is_no_graph() -> None:
    pool = DATA.pool()
    found = replace(adapted(), smoothing=0.0)
    assert not uses_graph(found, pool)
    np.testing.assert_allclose(predict(found, pool).margin, predict(found, Pool(DATA.x)).margin, atol=1e-6)


def test_blocks_and_half_precision_change_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = adapted(pool=DATA.pool(graph=False))
    whole = predict(found, DATA.pool(graph=False))
    np.save(tmp_path / "x.npy", DATA.x.astype(np.float16))
    mapped = Pool(np.load(tmp_path / "x.npy", mmap_mode="r"))
    monkeypatch.setattr(pools, "BLOCK", 7)
    parts = predict(found, mapped)
    np.testing.assert_array_equal(parts.label_id, whole.label_id)
    np.testing.assert_allclose(parts.confidence, whole.confidence, atol=0.02)


def test_a_large_pool_is_predicted_in_flat_memory() -> None:
    """120,000 items by 50 labels would be 24 MB of float32; a block of them is 1.6 MB."""
    rng = np.random.default_rng(0)
    x = np.tile(DATA.x, (1000, 1)).astype(np.float16)
    names = rng.standard_normal((50, 12)).astype(np.float32)
    pool, empty = Pool(x), np.zeros(0, dtype=np.intp)
    found = adapt(pool, names, empty, empty, 50, generator=rng)
    tracemalloc.start()
    predict(found, pool)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 12e6


def test_too_large_for_the_graph_falls_back_to_blocks() -> None:
    config = Config(graph_cells=100)
    pool = DATA.pool()
    assert predict(adapted(config=config), pool).probabilities is None


def test_top_agrees_with_the_suggestion() -> None:
    for pool in (DATA.pool(), DATA.pool(graph=False)):
        found, rows = adapted(pool=pool), np.array([90, 3, 41])
        prediction = predict(found, pool)
        label_ids, values = top(found, pool, rows, prediction, k=3)
        assert label_ids.shape == values.shape == (3, 3)
        np.testing.assert_array_equal(label_ids[:, 0], prediction.label_id[rows])
        np.testing.assert_allclose(values[:, 0], prediction.confidence[rows], atol=1e-5)
        assert np.all(np.diff(values, axis=1) <= 0)


def test_top_from_what_a_snapshot_keeps_is_close_to_the_real_thing() -> None:
    pool = DATA.pool()
    found, rows = adapted(), np.arange(120)
    fresh = predict(found, pool)
    stored = Prediction(fresh.label_id, fresh.confidence, fresh.runner_up, fresh.margin)
    ours, theirs = top(found, pool, rows, stored, k=4), top(found, pool, rows, fresh, k=4)
    assert (ours[0][:, 0] == theirs[0][:, 0]).mean() > 0.97
    assert np.abs(ours[1][:, 0] - theirs[1][:, 0]).mean() < 0.03
    np.testing.assert_allclose(ours[1].sum(axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(ours[0][3, 0], DATA.label_ids[3])


def test_top_has_no_more_columns_than_labels_and_none_without_knowledge() -> None:
    assert top(adapted(), DATA.pool(), np.arange(2), k=9)[0].shape == (2, 4)
    empty = np.zeros(0, dtype=np.intp)
    ignorant = adapt(DATA.pool(), None, empty, empty, 4, generator=np.random.default_rng(0))
    assert top(ignorant, DATA.pool(), np.arange(2))[0].shape == (2, 0)


def test_a_graph_of_another_pool_is_refused() -> None:
    with pytest.raises(ValueError, match="119 rows for 120"):
        Pool(DATA.x, neighbour_graph(DATA.x[:119], 5, np.random.default_rng(0)))


def test_accuracy_is_estimated_from_twenty_answers_on() -> None:
    data = blobs(items=600, spread=1.0)
    pool = data.pool()
    for answers in (0, 19):
        few = adapted(data, pool, answers)
        assert estimated_accuracy(few, predict(few, pool), np.arange(answers, 600)) is None
    found = adapted(data, pool, 120)
    prediction, rest = predict(found, pool), np.arange(120, 600)
    estimate = estimated_accuracy(found, prediction, rest, np.ones(120, dtype=bool))
    assert estimate is not None
    assert estimate.low <= (prediction.label_id == data.label_ids)[rest].mean() <= estimate.high
    assert estimated_accuracy(found, prediction, rest[:0]) is None
