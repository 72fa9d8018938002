"""Opinions: kept small without losing what matters, and read back for the labels and items of today."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metalearning import opinions
from metalearning.vectors import log_softmax


@given(items=st.integers(0, 5), labels=st.integers(1, 90), seed=st.integers(0, 99))
def test_what_is_kept_is_read_back(items: int, labels: int, seed: int) -> None:
    logits = 4 * np.random.default_rng(seed).standard_normal((items, labels)).astype(np.float32)
    table = opinions.kept(logits)
    back = opinions.spread(table, labels)
    said = log_softmax(logits)
    assert table.dtype.itemsize <= 130
    assert back.shape == said.shape
    for row in range(items):
        best = np.argsort(-said[row])[: opinions.KEPT]
        assert np.allclose(back[row][best], said[row][best], atol=0.02)
        others = np.setdiff1d(np.arange(labels), best)
        if len(others):
            share = np.exp(said[row][others]).mean()
            assert np.exp(back[row][others]).mean() == pytest.approx(max(share, opinions.SMALLEST), rel=0.1)


def made(seed: int = 0) -> tuple[opinions.Opinions, np.ndarray]:
    rng = np.random.default_rng(seed)
    logits = rng.standard_normal((6, 3)).astype(np.float32)
    unseen = log_softmax(rng.standard_normal((2, 3)).astype(np.float32))
    return opinions.Opinions(np.array([70, 50, 60]), opinions.kept(logits), np.array([1, 4]), unseen), logits


def test_labels_are_found_by_what_they_are_not_by_where_they_stood() -> None:
    told, logits = made()
    voice = opinions.voice(told, np.array([0]), [50, 60, 70], 6)
    assert np.allclose(voice.logits(slice(1, 4)), log_softmax(logits)[1:4][:, [1, 2, 0]], atol=0.01)
    assert voice.logits(np.array([5, 0])).shape == (2, 3)


def test_an_archived_label_is_left_out_and_a_new_one_is_neither_claimed_nor_denied() -> None:
    told, logits = made()
    said = opinions.voice(told, np.array([0]), [50, 99, 70], 6).logits(slice(None))
    known = np.exp(log_softmax(logits))
    assert np.allclose(said[:, 1], np.log((known**2).sum(axis=1)), atol=0.02)
    assert (said[:, 1] <= np.log(known.max(axis=1)) + 0.02).all()


def test_of_items_that_came_later_nothing_is_said() -> None:
    told, _ = made()
    voice = opinions.voice(told, np.array([7]), [50, 60, 70], 8)
    assert not voice.logits(slice(6, 8)).any()
    assert not voice.unseen.any()
    assert voice.logits(slice(None)).shape == (8, 3)


def test_an_answer_is_judged_by_what_was_said_without_it() -> None:
    told, logits = made()
    voice = opinions.voice(told, np.array([4, 2, 1, 4]), [70, 50, 60], 6)
    assert np.allclose(voice.unseen[[0, 3]], told.unseen[1])
    assert np.allclose(voice.unseen[2], told.unseen[0])
    assert np.allclose(voice.unseen[1], log_softmax(logits)[2], atol=0.01)  # it was not learned from
