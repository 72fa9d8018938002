"""API of the overview: its numbers agree with counting, and nothing is claimed that is not known."""

from __future__ import annotations

from datetime import timedelta

import pytest

from labeling import overview, standing
from labeling.flow import answering, reviewing
from labeling.models import Item, Project, Role, User
from tests import factories, make

NOW = make.NOW
pytestmark = pytest.mark.django_db
KNOWN = {"accuracy": {"estimate": 0.9, "low": 0.86, "high": 0.94, "how": "cross-validation"}}


@pytest.fixture
def project() -> Project:
    return factories.project(10)


@pytest.fixture
def anna(project: Project) -> User:
    return make.member(project, Role.ANNOTATOR, "anna")


def items(project: Project) -> list[Item]:
    return list(Item.objects.filter(project=project).order_by("row"))


def described(project: Project) -> dict:
    return factories.api(make.user("owner")).get(f"/api/projects/{project.pk}/overview").json()


def test_an_empty_project_claims_nothing() -> None:
    told = described(factories.project(0))
    assert told["progress"]["share"] is None
    assert told["accuracy"]["estimate"] is None
    assert "not learned yet" in told["accuracy"]["missing"]
    assert told["goal"]["state"] == "unknown"
    assert (told["curve"], told["people"]) == ([], [])


def test_progress_by_origin(project: Project, anna: User) -> None:
    ten = items(project)
    factories.answer(ten[0], anna, factories.label(project, 0))
    factories.answer(ten[1], None, factories.label(project, 0), origin="imported")  # type: ignore[arg-type]
    shown = factories.snapshot(project, [0.9] * 10)
    reviewing.accept(
        project=project, reviewer=anna, choice=reviewing.Choice(shown, item_ids=[ten[2].pk, ten[3].pk]), now=NOW
    )
    told = described(project)["progress"]
    assert told == {"items": 10, "open": 6, "answered": 1, "imported": 1, "accepted": 2, "share": 0.4}
    assert standing.counted(project)["accepted"] == 2


def test_the_curve_has_a_point_per_snapshot(project: Project) -> None:
    factories.snapshot(project, [0.5] * 10, number=1, answers=5)
    factories.snapshot(project, [0.5] * 10, number=2, answers=30, estimates=KNOWN)
    told = described(project)
    assert [(point["answers"], point["estimate"]) for point in told["curve"]] == [(5, None), (30, 0.9)]
    assert (told["accuracy"]["low"], told["accuracy"]["missing"]) == (0.86, "")


def test_what_is_missing_is_said_in_words(project: Project) -> None:
    factories.snapshot(project, [0.5] * 10, answers=8, estimates={"needs_answers": 20})
    told = described(project)["accuracy"]
    assert told["estimate"] is None
    assert "12 more answers" in told["missing"]


def test_too_wide_an_interval_and_nothing_open_are_told_apart(project: Project, anna: User) -> None:
    factories.snapshot(project, [0.5] * 10, answers=30, estimates={"labels": {}})
    assert "too wide" in described(project)["accuracy"]["missing"]
    for item in items(project):
        factories.answer(item, anna, factories.label(project, 0))
    assert "Nothing is open" in described(project)["accuracy"]["missing"]


@pytest.mark.parametrize(
    ("goal", "state", "gap"), [(0.85, "reached", 0.0), (0.92, "perhaps", 0.02), (0.95, "below", 0.05)]
)
def test_the_goal_is_reached_when_the_whole_interval_is(project: Project, goal: float, state: str, gap: float) -> None:
    Project.objects.filter(pk=project.pk).update(goal_accuracy=goal)
    factories.snapshot(project, [0.5] * 10, estimates=KNOWN)
    told = described(project)["goal"]
    assert (told["state"], told["gap"]) == (state, pytest.approx(gap))


def test_labels_with_their_answers_and_confusions(project: Project, anna: User) -> None:
    first, second, third = project.labels.all()
    known = {"labels": {str(third.pk): {"estimate": 0.4, "low": 0.2, "high": 0.6, "answers": 5}}}
    known |= {"confusions": [{"answer": third.pk, "suggested": first.pk, "count": 3}]}
    shown = factories.snapshot(project, [0.9] * 10, estimates=known)
    ten = items(project)
    for item in ten[:3]:
        factories.answer(item, anna, first, suggested=first, snapshot=shown)
    for item in ten[3:5]:
        factories.answer(item, anna, first, suggested=second, snapshot=shown)
    rows = described(project)["labels"]
    assert rows[0]["name"] == third.name, "the weakest by its estimate comes first"
    told = next(row for row in rows if row["id"] == first.pk)
    assert (told["answers"], told["confirmed"], told["suggested"]) == (5, 3, 5)
    assert told["confused_with"] == {"name": second.name, "count": 2}
    assert rows[0]["confused_with"] == {"name": first.name, "count": 3}, "held-out answers come before shown ones"


def test_withdrawn_answers_count_nowhere(project: Project, anna: User) -> None:
    given = answering.submit(
        project=project, item=items(project)[0], author=anna, label=factories.label(project, 0), now=NOW
    )
    answering.undo(project=project, author=anna, now=NOW, answer_id=given.answer.pk)
    told = described(project)
    assert told["people"] == []
    assert sum(row["answers"] for row in told["labels"]) == 0


def test_pace_leaves_pauses_out(project: Project, anna: User) -> None:
    for k, item in enumerate(items(project)):
        # Ten seconds each, with an hour's break in the middle.
        at = NOW + timedelta(seconds=10 * k, hours=k >= 5)
        factories.answer(item, anna, factories.label(project, 0), at=at, seconds=4 + k % 3)
    (told,) = overview.people(project, NOW + timedelta(days=2))
    assert (told["name"], told["answers"], told["last_day"], told["median_seconds"]) == ("anna", 10, 0, 5.0)
    assert told["per_hour"] is None, "nine gaps less the break are too few"
    moments = [NOW + timedelta(seconds=10 * k, hours=k >= 15) for k in range(30)]
    assert overview.pace(moments) == pytest.approx(360)


def test_flagged_and_skipped_items(project: Project, anna: User) -> None:
    one, two, *_rest = items(project)
    answering.flag(project=project, item=one, author=anna, now=NOW, note="two questions")
    answering.skip(project=project, item=two, author=anna, now=NOW)
    told = described(project)["marks"]
    assert (told["flagged"]["count"], told["skipped"]["count"]) == (1, 1)
    assert (told["flagged"]["newest"][0]["note"], told["flagged"]["newest"][0]["by"]) == ("two questions", "anna")


def test_a_stranger_learns_nothing(project: Project) -> None:
    assert factories.api(make.user("stranger")).get(f"/api/projects/{project.pk}/overview/").status_code == 404


def test_snapshots_newest_first(project: Project) -> None:
    for number in (1, 2, 3):
        factories.snapshot(project, [0.5] * 10, number=number, answers=number * 10)
    told = factories.api(make.user("owner")).get(f"/api/projects/{project.pk}/snapshots?limit=2").json()
    assert (told["count"], [snapshot["number"] for snapshot in told["results"]]) == (3, [3, 2])
    assert told["results"][0]["labels"] == list(project.labels.values_list("pk", flat=True))
