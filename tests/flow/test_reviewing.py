"""Reviewing: what is accepted, what is never touched, what comes back by undo, and what a killed worker leaves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from labeling import jobs, pool, standing, suggestions, tasks
from labeling.errors import BadField, Cancelled, Conflict
from labeling.flow import reviewing
from labeling.flow.reviewing import Choice
from labeling.models import Acceptance, Batch, Candidate, Item, Job, Mark, Project, Role, Snapshot, Status, User
from labeling.suggestions import State
from tests import factories, make

NOW = make.NOW
pytestmark = pytest.mark.django_db


@pytest.fixture
def project() -> Project:
    """Ten items; the model is .05, .15, ... .95 sure of the first label on even rows, of the second on odd ones."""
    return factories.project(10)


@pytest.fixture
def snapshot(project: Project) -> Snapshot:
    return factories.snapshot(project, [0.05 + 0.1 * k for k in range(10)], [k % 2 for k in range(10)])


@pytest.fixture
def rita(project: Project) -> User:
    return make.member(project, Role.REVIEWER, "rita")


def item(project: Project, row: int) -> Item:
    return Item.objects.get(project=project, row=row)


def statuses(project: Project) -> list[str]:
    return list(Item.objects.filter(project=project).order_by("row").values_list("status", flat=True))


def accept(project: Project, rita: User, choice: Choice) -> Batch:
    batch, job = reviewing.accept(project=project, reviewer=rita, choice=choice, now=NOW)
    assert job is None
    return batch


def fresh(project: Project) -> Project:
    """The project with its tally as it is now, as every request reads it."""
    return Project.objects.select_related("tally").get(pk=project.pk)


def assert_counted(project: Project) -> None:
    """The tally agrees with counting, and deriving everything anew changes nothing."""
    tally = fresh(project).tally
    counted = standing.counted(project)
    assert {name: getattr(tally, name) for name in ("answered", "imported", "accepted", "open")} == counted
    before = statuses(project)
    standing.rebuild(project)
    assert statuses(project) == before


def test_accepts_all_from_the_threshold_on(project: Project, snapshot: Snapshot, rita: User) -> None:
    told = reviewing.preview(project=project, choice=Choice(snapshot, 0.65))
    assert told.count == 4
    assert told.expected_errors == pytest.approx(0.05 + 0.15 + 0.25 + 0.35, abs=0.005)
    assert sum(told.by_label.values()) == 4
    batch = accept(project, rita, Choice(snapshot, 0.65))
    assert batch.count == 4
    assert statuses(project) == ["open"] * 6 + ["accepted"] * 4
    assert item(project, 9).label == factories.label(project, 1)
    assert item(project, 8).label == factories.label(project, 0)
    assert_counted(project)


def test_the_threshold_counts_as_it_is_written(project: Project, rita: User) -> None:
    """float16 keeps 0.72 as 0.7197; a person who reads 0.72 and types 0.72 means that item too."""
    shown = factories.snapshot(project, [0.72] * 10)
    assert reviewing.preview(project=project, choice=Choice(shown, 0.72)).count == 10


def test_accepts_one_label_alone(project: Project, snapshot: Snapshot, rita: User) -> None:
    choice = Choice(snapshot, 0.5, factories.label(project, 1))
    assert accept(project, rita, choice).count == 3
    assert statuses(project) == ["open"] * 5 + ["accepted", "open", "accepted", "open", "accepted"]


def test_accepts_chosen_items(project: Project, snapshot: Snapshot, rita: User) -> None:
    chosen = [item(project, 0).pk, item(project, 3).pk]
    batch = accept(project, rita, Choice(snapshot, item_ids=chosen))
    assert (batch.count, batch.threshold) == (2, None)
    assert [row for row, status in enumerate(statuses(project)) if status == "accepted"] == [0, 3]
    told = Acceptance.objects.get(item=chosen[1])
    assert (told.label, told.confidence) == (factories.label(project, 1), pytest.approx(0.35, abs=1e-3))


def test_a_choice_needs_a_threshold_or_items(project: Project, snapshot: Snapshot, rita: User) -> None:
    with pytest.raises(BadField, match="threshold"):
        reviewing.accept(project=project, reviewer=rita, choice=Choice(snapshot), now=NOW)


def test_nothing_left_to_accept_is_a_conflict(project: Project, snapshot: Snapshot, rita: User) -> None:
    with pytest.raises(Conflict, match="Nothing is left"):
        reviewing.accept(project=project, reviewer=rita, choice=Choice(snapshot, 0.999), now=NOW)
    assert not Batch.objects.exists()


def test_what_a_person_answered_is_never_touched(project: Project, snapshot: Snapshot, rita: User) -> None:
    given = factories.answer(item(project, 9), rita, factories.label(project, 2))
    factories.answer(item(project, 8), None, factories.label(project, 2), origin="imported")  # type: ignore[arg-type]
    assert accept(fresh(project), rita, Choice(snapshot, 0.65)).count == 2
    assert item(project, 9).status == Status.ANSWERED
    assert item(project, 9).label_id == given.label_id
    assert item(project, 8).status == Status.IMPORTED
    assert not Acceptance.objects.filter(item__row__in=[8, 9]).exists()


def test_an_answer_between_choosing_and_settling_wins(
    project: Project, snapshot: Snapshot, rita: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows were chosen while item 9 was open; by the time they are written somebody has answered it."""
    chosen = reviewing._chosen(project, Choice(snapshot, 0.65))
    factories.answer(item(project, 9), rita, factories.label(project, 2))
    monkeypatch.setattr(reviewing, "_chosen", lambda *_: chosen)
    assert accept(project, rita, Choice(snapshot, 0.65)).count == 3
    assert item(project, 9).status == Status.ANSWERED
    assert_counted(project)


def test_the_snapshot_shown_is_the_one_accepted(project: Project, snapshot: Snapshot, rita: User) -> None:
    factories.snapshot(project, [0.99] * 10, [2] * 10, number=2)
    assert accept(project, rita, Choice(snapshot, 0.9)).count == 1
    assert item(project, 9).label == factories.label(project, 1)


def test_a_snapshot_whose_arrays_are_gone_is_a_conflict(project: Project, snapshot: Snapshot, rita: User) -> None:
    factories.snapshot(project, [0.99] * 10, number=2)
    pool.delete_old_snapshots(project.pk, keep=1)
    with pytest.raises(pool.NotKept) as refusal:
        reviewing.accept(project=project, reviewer=rita, choice=Choice(snapshot, 0.9), now=NOW)
    assert refusal.value.status == 409


def test_archived_labels_are_not_accepted(project: Project, snapshot: Snapshot, rita: User) -> None:
    project.labels.filter(position=1).update(archived_at=NOW)
    assert accept(project, rita, Choice(snapshot, 0.5)).count == 2


def test_undo_opens_the_items_again(project: Project, snapshot: Snapshot, rita: User) -> None:
    batch = accept(project, rita, Choice(snapshot, 0.65))
    assert reviewing.undo(project=project, reviewer=rita, batch=batch, now=NOW) is None
    assert statuses(project) == ["open"] * 10
    assert_counted(project)
    with pytest.raises(Conflict, match="undone already"):
        reviewing.undo(project=project, reviewer=rita, batch=batch, now=NOW)


def test_undo_keeps_what_a_person_said_since(project: Project, snapshot: Snapshot, rita: User) -> None:
    batch = accept(project, rita, Choice(snapshot, 0.65))
    factories.answer(item(project, 9), rita, factories.label(project, 2))
    reviewing.undo(project=project, reviewer=rita, batch=batch, now=NOW)
    assert statuses(project) == ["open"] * 9 + ["answered"]
    assert_counted(project)


def test_undo_of_some_items_leaves_the_others(project: Project, snapshot: Snapshot, rita: User) -> None:
    batch = accept(project, rita, Choice(snapshot, 0.65))
    reviewing.undo(project=project, reviewer=rita, batch=batch, item_ids=[item(project, 7).pk], now=NOW)
    assert statuses(project) == ["open"] * 6 + ["accepted", "open", "accepted", "accepted"]
    batch.refresh_from_db()
    assert batch.undone_at is None
    with pytest.raises(Conflict, match="not accepted"):
        reviewing.undo(project=project, reviewer=rita, batch=batch, item_ids=[item(project, 7).pk], now=NOW)
    rest = [item(project, row).pk for row in (6, 8, 9)]
    reviewing.undo(project=project, reviewer=rita, batch=batch, item_ids=rest, now=NOW)
    batch.refresh_from_db()
    assert batch.undone_at == NOW


def test_what_was_accepted_leaves_the_queue(project: Project, snapshot: Snapshot, rita: User) -> None:
    Candidate.objects.create(project=project, item=item(project, 9), position=0)
    Candidate.objects.create(project=project, item=item(project, 0), position=1)
    accept(project, rita, Choice(snapshot, 0.65))
    assert list(Candidate.objects.values_list("item__row", flat=True)) == [0]


def test_a_rejected_suggestion_is_asked_first_and_not_accepted(
    project: Project, snapshot: Snapshot, rita: User
) -> None:
    Candidate.objects.create(project=project, item=item(project, 0), position=0)
    mark = reviewing.reject(project=project, reviewer=rita, item=item(project, 9), snapshot=snapshot, now=NOW)
    assert mark.label == factories.label(project, 1)
    first = Candidate.objects.order_by("position").first()
    assert first is not None
    assert (first.item.row, first.reason["code"], first.reason["labels"], first.top) == (
        9, "rejected", [mark.label_id], []
    )  # fmt: skip
    assert first.position < 0
    assert accept(project, rita, Choice(snapshot, 0.65)).count == 3
    assert item(project, 9).status == Status.OPEN
    refused = suggestions.of(project, snapshot, state=State.REJECTED)
    assert refused.rows.tolist() == [9]


def test_another_suggestion_for_a_rejected_item_can_be_accepted(
    project: Project, snapshot: Snapshot, rita: User
) -> None:
    reviewing.reject(project=project, reviewer=rita, item=item(project, 9), snapshot=snapshot, now=NOW)
    newer = factories.snapshot(project, [0.99] * 10, [2] * 10, number=2)
    assert accept(project, rita, Choice(newer, 0.9)).count == 10


def test_rejecting_an_accepted_item_opens_it(project: Project, snapshot: Snapshot, rita: User) -> None:
    accept(project, rita, Choice(snapshot, 0.65))
    reviewing.reject(project=project, reviewer=rita, item=item(project, 9), snapshot=snapshot, now=NOW)
    assert item(project, 9).status == Status.OPEN
    assert_counted(project)


def test_an_answered_item_is_corrected_not_rejected(project: Project, snapshot: Snapshot, rita: User) -> None:
    factories.answer(item(project, 9), rita, factories.label(project, 2))
    with pytest.raises(Conflict, match="has an answer"):
        reviewing.reject(project=project, reviewer=rita, item=item(project, 9), snapshot=snapshot, now=NOW)


def test_a_rejection_can_be_taken_back(project: Project, snapshot: Snapshot, rita: User) -> None:
    reviewing.reject(project=project, reviewer=rita, item=item(project, 9), snapshot=snapshot, now=NOW)
    reviewing.restore(project=project, item=item(project, 9))
    assert not Mark.objects.exists()
    assert not Candidate.objects.exists()
    with pytest.raises(Conflict):
        reviewing.restore(project=project, item=item(project, 9))


# In the background


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven items already count as many, and three are settled in a transaction."""
    monkeypatch.setattr(reviewing, "IN_REQUEST", 6)
    monkeypatch.setattr(reviewing, "CHUNK", 3)


def start(project: Project, rita: User, snapshot: Snapshot) -> tuple[Batch, Job]:
    batch, job = reviewing.accept(project=project, reviewer=rita, choice=Choice(snapshot, 0.0), now=NOW)
    assert job is not None
    assert batch.count == 0
    return batch, job


class Killed(BaseException):
    """The worker is gone."""


def dying(after: int) -> Callable[..., None]:
    """A progress that ends the step as SIGKILL would, at its call number `after` (0 first)."""
    calls = iter(range(1000))

    def progress(*_: Any) -> None:
        if next(calls) == after:
            raise Killed

    return progress


def told(_done: int, _total: int = 0, _unit: str = "") -> None:
    """A progress that nobody watches."""


@pytest.mark.usefixtures("small_steps")
def test_many_are_accepted_by_a_job(project: Project, snapshot: Snapshot, rita: User) -> None:
    batch, job = start(project, rita, snapshot)
    tasks.run(job.pk)
    job.refresh_from_db()
    batch.refresh_from_db()
    assert (job.state, job.result["accepted"], batch.count) == (Job.State.DONE, 10, 10)
    assert statuses(project) == ["accepted"] * 10
    assert_counted(project)


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize("after", [0, 1, 2, 3])
def test_a_killed_worker_loses_and_doubles_nothing(
    project: Project, snapshot: Snapshot, rita: User, after: int
) -> None:
    batch, job = start(project, rita, snapshot)
    with pytest.raises(Killed):
        reviewing.run(Job.objects.get(pk=job.pk), dying(after))
    assert Acceptance.objects.count() == 3 * after
    reviewing.run(Job.objects.get(pk=job.pk), told)
    batch.refresh_from_db()
    assert (batch.count, Acceptance.objects.count()) == (10, 10)
    assert Job.objects.get(pk=job.pk).result["accepted"] == 10
    assert_counted(project)


@pytest.mark.usefixtures("small_steps")
def test_what_was_taken_back_after_the_kill_is_not_accepted_again(
    project: Project, snapshot: Snapshot, rita: User
) -> None:
    batch, job = start(project, rita, snapshot)
    with pytest.raises(Killed):
        reviewing.run(Job.objects.get(pk=job.pk), dying(1))
    reviewing.undo(project=project, reviewer=rita, batch=batch, item_ids=[item(project, 1).pk], now=NOW)
    reviewing.run(Job.objects.get(pk=job.pk), told)
    assert [row for row, status in enumerate(statuses(project)) if status == "open"] == [1]


@pytest.mark.usefixtures("small_steps")
def test_undo_stops_a_job_that_still_accepts(project: Project, snapshot: Snapshot, rita: User) -> None:
    batch, job = start(project, rita, snapshot)
    with pytest.raises(Killed):
        reviewing.run(Job.objects.get(pk=job.pk), dying(2))
    reviewing.undo(project=project, reviewer=rita, batch=batch, now=NOW)
    reviewing.run(Job.objects.get(pk=job.pk), told)
    assert statuses(project) == ["open"] * 10
    assert_counted(project)


@pytest.mark.usefixtures("small_steps")
def test_a_cancelled_job_keeps_what_it_did_and_can_be_undone(project: Project, snapshot: Snapshot, rita: User) -> None:
    batch, job = start(project, rita, snapshot)
    calls = iter(range(100))

    def progress(*_: Any) -> None:
        if next(calls) == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        reviewing.run(job, progress)
    batch.refresh_from_db()
    assert batch.count == 6
    reviewing.undo(project=project, reviewer=rita, batch=batch, now=NOW)
    assert statuses(project) == ["open"] * 10


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize("after", [0, 1, 3])
def test_a_big_undo_is_a_job_that_survives_a_kill(project: Project, snapshot: Snapshot, rita: User, after: int) -> None:
    batch, job = start(project, rita, snapshot)
    tasks.run(job.pk)
    undoing = reviewing.undo(project=project, reviewer=rita, batch=batch, now=NOW)
    assert undoing is not None
    with pytest.raises(Killed):
        reviewing.run(Job.objects.get(pk=undoing.pk), dying(after))
    assert statuses(project).count("open") == min(3 * after, 10)
    assert jobs.claim(undoing.pk, timezone.now()) is not None
    reviewing.run(Job.objects.get(pk=undoing.pk), told)
    assert statuses(project) == ["open"] * 10
    assert_counted(project)
