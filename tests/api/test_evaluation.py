"""The evaluation of suggestions, through the API and the page: what people answered against what was predicted."""

from __future__ import annotations

from typing import Any

import pytest

from labeling import evaluation
from labeling.flow import answering
from labeling.models import Item, Project, User
from tests import factories, make

pytestmark = pytest.mark.django_db


@pytest.fixture
def project() -> Project:
    return factories.project(200, random_share=0.1)


@pytest.fixture
def anna(project: Project) -> User:
    return make.member(project, "annotator", "anna")


def predicted(project: Project, anna: User, rows: range, reason: str, right: int, **facts: Any) -> None:
    """Answers to these rows; the first `right` of them as had been foreseen."""
    one, other = factories.label(project, 0), factories.label(project, 1)
    for place, item in enumerate(Item.objects.filter(project=project, row__in=rows).order_by("row")):
        suggested = one if place < right else other
        told = {"foreseen": suggested, "foreseen_p": 0.8, "suggested": suggested, "reason": reason} | facts
        factories.answer(item, anna, one, **told)


def told(project: Project) -> dict[str, Any]:
    response = factories.api(User.objects.get(username="owner")).get(f"/api/projects/{project.pk}/evaluation/")
    assert response.status_code == 200
    return response.json()


def test_nothing_is_claimed_of_nothing(project: Project) -> None:
    empty = told(project)
    assert (empty["answered"], empty["gain"], empty["over_time"]) == (0, None, [])
    assert empty["strategies"]["random"]["accuracy"] is None
    assert empty["calibration"] == {"all": None, "random": None}
    assert empty["mix"] == {"margin": 0.9, "typical": 0.0, "random": 0.1, "doubt": 0.0}


def test_accuracy_by_the_way_items_were_asked(project: Project, anna: User) -> None:
    predicted(project, anna, range(40), "margin", 20)
    predicted(project, anna, range(40, 70), "random", 27)
    predicted(project, anna, range(70, 72), "open", 0, suggested=None)
    found = told(project)
    assert (found["answered"], found["hidden"]) == (72, 2)
    assert found["strategies"]["margin"]["accuracy"] == 0.5
    honest = found["strategies"]["random"]
    assert (honest["count"], honest["right"], honest["accuracy"]) == (30, 27, 0.9)
    assert honest["low"] < 0.9 < honest["high"]
    assert found["gain"]["errors"] == pytest.approx(0.4)
    assert found["gain"]["low"] > 0
    assert found["mix"]["margin"] == 0.9, "it finds what the model gets wrong"
    assert [point["predictions"] for point in found["over_time"]] == [25, 50, 72]
    assert found["calibration"]["all"]["bins"][0]["count"] == 72
    error = found["calibration"]["random"]["error"]
    assert error["value"] == pytest.approx(0.1)
    assert error["low"] <= error["value"] <= error["high"]


def test_where_the_margin_finds_nothing_the_queue_turns_to_others(project: Project, anna: User) -> None:
    predicted(project, anna, range(60), "margin", 59)
    predicted(project, anna, range(60, 90), "random", 20)
    mixed = told(project)["mix"]
    assert mixed["margin"] == pytest.approx(0.45, abs=0.01)
    assert mixed["random"] > 0.3
    Project.objects.filter(pk=project.pk).update(random_share=0)
    assert told(project)["mix"] == {"margin": 1.0, "typical": 0.0, "random": 0.0, "doubt": 0.0}


def test_a_correction_counts_and_what_was_taken_back_does_not(project: Project, anna: User) -> None:
    predicted(project, anna, range(3), "margin", 3)
    items = list(Item.objects.filter(project=project, row__lt=3).order_by("row"))
    reviewer, other = make.member(project, "reviewer", "rita"), factories.label(project, 2)
    answering.correct(project=project, item=items[0], reviewer=reviewer, label=other, now=make.NOW)
    answering.undo(project=project, author=anna, now=make.NOW, answer_id=items[1].answers.get().pk)
    assert evaluation.predictions(project).right.tolist() == [False, True]


def test_the_page_shows_it(project: Project, anna: User) -> None:
    predicted(project, anna, range(40), "margin", 20)
    predicted(project, anna, range(40, 70), "random", 27)
    page = factories.browser(User.objects.get(username="owner")).get(f"/projects/{project.pk}/models").content.decode()
    assert "90.0%" in page
    assert "40.0 points" in page
    assert "90% where the model is unsure, 10% at random, 0% because" in page
