"""A certificate on real data through the browser: import, answer, ask for it in vain, answer more, earn it, verify it.

    ANNOTATOR_DEV_DATA=... python -m bench.certificate_in_browsers [--rows 1500] [--answers 150] [--eps 10]

Starts the application and drives two browsers: the admin imports Banking77's questions (the labels as a hidden
reference), asks for a certificate after a few answers, and, where that cannot be had yet, answers on until it can be
tried; an annotator who joined by a link answers what is asked, audits among it unmarked. What passed is accepted in one
step, exported with its data card, and recomputed by `python -m metalearning verify` from the downloaded zip alone.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser import driving
from tests.browser.site import ROOT
from tests.deploy import running
from tests.services import CHROMIUM_FLAGS, find_chromium

DATA = Path(os.environ.get("ANNOTATOR_DEV_DATA", ROOT.parent / "shared/data"))
FIRST = 10  # answers before the first question, which is in vain
HARD = 1.0  # per cent that may be wrong then
STEP = 50  # further answers until it is asked again
AUDITED = 12  # answers of the annotator between two looks


def main() -> None:
    """Go the whole way in a data folder of its own; prints what happened and when."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1500)
    parser.add_argument("--answers", type=int, default=150, help="of the admin, before a certificate is tried")
    parser.add_argument("--eps", type=float, default=10, help="per cent of the labels that may be wrong")
    options = parser.parse_args()
    lines = (DATA / "text/banking77.test.jsonl").read_text().splitlines()[: options.rows]
    truth = {row["text"].strip(): row["label"] for row in map(json.loads, lines)}
    running.START_SECONDS = 600.0  # a busy machine may take its time
    expect.set_options(timeout=driving.SLOW)
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        (folder / "bank.jsonl").write_text("\n".join(lines))
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=list(CHROMIUM_FLAGS))
        with running.application(folder / "data", "--no-demo") as application:
            file = _earn(browser, application, folder, truth, options)
        browser.close()
        _recompute(file, truth)


def _earn(
    browser: Browser, application: running.Application, folder: Path, truth: dict[str, str], options: Any
) -> Path:
    """From the file to the downloaded zip."""
    address = f"http://127.0.0.1:{application.port}/"
    [password] = re.findall(r"Password\s+(\S+)", application.output)
    page = browser.new_page()
    driving.sign_in(page, address, "admin", password)
    driving.make_project(page, "bank")
    driving.import_file(page, folder / "bank.jsonl")
    project = re.findall(r"/projects/(\d+)/", page.url)[0]
    annotator = browser.new_context().new_page()
    _join(page, annotator, project)
    driving.start_labelling(page)
    given = _answer(page, address, project, truth, FIRST, 0)
    told = _what_it_takes(page, address, project, HARD)
    print(f"after {given} answers, at most {HARD:g} % wrong: {told}")
    given = _answer(page, address, project, truth, options.answers - given, given)
    while "Cannot be certified yet" in (told := _what_it_takes(page, address, project, options.eps)):
        print(f"after {given} answers, at most {options.eps:g} % wrong: {told}")
        given = _answer(page, address, project, truth, STEP, given)
    print(f"after {given} answers, at most {options.eps:g} % wrong: {told}")
    page.keyboard.press("Enter")
    expect(page.locator("[data-certificate='1']")).to_contain_text("Running")
    said = _audit(annotator, page, address, project, truth)
    print(f"{said} answers of the annotator: {_certificate(page, project)}")
    page.reload()
    if _certificate(page, project)["state"] != "passed":
        raise SystemExit("it did not pass; nothing is certified")
    entry = page.locator("[data-certificate='1']")
    print(f"the page says: {entry.inner_text()}")
    entry.get_by_role("button").focus()
    page.keyboard.press("Enter")
    driving.wait_until(lambda: driving.ask(page, f"/api/projects/{project}/certificates/1")["batch"] is not None)
    page.get_by_role("link", name="Export", exact=True).click()
    page.locator("#go").click()
    with page.expect_download(timeout=driving.SLOW) as download:
        page.get_by_role("link", name="Download").first.click(timeout=driving.SLOW)
    file = folder / download.value.suggested_filename
    download.value.save_as(file)
    return file


def _answer(page: Page, address: str, project: str, truth: dict[str, str], count: int, before: int) -> int:
    """The admin answers by keys; returns how many answers there are then, all of them learned from."""
    page.goto(f"{address}projects/{project}/label")
    expect(page.locator("#item-body .text")).to_be_visible(timeout=driving.SLOW)
    driving.label(page, lambda text: truth[text.strip()], count)
    driving.wait_for_answers(page, project, before + count)
    return before + count


def _what_it_takes(page: Page, address: str, project: str, eps: float) -> str:
    """Ask on the review page; returns what it says."""
    page.goto(f"{address}projects/{project}/review")
    page.locator("#certify > summary").focus()
    page.keyboard.press("Enter")
    page.locator("#eps").fill(f"{eps:g}")
    page.keyboard.press("Enter")
    expect(page.locator("#proposal p").first).to_be_visible(timeout=60_000)
    return " ".join(page.locator("#proposal").inner_text().split())


def _join(page: Page, annotator: Page, project: str) -> None:
    """Somebody makes an account by the link of an invitation."""
    invite = """async ([api, csrf]) => {
      const headers = {"Content-Type": "application/json", "X-CSRFToken": csrf};
      const reply = await fetch(`${api}/invitations/`, {method: "POST", headers, body: '{"role": "annotator"}'});
      return (await reply.json()).url;
    }"""
    csrf = page.evaluate("document.body.dataset.csrf")
    annotator.goto(page.evaluate(invite, [f"/api/projects/{project}", csrf]))
    annotator.locator("input[name=username]").fill("anna")
    for field in annotator.locator("input[type=password]").all():
        field.fill("a long enough pass phrase 77")
    annotator.get_by_role("button", name="Make an account and join").click()
    annotator.wait_for_url("**/projects/**")


def _audit(annotator: Page, admin: Page, address: str, project: str, truth: dict[str, str]) -> int:
    """Answer what is asked until the certificate is decided; returns how many answers that took."""
    annotator.goto(f"{address}projects/{project}/label")
    expect(annotator.locator("#item-body .text")).to_be_visible(timeout=driving.SLOW)
    said = 0
    while _certificate(admin, project)["state"] == "running":
        said += len(driving.label(annotator, lambda text: truth[text.strip()], AUDITED))
        time.sleep(1.5)  # the answers are on their way, and a job looks at the evidence
    return said


def _certificate(page: Page, project: str) -> dict[str, Any]:
    told = driving.ask(page, f"/api/projects/{project}/certificates/1")
    return {"state": told["state"], "accepted": told["accepted"], "of": told["items"], "audits": told["audits"]}


def _recompute(file: Path, truth: dict[str, str]) -> None:
    """What the command says of the zip alone, and how right the labels are in truth."""
    command = [sys.executable, "-m", "metalearning", "verify", str(file)]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    print(told.stdout.strip(), f"(status {told.returncode})", sep="\n")
    with zipfile.ZipFile(file) as archive:
        print(f"{file.name}: {', '.join(archive.namelist())}")
        rows = list(csv.DictReader(io.StringIO(archive.read("labels.csv").decode("utf-8-sig"))))
    for name, some in (("all rows", rows), ("certified rows", [row for row in rows if row["certificate"]])):
        right = sum(row["label"] == truth[row["text"].strip()] for row in some)
        print(f"{name}: {len(some)}, {right / max(len(some), 1):.1%} right in truth")


if __name__ == "__main__":
    main()
