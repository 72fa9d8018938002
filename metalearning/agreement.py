"""Agreement: how far people who answered the same items say the same, beyond what chance would give.

All take answers as (item, annotator, label), dense numbers from 0, at most one per item and annotator; any may be
missing. What cannot be told (nobody shares an item, everybody always says the same) is None, never a guess.

    percent          share of pairs of answers to one item that are equal
    Cohen's kappa    two people: (observed - expected) / (1 - expected), expected from each one's own label shares
                     (Cohen 1960)
    Fleiss' kappa    any number of people, as many on each item: expected from the label shares of all (Fleiss 1971).
                     Only items with the commonest number of answers count
    alpha            Krippendorff's alpha for nominal data: any number of people, gaps allowed, corrected for few items
                     (Krippendorff 2011, "Computing Krippendorff's alpha-reliability"); the one to quote
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

DRAWS = 500
"""Bootstrap draws: enough for the second digit of a 95 % interval."""
MOST_PAIRS = 50
"""Pairs whose intervals are drawn: those with the most shared items."""


@dataclass(frozen=True, eq=False)
class Said:
    """Answers by several people: one entry per answer."""

    items: Int[np.ndarray, " answers"]
    annotators: Int[np.ndarray, " answers"]
    labels: Int[np.ndarray, " answers"]
    label_count: int

    def __len__(self) -> int:
        return len(self.items)

    def where(self, chosen: np.ndarray) -> Said:
        """Some of the answers: by mask or by index."""
        return Said(self.items[chosen], self.annotators[chosen], self.labels[chosen], self.label_count)


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % interval over items and the number of items it rests on."""

    value: float
    low: float
    high: float
    items: int


@dataclass(frozen=True)
class Pair:
    """Two annotators on the items that both answered: `equal` of `items`, and Cohen's kappa where it can be told.

    `low` and `high`: its 95 % interval over items, where that was asked for and can be told.
    """

    one: int
    other: int
    items: int
    equal: int
    kappa: float | None
    low: float | None = None
    high: float | None = None


def counts(said: Said) -> Float[np.ndarray, "items labels"]:
    """How many people gave each label; only items that at least two people answered."""
    _items, place = np.unique(said.items, return_inverse=True)
    cells = place * said.label_count + said.labels
    table = np.bincount(cells, minlength=len(_items) * said.label_count).reshape(-1, said.label_count)
    return table[table.sum(axis=1) >= 2].astype(np.float64)


def percent(table: Float[np.ndarray, "items labels"]) -> float | None:
    """The share of equal pairs, each item's pairs together counting as one item; in [0, 1]."""
    if not len(table):
        return None
    return float(np.mean(_equal_share(table)))


def alpha(table: Float[np.ndarray, "items labels"]) -> float | None:
    """Krippendorff's alpha for nominal data; 1 is full agreement, 0 chance."""
    each = table.sum(axis=1)
    total = each.sum()
    if total < 2:
        return None
    observed = float(((each**2 - (table**2).sum(axis=1)) / (each - 1)).sum() / total)
    share = table.sum(axis=0)
    expected = float((total**2 - (share**2).sum()) / (total * (total - 1)))
    return 1 - observed / expected if expected > 0 else None


def fleiss_kappa(table: Float[np.ndarray, "items labels"]) -> float | None:
    """Fleiss' kappa over the items with the commonest number of answers (the larger where two are as common)."""
    each = table.sum(axis=1).astype(int)
    if not len(each):
        return None
    often = np.bincount(each)
    usual = len(often) - 1 - int(np.argmax(often[::-1]))
    table = table[each == usual]
    observed = float(np.mean(_equal_share(table)))
    expected = float(((table.sum(axis=0) / table.sum()) ** 2).sum())
    return (observed - expected) / (1 - expected) if expected < 1 else None


def cohen_kappa(one: Int[np.ndarray, " items"], other: Int[np.ndarray, " items"], label_count: int) -> float | None:
    """Cohen's kappa of two people's labels for the same items, in the same order."""
    if not len(one):
        return None
    observed = float(np.mean(one == other))
    shares = [np.bincount(labels, minlength=label_count) / len(labels) for labels in (one, other)]
    expected = float(shares[0] @ shares[1])
    return (observed - expected) / (1 - expected) if expected < 1 else None


def pairs(said: Said, generator: np.random.Generator | None = None, draws: int = DRAWS) -> list[Pair]:
    """Every two annotators who share an item, those with the most shared items first.

    With a `generator` the first `MOST_PAIRS` of them have a bootstrap interval, as `with_interval` gives it.
    """
    people = np.unique(said.annotators)
    told = {int(person): said.where(said.annotators == person) for person in people}
    found, shared = [], {}
    for place, one in enumerate(people):
        for other in people[place + 1 :]:
            mine, yours = told[int(one)], told[int(other)]
            _shared, first, second = np.intersect1d(mine.items, yours.items, return_indices=True)
            if len(first):
                a, b = mine.labels[first], yours.labels[second]
                kappa = cohen_kappa(a, b, said.label_count)
                found.append(Pair(int(one), int(other), len(a), int((a == b).sum()), kappa))
                shared[int(one), int(other)] = a, b
    found.sort(key=lambda pair: (-pair.items, pair.one, pair.other))
    if generator is None:
        return found
    few = [
        _with_bounds(pair, *shared[pair.one, pair.other], said.label_count, generator, draws)
        for pair in found[:MOST_PAIRS]
    ]
    return few + found[MOST_PAIRS:]


def by_label(said: Said) -> dict[int, float | None]:
    """Krippendorff's alpha of each label against all others together, for labels of items that two people answered."""
    table = counts(said)
    given = np.flatnonzero(table.sum(axis=0))
    return {int(label): alpha(_against_rest(table, int(label))) for label in given}


def label_intervals(said: Said, generator: np.random.Generator, draws: int = DRAWS) -> dict[int, Interval]:
    """The same with their bootstrap intervals, as `with_interval` gives them; only of labels where it can be told.

    Alpha is made of three sums over items, so all labels are drawn at once: a draw is how often each item is in it.
    """
    table = counts(said)
    told = {label: value for label, value in by_label(said).items() if value is not None}
    if len(table) < 2 or not told:
        return {}
    mine, each = table[:, list(told)], table.sum(axis=1)
    rest = each[:, None] - mine
    differing = (each[:, None] ** 2 - mine**2 - rest**2) / (each[:, None] - 1)
    size = len(table)
    often = generator.multinomial(size, np.full(size, 1 / size), size=draws).astype(np.float64)
    total, share = (often @ each)[:, None], often @ mine
    expected = (total**2 - share**2 - (total - share) ** 2) / (total * (total - 1))
    drawn = np.full(expected.shape, np.nan)
    np.divide(often @ differing / total, expected, out=drawn, where=expected > 0)
    found = {}
    for place, (label, value) in enumerate(told.items()):
        bounds = _bounds(1 - drawn[:, place])
        if bounds:
            found[label] = Interval(value, *bounds, size)
    return found


def with_interval(
    table: Float[np.ndarray, "items labels"],
    figure: Callable[[Float[np.ndarray, "items labels"]], float | None],
    generator: np.random.Generator,
    draws: int = DRAWS,
) -> Interval | None:
    """The figure with its percentile bootstrap interval over items (Efron 1979); None where it cannot be told.

    Draws in which it cannot be told (by chance all the same) are left out, and where most are, so is the interval.
    """
    value = figure(table)
    if value is None or len(table) < 2:
        return None
    drawn = [figure(table[generator.integers(len(table), size=len(table))]) for _ in range(draws)]
    bounds = _bounds(np.array([np.nan if one is None else one for one in drawn]))
    return Interval(value, *bounds, len(table)) if bounds else None


def over_time(
    said: Said, periods: Int[np.ndarray, " answers"], generator: np.random.Generator, draws: int = DRAWS
) -> list[tuple[int, float | None, int, Interval | None]]:
    """(period, alpha, items, interval) for each period, an item belonging to the period of its last answer."""
    last = np.full(int(said.items.max(initial=-1)) + 1, np.iinfo(np.int64).min)
    np.maximum.at(last, said.items, periods)
    told = []
    for period in np.unique(last[said.items]):
        table = counts(said.where(last[said.items] == period))
        if len(table):
            told.append((int(period), alpha(table), len(table), with_interval(table, alpha, generator, draws)))
    return told


def confused(
    confusion: Float[np.ndarray, "labels labels"], prior: Float[np.ndarray, " labels"], most: int
) -> Sequence[tuple[int, int, float]]:
    """The commonest mistakes of one annotator: (what it is, what is said, share of all their answers)."""
    mistakes = confusion * prior[:, None]
    np.fill_diagonal(mistakes, 0)
    order = np.argsort(-mistakes, axis=None, kind="stable")[:most]
    places = [divmod(int(place), mistakes.shape[1]) for place in order]
    return [(k, said, float(mistakes[k, said])) for k, said in places if mistakes[k, said] > 0]


def _against_rest(table: Float[np.ndarray, "items labels"], label: int) -> Float[np.ndarray, "items 2"]:
    return np.stack([table[:, label], table.sum(axis=1) - table[:, label]], axis=1)


def _with_bounds(
    pair: Pair,
    one: Int[np.ndarray, " items"],
    other: Int[np.ndarray, " items"],
    label_count: int,
    generator: np.random.Generator,
    draws: int,
) -> Pair:
    answers = np.stack([one, other], axis=1)
    told = with_interval(answers, lambda some: cohen_kappa(some[:, 0], some[:, 1], label_count), generator, draws)
    return replace(pair, low=told.low, high=told.high) if told else pair


def _bounds(drawn: Float[np.ndarray, " draws"]) -> tuple[float, float] | None:
    """The middle 95 % of the draws that tell something (NaN: nothing); None where less than half of them do."""
    told = drawn[~np.isnan(drawn)]
    if len(told) < len(drawn) / 2:
        return None
    low, high = np.quantile(told, [0.025, 0.975])
    return float(low), float(high)


def _equal_share(table: Float[np.ndarray, "items labels"]) -> Float[np.ndarray, " items"]:
    each = table.sum(axis=1)
    return ((table**2).sum(axis=1) - each) / (each * (each - 1))
