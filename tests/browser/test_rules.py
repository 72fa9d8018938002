"""Rules in a browser: by keyboard with a live trial, switched off, deleted, brought back, heard by the model."""

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
def fresh():
    texts = [f"{['I want a refund', 'My card is lost', '我要退款', 'Hello there'][k % 4]} {k}" for k in range(40)]
    project = make.project(labels=["Refund", "Lost"], texts=texts, admin="ada", name="Cards", encoder="imported")
    x = np.random.default_rng(0).standard_normal((40, 8))
    pool.write_chunk(project.pk, "imported", 0, (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32))
    anna = make.member(project, "annotator", "anna")
    for item in Item.objects.filter(project=project, row__in=[0, 4, 5, 8]):
        factories.answer(item, anna, factories.label(project, int(item.row in (5, 8))))
    make.member(project, "reviewer", "rita")
    return {"project": project.pk, "cookie": cookie("rita")}
result = [fresh() for _ in range(9)]
"""
LEARN = """
from labeling import dispatch, tasks
from labeling.models import Job
with dispatch.held_back():
    while job := Job.objects.filter(project=%d, state="queued").order_by("pk").first():
        tasks.run(job.pk)
"""
RULES = """
from labeling.models import Rule
rules = Rule.objects.filter(project=%d).order_by("pk")
result = [[r.text, r.label.name, r.active] for r in rules]
"""


@pytest.fixture(scope="module")
def projects(running_site: Site) -> list[dict[str, Any]]:
    return list(running_site.run(MAKE))


@pytest.fixture
def made(projects: list[dict[str, Any]]) -> dict[str, Any]:
    """Forty items, four answers, one of them against what the word says."""
    return projects.pop()


def opened(context: BrowserContext, made: dict[str, Any]) -> Page:
    page = context.new_page()
    page.goto(f"/projects/{made['project']}/rules")
    return page


def test_a_rule_by_keyboard_from_the_first_key_to_the_suggestions(
    running_site: Site,
    open_as: Callable[..., BrowserContext],
    made: dict[str, Any],
    serious: Callable[[Page], list[str]],
) -> None:
    page = opened(open_as(made["cookie"]), made)
    expect(page.get_by_role("heading", name="No rules yet")).to_be_visible()
    page.keyboard.press("n")
    page.keyboard.type("refund, 退款")
    figures = page.locator(".figure")
    expect(figures.nth(0)).to_contain_text("20")
    expect(figures.nth(1)).to_contain_text("2")
    expect(figures.nth(2)).to_contain_text("1")
    expect(page.locator("#examples mark").first).to_have_text("refund")
    page.locator(".figure[data-which=wrong]").click()
    expect(page.locator("#examples .hit")).to_have_count(1)
    expect(page.locator("#examples .hit")).to_contain_text("answered: Lost")
    assert serious(page) == []
    page.get_by_label("Looks for").focus()
    page.keyboard.press("Enter")
    row = page.locator("#rules tbody tr")
    expect(row).to_contain_text("contains “refund, 退款”")
    expect(row).to_contain_text("voted on 0 of 40")
    running_site.run(LEARN % made["project"])
    page.reload()
    expect(row).to_contain_text("the model believes")
    row.press("Enter")
    drawer = page.get_by_role("dialog")
    expect(drawer).to_contain_text("Items it speaks of: 20")
    expect(drawer.locator(".hit")).to_have_count(20)
    page.keyboard.press("Escape")
    page.goto(f"/projects/{made['project']}/review")
    expect(page.locator("#list .rule-said").first).to_contain_text("rule: contains “refund, 退款”")
    page.goto(f"/projects/{made['project']}/label")
    expect(page.locator("#item-number")).to_contain_text("item")
    text = page.locator("#item-body .text").inner_text()
    assert page.locator("#spoken").is_visible() == ("refund" in text or "退款" in text)


def test_edit_off_delete_and_undo_by_keys(
    running_site: Site,
    open_as: Callable[..., BrowserContext],
    made: dict[str, Any],
    serious: Callable[[Page], list[str]],
) -> None:
    page = opened(open_as(made["cookie"], dark=True), made)
    for word in ("refund", "lost"):
        page.keyboard.press("n")
        page.keyboard.type(word)
        page.get_by_label("Speaks for").select_option(label="Refund")
        page.get_by_label("Looks for").press("Enter")
        expect(page.locator("#editor")).to_be_hidden()
    rows = page.locator("#rules tbody tr")
    expect(rows).to_have_count(2)
    page.keyboard.press("j")
    expect(rows.nth(1)).to_have_attribute("aria-selected", "true")
    page.keyboard.press("e")
    page.get_by_label("Speaks for").select_option(label="Lost")
    page.get_by_label("Looks for").press("Enter")
    expect(rows.nth(1)).to_contain_text("Lost")
    page.keyboard.press("o")
    expect(rows.nth(1)).to_have_class("off")
    page.keyboard.press("Delete")
    expect(rows).to_have_count(1)
    page.keyboard.press("u")
    expect(rows).to_have_count(2)
    page.keyboard.press("u")
    expect(rows.nth(1)).not_to_have_class("off")
    assert running_site.run(RULES % made["project"]) == [["refund", "Refund", True], ["lost", "Lost", True]]
    assert serious(page) == []


def test_a_bad_expression_says_what_is_wrong_while_typing_and_fits_a_phone(
    open_as: Callable[..., BrowserContext], made: dict[str, Any], serious: Callable[[Page], list[str]]
) -> None:
    page = opened(open_as(made["cookie"], narrow=True), made)
    page.get_by_role("button", name="New rule").click()
    page.get_by_label("What it looks at").select_option("regex")
    page.get_by_label("Looks for").fill("(refund")
    expect(page.locator("#fault")).to_contain_text("never closed")
    expect(page.get_by_label("Looks for")).to_have_attribute("aria-invalid", "true")
    page.get_by_label("Looks for").fill("(refund|lost)")
    expect(page.locator("#fault")).to_be_empty()
    expect(page.locator(".figure").first).to_contain_text("20")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert serious(page) == []
