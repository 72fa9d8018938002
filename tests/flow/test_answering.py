"""Answering: kept once, with its history, whatever happens twice."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import pytest

from labeling.errors import Conflict, NotFound
from labeling.flow import answering, queueing
from labeling.models import Answer, Item, Job, Label, Mark, Project, Role, User
from tests import make

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
pytestmark = pytest.mark.django_db


@pytest.fixture
def project() -> Project:
    return make.project(labels=["yes", "no"], texts=["one", "two", "three"])


@pytest.fixture
def anna(project: Project) -> User:
    return make.member(project, Role.ANNOTATOR, "anna")


@pytest.fixture
def item(project: Project) -> Item:
    return Item.objects.get(project=project, row=0)


def label(project: Project, name: str) -> Label:
    return Label.objects.get(project=project, name=name)


def answer(project: Project, item: Item, author: User, name: str, **facts: object) -> answering.Submitted:
    given = {"now": NOW} | facts
    return answering.submit(project=project, item=item, author=author, label=label(project, name), **given)  # type: ignore[arg-type]


def test_the_same_key_twice_is_one_answer(project: Project, anna: User, item: Item) -> None:
    key = uuid.uuid4()
    first = answer(project, item, anna, "yes", key=key)
    second = answer(project, item, anna, "yes", key=key)
    assert (first.created, second.created) == (True, False)
    assert first.answer.pk == second.answer.pk
    assert Answer.objects.count() == 1


def test_a_late_repeat_of_an_old_request_does_not_bring_back_the_old_answer(
    project: Project, anna: User, item: Item
) -> None:
    old = uuid.uuid4()
    answer(project, item, anna, "yes", key=old)
    answer(project, item, anna, "no", key=uuid.uuid4())
    answer(project, item, anna, "yes", key=old)
    item.refresh_from_db()
    assert item.label == label(project, "no")


def test_a_key_used_for_another_item_is_refused(project: Project, anna: User, item: Item) -> None:
    key = uuid.uuid4()
    answer(project, item, anna, "yes", key=key)
    with pytest.raises(Conflict, match="idempotency key"):
        answer(project, Item.objects.get(project=project, row=1), anna, "yes", key=key)


def test_a_changed_mind_replaces_the_answer_and_keeps_the_history(project: Project, anna: User, item: Item) -> None:
    answer(project, item, anna, "yes")
    answer(project, item, anna, "no", now=NOW + timedelta(seconds=5))
    item.refresh_from_db()
    assert item.label == label(project, "no")
    assert Answer.objects.filter(withdrawn_at=None).count() == 1
    told = [(event["event"], event["label"]) for event in answering.history(item)]
    assert sorted(told) == [("answer", "no"), ("answer", "yes"), ("withdrawn", "yes")]


def test_undo_opens_the_item_again(project: Project, anna: User, item: Item) -> None:
    answer(project, item, anna, "yes")
    assert answering.undo(project=project, author=anna, now=NOW) == item
    item.refresh_from_db()
    assert (item.status, item.label) == ("open", None)
    with pytest.raises(NotFound):
        answering.undo(project=project, author=anna, now=NOW)


def test_undo_takes_back_the_newest_of_answer_and_skip(project: Project, anna: User, item: Item) -> None:
    answer(project, item, anna, "yes")
    other = Item.objects.get(project=project, row=1)
    answering.skip(project=project, item=other, author=anna, now=NOW + timedelta(seconds=1))
    assert answering.undo(project=project, author=anna, now=NOW) == other
    assert answering.undo(project=project, author=anna, now=NOW) == item


def test_nobody_can_take_back_another_persons_answer(project: Project, anna: User, item: Item) -> None:
    given = answer(project, item, anna, "yes").answer
    ben = make.member(project, Role.ANNOTATOR, "ben")
    with pytest.raises(NotFound):
        answering.undo(project=project, author=ben, now=NOW, answer_id=given.pk)


def test_a_correction_takes_the_place_of_all_answers(project: Project, anna: User, item: Item) -> None:
    answer(project, item, anna, "yes")
    reviewer = make.member(project, Role.REVIEWER, "rita")
    answering.correct(project=project, item=item, reviewer=reviewer, label=label(project, "no"), now=NOW)
    item.refresh_from_db()
    assert item.label == label(project, "no")
    withdrawn = Answer.objects.get(author=anna)
    assert (withdrawn.withdrawn_by, withdrawn.withdrawn_at) == (reviewer, NOW)


def test_an_answer_keeps_what_was_suggested_and_why_it_was_asked(project: Project, anna: User, item: Item) -> None:
    yes = label(project, "yes")
    lease = queueing.hold(item=item, user=anna, tab="", now=NOW)
    lease.top, lease.reason = [[yes.pk, 0.75]], {"code": "margin"}
    lease.save()
    kept = answer(project, item, anna, "no").answer
    assert (kept.suggested, kept.confidence, kept.reason) == (yes, 0.75, "margin")


def test_hidden_suggestions_are_not_noted_as_seen(project: Project, anna: User, item: Item) -> None:
    project.show_suggestions = False
    lease = queueing.hold(item=item, user=anna, tab="", now=NOW)
    lease.top = [[label(project, "yes").pk, 0.75]]
    lease.save()
    kept = answer(project, item, anna, "no").answer
    assert kept.suggested is None
    assert (kept.foreseen, kept.foreseen_p) == (label(project, "yes"), 0.75), "to be scored later"


def test_answers_are_folded_into_one_waiting_adaptation(project: Project, anna: User) -> None:
    for item in Item.objects.filter(project=project):
        answer(project, item, anna, "yes")
    assert Job.objects.filter(project=project, kind=Job.Kind.ADAPT, state=Job.State.QUEUED).count() == 1


def test_flags_are_noted_and_taken_off(project: Project, anna: User, item: Item) -> None:
    answering.flag(project=project, item=item, author=anna, now=NOW, note="two languages")
    assert Mark.objects.get(code="flag").note == "two languages"
    assert answering.unflag(item=item, author=anna) == 1
