"""Outlook: what was measured of the whole set, how far the goal is, when to stop, and that nothing is guessed."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from labeling import outlook
from labeling.flow import auditing
from labeling.models import Certificate, Project, Role, User
from tests import factories, make
from tests.flow.test_auditing import fresh, settle, suggested

pytestmark = pytest.mark.django_db
ITEMS = 400


def estimate(answers: int, end: float = 0.99, scale: float = 150.0) -> dict[str, Any]:
    value = float(end - 0.3 * np.exp(-answers / scale))
    return {"accuracy": {"estimate": value, "low": value - 0.03, "high": min(value + 0.03, 1.0), "how": "x"}}


def learned(items: int = ITEMS, rounds: int = 12, **curve: float) -> Project:
    """A project whose models were estimated after each ten answers, on a curve that is known."""
    project = factories.project(items)
    for number in range(1, rounds + 1):
        known = estimate(10 * number, **curve)
        if expected := outlook.ahead(project, 10 * number, known):
            known["ahead"] = expected
        factories.snapshot(
            project, [0.9] * items, [k % 3 for k in range(items)], number=number, answers=10 * number, estimates=known
        )
    return fresh(project)


def described(project: Project) -> dict[str, Any]:
    return dict(factories.api(make.user("owner")).get(f"/api/projects/{project.pk}/overview").json())


def page(project: Project, name: str = "owner") -> str:
    return factories.browser(make.user(name)).get(f"/projects/{project.pk}/").content.decode()


def measured(project: Project, audits: int = 40, wrong_row: int = -1) -> Certificate:
    """An audit sample of all that there is, answered by ben."""
    ben = User.objects.filter(username="ben").first() or make.member(project, Role.ANNOTATOR, "ben")
    sample = auditing.start_sample(
        project=fresh(project), asker=make.user("owner"), audits=audits, accepted_only=False, now=make.NOW
    )
    settle(sample, ben)
    sample.refresh_from_db()
    return sample


def test_the_answers_to_the_goal_are_foretold_with_their_interval() -> None:
    project = learned()
    Project.objects.filter(pk=project.pk).update(goal_accuracy=0.93)
    told = described(project)["forecast"]
    truth = -150 * np.log(0.06 / 0.3) - 120
    assert told["state"] == "told"
    assert told["low"] - 10 <= truth <= told["high"] + 10
    assert told["low"] <= told["likely"] <= told["high"]
    shown = " ".join(re.sub(r"<[^>]+>", " ", page(project)).split())
    assert f"≈ {told['likely']} answers" in shown
    assert f"{told['low']} to {told['high']} more with 95% confidence" in shown
    assert described(project)["stopping"] == ""


def test_few_estimates_say_that_nothing_can_be_told() -> None:
    project = learned(rounds=3)
    told = described(project)["forecast"]
    assert (told["state"], told["likely"]) == ("few", None)
    assert "cannot be told yet" in page(project)


def test_more_answers_than_open_items_are_not_asked_for() -> None:
    project = learned(items=20)
    Project.objects.filter(pk=project.pk).update(goal_accuracy=0.93)
    told = described(project)["forecast"]
    assert told["state"] == "items"
    assert "than there are open items" in page(project)


def test_a_flat_curve_says_that_more_answers_hardly_pay_and_the_labelling_page_hears_of_it() -> None:
    project = learned(rounds=40, end=0.9, scale=30.0)
    Project.objects.filter(pk=project.pk).update(goal_accuracy=0.97)
    told = described(project)
    assert told["forecast"]["state"] in ("far", "wide")
    assert "hardly pay" in told["stopping"]
    assert "hardly pay" in page(project)
    anna = factories.api(make.member(project, Role.ANNOTATOR, "anna"))
    progress = anna.get(f"/api/projects/{project.pk}/progress/").json()
    assert progress["ahead"]["pays"] is False
    assert progress["ahead"]["low"] <= progress["ahead"]["gain"] <= progress["ahead"]["high"] < 0.01


def test_the_whole_set_is_not_measured_until_audits_have_measured_it() -> None:
    project = learned()
    assert described(project)["audited"]["right"] is None
    shown = page(project)
    assert "Not measured yet" in shown
    assert "?measure=1#certify" in shown
    sample = measured(project)
    told = described(project)["audited"]
    assert (told["sample"], told["audits"], told["items"], told["covered"]) == (sample.number, 40, ITEMS, True)
    assert told["right"]["estimate"] == 1.0
    assert told["right"]["low"] < 1
    shown = page(project)
    assert f"40 of {ITEMS} items" in shown
    assert f"/projects/{project.pk}/certificates/{sample.number}" in shown


def test_a_goal_reached_by_audits_says_so_and_when_to_stop() -> None:
    project = learned()
    Project.objects.filter(pk=project.pk).update(goal_accuracy=0.85)
    measured(project, audits=60)
    told = described(project)
    assert (told["forecast"]["state"], told["forecast"]["by"]) == ("reached", "audit")
    assert "Your goal is reached, as audits measured" in told["stopping"]


def test_annotators_see_the_figure_but_no_way_into_the_audits() -> None:
    project = learned()
    make.member(project, Role.ANNOTATOR, "anna")
    measured(project)
    shown = page(project, "anna")
    assert "The audits behind it" not in shown
    assert "Audited accuracy of the whole set" in shown


def test_a_hopeless_claim_is_told_how_many_answers_are_missing() -> None:
    project = learned()
    factories.snapshot(
        project, [0.8] * ITEMS, [k % 3 for k in range(ITEMS)], number=13, answers=130, estimates=estimate(130)
    )
    make.member(project, Role.ANNOTATOR, "anna")
    told = auditing.propose(project=fresh(project), asker=make.user("owner"), eps=0.1)
    assert told.chance < auditing.HOPELESS
    assert told.answers_missing is not None
    assert 0 < told.answers_missing["low"] <= told.answers_missing["likely"] <= told.answers_missing["high"]
    assert f"about {told.answers_missing['likely']} more answers" in told.reason


def test_where_no_curve_tells_a_hopeless_claim_says_so() -> None:
    project = factories.project(ITEMS)
    factories.snapshot(project, [0.8] * ITEMS, [k % 3 for k in range(ITEMS)])
    told = auditing.propose(project=fresh(project), asker=make.user("owner"), eps=0.1)
    assert told.answers_missing is None
    assert "cannot be told yet" in told.reason


def test_the_items_behind_a_sample_are_those_that_were_judged() -> None:
    project = learned()
    sample = measured(project)
    audits = sample.audits.select_related("item")
    assert {suggested(audit.item).pk for audit in audits} == {audit.suggested_id for audit in audits}
