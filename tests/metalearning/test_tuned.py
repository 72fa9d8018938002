"""Tuned: encoders that learn from answers and from what is sure, and such as have missed a part of the answers."""

from __future__ import annotations

import numpy as np
import pytest

from metalearning import tuned, tuning
from metalearning.adapt import adapt
from metalearning.graph import neighbour_graph
from metalearning.pool import Pool
from metalearning.predict import predict
from tests.metalearning.tiny import WIDTH, tiny_network, tiny_params


def toy(counts: list[int], named: list[bool], seed: int = 0) -> tuple[tuning.Lesson, list[np.ndarray], np.ndarray]:
    """A lesson of labels whose states lie about centres of their own, and 20 further items of each label."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((len(counts), WIDTH))

    def item(label_id: int) -> np.ndarray:
        return centres[label_id] + 1.5 * rng.standard_normal((3, WIDTH))

    label_ids = np.repeat(np.arange(len(counts)), counts)
    names = [centres[c] + 0.3 * rng.standard_normal((2, WIDTH)) if has else None for c, has in enumerate(named)]
    lesson = tuning.Lesson([item(c) for c in label_ids], label_ids, names)
    rest = np.repeat(np.arange(len(counts)), 20)
    return lesson, [item(c) for c in rest], rest


def ground_of(lesson: tuning.Lesson, others: list[np.ndarray]) -> tuned.Ground:
    """The lesson's items and others as the network sees them that has learned nothing."""
    states = [*lesson.states, *others]
    vectors = tuning.embed(tiny_network, tiny_params(), states)
    return tuned.Ground(states, vectors, tuned.name_vectors(tiny_network, tiny_params(), lesson.names, WIDTH))


@pytest.mark.parametrize(
    ("counts", "named"),
    [([4, 4, 4], [True] * 3), ([9, 2, 1], [True] * 3), ([6, 3, 3], [False] * 3), ([5, 5, 0], [True] * 3)],
)
def test_what_is_tuned_is_right_more_often_than_chance(counts: list[int], named: list[bool]) -> None:
    lesson, others, truth = toy(counts, named)
    learned = tuned.learners(tiny_network, tiny_params(), lesson, ground_of(lesson, others), np.random.default_rng(0))
    rows = np.arange(len(lesson))
    for params in learned.weights:
        vectors = tuning.embed(tiny_network, params, [*lesson.states, *others])
        names = tuned.name_vectors(tiny_network, params, lesson.names, WIDTH)
        seen = Pool(vectors, neighbour_graph(vectors, 10, np.random.default_rng(0)))
        found = adapt(seen, names, rows, lesson.label_ids, len(counts), generator=np.random.default_rng(0))
        assert (predict(found, seen).label_id[len(lesson) :] == truth).mean() > 0.5


def test_a_label_without_a_name_has_no_name_vector() -> None:
    lesson, _, _ = toy([2, 2, 2], [True, False, True])
    names = tuned.name_vectors(tiny_network, tiny_params(), lesson.names, WIDTH)
    assert names.any(axis=1).tolist() == [True, False, True]
    assert not tuned.name_vectors(tiny_network, tiny_params(), [None, None], WIDTH).any()


def test_each_part_of_the_answers_is_missed_by_one_encoder_alone() -> None:
    lesson, others, _ = toy([4, 4, 4], [True] * 3)
    ground = ground_of(lesson, others)
    learned = tuned.learners(tiny_network, tiny_params(), lesson, ground, np.random.default_rng(0))
    told_otherwise = np.array(lesson.label_ids)
    told_otherwise[5] = 2
    other = tuning.Lesson(lesson.states, told_otherwise, lesson.names)
    then = tuned.learners(tiny_network, tiny_params(), other, ground, np.random.default_rng(0))
    assert len(learned.weights) == 1 + lesson.config.folds
    assert np.array_equal(learned.part, then.part)
    assert np.bincount(learned.part).tolist() == [3] * lesson.config.folds
    pairs = zip(learned.weights, then.weights, strict=True)
    same = [all(np.array_equal(a[name], b[name]) for name in a) for a, b in pairs]
    assert same == [place == 1 + learned.part[5] for place in range(len(same))]


def test_learning_can_be_stopped() -> None:
    lesson, others, _ = toy([4, 4, 4], [True] * 3)

    def stop() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        tuned.learners(tiny_network, tiny_params(), lesson, ground_of(lesson, others), np.random.default_rng(0), stop)


def test_items_it_is_sure_of_are_unanswered_of_their_label_and_evenly_many() -> None:
    rng = np.random.default_rng(0)
    centres = np.eye(3, WIDTH)
    truth = np.concatenate([np.repeat([0, 1, 2], 4), np.repeat([0, 1, 2], 60)])
    vectors = centres[truth] + 0.05 * rng.standard_normal((len(truth), WIDTH))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    ground = tuned.Ground([], vectors, centres.astype(np.float32))
    frozen, told = tuned.published(ground, np.arange(12), truth[:12], rng)
    places, guessed = tuned.sure(frozen, told, rng)
    assert (told.confidence[places] >= tuned.SURE).all()
    assert places.min() >= 12
    assert len(np.unique(places)) == len(places)
    assert (guessed == truth[places]).all()
    assert np.bincount(guessed, minlength=3).tolist() == [4, 4, 4]


def test_where_it_is_sure_of_nothing_the_answers_alone_are_learned_from() -> None:
    lesson, others, _ = toy([4, 4, 4], [True] * 3)
    ground = ground_of(lesson, others)
    blind = tuned.Ground(ground.states, np.zeros_like(ground.vectors) + ground.vectors[0], np.zeros_like(ground.names))
    every = np.arange(len(lesson))
    params = tuned.learn(tiny_network, tiny_params(), lesson, every, blind, np.random.default_rng(0))
    alone = tuning.tune(tiny_network, tiny_params(), lesson, np.random.default_rng(0))
    assert all(np.allclose(params[name], alone[name]) for name in alone)


def test_a_few_items_without_answers_stand_for_a_large_pool() -> None:
    assert tuned.around(np.array([1, 3]), 5).tolist() == [0, 2, 4]
    assert tuned.around(np.arange(3), 3).tolist() == []
    many = tuned.around(np.arange(0, 9000, 2), 9000)
    assert len(many) == tuned.AROUND
    assert (many % 2 == 1).all()
    assert (np.diff(many) > 0).all()
    assert many[0] < 10
    assert many[-1] > 8990
