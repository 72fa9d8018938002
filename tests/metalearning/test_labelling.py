"""Labelling tasks: few answers, many open items, and every kind of project that was asked for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from metalearning.labelling import Sampling, answered_by_margin, answered_evenly, answered_naturally, draw, whole
from tests.metalearning.made_sources import made

SOURCES = [made("six", labels=6), made("two", labels=2, seed=1), replace(made("nameless", seed=2), names=None)]
SMALL = Sampling(items=(60, 120), labels=(2, 6), shots=(0, 1, 3), most_answers=30)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_every_task_is_whole(seed: int) -> None:
    task = draw(SOURCES, SMALL, np.random.default_rng(seed))
    assert 8 <= len(task.pool) <= 130
    assert len(task.label_ids) == len(task.pool)
    assert set(task.label_ids) == set(range(task.label_count))
    assert len(np.unique(task.rows)) == len(task.rows) <= len(task.pool) // 2 + task.label_count
    assert len(task.rows) + len(task.open_rows) == len(task.pool)
    assert len(task.answers) == len(task.rows)
    assert ((task.answers >= 0) & (task.answers < task.label_count)).all()
    if task.names is not None:
        assert task.names.shape == (task.label_count, 16)
    assert task.pool.graph is not None


def test_equal_seeds_draw_equal_tasks() -> None:
    first, second = (draw(SOURCES, SMALL, np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(first.pool.x, second.pool.x)
    np.testing.assert_array_equal(first.rows, second.rows)
    np.testing.assert_array_equal(first.answers, second.answers)


def test_all_kinds_of_projects_come_up() -> None:
    tasks = [draw(SOURCES, SMALL, np.random.default_rng(seed)) for seed in range(150)]
    assert {task.manner for task in tasks} == {"balanced", "natural", "margin"}
    assert {task.names is None for task in tasks} == {True, False}
    assert any(len(task.rows) == 0 for task in tasks)
    assert any(0 < len(np.unique(task.answers)) < task.label_count for task in tasks)
    assert any((task.answers != task.label_ids[task.rows]).any() for task in tasks)
    partly = [np.any(task.names != 0, axis=1).mean() for task in tasks if task.names is not None]
    assert any(0 < share < 1 for share in partly)
    assert {task.label_count for task in tasks} >= {2, 3, 4, 5, 6}


def test_the_three_ways_of_answering() -> None:
    project, rng = whole(SOURCES[0]), np.random.default_rng(0)
    evenly = answered_evenly(project, 3, rng)
    assert np.bincount(evenly.answers).tolist() == [3] * 6
    assert len(answered_naturally(project, 20, rng).rows) == 20
    asked = answered_by_margin(project, 25, rng)
    assert len(np.unique(asked.rows)) == 25
    np.testing.assert_array_equal(asked.answers, project.label_ids[asked.rows])
