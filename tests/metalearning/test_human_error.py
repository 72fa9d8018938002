"""Human error: what is known of the auditors, and that the bound with their mistakes holds."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from metalearning.audits import exact
from metalearning.human_error import ALPHA, FEWEST_GOLD, Seen, auditors_err, bounded


@pytest.mark.parametrize("error", [0.0, 0.02, 0.1, 0.5])
@pytest.mark.parametrize("count", [10, 40])
def test_the_exact_interval_holds_by_enumeration(error: float, count: int) -> None:
    held = sum(
        binom.pmf(some, count, error)
        for some in range(count + 1)
        if exact(some, count).low <= error <= exact(some, count).high
    )
    assert held >= 1 - ALPHA - 1e-9


def test_wrong_labels_are_those_refuted_or_confirmed_by_mistake() -> None:
    """Whatever is true, suggested and said of four items: wrong <= differing + mistaken (Boole's inequality)."""
    for outcome in product(range(3), repeat=4):
        truth, suggested, said = [0, 0, 0, 0], outcome, outcome[::-1]
        wrong = sum(a != b for a, b in zip(truth, suggested, strict=True))
        differing = sum(a != b for a, b in zip(suggested, said, strict=True))
        mistaken = sum(a != b for a, b in zip(truth, said, strict=True))
        assert wrong <= differing + mistaken


def test_gold_is_believed_before_doubles_once_there_is_enough() -> None:
    few = Seen(people=2, doubles=30, disagreements=3, gold=FEWEST_GOLD - 1, gold_wrong=1)
    enough = Seen(people=2, doubles=30, disagreements=3, gold=FEWEST_GOLD, gold_wrong=1)
    for seen, source in ((few, "doubles"), (enough, "gold")):
        known = auditors_err(seen)
        assert known is not None
        assert known[1] == source
    assert auditors_err(Seen(people=1, gold=FEWEST_GOLD - 1)) is None


@given(
    doubles=st.integers(1, 60),
    part=st.floats(0, 1),
    eps=st.floats(0.001, 0.5),
    delta=st.floats(0.0001, 0.5),
)
def test_the_bound_only_grows_by_their_mistakes_and_the_confidence_only_falls(
    doubles: int, part: float, eps: float, delta: float
) -> None:
    seen = Seen(people=2, doubles=doubles, disagreements=int(part * doubles))
    told = bounded(seen, eps, delta)
    assert told is not None
    assert eps <= told.most_wrong <= 1
    assert told.confidence == pytest.approx(max(1 - delta - ALPHA / 2, 0))
    more = bounded(Seen(2, doubles + 1, min(seen.disagreements + 1, doubles + 1)), eps, delta)
    assert more is not None
    assert more.error.value >= told.error.value


@pytest.mark.parametrize("bad", [{"doubles": 1, "disagreements": 2}, {"gold": 1, "gold_wrong": -1}, {"people": -1}])
def test_impossible_counts_are_refused(bad: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="is no count"):
        Seen(**bad)
