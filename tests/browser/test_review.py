"""Review in a browser: the threshold with preview and undo, every decision by keyboard, and what others did since."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.site import Site

MAKE = """
from tests import factories
def fresh():
    project = factories.project(120, admin="ada", name="Card questions")
    factories.snapshot(project, [(k + 0.5) / 120 for k in range(120)], [k % 3 for k in range(120)])
    make.member(project, "reviewer", "rita")
    return {"project": project.pk, "cookie": cookie("rita")}
result = [fresh() for _ in range(10)]
"""
STATUSES = """
from labeling.models import Item
found = Item.objects.filter(project=%d).order_by("row").values_list("status", "label__name")
result = [list(pair) for pair in found]
"""
LABELS = ("Card arrival", "Card delivery estimate", "Exchange rate")


@pytest.fixture(scope="module")
def projects(running_site: Site) -> list[dict[str, Any]]:
    """As many projects as there are tests that change one; made together, since starting Python takes longest."""
    return list(running_site.run(MAKE))


@pytest.fixture
def made(projects: list[dict[str, Any]]) -> dict[str, Any]:
    """A project of 120 suggestions, the model ever surer from row to row, and a reviewer of it."""
    return projects.pop()


@pytest.fixture
def review(open_as: Callable[..., BrowserContext], made: dict[str, Any]) -> Page:
    """The page, with its first suggestions on it."""
    page = open_as(made["cookie"]).new_page()
    page.goto(f"/projects/{made['project']}/review")
    expect(page.locator("#list tbody tr")).to_have_count(50)
    return page


def statuses(site: Site, made: dict[str, Any]) -> list[list[str]]:
    return site.run(STATUSES % made["project"])


def row(page: Page, place: int) -> Any:
    return page.locator("#list tbody tr").nth(place)


def test_accepts_above_a_threshold_after_a_look_and_takes_it_back(
    running_site: Site, made: dict[str, Any], review: Page
) -> None:
    review.locator("#threshold").fill("0.75")
    expect(review.locator("#settles")).to_have_text("30")
    expect(review.locator("#expected")).to_contain_text("(12.5%)")
    review.locator("#slider").press("ArrowRight")
    expect(review.locator("#threshold")).to_have_value("0.76")
    review.locator("#slider").press("ArrowLeft")
    review.get_by_role("button", name="Accept 30").click()
    preview = review.get_by_role("dialog", name="Before you accept")
    expect(preview.locator("tbody tr")).to_have_count(3)
    expect(preview.locator("tbody tr").first).to_contain_text("10")
    preview.get_by_role("button", name="Accept 30").click()
    expect(review.locator(".toast")).to_contain_text("Accepted 30 suggestions")
    expect(review.locator("#settles")).to_have_text("0")
    assert [status for status, _label in statuses(running_site, made)] == ["open"] * 90 + ["accepted"] * 30
    review.locator(".toast").get_by_role("button", name="Undo").click()
    expect(review.locator("#settles")).to_have_text("30")
    review.locator("#batches summary").click()
    expect(review.locator("#batches li")).to_contain_text("taken back by rita")
    assert {status for status, _label in statuses(running_site, made)} == {"open"}


def test_every_decision_by_keyboard(running_site: Site, made: dict[str, Any], review: Page) -> None:
    review.keyboard.press("a")
    expect(row(review, 0)).to_have_attribute("data-state", "accepted")
    expect(row(review, 0)).to_contain_text("accepted by you")
    review.keyboard.press("x")
    expect(row(review, 1)).to_contain_text("a person is asked")
    review.keyboard.press("e")
    review.keyboard.type("exch")
    expect(review.locator("#change-list").get_by_role("option")).to_have_count(1)
    review.keyboard.press("Enter")
    expect(row(review, 2)).to_contain_text("answered by you")
    expect(row(review, 3)).to_have_attribute("aria-selected", "true")
    expect(review.locator("#list tr[data-pending]")).to_have_count(0)
    assert statuses(running_site, made)[:4] == [
        ["accepted", LABELS[0]],
        ["open", None],
        ["answered", LABELS[2]],
        ["open", None],
    ]
    review.keyboard.press("k")
    review.keyboard.press("h")
    expect(row(review, 2).locator(".past")).to_contain_text("rita answered Exchange rate")
    for place in (2, 1, 0):
        review.keyboard.press("u")
        expect(row(review, place)).to_have_attribute("data-state", "open")
        expect(review.locator("#list tr[data-pending]")).to_have_count(0)
    assert {status for status, _label in statuses(running_site, made)} == {"open"}
    assert (
        running_site.run("from labeling.models import Mark\nresult = Mark.objects.filter(code='reject').count()") == 0
    )


def test_accepts_what_was_gone_past_in_one_go(running_site: Site, made: dict[str, Any], review: Page) -> None:
    for key in ("j", "x", "j", "j", "Shift+A"):
        review.keyboard.press(key)
    expect(review.locator(".toast")).to_contain_text("Accepted 4 suggestions")
    expect(row(review, 5)).to_have_attribute("aria-selected", "true")
    expect(review.locator("#list tr[data-pending]")).to_have_count(0)
    accepted = [[*pair] for pair in zip(["accepted", "open", *["accepted"] * 3], (LABELS * 2)[:5], strict=True)]
    accepted[1][1] = None
    assert statuses(running_site, made)[:6] == [*accepted, ["open", None]]
    review.keyboard.press("k")
    review.keyboard.press("u")
    expect(row(review, 4)).to_have_attribute("data-state", "open")
    expect(review.locator("#list tr[data-pending]")).to_have_count(0)
    review.locator(".toast").get_by_role("button", name="Undo").click()
    for place in (0, 2, 3):
        expect(row(review, place)).to_have_attribute("data-state", "open")
    assert {status for status, _label in statuses(running_site, made)} == {"open"}


def test_what_others_settled_meanwhile_stays_as_they_left_it(
    running_site: Site, made: dict[str, Any], review: Page
) -> None:
    running_site.run(
        f"""
from tests import factories
from labeling.models import Item, Project
project = Project.objects.get(pk={made["project"]})
factories.answer(Item.objects.get(project=project, row=1), make.user("ada"), factories.label(project, 2))
"""
    )
    for key in ("j", "j", "Shift+A"):
        review.keyboard.press(key)
    expect(review.locator(".toast")).to_contain_text("Accepted 2 suggestions")
    assert statuses(running_site, made)[:3] == [
        ["accepted", LABELS[0]],
        ["answered", LABELS[2]],
        ["accepted", LABELS[2]],
    ]


def test_images_lie_side_by_side_and_arrows_lead_through_them(
    open_as: Callable[..., BrowserContext], running_site: Site, serious: Callable[[Page], list[str]]
) -> None:
    made = running_site.run(
        """
from tests import factories
project = factories.project(20, admin="ada", name="Drawings", modality="image")
factories.snapshot(project, [(k + 0.5) / 20 for k in range(20)], [k % 3 for k in range(20)])
result = {"project": project.pk, "cookie": cookie("ada")}
"""
    )
    page = open_as(made["cookie"]).new_page()
    page.goto(f"/projects/{made['project']}/review")
    expect(page.locator("#list tbody tr")).to_have_count(20)
    tops = page.locator("#list tbody tr").evaluate_all("rows => rows.map((row) => row.offsetTop)")
    across = tops.count(tops[0])
    assert across > 2
    for key, place in (("ArrowRight", 1), ("ArrowDown", 1 + across), ("ArrowLeft", across), ("ArrowUp", 0)):
        page.keyboard.press(key)
        expect(row(page, place)).to_have_attribute("aria-selected", "true")
    assert serious(page) == []
    page.keyboard.press("v")
    page.keyboard.press("ArrowDown")
    expect(row(page, 1)).to_have_attribute("aria-selected", "true")
    page.reload()
    expect(page.get_by_role("button", name="Tiles")).to_have_attribute("aria-pressed", "false")


def test_an_acceptance_stands_again_when_the_answer_over_it_is_undone(
    running_site: Site, made: dict[str, Any], review: Page
) -> None:
    review.keyboard.press("a")
    expect(row(review, 0)).to_have_attribute("data-state", "accepted")
    expect(review.locator("#list tr[data-pending]")).to_have_count(0)
    row(review, 0).get_by_role("button", name="Change").click()
    review.keyboard.type("exch")
    review.keyboard.press("Enter")
    expect(row(review, 0)).to_contain_text("answered by you")
    expect(review.locator("#list tr[data-pending]")).to_have_count(0)
    assert statuses(running_site, made)[0] == ["answered", LABELS[2]]
    for state in ("accepted", "open"):
        row(review, 0).get_by_role("button", name="Undo").click()
        expect(row(review, 0)).to_have_attribute("data-state", state)
        expect(review.locator("#list tr[data-pending]")).to_have_count(0)
    assert statuses(running_site, made)[0] == ["open", None]


def test_moving_on_loads_more(review: Page) -> None:
    for _ in range(45):
        review.keyboard.press("j")
    expect(review.locator("#list tbody tr")).not_to_have_count(50)
    for _ in range(15):
        review.keyboard.press("j")
    expect(row(review, 60)).to_be_focused()
    expect(review.locator("#shown")).to_contain_text("of 120")
    review.locator("#label").select_option(label=LABELS[1])
    expect(review.locator("#shown")).to_have_text("40 of 40")
    review.locator("#order").select_option("most")
    expect(row(review, 0)).to_contain_text("0.98")


def test_an_item_that_somebody_answered_meanwhile_is_not_accepted(
    running_site: Site, made: dict[str, Any], review: Page
) -> None:
    running_site.run(
        f"""
from tests import factories
from labeling.models import Item, Project
from django.utils import timezone
project = Project.objects.get(pk={made["project"]})
item = Item.objects.get(project=project, row=0)
factories.answer(item, make.user("ada"), factories.label(project, 2), at=timezone.now())
"""
    )
    review.keyboard.press("a")
    expect(review.locator(".toast.bad")).to_contain_text("Nothing is left to accept")
    expect(row(review, 0)).to_have_attribute("data-state", "answered")
    expect(row(review, 0)).to_contain_text("answered by ada")
    assert statuses(running_site, made)[0] == ["answered", LABELS[2]]


def test_a_newer_model_is_announced_and_waits_to_be_shown(
    running_site: Site, made: dict[str, Any], review: Page
) -> None:
    if running_site.environment["REDIS_URL"].endswith("/none"):
        pytest.skip("no Redis-compatible server is installed, so there are no live events")
    running_site.run(
        f"""
from tests import factories
from labeling import live
from labeling.models import Project
project = Project.objects.get(pk={made["project"]})
factories.snapshot(project, [0.5] * 120, [1] * 120, number=2)
live.publish(project.pk, "snapshot", {{"number": 2, "answers": 0, "accuracy": None}})
"""
    )
    expect(review.locator("#newer")).to_contain_text("Model 2 is ready")
    expect(row(review, 1)).to_contain_text(LABELS[1])
    expect(row(review, 0)).to_contain_text(LABELS[0])
    review.get_by_role("button", name="Show it").click()
    expect(row(review, 0)).to_contain_text(LABELS[1])
    expect(review.locator("#settles")).to_have_text("0")


def test_accessible_wide_and_narrow(
    open_as: Callable[..., BrowserContext], made: dict[str, Any], serious: Callable[[Page], list[str]]
) -> None:
    for narrow in (False, True):
        page = open_as(made["cookie"], narrow=narrow, dark=narrow).new_page()
        page.goto(f"/projects/{made['project']}/review")
        expect(page.locator("#list tbody tr")).to_have_count(50)
        assert serious(page) == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.locator("#threshold").fill("0.5")
        page.locator("#accept").click()
        expect(page.locator("#confirm")).to_be_focused()
        assert serious(page) == []


def test_nothing_to_suggest_yet(open_as: Callable[..., BrowserContext], running_site: Site) -> None:
    made = running_site.run(
        "from tests import factories\nproject = factories.project(2, admin='ada', name='New')\n"
        "result = {'project': project.pk, 'cookie': cookie('ada')}"
    )
    page = open_as(made["cookie"]).new_page()
    page.goto(f"/projects/{made['project']}/review")
    expect(page.get_by_role("heading", name="nothing to suggest yet")).to_be_visible()
