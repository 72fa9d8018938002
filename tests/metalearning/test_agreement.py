"""Agreement: every figure against a library's, and the cases in which nothing can be told."""

from __future__ import annotations

import krippendorff
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import fleiss_kappa
from statsmodels.stats.proportion import proportion_confint

from metalearning import agreement
from metalearning.agreement import Said
from metalearning.shares import wilson


def people(items: int, annotators: int, labels: int, missing: float, seed: int) -> tuple[Said, np.ndarray]:
    """Answers at random but alike, and as a table [annotator, item] with nan for what is missing."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(labels, size=items)
    table = np.where(rng.random((annotators, items)) < 0.7, truth, rng.integers(labels, size=(annotators, items)))
    table = np.where(rng.random(table.shape) < missing, np.nan, table)
    annotator, item = np.nonzero(~np.isnan(table))
    return Said(item, annotator, table[annotator, item].astype(int), labels), table


@pytest.mark.parametrize("missing", [0.0, 0.3, 0.6])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_alpha_is_what_the_krippendorff_package_says(missing: float, seed: int) -> None:
    said, table = people(40, 4, 5, missing, seed)
    theirs = krippendorff.alpha(reliability_data=table, level_of_measurement="nominal")
    assert agreement.alpha(agreement.counts(said)) == pytest.approx(theirs, abs=1e-12)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_fleiss_kappa_is_what_statsmodels_says(seed: int) -> None:
    said, _table = people(40, 3, 4, 0.0, seed)
    table = agreement.counts(said)
    assert agreement.fleiss_kappa(table) == pytest.approx(fleiss_kappa(table), abs=1e-12)


@pytest.mark.parametrize("missing", [0.0, 0.4])
def test_cohens_kappa_of_each_pair_is_what_scikit_learn_says(missing: float) -> None:
    said, table = people(60, 4, 3, missing, 5)
    found = agreement.pairs(said)
    assert len(found) == 6
    for pair in found:
        both = ~np.isnan(table[pair.one]) & ~np.isnan(table[pair.other])
        one, other = table[pair.one][both].astype(int), table[pair.other][both].astype(int)
        assert (pair.items, pair.equal) == (both.sum(), (one == other).sum())
        assert pair.kappa == pytest.approx(cohen_kappa_score(one, other), abs=1e-12)


def test_percent_counts_equal_pairs() -> None:
    # Item 0: a a b, one of three pairs is equal; item 1: a a; item 2: one answer, which says nothing.
    said = Said(np.array([0, 0, 0, 1, 1, 2]), np.array([0, 1, 2, 0, 1, 0]), np.array([0, 0, 1, 0, 0, 1]), 2)
    assert agreement.percent(agreement.counts(said)) == pytest.approx((1 / 3 + 1) / 2)


def test_each_label_is_judged_against_all_others() -> None:
    said, table = people(50, 3, 4, 0.2, 7)
    for label, told in agreement.by_label(said).items():
        alone = np.where(np.isnan(table), np.nan, table == label)
        assert told == pytest.approx(krippendorff.alpha(alone, level_of_measurement="nominal"), abs=1e-12)


def test_labels_drawn_at_once_have_the_intervals_that_one_by_one_gives() -> None:
    said, _table = people(60, 3, 4, 0.2, 7)
    table = agreement.counts(said)
    told = agreement.label_intervals(said, np.random.default_rng(0), draws=4000)
    assert told.keys() == agreement.by_label(said).keys()
    for label, interval in told.items():
        alone = np.stack([table[:, label], table.sum(axis=1) - table[:, label]], axis=1)
        expected = agreement.with_interval(alone, agreement.alpha, np.random.default_rng(1), draws=2000)
        assert (interval.value, interval.items) == (expected.value, expected.items)
        assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), abs=0.02)


def test_pairs_and_periods_have_intervals_around_their_figures() -> None:
    said, _table = people(60, 3, 4, 0.2, 7)
    plain, drawn = agreement.pairs(said), agreement.pairs(said, np.random.default_rng(0), draws=300)
    assert [(pair.one, pair.other, pair.kappa) for pair in plain] == [(p.one, p.other, p.kappa) for p in drawn]
    assert all(pair.low is None for pair in plain)
    assert all(pair.low < pair.kappa < pair.high < pair.low + 0.6 for pair in drawn)
    told = agreement.over_time(said, said.items % 2, np.random.default_rng(0), draws=300)
    for period, value, items, interval in told:
        table = agreement.counts(said.where(said.items % 2 == period))
        assert (value, items) == (agreement.alpha(table), len(table))
        assert interval.low < value < interval.high


def test_one_annotator_or_no_overlap_tells_nothing() -> None:
    for said in (
        Said(np.arange(5), np.zeros(5, int), np.arange(5) % 2, 2),
        Said(np.arange(6), np.arange(6) % 3, np.arange(6) % 2, 2),
        Said(*np.zeros((3, 0), dtype=int), 2),
    ):
        table = agreement.counts(said)
        assert agreement.alpha(table) is agreement.percent(table) is agreement.fleiss_kappa(table) is None
        assert agreement.pairs(said, np.random.default_rng(0)) == []
        assert agreement.label_intervals(said, np.random.default_rng(0)) == {}
        assert agreement.with_interval(table, agreement.alpha, np.random.default_rng(0)) is None


def test_where_all_say_the_same_chance_cannot_be_told_from_agreement() -> None:
    said = Said(np.repeat(np.arange(4), 2), np.tile([0, 1], 4), np.zeros(8, int), 3)
    table = agreement.counts(said)
    assert agreement.percent(table) == 1
    assert agreement.alpha(table) is None
    assert agreement.fleiss_kappa(table) is None
    assert agreement.pairs(said, np.random.default_rng(0))[0].kappa is None
    assert agreement.label_intervals(said, np.random.default_rng(0)) == {}


def test_the_interval_covers_what_a_large_sample_shows() -> None:
    truth = agreement.alpha(agreement.counts(people(20_000, 3, 4, 0.2, 99)[0]))
    held = 0
    for seed in range(100):
        table = agreement.counts(people(80, 3, 4, 0.2, seed)[0])
        told = agreement.with_interval(table, agreement.alpha, np.random.default_rng(seed + 1000), draws=200)
        assert told.low <= told.value <= told.high
        held += told.low <= truth <= told.high
    assert held >= 87  # 95 expected; below 87 something is wrong with the interval, not with luck


def test_the_same_generator_gives_the_same_interval() -> None:
    table = agreement.counts(people(30, 3, 4, 0.0, 1)[0])
    once, again = (agreement.with_interval(table, agreement.alpha, np.random.default_rng(3)) for _ in range(2))
    assert once == again


def test_over_time_an_item_counts_when_its_last_answer_came() -> None:
    said = Said(np.array([0, 0, 1, 1, 2, 2]), np.tile([0, 1], 3), np.array([0, 0, 1, 1, 0, 1]), 2)
    told = agreement.over_time(said, np.array([1, 1, 1, 2, 2, 2]), np.random.default_rng(0))
    assert [(period, items) for period, _alpha, items, _interval in told] == [(1, 1), (2, 2)]
    later = agreement.counts(said.where(said.items > 0))
    assert told[1][1] == pytest.approx(agreement.alpha(later))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 60), st.integers(0, 60))
def test_wilsons_interval_is_what_statsmodels_says(right: int, wrong: int) -> None:
    share = wilson(right, right + wrong)
    if share is None:
        assert right + wrong == 0
        return
    theirs = proportion_confint(right, right + wrong, alpha=0.05, method="wilson")
    assert (share.low, share.high) == pytest.approx(theirs, abs=1e-4)


def test_an_annotators_commonest_mistakes_come_first() -> None:
    confusion = np.array([[0.7, 0.3, 0.0], [0.0, 1.0, 0.0], [0.5, 0.0, 0.5]])
    told = agreement.confused(confusion, np.array([0.6, 0.3, 0.1]), 5)
    assert [(k, said) for k, said, _share in told] == [(0, 1), (2, 0)]
    assert told[0][2] == pytest.approx(0.18)
