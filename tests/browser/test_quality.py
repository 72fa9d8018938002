"""Quality in a browser: doubts settled by keyboard, and every number's way to its items."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.site import Site

MAKE = """
import numpy as np
from labeling import pool
from labeling.models import Item
from tests import factories
names = ["Card arrival", "Delivery estimate", "Exchange rate"]
project = factories.project(30, labels=names, admin="ada", name="Doubted")
anna = make.member(project, "annotator", "anna")
rita = make.member(project, "reviewer", "rita")
items = list(Item.objects.filter(project=project).order_by("row"))[:20]
for k, item in enumerate(items):
    factories.answer(item, anna, factories.label(project, k % 3))
snapshot = factories.snapshot(project, [0.9] * 30)
ids = np.array(list(project.labels.values_list("pk", flat=True)))
given = np.arange(20) % 3
said = given.copy(); said[:4] = (said[:4] + 1) % 3
p = np.where(said == given, 0.9, np.linspace(0.05, 0.4, 20)).astype(np.float32)
pool.write_held_out(project.pk, 1, {
    "row": np.arange(20), "answer": ids[given], "suggested": ids[said], "p_answer": p,
    "p_suggested": np.where(said == given, p, 0.95 - p).astype(np.float32),
    "doubt": np.where(said == given, 0, 2).astype(np.int8),
    "chance": np.where(said == given, 0.0, 0.9).astype(np.float32),
})
result = {"project": project.pk, "cookie": cookie("rita")}
"""


@pytest.fixture
def made(running_site: Site) -> dict[str, Any]:
    """Twenty answers, of which the first four are in doubt."""
    return running_site.run(MAKE)


@pytest.fixture
def page(open_as: Callable[..., BrowserContext], made: dict[str, Any]) -> Page:
    page = open_as(made["cookie"]).new_page()
    page.goto(f"/projects/{made['project']}/quality")
    return page


def test_doubts_are_settled_by_keyboard(page: Page) -> None:
    page.get_by_role("link", name="Look through them").click()
    doubts = page.locator(".doubt")
    expect(doubts).to_have_count(4)
    expect(page.locator(".doubt.here")).to_contain_text("card number 0 ")
    page.keyboard.press("Enter")  # the model is right
    expect(page.get_by_text("Corrected: Delivery estimate")).to_be_visible()
    expect(page.locator(".doubt.here")).to_contain_text("card number 1 ")
    page.keyboard.press("o")  # the answer is right
    expect(page.locator("#left")).to_have_text("2 left")
    page.keyboard.press("z")
    expect(page.locator("#left")).to_have_text("3 left")
    expect(page.locator(".doubt.here")).to_contain_text("card number 1 ")
    page.keyboard.press("j")
    page.keyboard.press("a")  # ask again
    expect(page.locator("#left")).to_have_text("2 left")
    page.keyboard.press("e")  # another label
    page.keyboard.type("exch")
    page.keyboard.press("Enter")
    expect(page.locator("#left")).to_have_text("1 left")
    page.reload()
    expect(doubts).to_have_count(1)
    expect(doubts).to_contain_text("card number 1 ")


def test_each_confusion_leads_to_its_items(page: Page) -> None:
    page.get_by_role("link", name="answered Card arrival, the model said Delivery estimate").click()
    expect(page.locator("#rows tr")).to_have_count(2)
    expect(page.locator("#rows")).to_contain_text("card number 0 ")
    expect(page.locator("#rows")).to_contain_text("card number 3 ")


@pytest.mark.parametrize("narrow", [False, True])
def test_nothing_serious_for_screen_readers(
    open_as: Callable[..., BrowserContext], made: dict[str, Any], serious: Callable[[Page], list[str]], narrow: bool
) -> None:
    page = open_as(made["cookie"], narrow=narrow, dark=narrow).new_page()
    for place in ("quality", "quality/doubts", "quality/duplicates"):
        page.goto(f"/projects/{made['project']}/{place}")
        assert serious(page) == []
        wide = page.evaluate("document.documentElement.scrollWidth > innerWidth")
        assert not wide, f"{place} scrolls sideways"
