"""Views: held-out answers are judged through encoders that have not seen them."""

from __future__ import annotations

import numpy as np

from metalearning.adapt import Adaptation, adapt, choosing_due
from metalearning.graph import neighbour_graph
from metalearning.pool import Pool
from metalearning.predict import predict
from metalearning.vectors import unit
from metalearning.views import View, Views, blended

LABELS, ITEMS, WIDTH = 3, 240, 16


def test_a_blend_is_the_direction_between_and_nothing_stays_nothing() -> None:
    rng = np.random.default_rng(0)
    published, tuned = unit(rng.standard_normal((5, 8))), unit(rng.standard_normal((5, 8)))
    published[3] = 0
    found = blended(published, tuned, 0.5)
    for row in (0, 1, 2, 4):
        expected = published[row] + 0.5 * tuned[row]
        assert np.allclose(found[row], expected / np.sqrt((expected**2).sum()), atol=1e-6)
    assert not found[3].any()
    assert np.allclose(blended(published, tuned, 0.0), published, atol=1e-6)


def test_each_answer_falls_to_the_view_that_missed_it_and_others_evenly_to_all() -> None:
    nothing = View(Pool(np.zeros((20, 4), dtype=np.float32)), np.zeros((2, 4), dtype=np.float32))
    views = Views(nothing, [nothing] * 4, np.array([2, 5, 7, 11]), np.array([3, 0, 0, 1]))
    rows = np.array([7, 2, 1, 11, 5, 5, 3, 8, 9, 1])
    dealt = views.deal(rows, np.random.default_rng(0))
    assert dealt[[1, 4, 5, 0, 3]].tolist() == [3, 0, 0, 0, 1]
    assert dealt[2] == dealt[9]  # two answers to one item
    assert sorted(dealt[[2, 6, 7, 8]].tolist()) == [0, 1, 2, 3]


def noise(seed: int) -> np.ndarray:
    """Vectors that say nothing of labels."""
    return unit(np.random.default_rng(seed).standard_normal((ITEMS, WIDTH))).astype(np.float32)


def seen(x: np.ndarray) -> View:
    pool = Pool(x, neighbour_graph(x, 10, np.random.default_rng(0)))
    return View(pool, np.zeros((LABELS, WIDTH), dtype=np.float32))


def test_an_encoder_that_was_told_does_not_pass_for_one_that_knows() -> None:
    """Answered items are moved to their labels in vectors that otherwise mean nothing, as a learned encoder would.

    Judged in those vectors the model foresees what it was told. Through views that have each missed a part of the
    answers it is as good as chance, and says so.
    """
    rng = np.random.default_rng(1)
    truth = rng.integers(0, LABELS, ITEMS)
    rows = np.sort(rng.permutation(ITEMS)[:80])
    part = rng.permutation(80) % 4
    published = noise(0)

    def told(which: np.ndarray) -> np.ndarray:
        x = published.copy()
        x[rows[which]] += 2 * np.eye(LABELS, WIDTH, dtype=np.float32)[truth[rows[which]]]
        return unit(x)

    whole = seen(told(np.arange(80)))
    views = Views(seen(published), [seen(told(np.flatnonzero(part != number))) for number in range(4)], rows, part)
    accuracies, confidences = [], []
    for apart in (None, views):
        found = adapt(
            whole.pool, whole.names, rows, truth[rows], LABELS, generator=np.random.default_rng(0), views=apart
        )
        assert found.held_out is not None
        accuracies.append((found.held_out.logits.argmax(axis=1) == truth[rows]).mean())
        rest = np.setdiff1d(np.arange(ITEMS), rows)
        confidences.append(predict(found, whole.pool).confidence[rest].mean())
    assert accuracies[0] > 0.9
    assert abs(accuracies[1] - 1 / LABELS) < 0.2
    assert confidences[1] < confidences[0]


def test_views_that_are_all_the_pool_itself_judge_as_without_them() -> None:
    x, rng = noise(2), np.random.default_rng(3)
    x[:, :LABELS] += np.eye(LABELS)[np.arange(ITEMS) % LABELS]
    same = seen(unit(x))
    rows = np.sort(rng.permutation(ITEMS)[:60])
    part = rng.permutation(60) % 4
    arguments = (same.pool, same.names, rows, rows % LABELS, LABELS)
    apart = adapt(*arguments, generator=np.random.default_rng(0), views=Views(same, [same] * 4, rows, part))
    plain = adapt(*arguments, generator=np.random.default_rng(0))
    assert np.allclose(apart.features, plain.features)
    assert np.allclose(apart.experts.proximal, plain.experts.proximal)
    assert apart.held_out is not None
    assert plain.held_out is not None
    gap = apart.held_out.logits.argmax(axis=1) == plain.held_out.logits.argmax(axis=1)
    assert gap.mean() > 0.9


def test_a_hurried_adaptation_keeps_what_was_chosen_and_holds_nothing_out() -> None:
    x, rng = noise(4), np.random.default_rng(5)
    x[:, :LABELS] += np.eye(LABELS)[np.arange(ITEMS) % LABELS]
    whole = seen(unit(x))
    order = rng.permutation(ITEMS)

    def after(count: int, warm: Adaptation | None = None, *, hurried: bool = False) -> Adaptation:
        rows, rng = order[:count], np.random.default_rng(count)
        return adapt(whole.pool, whole.names, rows, rows % LABELS, LABELS, generator=rng, warm=warm, hurried=hurried)

    before = after(60)
    soon, plain, cold = after(70, before, hurried=True), after(70, before), after(60, hurried=True)
    assert soon.held_out is None
    assert soon.calibration == before.calibration
    assert (soon.smoothing, soon.leaning) == (before.smoothing, before.leaning)
    assert soon.smoothing_chosen_at == 60
    assert np.allclose(soon.head.on_centred, plain.head.on_centred)
    assert [choosing_due(soon, count) for count in (60, 109, 110)] == [False, False, True]
    assert (cold.held_out, cold.smoothing, cold.leaning) == (None, cold.config.smoothing, 0.0)
    assert choosing_due(cold, 60)
