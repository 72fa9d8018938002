"""Driving: the whole way through the pages, by keyboard and mouse, as an admin with a browser and a file would go."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect

SLOW = 120_000  # milliseconds: a worker may have to load its encoder first


def sign_in(page: Page, address: str, name: str, password: str) -> None:
    """Sign in at the address that the start printed."""
    page.goto(address)
    page.get_by_label("User name").fill(name)
    page.get_by_label("Password").fill(password)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Projects")).to_be_visible()


def make_project(page: Page, name: str, labels: Sequence[str] = ()) -> None:
    """From the list of projects to the new project's import page."""
    page.get_by_role("link", name="New project").first.click()
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Labels", exact=True).fill("\n".join(labels))
    page.get_by_role("button", name="Make it and import data").click()
    expect(page.get_by_role("heading", name="Import", exact=True)).to_be_visible()


def import_file(page: Page, file: Path, labels: str = "A hidden reference") -> None:
    """Choose the file, look at its first rows, say what its labels are, and wait until it is in."""
    page.set_input_files("#file", file)
    expect(page.locator("#preview-rows tr").first).to_be_visible()
    page.get_by_role("radio", name=labels).check()
    page.locator("#go").click()
    expect(page.locator("#onward")).to_be_visible(timeout=SLOW)


def start_labelling(page: Page) -> None:
    """From the import's end to the first item, and until the model says something of it."""
    page.locator("#onward a").first.click()
    expect(page.locator("#item-body .text")).to_be_visible(timeout=SLOW)
    deadline = time.monotonic() + SLOW / 1000
    while not page.locator("#labels .lab.sug").count():
        assert time.monotonic() < deadline, "the model never suggested anything"
        page.wait_for_timeout(500)
        page.reload()
        expect(page.locator("#item-body .text")).to_be_visible(timeout=SLOW)


def label(page: Page, oracle: Callable[[str], str], count: int) -> list[float]:
    """Answer `count` items by keys alone; returns the seconds from each key to the next item on screen.

    The likeliest nine labels have digits; any other is found by typing its name.
    """
    waits = []
    for _ in range(count):
        number = page.locator("#item-number").inner_text()
        wanted = oracle(page.locator("#item-body .text").inner_text())
        press_label(page, wanted)
        began = time.monotonic()
        page.wait_for_function("number => document.querySelector('#item-number').innerText !== number", arg=number)
        waits.append(time.monotonic() - began)
    return waits


def press_label(page: Page, name: str) -> None:
    """Give the label by its digit, else by search."""
    for shown in page.locator("#labels .lab:has(kbd)").all():
        if shown.locator(".g").inner_text() == name:
            page.keyboard.press(shown.locator("kbd").inner_text())
            return
    page.keyboard.press("/")
    page.keyboard.type(name)
    page.keyboard.press("Enter")


def wait_for_answers(page: Page, project: str, count: int) -> None:
    """Wait until the server has so many answers, and the model has learned from all of them."""
    wait_until(lambda: ask(page, f"/api/projects/{project}/progress")["answered"] == count)
    wait_until(lambda: ask(page, f"/api/projects/{project}/snapshots")["results"][0]["answers"] == count)


def ask(page: Page, address: str) -> Any:
    """What the API says to whoever is signed in on this page."""
    return page.evaluate("async (address) => (await fetch(address)).json()", address)


def wait_until(true: Callable[[], bool], seconds: float = SLOW / 1000) -> None:
    """Look twice a second until it is so."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.5)


def accept_and_export(page: Page, project: str) -> list[dict[str, str]]:
    """Accept every suggestion on the review page, export a CSV file, download it; returns its rows."""
    page.get_by_role("link", name="Review", exact=True).click()
    page.locator("#threshold").fill("0")
    page.locator("#threshold").press("Enter")
    page.locator("#accept").click()
    page.locator("#confirm").click()
    wait_until(lambda: ask(page, f"/api/projects/{project}/progress")["open"] == 0)
    page.get_by_role("link", name="Export", exact=True).click()
    page.get_by_label("With a data card and certificates, as a zip").uncheck()
    page.locator("#go").click()
    with page.expect_download(timeout=SLOW) as download:
        page.get_by_role("link", name="Download").first.click(timeout=SLOW)
    return list(csv.DictReader(download.value.path().open(encoding="utf-8-sig", newline="")))
