"""Suggestions: counting, filtering and paging a snapshot's arrays agree with doing it one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labeling import suggestions
from labeling.flow import reviewing
from labeling.models import Item, Project, Snapshot
from labeling.suggestions import Order, State, Suggestions
from tests import factories, make

pytestmark = pytest.mark.django_db


@pytest.fixture
def project() -> Project:
    """Ten items."""
    return factories.project(10)


@pytest.fixture
def snapshot(project: Project) -> Snapshot:
    """.05, .15, ... .95 sure of the first label on even rows, of the second on odd ones."""
    return factories.snapshot(project, [0.05 + 0.1 * k for k in range(10)], [k % 2 for k in range(10)])


def test_counts_above_each_threshold_agree_with_choosing(project: Project, snapshot: Snapshot) -> None:
    found = suggestions.histogram(suggestions.of(project, snapshot))
    for step in range(101):
        chosen = suggestions.of(project, snapshot).between(step / 100)
        assert found["above"][step] == len(chosen)
        assert found["errors"][step] == pytest.approx(chosen.expected_errors(), abs=1e-3)
    assert sum(found["bins"]) == found["count"] == 10


def test_items_added_after_the_snapshot_are_left_out(project: Project, snapshot: Snapshot) -> None:
    factories.items(project, 5)
    assert len(suggestions.of(Project.objects.select_related("tally").get(pk=project.pk), snapshot)) == 10


def test_rows_without_a_suggestion_are_left_out(project: Project) -> None:
    silent = factories.snapshot(project, [0.9] * 10, [-1] * 5 + [0] * 5)
    assert suggestions.of(project, silent).rows.tolist() == [5, 6, 7, 8, 9]
    assert len(suggestions.of_rows(silent, [0, 7, 99])) == 1


def test_every_row_is_in_exactly_one_state(project: Project, snapshot: Snapshot) -> None:
    owner, now = make.user(), make.NOW
    by_row = {item.row: item for item in Item.objects.filter(project=project)}
    factories.answer(by_row[0], owner, factories.label(project, 0))
    factories.answer(by_row[1], None, factories.label(project, 0), origin="imported")  # type: ignore[arg-type]
    choice = reviewing.Choice(snapshot, item_ids=[by_row[2].pk, by_row[3].pk])
    reviewing.accept(project=project, reviewer=owner, choice=choice, now=now)
    reviewing.reject(project=project, reviewer=owner, item=by_row[4], snapshot=snapshot, now=now)
    current = Project.objects.select_related("tally").get(pk=project.pk)
    found = {state: suggestions.of(current, snapshot, state=state).rows.tolist() for state in State}
    assert found == {"open": [5, 6, 7, 8, 9], "rejected": [4], "accepted": [2, 3], "answered": [0], "imported": [1]}


@settings(deadline=None, max_examples=60)
@given(
    confidence=st.lists(st.sampled_from([0.1, 0.25, 0.5, 0.5009765625, 0.9]), min_size=0, max_size=30),
    order=st.sampled_from(Order),
    limit=st.integers(1, 7),
)
@pytest.mark.django_db(databases=[])
def test_pages_laid_end_to_end_are_the_sorted_whole(confidence: list[float], order: str, limit: int) -> None:
    n = len(confidence)
    sure = np.array(confidence, dtype=np.float32)
    whole = Suggestions(np.arange(n), np.zeros(n, int), sure, np.zeros(n, int), sure)
    after, seen = None, []
    while len(some := suggestions.page(whole, order, after, limit)):
        seen += some.rows.tolist()
        after = (float(some.confidence[-1]), int(some.rows[-1]))
    sign = 1 if order == Order.LEAST else -1
    assert seen == sorted(range(n), key=lambda row: (sign * sure[row], row))
