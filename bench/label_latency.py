"""Label latency: from the key to the frame that shows the next item, in Chromium, with a slow network in between.

    python -m bench.label_latency [--answers 100] [--delay 50] [--pause 250]

Starts a site of its own (80 labels, as many texts as needed), holds every request to the API for `--delay` ms in the
browser, presses a digit every `--pause` ms and prints one JSON line: percentiles in ms of the page's own measure
("next-item": event time of the key to after the next frame), and that every answer has arrived, once.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

from tests.browser.site import site
from tests.services import CHROMIUM_FLAGS

SPARE = 20  # items more than are answered, so that the queue is full to the end
SET_UP = """
project = make.project(
    labels=[f"label {{k:02}}" for k in range(80)],
    texts=[f"Text number {{k}}: " + "I ordered my new card over a week ago. " * (1 + k % 9) for k in range({items})],
)
result = [project.pk, cookie("owner")]
"""
MEASURES = "performance.getEntriesByName('next-item').map((entry) => entry.duration)"


def main() -> None:
    """Measure once, print it."""
    given = _arguments()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as folder, site(Path(folder)) as running, sync_playwright() as playwright:
        project, cookie = running.run(SET_UP.format(items=given.answers + SPARE))
        browser = playwright.chromium.launch(executable_path=chromium, args=list(CHROMIUM_FLAGS))
        context = browser.new_context(base_url=running.url, viewport={"width": 1280, "height": 860})
        context.add_cookies([{"name": "sessionid", "value": cookie, "url": running.url}])
        page = context.new_page()
        # Chromium's own network emulation: a route in Python would make this process part of what is measured.
        session = context.new_cdp_session(page)
        session.send("Network.enable")
        slow = {"offline": False, "latency": given.delay, "downloadThroughput": -1, "uploadThroughput": -1}
        session.send("Network.emulateNetworkConditions", slow)
        page.goto(f"/projects/{project}/label")
        page.wait_for_selector("#item-body .text")
        time.sleep(1)
        shown = _label(page, given.answers, given.pause)
        arrived = _arrived(page, project, given.answers)
        found = sorted(page.evaluate(MEASURES))
        browser.close()
    print(json.dumps(_figures(given, found, shown, arrived)))


def _label(page: Page, answers: int, pause: float) -> int:
    """Press a digit so often; returns how many items were on screen in all."""
    seen = set()
    for k in range(answers):
        seen.add(page.inner_text("#item-body .text"))
        page.keyboard.press(str(k % 9 + 1))
        page.wait_for_timeout(pause)
    return len(seen)


def _arrived(page: Page, project: int, answers: int) -> int:
    until = time.monotonic() + 30
    while True:
        found = page.request.get(f"/api/projects/{project}/progress").json()["answered"]
        if found >= answers or time.monotonic() > until:
            return int(found)
        time.sleep(0.2)


def _figures(given: argparse.Namespace, found: list[float], shown: int, arrived: int) -> dict[str, Any]:
    def percentile(share: float) -> float:
        return round(found[min(len(found) - 1, int(share * len(found)))], 1)

    return {
        "answers": given.answers,
        "network_delay_ms": given.delay,
        "pause_ms": given.pause,
        "measured": len(found),
        "items_shown": shown,
        "answers_kept": arrived,
        "p50_ms": percentile(0.5),
        "p95_ms": percentile(0.95),
        "p99_ms": percentile(0.99),
        "largest_ms": round(found[-1], 1),
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--answers", type=int, default=100)
    parser.add_argument("--delay", type=float, default=50, help="ms added to every request")
    parser.add_argument("--pause", type=float, default=250, help="ms between two keys")
    return parser.parse_args()


if __name__ == "__main__":
    main()
