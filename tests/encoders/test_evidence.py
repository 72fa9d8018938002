"""Evidence for an encoder: the figure against brute force, and when one is called better."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labeling.encoders import evidence
from labeling.encoders.base import unit


def brute(vectors: np.ndarray, columns: np.ndarray) -> list[bool]:
    found = []
    for own in range(len(vectors)):
        nearest, best = -1, -np.inf
        for column in np.unique(columns):
            rows = [row for row in range(len(vectors)) if columns[row] == column and row != own]
            if not rows:
                continue
            mean = vectors[rows].astype(np.float64).sum(0)
            likeness = float(vectors[own] @ (mean / np.linalg.norm(mean)))
            if likeness > best:
                nearest, best = int(column), likeness
        found.append(nearest == columns[own])
    return found


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 25), st.integers(1, 5))
def test_right_without_is_leave_one_out(seed: int, items: int, labels: int) -> None:
    rng = np.random.default_rng(seed)
    vectors, columns = unit(rng.standard_normal((items, 4))), rng.integers(0, labels, items)
    assert evidence.right_without(vectors, columns).tolist() == brute(vectors, columns)


def test_an_item_without_a_vector_is_not_right() -> None:
    vectors = unit(np.array([[0, 0], [0, 0], [1, 0], [1, 0]]))
    assert not evidence.right_without(vectors, np.array([1, 1, 0, 0]))[:2].any()


@pytest.mark.parametrize(
    ("both", "gained", "lost", "changes"),
    [
        (10, 10, 0, True),
        (10, 8, 2, False),  # chance alone does as much in 5 of 100 cases
        (90, 15, 4, True),
        (14, 5, 0, False),
        (0, 19, 0, False),  # one answer too few
    ],
)
def test_another_wins_where_it_is_clearly_better(both: int, gained: int, lost: int, changes: bool) -> None:
    current = np.array([True] * (both + lost) + [False] * gained)
    other = np.array([True] * both + [False] * lost + [True] * gained)
    right = {"old": current, "new": other, "none": np.zeros_like(other)}
    assert evidence.winner(right, "old") == ("new" if changes else "old")
    assert evidence.winner(right, "new") == "new"


def test_equal_encoders_leave_it_as_it_is() -> None:
    right = {name: np.ones(30, dtype=bool) for name in ("a", "b")}
    assert [evidence.winner(right, name) for name in ("a", "b")] == ["a", "b"]
