"""Adapting and predicting together: the recipe's laws, and every degenerate project that people can make."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from scipy.stats import binomtest

from metalearning import crossval
from metalearning.adapt import Adaptation, Config, adapt
from metalearning.baselines import logistic_regression
from metalearning.gate import TENSORS, UNTRAINED, Gate, leaning
from metalearning.graph import smooth
from metalearning.pool import Pool
from metalearning.predict import NO_LABEL, Prediction, predict, top
from metalearning.snapshot import from_arrays, to_arrays
from metalearning.vectors import softmax
from tests.metalearning.blobs import Blobs, blobs

EMPTY = np.zeros(0, dtype=np.intp)


def adapted(data: Blobs, pool: Pool, rows: np.ndarray, **others: Any) -> Adaptation:
    names = others.pop("names", data.names)
    generator = np.random.default_rng(0)
    return adapt(pool, names, rows, data.label_ids[rows], len(data.names), generator=generator, **others)


def accuracy(prediction: Prediction, data: Blobs) -> float:
    return float((prediction.label_id == data.label_ids).mean())


def matrix(found: Adaptation, pool: Pool) -> np.ndarray:
    """All probabilities of all items, through the door that the labelling page uses."""
    label_ids, values = top(found, pool, np.arange(len(pool)), predict(found, pool), k=found.label_count)
    everything = np.zeros_like(values)
    np.put_along_axis(everything, label_ids, values, axis=1)
    np.testing.assert_allclose(everything.sum(axis=1), 1, atol=1e-5)
    return everything


def assert_sound(prediction: Prediction, labels: int) -> None:
    for column in (prediction.confidence, prediction.margin):
        assert column.dtype == np.float32
        assert np.all((column >= 0) & (column <= 1 + 1e-6))
    assert prediction.label_id.dtype == np.int32
    assert np.all((prediction.label_id >= NO_LABEL) & (prediction.label_id < labels))
    assert np.all((prediction.runner_up != prediction.label_id) | (prediction.label_id == NO_LABEL))


def test_names_alone_predict() -> None:
    data = blobs()
    pool = data.pool()
    prediction = predict(adapted(data, pool, EMPTY), pool)
    assert accuracy(prediction, data) > 0.9
    assert_sound(prediction, 4)


def test_with_neither_names_nor_answers_nothing_is_claimed() -> None:
    data = blobs()
    prediction = predict(adapted(data, data.pool(), EMPTY, names=None), data.pool())
    assert set(prediction.label_id) == {NO_LABEL}
    assert not prediction.confidence.any()


def test_answers_alone_predict() -> None:
    data = blobs()
    prediction = predict(adapted(data, data.pool(), np.arange(8), names=None), data.pool())
    assert accuracy(prediction, data) > 0.9


def test_labels_without_name_or_answer_are_not_predicted() -> None:
    data = blobs()
    rows = np.flatnonzero(data.label_ids < 2)[:6]
    prediction = predict(adapted(data, data.pool(), rows, names=None), data.pool())
    assert set(prediction.label_id) == {0, 1}
    assert_sound(prediction, 4)


def test_a_label_with_a_name_is_predicted_before_its_first_answer() -> None:
    data = blobs()
    rows = np.flatnonzero(data.label_ids < 3)[:12]
    prediction = predict(adapted(data, data.pool(), rows), data.pool())
    assert (prediction.label_id[data.label_ids == 3] == 3).mean() > 0.8


def test_the_recipe_by_hand() -> None:
    """Logits are the weighted sum of the experts' log-probabilities, smoothed, tempered, and clamped to the answers."""
    data = blobs(spread=1.0)
    pool, rows = data.pool(), np.arange(10)
    found = adapted(data, pool, rows)
    logits = np.einsum("e,eic->ic", found.trust, found.experts.logits(data.x))
    flowed = smooth(logits, pool.graph, found.smoothing, rows, np.eye(4, dtype=np.float32)[data.label_ids[rows]])
    expected = softmax(flowed / found.calibration.temperature)
    expected[rows] = np.eye(4)[data.label_ids[rows]]
    prediction = predict(found, pool)
    np.testing.assert_allclose(prediction.probabilities, expected, atol=1e-4)
    np.testing.assert_allclose(prediction.confidence, expected.max(axis=1), atol=1e-4)
    best = np.sort(expected, axis=1)
    np.testing.assert_allclose(prediction.margin, best[:, -1] - best[:, -2], atol=1e-4)


def leans(logit: float = 20.0) -> Gate:
    """A gate that gives the proximal head all that it may."""
    tensors = {name: np.zeros((1, *shape), np.float32) for name, shape in TENSORS.items()}
    tensors["gate.bias"][0] = logit
    return Gate.of(tensors)


def test_a_trained_gate_is_asked() -> None:
    data = blobs()
    untrained, found = (adapted(data, data.pool(), np.arange(9), gate=gate) for gate in (Gate(), leans()))
    assert found.learned == pytest.approx(0.8 * 9 / 29, rel=1e-5)
    assert untrained.learned == 0
    np.testing.assert_allclose(found.trust, leaning(untrained.trust, found.learned), rtol=1e-5)
    expected = softmax(np.einsum("e,eic->ic", found.trust, found.experts.logits(data.x)))
    np.testing.assert_allclose(softmax(found.head.logits(data.x)), expected, atol=1e-4)


def test_from_twenty_answers_on_they_may_refute_the_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    data = blobs(spread=1.4)
    pool, rows = data.pool(), np.arange(40)
    untrained, found = (adapted(data, pool, rows, gate=gate) for gate in (Gate(), leans()))
    assert found.learned > 0
    assert (found.leaning, found.smoothing) == (untrained.leaning, untrained.smoothing), "chosen as if untrained"
    share = 1 - (1 - found.leaning) * (1 - found.learned)
    np.testing.assert_allclose(found.trust, leaning(UNTRAINED, share), rtol=1e-5)
    monkeypatch.setattr(crossval, "refuted", lambda right, plainly: True)
    refuted = adapted(data, pool, rows, gate=leans())
    assert refuted.learned == 0
    np.testing.assert_array_equal(refuted.trust, untrained.trust)
    assert refuted.held_out is not None
    assert untrained.held_out is not None
    np.testing.assert_array_equal(refuted.held_out.logits, untrained.held_out.logits)


def test_harm_must_be_clear_to_refute() -> None:
    def harmful(lost: int, won: int) -> bool:
        same = np.ones(30, dtype=bool)
        mine = np.array([False] * lost + [True] * won, dtype=bool)
        return crossval.refuted(np.append(mine, same), np.append(~mine, same))

    assert [harmful(lost, won) for lost, won in ((0, 0), (5, 0), (6, 0), (3, 9), (9, 3), (12, 2))] == [
        binomtest(lost, lost + won, alternative="greater").pvalue <= 0.025 if lost + won else False
        for lost, won in ((0, 0), (5, 0), (6, 0), (3, 9), (9, 3), (12, 2))
    ]
    assert harmful(6, 0)
    assert not harmful(5, 0)


def test_answers_are_kept_and_split_votes_are_shared() -> None:
    data = blobs()
    pool, rows, labels = data.pool(), np.array([5, 9, 9, 9]), np.array([0, 2, 2, 3])
    found = adapt(pool, data.names, rows, labels, 4, generator=np.random.default_rng(0))
    prediction = predict(found, pool)
    assert (prediction.label_id[5], prediction.confidence[5]) == (0, 1)
    assert (prediction.label_id[9], prediction.runner_up[9]) == (2, 3)
    assert prediction.confidence[9] == pytest.approx(2 / 3)


@settings(max_examples=10, deadline=None)
@given(st.permutations(range(4)))
def test_permuting_labels_permutes_the_predictions(order: list[int]) -> None:
    data, place = blobs(spread=1.0), np.argsort(order)
    turned = Blobs(data.x, place[data.label_ids], data.names[order])
    pool, rows = data.pool(), np.arange(30)
    plain, other = matrix(adapted(data, pool, rows), pool), matrix(adapted(turned, pool, rows), pool)
    np.testing.assert_allclose(other, plain[:, order], atol=5e-3)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000))
def test_permuting_items_permutes_the_predictions(seed: int) -> None:
    data, order = blobs(spread=1.0), np.random.default_rng(seed).permutation(120)
    turned, rows = Blobs(data.x[order], data.label_ids[order], data.names), np.arange(30)
    plain = matrix(adapted(data, data.pool(), rows), data.pool())
    other = matrix(adapted(turned, turned.pool(), np.argsort(order)[rows]), turned.pool())
    np.testing.assert_allclose(other, plain[order], atol=5e-3)


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("graph", [True, False])
@pytest.mark.parametrize(
    ("items", "labels", "answers"), [(1, 2, 1), (1, 1, 0), (3, 2, 3), (5, 1, 2), (30, 2, 25), (9, 40, 4)]
)
def test_small_projects_are_sound(items: int, labels: int, answers: int, graph: bool, named: bool) -> None:
    data = blobs(items=items, labels=labels)
    pool = data.pool(graph=graph)
    prediction = predict(adapted(data, pool, np.arange(answers), names=data.names if named else None), pool)
    assert_sound(prediction, labels)


def test_a_project_without_labels_or_items_is_sound() -> None:
    data = blobs()
    found = adapt(data.pool(), None, EMPTY, EMPTY, 0, generator=np.random.default_rng(0))
    assert set(predict(found, data.pool()).label_id) == {NO_LABEL}
    nothing = Pool(np.zeros((0, 12), np.float32))
    assert len(predict(adapted(data, nothing, EMPTY), nothing).label_id) == 0


def test_duplicates_only() -> None:
    x = np.repeat(blobs(items=1).x, 40, axis=0)
    data = Blobs(x, np.arange(40) % 3, blobs(labels=3).names)
    prediction = predict(adapted(data, data.pool(), np.arange(30)), data.pool())
    assert_sound(prediction, 3)
    assert np.isfinite(prediction.confidence).all()


def test_all_answers_given_and_all_of_one_label() -> None:
    data = blobs(items=40)
    for rows in (np.arange(40), np.flatnonzero(data.label_ids == 2)):
        prediction = predict(adapted(data, data.pool(), rows), data.pool())
        assert_sound(prediction, 4)
        assert np.all(prediction.label_id[rows] == data.label_ids[rows])


def test_a_label_added_later_warms_up_too() -> None:
    data = blobs(labels=5)
    pool, old = data.pool(), np.flatnonzero(data.label_ids < 4)[:24]
    before = adapt(pool, data.names[:4], old, data.label_ids[old], 4, generator=np.random.default_rng(0))
    rows = np.append(old, np.flatnonzero(data.label_ids == 4)[:2])
    warm = predict(adapted(data, pool, rows, warm=before), pool)
    cold = predict(adapted(data, pool, rows), pool)
    assert (warm.label_id == cold.label_id).mean() > 0.97


def test_a_warm_start_changes_the_time_and_not_the_answer() -> None:
    data = blobs(spread=1.0)
    pool, rows = data.pool(), np.arange(18)
    cold = adapted(data, pool, rows, config=Config(iterations=300))
    warm = adapted(data, pool, rows, config=Config(iterations=300), warm=adapted(data, pool, rows[:12]))
    np.testing.assert_allclose(warm.head.logits(data.x), cold.head.logits(data.x), atol=2e-2)


def test_the_neighbours_weight_is_chosen_and_kept_for_fifty_answers() -> None:
    data = blobs(items=200)
    pool = data.pool()
    first = adapted(data, pool, np.arange(20))
    assert first.smoothing_chosen_at == 20
    assert adapted(data, pool, np.arange(60), warm=first).smoothing_chosen_at == 20
    assert adapted(data, pool, np.arange(70), warm=first).smoothing_chosen_at == 70


def test_names_that_mislead_lose_their_say() -> None:
    """Names of other labels: enough random answers lead to a model that leans on the head they were fitted with."""
    data = blobs(items=600, labels=6, spread=1.5)
    pool, rows = data.pool(), np.random.default_rng(0).permutation(600)[:240]
    wrong = np.roll(data.names, 1, axis=0)
    misled = adapted(data, pool, rows, names=wrong, config=Config(leaning_choices=((0.0, 0.0),)))
    found = adapted(data, pool, rows, names=wrong)
    assert found.leaning > misled.leaning == 0
    np.testing.assert_allclose(found.trust, leaning(misled.trust, found.leaning))
    assert accuracy(predict(found, pool), data) >= accuracy(predict(misled, pool), data)
    assert adapted(data, pool, rows, names=wrong, warm=found).leaning == found.leaning


def test_the_first_answers_do_not_drive_out_the_labels_nobody_has_given() -> None:
    data = blobs(items=600, labels=30, dim=24, spread=0.7)
    pool = data.pool()
    rows = np.flatnonzero(data.label_ids < 4)[:10]
    others = data.label_ids >= 4
    before, after = (
        (predict(adapted(data, pool, given), pool).label_id == data.label_ids)[others].mean() for given in (EMPTY, rows)
    )
    assert after > before - 0.01


def test_neighbours_that_disagree_are_not_asked() -> None:
    """A graph that links each item to the next one, which always has another label, is given no weight."""
    data = blobs(items=300, labels=3, spread=1.0)
    next_item = csr_matrix((np.ones(300, np.float32), (np.arange(300), (np.arange(300) + 1) % 300)))
    assert adapted(data, Pool(data.x, next_item), np.arange(150)).smoothing == 0


def test_rows_and_labels_out_of_range_are_refused() -> None:
    data = blobs()
    generator = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"row lies outside \[0, 120\)"):
        adapt(data.pool(), None, np.array([120]), np.array([0]), 4, generator=generator)
    with pytest.raises(ValueError, match=r"label id lies outside \[0, 4\)"):
        adapt(data.pool(), None, np.array([1]), np.array([4]), 4, generator=generator)
    with pytest.raises(ValueError, match="3 names for 4 labels"):
        adapt(data.pool(), data.names[:3], EMPTY, EMPTY, 4, generator=generator)


def test_an_adaptation_survives_storage() -> None:
    data = blobs(spread=1.0)
    pool = data.pool()
    found = adapted(data, pool, np.arange(40))
    read = from_arrays(to_arrays(found))
    np.testing.assert_array_equal(matrix(read, pool), matrix(found, pool))
    assert read.evidence is not None
    assert read.evidence.size == found.evidence.size
    np.testing.assert_array_equal(read.evidence.own, found.evidence.own)


def test_the_baseline_is_plain_logistic_regression() -> None:
    data = blobs()
    pool = data.pool()
    assert set(predict(logistic_regression(pool, EMPTY, EMPTY, 4), pool).label_id) == {NO_LABEL}
    rows = np.flatnonzero(data.label_ids < 3)[:30]
    prediction = predict(logistic_regression(pool, rows, data.label_ids[rows], 4), pool)
    assert set(prediction.label_id) == {0, 1, 2}
    assert (prediction.label_id == data.label_ids)[data.label_ids < 3].mean() > 0.9


def test_the_baseline_started_from_an_earlier_one_is_the_same() -> None:
    data = blobs(spread=1.0)
    pool, rows = data.pool(), np.arange(40)
    few = logistic_regression(pool, np.flatnonzero(data.label_ids < 3)[:12], data.label_ids[data.label_ids < 3][:12], 4)
    cold = logistic_regression(pool, rows, data.label_ids[rows], 4)
    warm = logistic_regression(pool, rows, data.label_ids[rows], 4, warm=few)
    np.testing.assert_allclose(warm.head.logits(data.x), cold.head.logits(data.x), atol=5e-2)
