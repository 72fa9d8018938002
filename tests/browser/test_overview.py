"""Overview in a browser: the numbers, the curve with its table, and news taken in without a reload."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from tests.browser.site import Site

MAKE = """
from datetime import timedelta
from tests import factories
from labeling.flow import answering, reviewing
from labeling.models import Item
project = factories.project(40, labels=[f"Label {k}" for k in range(15)], admin="ada", name="Overseen")
for number, (answers, estimate) in enumerate([(5, None), (20, 0.7), (30, 0.8)], 1):
    known = {"accuracy": {"estimate": estimate, "low": estimate - 0.1, "high": estimate + 0.05}} if estimate else {}
    shown = factories.snapshot(project, [0.9] * 40, number=number, answers=answers, estimates=known)
anna = make.member(project, "annotator", "anna")
items = list(Item.objects.filter(project=project).order_by("row"))
for k, item in enumerate(items[:12]):
    at = make.NOW + timedelta(seconds=9 * k)
    factories.answer(item, anna, factories.label(project, k % 2), at=at, seconds=4.0)
choice = reviewing.Choice(shown, item_ids=[item.pk for item in items[20:28]])
reviewing.accept(project=project, reviewer=make.user("ada"), choice=choice, now=make.NOW)
answering.flag(project=project, item=items[30], author=anna, now=make.NOW, note="cut off")
result = {"project": project.pk, "cookie": cookie("ada")}
"""


@pytest.fixture(scope="module")
def made(running_site: Site) -> dict[str, Any]:
    """A project with twelve answers, eight acceptances, three snapshots and a flag."""
    return running_site.run(MAKE)


@pytest.fixture
def overview(open_as: Callable[..., BrowserContext], made: dict[str, Any]) -> Page:
    page = open_as(made["cookie"]).new_page()
    page.goto(f"/projects/{made['project']}/")
    return page


def test_the_numbers_at_a_glance(overview: Page) -> None:
    expect(overview.locator("#done-share")).to_have_text("50.0%")
    done = overview.get_by_role("region", name="Done")
    expect(done).to_contain_text("12 by people")
    expect(done).to_contain_text("8 suggested and accepted")
    expect(done).to_contain_text("20 open")
    expect(overview.get_by_role("region", name="Estimated accuracy of the suggestions")).to_contain_text(
        "70.0% to 85.0%"
    )
    expect(overview.get_by_role("region", name="Your goal")).to_contain_text("15.0 points to go")
    expect(overview.get_by_role("region", name="To look at")).to_contain_text("cut off")
    people = overview.get_by_role("region", name="People")
    expect(people.get_by_role("row", name="anna")).to_contain_text("400")
    done.get_by_role("link", name="12").click()  # the items behind the number
    expect(overview.locator("#rows tr")).to_have_count(12)


def test_the_curve_is_drawn_and_is_there_as_a_table(overview: Page) -> None:
    expect(overview.locator("#curve canvas")).to_be_visible()
    drawn = "canvas => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some(Boolean)"
    assert overview.locator("#curve canvas").evaluate(drawn)
    overview.get_by_text("The same as a table").click()
    table = overview.get_by_role("table", name="Estimated accuracy by answers")
    expect(table.locator("tbody tr")).to_have_text(["2070.0%60.0%75.0%", "3080.0%70.0%85.0%"])


def test_all_labels_unfold(overview: Page) -> None:
    expect(overview.locator("#other-labels")).to_be_hidden()
    overview.get_by_role("button", name="3 more labels").click()
    expect(overview.locator("#other-labels tr")).to_have_count(3)
    expect(overview.locator("#other-labels")).to_be_visible()


def test_news_is_taken_in(running_site: Site, open_as: Callable[..., BrowserContext]) -> None:
    if running_site.environment["REDIS_URL"].endswith("/none"):
        pytest.skip("no Redis-compatible server is installed, so there are no live events")
    made = running_site.run(
        "from tests import factories\nproject = factories.project(4, admin='ada', name='Moving')\n"
        "result = {'project': project.pk, 'cookie': cookie('ada')}"
    )
    page = open_as(made["cookie"]).new_page()
    with page.expect_response(lambda response: response.url.endswith("/events")):
        page.goto(f"/projects/{made['project']}/")
    expect(page.locator("#done-share")).to_have_text("0.0%")
    page.wait_for_timeout(500)
    running_site.run(
        f"""
from tests import factories
from labeling import live
from labeling.models import Item, Project
project = Project.objects.get(pk={made["project"]})
factories.answer(Item.objects.get(project=project, row=0), make.user("ada"), factories.label(project, 0))
live.publish(project.pk, "progress", {{}})
"""
    )
    expect(page.locator("#done-share")).to_have_text("25.0%")


def test_accessible_wide_and_narrow(
    open_as: Callable[..., BrowserContext], made: dict[str, Any], serious: Callable[[Page], list[str]]
) -> None:
    for narrow in (False, True):
        page = open_as(made["cookie"], narrow=narrow, dark=narrow).new_page()
        page.goto(f"/projects/{made['project']}/")
        expect(page.locator("#curve canvas")).to_be_visible()
        assert serious(page) == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def on_one_line(card: Locator) -> bool:
    """Whether the card's figure and its unit stand on one line."""
    return bool(
        card.locator(".big").evaluate("one => one.offsetHeight < 1.9 * parseFloat(getComputedStyle(one).fontSize)")
    )


FORESEEN = """
from labeling.models import Project
from tests.api.test_outlook import learned
project = learned(end=%r)
Project.objects.filter(pk=project.pk).update(goal_accuracy=%r)
result = {"project": project.pk, "cookie": cookie("owner")}
"""


def test_the_forecast_says_how_many_answers_the_goal_may_need(
    running_site: Site, open_as: Callable[..., BrowserContext], serious: Callable[[Page], list[str]]
) -> None:
    made = running_site.run(FORESEEN % (0.99, 0.93))
    for narrow in (False, True):
        page = open_as(made["cookie"], narrow=narrow, dark=narrow).new_page()
        page.goto(f"/projects/{made['project']}/")
        goal = page.get_by_role("region", name="Your goal of 93%")
        told = re.fullmatch(r"≈ (\d+) answers", goal.locator(".big").inner_text())
        assert told
        low, high = re.findall(r"(\d+) to (\d+) more with 95% confidence", goal.inner_text())[0]
        assert int(low) <= int(told[1]) <= int(high)
        assert on_one_line(goal)
        expect(page.locator(".stopping")).to_have_count(0)
        assert serious(page) == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_goal_out_of_reach_says_why_nothing_is_foretold_and_that_more_hardly_pay(
    running_site: Site, open_as: Callable[..., BrowserContext], serious: Callable[[Page], list[str]]
) -> None:
    made = running_site.run(
        """
from labeling.models import Project
from tests import factories
from tests.api.test_outlook import learned
project = learned(rounds=40, end=0.9, scale=30.0)
Project.objects.filter(pk=project.pk).update(goal_accuracy=0.97)
result = {"project": project.pk, "cookie": cookie("owner")}
"""
    )
    page = open_as(made["cookie"]).new_page()
    page.goto(f"/projects/{made['project']}/")
    goal = page.get_by_role("region", name="Your goal of 97%")
    expect(goal.locator(".big")).to_contain_text("points to go")
    assert on_one_line(goal)
    expect(goal).to_contain_text("How many answers are missing cannot be told")
    expect(page.locator(".stopping")).to_contain_text("hardly pay")
    assert serious(page) == []
