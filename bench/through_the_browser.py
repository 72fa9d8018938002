"""The whole way by browser: start the application, import a file, answer by keys until so many answers, and look.

    .venv/bin/python -m bench.through_the_browser FILE.jsonl [--answers 100] [--rows 1500]

FILE has "text" and "label" on each line; its labels come in as a hidden reference, so the model learns from the answers
alone, and these are given by a script that reads the page and presses keys. At the end every suggestion is accepted and
the data set exported through the pages, and compared with the file.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.browser import driving
from tests.deploy import running
from tests.services import CHROMIUM_FLAGS, find_chromium


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--answers", type=int, default=100)
    parser.add_argument("--rows", type=int, default=1500)
    options = parser.parse_args()
    lines = options.file.read_text().splitlines()[: options.rows]
    truth = {row["text"].strip(): row["label"] for row in map(json.loads, lines)}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        some = Path(folder) / "some.jsonl"
        some.write_text("\n".join(lines))
        chromium = playwright.chromium.launch(executable_path=find_chromium(), args=list(CHROMIUM_FLAGS))
        with running.application(Path(folder) / "data", "--no-demo") as application:
            go(chromium.new_page(), application, some, truth, options.answers)
        chromium.close()


def go(page: Page, application: running.Application, file: Path, truth: dict[str, str], answers: int) -> None:
    [password] = re.findall(r"Password\s+(\S+)", application.output)
    driving.sign_in(page, f"http://127.0.0.1:{application.port}/", "admin", password)
    driving.make_project(page, file.stem)
    began = time.monotonic()
    driving.import_file(page, file)
    print(f"imported {len(truth)} rows after {time.monotonic() - began:.1f} s")
    project = re.findall(r"/projects/(\d+)/", page.url)[0]
    driving.start_labelling(page)
    print(f"first suggestion after {time.monotonic() - began:.1f} s")
    began = time.monotonic()
    waits = driving.label(page, lambda text: truth[text.strip()], answers)
    seconds, median = time.monotonic() - began, statistics.median(waits)
    print(f"{answers} answers in {seconds:.1f} s; key to next item {median:.3f} s (median)")
    driving.wait_for_answers(page, project, answers)
    rows = driving.accept_and_export(page, project)
    right = sum(row["label"] == truth[row["text"].strip()] for row in rows)
    accepted = [row for row in rows if row["origin"] == "accepted"]
    model = sum(row["label"] == truth[row["text"].strip()] for row in accepted)
    print(
        f"exported {len(rows)}: {right / len(rows):.1%} right; of {len(accepted)} accepted {model / len(accepted):.1%}"
    )


if __name__ == "__main__":
    main()
