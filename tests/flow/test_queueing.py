"""Queueing: nobody is given what another holds, and the queue is never empty while work remains."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from labeling import standing
from labeling.flow import answering, queueing
from labeling.models import Candidate, Item, Lease, Project, Role, Status, Tally, User
from tests import make

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
pytestmark = pytest.mark.django_db


@pytest.fixture
def project() -> Project:
    return make.project(labels=["yes", "no"], texts=[f"text {k}" for k in range(12)])


@pytest.fixture
def anna(project: Project) -> User:
    return make.member(project, Role.ANNOTATOR, "anna")


@pytest.fixture
def ben(project: Project) -> User:
    return make.member(project, Role.ANNOTATOR, "ben")


def claim(project: Project, user: User, count: int = 3, tab: str = "t", now: datetime = NOW) -> list[int]:
    leases = queueing.claim(project=project, user=user, tab=tab, count=count, now=now, chance=random.Random(0))
    return [lease.item.row for lease in leases]


def queue(project: Project, rows: list[int]) -> None:
    for position, row in enumerate(rows):
        item = Item.objects.get(project=project, row=row)
        Candidate.objects.create(project=project, item=item, position=position, reason={"code": "typical"})


def test_the_queue_comes_in_its_order_and_then_any_open_item(project: Project, anna: User) -> None:
    queue(project, [7, 2])
    rows = claim(project, anna, 5)
    assert rows[:2] == [7, 2]
    assert len(set(rows)) == 5


def test_two_people_never_hold_the_same_item_and_all_items_are_given(project: Project, anna: User, ben: User) -> None:
    queue(project, [0, 1, 2, 3])
    first, second = claim(project, anna, 6), claim(project, ben, 6)
    assert sorted(first + second) == list(range(12))
    assert claim(project, make.member(project, Role.ANNOTATOR, "carl"), 3) == []
    assert queueing.waiting(project=project, user=ben, now=NOW) == 6


def test_a_reload_of_the_same_tab_gets_the_same_items_and_another_tab_gets_others(project: Project, anna: User) -> None:
    first = claim(project, anna, 3, "one")
    assert claim(project, anna, 3, "one") == first
    assert not set(claim(project, anna, 3, "two")) & set(first)


def test_what_ran_out_goes_to_the_next_person_first(project: Project, anna: User, ben: User) -> None:
    held = claim(project, anna, 2)
    later = NOW + timedelta(seconds=project.lease_seconds + 1)
    assert queueing.sweep(now=later) == 2
    assert sorted(claim(project, ben, 2, now=later)) == sorted(held)


def test_an_expired_lease_is_free_even_before_the_sweep(project: Project, anna: User, ben: User) -> None:
    claim(project, anna, 12)
    assert claim(project, ben, 12) == []
    assert len(claim(project, ben, 12, now=NOW + timedelta(seconds=project.lease_seconds + 1))) == 12


def test_releasing_gives_back_at_once(project: Project, anna: User, ben: User) -> None:
    held = claim(project, anna, 12)
    assert queueing.release(project=project, user=anna, tab="t") == 12
    assert sorted(claim(project, ben, 12)) == sorted(held)


def test_a_skipped_item_is_not_given_to_that_person_again_but_to_others(
    project: Project, anna: User, ben: User
) -> None:
    [row] = claim(project, anna, 1)
    answering.skip(project=project, item=Item.objects.get(project=project, row=row), author=anna, now=NOW)
    assert row not in claim(project, anna, 12)
    queueing.release(project=project, user=anna, tab="t")
    assert row in claim(project, ben, 12)


def test_answered_items_are_never_asked(project: Project, anna: User, ben: User) -> None:
    label = project.labels.get(name="yes")
    for item in Item.objects.filter(project=project, row__lt=10):
        answering.submit(project=project, item=item, author=anna, label=label, now=NOW)
    assert sorted(claim(project, ben, 12)) == [10, 11]


def test_a_refill_leaves_out_what_was_answered_or_leased_meanwhile(project: Project, anna: User, ben: User) -> None:
    snapshot = make.snapshot(project)
    queue(project, [5])
    held = claim(project, anna, 1)
    item = Item.objects.get(project=project, row=6)
    answering.submit(project=project, item=item, author=ben, label=project.labels.get(name="no"), now=NOW)
    asked = [{"row": row, "code": "margin", "labels": [], "p": [], "top": []} for row in (5, 6, 3, 4)]
    assert queueing.refill(project=project, snapshot=snapshot, asked=asked) == 2
    assert held == [5]
    assert claim(project, ben, 2) == [3, 4]


def test_what_came_back_stays_in_front_of_a_refill(project: Project, anna: User, ben: User) -> None:
    queue(project, [9])
    claim(project, anna, 1)
    queueing.release(project=project, user=anna, tab="t")
    asked = [{"row": 1, "code": "margin", "labels": [], "p": [], "top": []}]
    queueing.refill(project=project, snapshot=make.snapshot(project), asked=asked)
    assert claim(project, ben, 2) == [9, 1]


def test_the_tally_is_what_counting_gives_and_can_be_rebuilt(project: Project, anna: User, ben: User) -> None:
    yes, no = project.labels.order_by("position")
    items = list(Item.objects.filter(project=project).order_by("row"))
    for k, item in enumerate(items[:6]):
        answering.submit(project=project, item=item, author=(anna, ben)[k % 2], label=(yes, no)[k % 2], now=NOW)
    answering.undo(project=project, author=anna, now=NOW)
    answering.correct(project=project, item=items[1], reviewer=anna, label=yes, now=NOW)
    tally = Tally.objects.get(project=project)
    assert (tally.items, tally.answered, tally.open) == (12, 5, 7)
    counted = standing.counted(project)
    assert counted[Status.ANSWERED] == 5
    Tally.objects.filter(project=project).update(answered=99)
    Item.objects.filter(project=project).update(status=Status.ACCEPTED)
    rebuilt = standing.rebuild(project)
    assert (rebuilt.answered, rebuilt.accepted, rebuilt.items) == (5, 0, 12)
    assert standing.counted(project) == counted


def test_holding_an_item_takes_it_from_whoever_had_it(project: Project, anna: User, ben: User) -> None:
    [row] = claim(project, anna, 1)
    item = Item.objects.get(project=project, row=row)
    queueing.hold(item=item, user=ben, tab="b", now=NOW)
    assert [lease.holder for lease in Lease.objects.filter(item=item)] == [ben]
