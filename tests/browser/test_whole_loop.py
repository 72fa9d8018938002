"""The whole loop through the pages of the real application: start, import, label, let it learn, review, export."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.browser import driving
from tests.deploy import running
from tests.deploy.running import ROOT, Application

OPENINGS = ["Please", "Could you", "I want to", "Can someone", "Today we must", "Remember to"]
TOPICS = {
    "weather": [
        "check the rain forecast",
        "see if it will snow",
        "look up the wind speed",
        "find out how cold it gets",
    ],
    "cooking": ["bake a chocolate cake", "boil the pasta", "fry two eggs", "chop onions for the soup"],
    "banking": ["transfer money to savings", "block my credit card", "check my account balance", "pay the bank fee"],
}
TRUTH = {f"{opening} {rest}": topic for topic, ends in TOPICS.items() for rest in ends for opening in OPENINGS}


@pytest.fixture
def application(tmp_path: Path) -> Iterator[Application]:
    if not (ROOT / "static/dist/label.js").exists():
        pytest.skip("static/dist is not built: run npm ci and npm run build in static/")
    with running.application(tmp_path / "data", "--no-demo") as started:
        yield started


@pytest.fixture
def file(tmp_path: Path) -> Path:
    rows = io.StringIO()
    writer = csv.writer(rows)
    writer.writerow(["text", "label"])
    writer.writerows(sorted(TRUTH.items()))
    path = tmp_path / "requests.csv"
    path.write_text(rows.getvalue())
    return path


def test_from_a_file_to_a_labelled_data_set(application: Application, file: Path, page: Page) -> None:
    [password] = re.findall(r"Password\s+(\S+)", application.output)
    page.set_viewport_size({"width": 1280, "height": 860})
    driving.sign_in(page, f"http://127.0.0.1:{application.port}/", "admin", password)
    driving.make_project(page, "Requests")
    driving.import_file(page, file)
    project = re.findall(r"/projects/(\d+)/", page.url)[0]

    driving.start_labelling(page)
    driving.label(page, TRUTH.__getitem__, 12)
    driving.wait_for_answers(page, project, 12)
    rows = driving.accept_and_export(page, project)
    assert {row["text"] for row in rows} == set(TRUTH)
    assert sorted({row["origin"] for row in rows}) == ["accepted", "person"]
    assert sum(row["origin"] == "person" for row in rows) == 12
    right = sum(row["label"] == TRUTH[row["text"]] for row in rows)
    assert right / len(rows) > 0.9
