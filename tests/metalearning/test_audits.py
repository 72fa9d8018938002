"""Audits: intervals that hold, counted out over every sample there can be."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metalearning.audits import Interval, Stratum, allocate, auditor_error, share_right, share_right_of_all


def chance(size: int, wrong_in_all: int, audits: int, wrong: int) -> float:
    """That so many of the audits find a wrong label, by counting the samples."""
    if wrong > wrong_in_all or audits - wrong > size - wrong_in_all:
        return 0.0
    return math.comb(wrong_in_all, wrong) * math.comb(size - wrong_in_all, audits - wrong) / math.comb(size, audits)


@pytest.mark.parametrize(("size", "audits"), [(1, 1), (8, 3), (20, 7), (20, 20), (60, 12)])
def test_the_interval_of_one_stratum_holds_for_every_number_of_wrong_labels(size: int, audits: int) -> None:
    told = [share_right(Stratum(size, audits, wrong)) for wrong in range(audits + 1)]
    for wrong_in_all in range(size + 1):
        truth = 1 - wrong_in_all / size
        held = sum(
            chance(size, wrong_in_all, audits, wrong)
            for wrong, interval in enumerate(told)
            if interval.low - 1e-9 <= truth <= interval.high + 1e-9
        )
        assert held >= 0.95 - 1e-9, wrong_in_all


@pytest.mark.parametrize(("size", "audits", "wrong"), [(50, 10, 0), (50, 10, 3), (50, 10, 10), (200, 60, 2)])
def test_the_interval_is_the_numbers_that_no_one_sided_test_refuses(size: int, audits: int, wrong: int) -> None:
    def tail(total: int, found: range) -> float:
        return sum(chance(size, total, audits, s) for s in found)

    kept = [
        total
        for total in range(size + 1)
        if tail(total, range(wrong + 1)) > 0.025 and tail(total, range(wrong, audits + 1)) > 0.025
    ]
    interval = share_right(Stratum(size, audits, wrong))
    assert interval.low == pytest.approx(1 - max(kept) / size)
    assert interval.high == pytest.approx(1 - min(kept) / size)


@pytest.mark.parametrize(("first", "second"), [((12, 6), (20, 6)), ((24, 8), (6, 6))])
def test_the_interval_over_two_strata_holds_by_enumeration(first: tuple[int, int], second: tuple[int, int]) -> None:
    (one, n), (two, m) = first, second
    told = {
        (s, t): share_right_of_all([Stratum(one, n, s), Stratum(two, m, t)]) for s in range(n + 1) for t in range(m + 1)
    }
    worst = 1.0
    for k, j in itertools.product(range(one + 1), range(two + 1)):
        truth = 1 - (k + j) / (one + two)
        held = sum(
            chance(one, k, n, s) * chance(two, j, m, t)
            for (s, t), interval in told.items()
            if interval.low - 1e-9 <= truth <= interval.high + 1e-9
        )
        worst = min(worst, held)
    assert worst >= 0.95 - 1e-9


def test_one_stratum_is_the_same_alone_and_among_empty_ones() -> None:
    stratum = Stratum(300, 40, 2)
    assert share_right_of_all([stratum, Stratum(0, 0, 0)]) == share_right(stratum)


def test_a_full_audit_says_the_truth() -> None:
    assert share_right(Stratum(20, 20, 5)) == Interval(0.75, 0.75, 0.75)
    assert share_right_of_all([Stratum(20, 20, 5), Stratum(60, 60, 3)]).value == pytest.approx(0.9)


@settings(max_examples=60, deadline=None)
@given(size=st.integers(1, 5000), data=st.data())
def test_more_wrong_labels_never_move_the_interval_up(size: int, data: st.DataObject) -> None:
    audits = data.draw(st.integers(1, min(size, 200)))
    wrong = data.draw(st.integers(0, audits - 1)) if audits > 1 else 0
    one, other = share_right(Stratum(size, audits, wrong)), share_right(Stratum(size, audits, wrong + 1))
    assert 0 <= one.low <= one.value <= one.high <= 1
    assert other.low <= one.low
    assert other.high <= one.high


@pytest.mark.parametrize("bad", [(10, 0, 0), (10, 11, 0), (10, 5, 6)])
def test_what_is_no_sample_is_refused(bad: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="no sample"):
        share_right(Stratum(*bad))
    with pytest.raises(ValueError, match="no sample"):
        share_right_of_all([Stratum(*bad), Stratum(5, 5, 0)])


def test_audits_are_spread_by_size_with_a_least_share() -> None:
    assert allocate([900, 100, 0, 4], 100) == [90, 10, 0, 4]
    assert allocate([9000, 10], 100)[1] == 10


def test_the_auditors_error_follows_from_their_disagreements() -> None:
    # Two people with an error of 10 % each disagree on 19 % where their errors never coincide.
    found = auditor_error(100, 19)
    assert found.value == pytest.approx(0.1)
    assert found.low < 0.1 < found.high
    assert auditor_error(20, 0).value == 0
    assert auditor_error(20, 20).high == 1
    with pytest.raises(ValueError, match="no sample"):
        auditor_error(0, 0)


@pytest.mark.parametrize("error", [0.02, 0.1, 0.3])
def test_the_auditors_errors_interval_holds_by_enumeration(error: float) -> None:
    doubles, apart = 40, 1 - (1 - error) ** 2
    held = sum(
        math.comb(doubles, d) * apart**d * (1 - apart) ** (doubles - d)
        for d in range(doubles + 1)
        if auditor_error(doubles, d).low <= error <= auditor_error(doubles, d).high
    )
    assert held >= 0.95
