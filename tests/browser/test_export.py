"""Export in a browser: choose, watch it being made, download it, delete it."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.site import Site

MAKE = """
from tests import factories
from labeling.models import Item
project = factories.project(10, admin="ada", name="Card questions")
for item in Item.objects.filter(project=project, row__lt=4):
    factories.answer(item, make.user("ada"), factories.label(project, 1), seconds=2.5)
result = {"project": project.pk, "cookie": cookie("ada")}
"""
WORK = """
from labeling import tasks
from labeling.models import Job
tasks.run(Job.objects.filter(project={project}, kind="export").latest("pk").pk)
"""


@pytest.fixture(scope="module")
def made(running_site: Site) -> dict[str, Any]:
    """A project of ten items, four of them answered."""
    return running_site.run(MAKE)


@pytest.fixture
def page(open_as: Callable[..., BrowserContext], made: dict[str, Any]) -> Page:
    opened = open_as(made["cookie"]).new_page()
    opened.goto(f"/projects/{made['project']}/export")
    return opened


def test_from_the_form_to_the_file(running_site: Site, made: dict[str, Any], page: Page) -> None:
    expect(page.locator("#total")).to_have_text("4 items")
    page.get_by_label("Pseudonyms instead of people's names").check()
    page.get_by_label("With a data card and certificates, as a zip").uncheck()
    page.get_by_role("button", name="Export", exact=True).click()
    entry = page.locator("#made li")
    expect(entry).to_contain_text("waiting")
    running_site.run(WORK.format(**made))
    expect(entry.get_by_role("link", name="Download")).to_be_visible()
    with page.expect_download() as download:
        entry.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename.startswith("card-questions-")
    content = Path(download.value.path()).read_text(encoding="utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(content)))
    assert [row["label"] for row in rows] == ["Card delivery estimate"] * 4
    assert {(row["origin"], row["annotator"], row["seconds"]) for row in rows} == {("person", "annotator-1", "2.5")}
    entry.get_by_role("button", name="Delete").click()
    expect(page.locator("#made li")).to_have_count(0)
    expect(page.locator("#nothing")).to_be_visible()


def test_one_that_waits_can_be_stopped(page: Page) -> None:
    page.get_by_text("JSON lines").click()
    page.get_by_role("button", name="Export", exact=True).click()
    page.locator("#made li").get_by_role("button", name="Stop").click()
    expect(page.locator("#made li")).to_contain_text("stopped")


def test_nothing_chosen_cannot_be_started(page: Page) -> None:
    page.get_by_label("Answered by a person").uncheck()
    expect(page.get_by_role("button", name="Export", exact=True)).to_be_disabled()
    expect(page.locator("#total")).to_contain_text("Nothing would be exported")
    page.get_by_label("Items that have no label yet").check()
    expect(page.locator("#total")).to_have_text("6 items")


def test_accessible_wide_and_narrow(
    open_as: Callable[..., BrowserContext], made: dict[str, Any], serious: Callable[[Page], list[str]]
) -> None:
    for narrow in (False, True):
        page = open_as(made["cookie"], narrow=narrow, dark=narrow).new_page()
        page.goto(f"/projects/{made['project']}/export")
        expect(page.locator("#total")).to_have_text("4 items")
        assert serious(page) == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
