"""Overview page: what it says in words where numbers are missing, and to whom."""

from __future__ import annotations

import pytest

from labeling.models import Project, Role
from labeling.templatetags.humane import count, points, share, short_share
from tests import factories, make

pytestmark = pytest.mark.django_db


def text(project: Project, name: str = "owner") -> str:
    reply = factories.browser(make.user(name)).get(f"/projects/{project.pk}/")
    assert reply.status_code == 200
    return reply.content.decode()


def test_an_empty_project_says_what_to_do_next() -> None:
    project = factories.project(0)
    make.member(project, Role.ANNOTATOR, "anna")
    assert "Import items" in text(project)
    assert "Import items" not in text(project, "anna")
    assert "An admin of the project imports" in text(project, "anna")


def test_without_an_estimate_it_says_what_is_missing() -> None:
    project = factories.project(3)
    factories.snapshot(project, [0.5] * 3, answers=19, estimates={"needs_answers": 20})
    shown = text(project)
    assert "1 more answer is needed" in shown
    assert "Review suggestions" in shown
    assert 'id="curve"' not in shown


def test_a_curve_whose_newest_model_could_not_be_measured() -> None:
    project = factories.project(3)
    known = {"accuracy": {"estimate": 0.8, "low": 0.7, "high": 0.9}}
    for number, estimates in enumerate((known, known, {}), 1):
        factories.snapshot(project, [0.5] * 3, number=number, answers=20 + number, estimates=estimates)
    shown = text(project)
    assert "from 80.0% to 80.0% at 22 answers" in shown
    assert "too wide an interval" in shown


def test_annotators_see_no_way_to_review() -> None:
    project = factories.project(3)
    factories.snapshot(project, [0.5] * 3)
    make.member(project, Role.ANNOTATOR, "anna")
    assert "/review" in text(project)
    assert "/review" not in text(project, "anna")


def test_numbers_as_people_write_them() -> None:
    assert [count(n) for n in (None, 0, 999, 1234567)] == ["", "0", "999", "1,234,567"]
    assert [share(p) for p in (None, 0.0, 0.00001, 0.914, 0.99999, 1.0)] == [
        "", "0.0%", "0.1%", "91.4%", "99.9%", "100.0%",
    ]  # fmt: skip
    assert [short_share(p) for p in (0.95, 0.975, 1.0)] == ["95%", "97.5%", "100%"]
    assert points(0.097) == "9.7"
