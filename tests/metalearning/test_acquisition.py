"""Which item is asked next: least sure, fairly shared, never twice the same, typical where nothing is known."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metalearning.acquisition import rank, strategy_for
from metalearning.adapt import adapt
from metalearning.pool import Pool
from metalearning.predict import NO_LABEL, Prediction
from tests.metalearning.blobs import blobs

EMPTY = np.zeros(0, dtype=np.intp)
DATA = blobs(items=200, labels=5, dim=40, spread=1.5)


def prediction(label_id: np.ndarray, margin: np.ndarray) -> Prediction:
    runner_up = np.where(label_id == NO_LABEL, NO_LABEL, (label_id + 1) % 5)
    return Prediction(label_id, (margin + 1) / 2, runner_up, margin)


def asked(made: Prediction, count: int = 20, strategy: Any = "margin", **others: Any) -> list[int]:
    options: dict[str, Any] = {"answered": EMPTY, "generator": np.random.default_rng(0)} | others
    pool, available = options.pop("pool", Pool(DATA.x)), options.pop("available", np.arange(200))
    return [ask.row for ask in rank(pool, made, available, count, strategy=strategy, **options)]


MARGIN = np.random.default_rng(3).uniform(size=200).astype(np.float32)
BALANCED = prediction(DATA.label_ids, MARGIN)


def test_batches_take_the_least_sure_of_each_label() -> None:
    rows = asked(BALANCED, 10)
    for label_id in range(5):
        of_label = np.flatnonzero(DATA.label_ids == label_id)
        assert set(of_label[np.argsort(MARGIN[of_label])[:2]]) == {r for r in rows if DATA.label_ids[r] == label_id}
    assert MARGIN[rows[0]] == MARGIN.min()


def test_every_batch_is_shared_fairly() -> None:
    rows = asked(BALANCED, 40)
    for start in range(0, 40, 10):
        assert set(Counter(DATA.label_ids[rows[start : start + 10]]).values()) == {2}


def test_with_one_suspect_label_left_the_batch_is_still_full() -> None:
    rows = asked(BALANCED, 10, available=np.append(np.flatnonzero(DATA.label_ids == 1), [0]))
    assert len(rows) == 10


def test_near_duplicates_wait_for_the_next_batch() -> None:
    x = np.array(DATA.x)
    x[1] = x[0]
    margin = np.array(MARGIN)
    margin[[0, 1]] = 0, 0.0001
    rows = asked(prediction(DATA.label_ids, margin), 20, pool=Pool(x))
    assert rows[0] == 0
    assert rows.index(1) >= 10


def test_only_duplicates_are_asked_all_the_same() -> None:
    same = Pool(np.repeat(DATA.x[:1], 200, axis=0))
    assert len(asked(BALANCED, 15, pool=same)) == 15


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(["margin", "typical", "random"]),
    st.sets(st.integers(0, 199), max_size=60),
    st.integers(0, 70),
)
def test_each_available_row_at_most_once_and_as_many_as_asked(strategy: Any, rows: set[int], count: int) -> None:
    available = np.array(sorted(rows), dtype=np.intp)
    found = asked(BALANCED, count, strategy, available=available)
    assert len(found) == len(set(found)) == min(count, len(rows))
    assert set(found) <= rows


def test_reasons_name_the_two_labels() -> None:
    first = rank(
        Pool(DATA.x), BALANCED, np.arange(200), 1, strategy="margin", answered=EMPTY, generator=np.random.default_rng(0)
    )[0]
    assert (first.reason, first.label_id) == ("margin", DATA.label_ids[first.row])
    assert first.runner_up == (first.label_id + 1) % 5


def test_typical_items_come_from_every_cluster() -> None:
    data = blobs(items=200, labels=5, dim=20, spread=0.5)
    nothing = prediction(np.full(200, NO_LABEL), np.zeros(200, np.float32))
    rows = asked(nothing, 5, pool=Pool(data.x))  # a margin of nothing means typical
    assert set(data.label_ids[rows]) == set(range(5))
    rest = asked(nothing, 4, pool=Pool(data.x), answered=np.array([rows[0]]), strategy="typical")
    assert data.label_ids[rows[0]] not in set(data.label_ids[rest])


def test_the_first_typical_item_covers_most() -> None:
    apart = DATA.x - DATA.x.mean(axis=0)
    z = apart / np.linalg.norm(apart, axis=1, keepdims=True)
    covers = [sum(max(float(a @ b), 0) for a in z) for b in z]
    assert asked(BALANCED, 1, "typical")[0] == int(np.argmax(covers))


def test_random_follows_its_generator() -> None:
    first, again = asked(BALANCED, 50, "random"), asked(BALANCED, 50, "random")
    other = asked(BALANCED, 50, "random", generator=np.random.default_rng(1))
    assert first == again != other


@pytest.mark.parametrize(
    ("named", "answers", "expected"),
    [(True, 0, "margin"), (False, 0, "typical"), (False, 4, "typical"), (False, 5, "margin")],
)
def test_the_strategy_follows_from_what_is_known(named: bool, answers: int, expected: str) -> None:
    rows = np.arange(answers)
    names = DATA.names if named else None
    found = adapt(Pool(DATA.x), names, rows, DATA.label_ids[rows], 5, generator=np.random.default_rng(0))
    assert strategy_for(found) == expected


def test_answers_of_one_kind_give_nothing_to_hesitate_between() -> None:
    rows = np.flatnonzero(DATA.label_ids == 2)[:30]
    found = adapt(Pool(DATA.x), None, rows, DATA.label_ids[rows], 5, generator=np.random.default_rng(0))
    assert strategy_for(found) == "typical"
