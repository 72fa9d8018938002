"""The models page in a browser: how the suggestions did, drawn and as tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.site import Site

MAKE = """
from datetime import timedelta
import numpy as np
from tests import factories
from labeling.models import Item
project = factories.project(240, admin="ada", name="Scored", random_share=0.1)
for number in range(1, 4):
    factories.snapshot(project, [0.9] * 240, number=number, answers=80 * number)
anna = make.member(project, "annotator", "anna")
rng = np.random.default_rng(0)
for k, item in enumerate(Item.objects.filter(project=project).order_by("row")[:230]):
    at_random = k % 8 == 0
    sure = float(rng.uniform(0.5 if at_random else 0.2, 1 if at_random else 0.7))
    right = rng.random() < sure
    factories.answer(
        item, anna, factories.label(project, 0), at=make.NOW + timedelta(seconds=9 * k), foreseen_p=sure,
        foreseen=factories.label(project, 0 if right else 1), reason="random" if at_random else "margin",
    )
result = {"project": project.pk, "cookie": cookie("ada")}
"""


@pytest.fixture(scope="module")
def made(running_site: Site) -> dict[str, Any]:
    """A project with 230 answered suggestions, every eighth asked at random."""
    return running_site.run(MAKE)


@pytest.fixture
def models(open_as: Callable[..., BrowserContext], made: dict[str, Any]) -> Page:
    page = open_as(made["cookie"]).new_page()
    page.goto(f"/projects/{made['project']}/models")
    return page


def test_how_the_suggestions_did(models: Page) -> None:
    expect(models.get_by_role("region", name="Right when asked at random")).to_contain_text("from 29 answers")
    expect(models.get_by_role("region", name="Right where the model was unsure")).to_contain_text("from 200 answers")
    expect(models.get_by_role("region", name="What choosing the items gained")).to_contain_text("points")
    drawn = "canvas => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some(Boolean)"
    for chart in ("#over-time canvas", "#reliability canvas"):
        expect(models.locator(chart)).to_be_visible()
        assert models.locator(chart).evaluate(drawn)
    models.get_by_text("The same as a table").first.click()
    table = models.get_by_role("region", name="Suggestions that were right, over time").get_by_role("table")
    expect(table.locator("tbody tr")).to_have_count(10)


def test_accessible_wide_and_narrow(
    open_as: Callable[..., BrowserContext], made: dict[str, Any], serious: Callable[[Page], list[str]]
) -> None:
    for narrow in (False, True):
        page = open_as(made["cookie"], narrow=narrow, dark=narrow).new_page()
        page.goto(f"/projects/{made['project']}/models")
        expect(page.locator("#reliability canvas")).to_be_visible()
        assert serious(page) == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
