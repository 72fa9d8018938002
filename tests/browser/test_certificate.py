"""A certificate in browsers: asked for, audited by keys, accepted in one step, exported, recomputed from the file."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from metalearning.__main__ import main
from tests.browser import driving
from tests.browser.site import Site

ITEMS = 240
LABELS = ("Card arrival", "Exchange rate", "Lost card")
WRONG = (40, 120)  # rows of which the model suggests something else than people say
MAKE = """
from labeling.models import Label, Project
from tests import factories
labels, wrong, confidence, items = json.loads(%r)
project = make.project(
    labels=labels, texts=[f"{labels[row %% 3]}, question {row}" for row in range(items)], admin="rita", name=%r
)
says = [(row + (row in wrong)) %% 3 for row in range(items)]
factories.snapshot(Project.objects.get(pk=project.pk), [confidence] * items, says)
make.member(project, "annotator", "anna")
result = {"project": project.pk, "cookies": {name: cookie(name) for name in ("anna", "rita")}}
"""
ADVANCE = """
from django.utils import timezone
from labeling.flow import auditing
from labeling.models import Ask, Certificate
for one in Certificate.objects.filter(project=%d, state="running"):
    auditing.advance(one, now=timezone.now())
one = Certificate.objects.get(project=%d)
result = {"state": one.state, "waiting": Ask.objects.filter(project=one.project_id).count()}
"""
EXPORT = """
from labeling import tasks
from labeling.models import Job
tasks.run(Job.objects.filter(project=%d, kind="export").latest("pk").pk)
"""


def made(site: Site, name: str, confidence: float, wrong: tuple[int, ...] = ()) -> dict[str, Any]:
    """A project whose model is that sure of all its suggestions."""
    return dict(site.run(MAKE % (json.dumps([LABELS, wrong, confidence, ITEMS]), name)))


def ask_what_it_takes(page: Page, project: int, eps: str, confidence: str) -> None:
    """Open the panel on Review and ask for a certificate, by keys alone."""
    page.goto(f"/projects/{project}/review")
    page.locator("#certify > summary").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.locator("#eps")).to_be_focused()
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type(eps)
    page.keyboard.press("Tab")
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type(confidence)
    page.keyboard.press("Enter")


def wait_for_answers(page: Page, project: int, count: int) -> None:
    """Until the server has this person's answers: they leave in the background."""
    driving.wait_until(lambda: driving.ask(page, f"/api/projects/{project}/progress")["mine"] == count, 20)


def audit_by_keys(page: Page, site: Site, project: int) -> int:
    """Answer what is asked, audits among it unmarked, until the certificate is decided; returns how many answers."""
    page.goto(f"/projects/{project}/label")
    expect(page.locator("#item-body .text")).to_be_visible()
    given = 0
    told = site.run(ADVANCE % (project, project))
    while told["state"] == "running":
        assert given < ITEMS - 3
        # One question in eight is an audit while any wait, and as many are asked blind beside it.
        count = min(6 * max(told["waiting"], 1), ITEMS - given - 3)
        given += len(driving.label(page, lambda text: text.partition(",")[0], count))
        wait_for_answers(page, project, given)
        told = site.run(ADVANCE % (project, project))
    assert told["state"] == "passed"
    return given


def test_a_certificate_is_earned_accepted_exported_and_recomputed_from_the_file_alone(
    running_site: Site,
    open_as: Callable[..., BrowserContext],
    serious: Callable[[Page], list[str]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    them = made(running_site, "Certified", 0.99, WRONG)
    project = them["project"]
    page = open_as(them["cookies"]["rita"]).new_page()
    ask_what_it_takes(page, project, "20", "80")
    start = page.get_by_role("button", name="Start the audits")
    expect(start).to_be_focused()
    assert serious(page) == []
    page.keyboard.press("Enter")
    entry = page.locator("[data-certificate='1']")
    expect(entry).to_contain_text("Running")
    assert serious(page) == []

    given = audit_by_keys(open_as(them["cookies"]["anna"]).new_page(), running_site, project)

    page.reload()
    expect(entry).to_contain_text("At most 20.0% of these 240 labels")
    entry.get_by_role("button").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#toasts")).to_contain_text(str(ITEMS - given))
    assert driving.ask(page, f"/api/projects/{project}/progress")["open"] == 0

    page.get_by_role("link", name="Export", exact=True).click()
    page.locator("#go").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#made li")).to_contain_text("waiting")
    running_site.run(EXPORT % project)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click(timeout=30_000)
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    assert main(["verify", str(file)]) == 0
    said = capsys.readouterr().out
    assert "certificate 1 holds: passed, at most 20.0% (48) of 240 labels are wrong" in said
    assert "labels.csv: certificate 1: 240 of its 240 items" in said
    with zipfile.ZipFile(file) as archive:
        rows = list(csv.DictReader(io.StringIO(archive.read("labels.csv").decode("utf-8-sig"))))
        card = archive.read("data-card.html").decode()
    assert sum(row["origin"] == "accepted" for row in rows) == ITEMS - given
    assert {row["certificate"] for row in rows} == {"1"}
    look_at_the_card(open_as, them["cookies"]["rita"], card, serious, tmp_path)
    look_at_the_page(open_as, them["cookies"]["rita"], project, serious)


def look_at_the_card(
    open_as: Callable[..., BrowserContext], cookie: str, card: str, serious: Callable[[Page], list[str]], folder: Path
) -> None:
    """The card opens by itself from a disk, light and dark, wide and narrow, and nothing in it is out of reach."""
    (folder / "data-card.html").write_text(card)
    for narrow in (False, True):
        page = open_as(cookie, narrow=narrow, dark=narrow, bypass_csp=True).new_page()
        page.goto((folder / "data-card.html").as_uri())
        expect(page.get_by_role("heading", name="Data card: Certified")).to_be_visible()
        expect(page.locator("body")).to_contain_text("240 rows belong to the set")
        assert serious(page) == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        # Printed it is dark on white whatever the theme, and no table is cut at the edge of an A4 page.
        page.emulate_media(media="print")
        page.set_viewport_size({"width": 670, "height": 980})
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        cut = "[...document.querySelectorAll('.scroll')].some(one => one.scrollWidth > one.clientWidth)"
        assert not page.evaluate(cut)


def look_at_the_page(
    open_as: Callable[..., BrowserContext], cookie: str, project: int, serious: Callable[[Page], list[str]]
) -> None:
    """The certificate's own page and the panel, light and dark, wide and narrow."""
    for narrow in (False, True):
        page = open_as(cookie, narrow=narrow, dark=narrow).new_page()
        page.goto(f"/projects/{project}/review")
        page.locator("#certify > summary").focus()
        page.keyboard.press("Enter")
        page.get_by_role("link", name="Certificate 1").focus()
        assert serious(page) == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Certificate 1")).to_be_visible()
        expect(page.locator("main")).to_contain_text("At most 20.0% of these 240 labels")
        assert serious(page) == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_hopeless_task_is_told_why_it_cannot_be_certified_yet_and_what_is_missing(
    running_site: Site, open_as: Callable[..., BrowserContext], serious: Callable[[Page], list[str]]
) -> None:
    them = made(running_site, "Hopeless", 0.4)
    for narrow in (False, True):
        page = open_as(them["cookies"]["rita"], narrow=narrow, dark=narrow).new_page()
        ask_what_it_takes(page, them["project"], "5", "95")
        proposal = page.locator("#proposal")
        expect(proposal).to_contain_text("Cannot be certified yet.")
        expect(proposal).to_contain_text("The model expects 60.0% of even its")
        expect(proposal).to_contain_text("Audits at best")
        expect(page.get_by_role("button", name="Start the audits")).to_be_hidden()
        assert serious(page) == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.locator("#eps").fill("20")
    page.locator("#budget").fill("3")
    page.keyboard.press("Enter")
    expect(proposal).to_contain_text("audits would be needed, and you allow 3")
