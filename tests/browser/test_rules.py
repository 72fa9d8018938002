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


BY_HAND = """
import numpy as np
from labeling import pool
from labeling.models import Item
from tests import factories
said = ["I want my money back, ticket", "My card is lost, ticket", "Hello there, note"]
texts = [f"{said[k % 3]} {k}" for k in range(60)]
project = make.project(labels=["Refund", "Lost"], texts=texts, admin="ada", name="By hand", encoder="imported")
for item in Item.objects.filter(project=project):
    Item.objects.filter(pk=item.pk).update(metadata={"channel": ["mail", "phone"][item.row % 2], "length": item.row})
x = np.eye(3)[np.arange(60) % 3] + 0.02 * np.random.default_rng(0).standard_normal((60, 3))
pool.write_chunk(project.pk, "imported", 0, (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32))
anna = make.member(project, "annotator", "anna")
for item in Item.objects.filter(project=project, row__lt=45):
    if item.row % 3 < 2:
        factories.answer(item, anna, factories.label(project, item.row % 3))
make.member(project, "reviewer", "rita")
result = {"project": project.pk, "cookie": cookie("rita"), "item": Item.objects.get(project=project, row=0).pk}
"""


def trial_shows(page: Page, **expected: int) -> None:
    """Wait until the trial has taken in what was typed, and shows these figures."""
    for which, count in expected.items():
        expect(page.locator(f"#trial .figure[data-which={which}] .strong")).to_have_text(str(count))


def test_every_kind_of_rule_by_hand_with_its_figures_before_it_is_saved(
    running_site: Site, open_as: Callable[..., BrowserContext], serious: Callable[[Page], list[str]]
) -> None:
    made = running_site.run(BY_HAND)
    page = opened(open_as(made["cookie"]), made)
    kind, text, speaks = (page.get_by_label(name) for name in ("What it looks at", "Looks for", "Speaks for"))
    rows = page.locator("#rules tbody tr")

    page.keyboard.press("n")
    kind.select_option("phrase")
    text.fill("money back")
    trial_shows(page, all=20, right=15, wrong=0, overlap=0, conflict=0)
    expect(page.locator("#trial .figure[data-which=right]")).to_contain_text("%")  # the interval
    expect(page.locator("#examples mark").first).to_have_text("money back")
    assert running_site.run(RULES % made["project"]) == []  # nothing is kept by a trial
    text.press("Enter")
    expect(rows).to_have_count(1)
    running_site.run(LEARN % made["project"])  # its votes, for others to be compared with

    page.keyboard.press("n")
    kind.select_option("regex")
    text.fill(r"(ticket \d")
    expect(page.locator("#fault")).to_contain_text("never closed")
    expect(page.locator("#trial .figure")).to_have_count(0)
    text.fill(r"ticket \d$")
    speaks.select_option(label="Lost")
    trial_shows(page, all=7, right=3, wrong=4, overlap=4, conflict=4)
    expect(page.locator("#trial")).to_contain_text("money back")  # which rule it is against
    page.locator("#trial .figure[data-which=conflict]").click()
    expect(page.locator("#examples .hit")).to_have_count(4)
    expect(page.locator("#examples .hit").first).to_contain_text("answered: Refund")
    assert serious(page) == []
    text.press("Enter")
    expect(rows).to_have_count(2)

    page.keyboard.press("n")
    kind.select_option("column")
    page.get_by_label("Column").select_option("length")
    page.get_by_label("Comparison").select_option(label="is more than")
    text.fill("ten")
    expect(page.locator("#fault")).to_contain_text("number")
    text.fill("29")
    trial_shows(page, all=30, right=5, wrong=5, conflict=10)
    expect(page.locator("#examples .hit").first).to_contain_text("length")
    text.press("Enter")
    expect(rows).to_have_count(3)

    page.goto(f"/projects/{made['project']}/items/{made['item']}")
    page.get_by_role("link", name="Make a rule: items like this one").click()
    expect(kind).to_have_value("similar")
    expect(page.get_by_label("Item number")).to_have_value("1")
    trial_shows(page, all=20, right=15, wrong=0)
    page.get_by_label("Lowest similarity").press("Enter")
    expect(rows).to_have_count(4)

    page.locator("h1").click()
    proposal = page.locator("#proposals li").first
    expect(proposal).to_contain_text("right in 15 of 15 answers")
    page.keyboard.press("1")
    expect(rows).to_have_count(5)
    assert serious(page) == []
