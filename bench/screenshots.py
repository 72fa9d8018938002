"""Screenshots of every page, as docs/screenshots/ shows them: real data, a real model, Chromium.

    python -m bench.screenshots [NAME ...] [--narrow] [--dark] [--language zh-hans] [--to DIR]

Makes two projects on a site of its own: questions to a bank (Banking77, 77 labels, from $ANNOTATOR_DEV_DATA, where it
is) and scikit-learn's handwritten digits; answers some items from the files' labels, adapts after each round, and
takes the pages named, or all, in light and dark, at 1280 and 390 pixels.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from itertools import product
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.site import ROOT, Site, site
from tests.services import CHROMIUM_FLAGS, Unavailable, redis_server

ROWS = 1000
DATA = Path(os.environ.get("ANNOTATOR_DEV_DATA", ROOT.parent / "shared/data"))
SIZES = {"wide": {"width": 1280, "height": 860}, "narrow": {"width": 390, "height": 844}}
# What is taken: file name, address, and what is pressed before.
SHOTS: list[tuple[str, str, tuple[str, ...]]] = [
    ("projects", "/", ()),
    ("project-new", "/projects/new", ()),
    ("overview", "/projects/{bank}/", ()),
    ("label", "/projects/{bank}/label", ("1", "Enter", "2")),
    ("label-image", "/projects/{digits}/label", ("Enter", "Enter")),
    ("label-search", "/projects/{bank}/label", ("/", "c", "a", "r")),
    ("label-keys", "/projects/{bank}/label", ("?",)),
    ("label-guidelines", "/projects/{bank}/label", ("g",)),
    ("review", "/projects/{bank}/review", ()),
    ("certificate", "/projects/{digits}/certificates/1", ()),
    ("quality", "/projects/{bank}/quality", ()),
    ("doubts", "/projects/{bank}/quality/doubts", ("j",)),
    ("disagreements", "/projects/{bank}/disagreements", ()),
    ("annotators", "/projects/{bank}/annotators", ()),
    ("rules", "/projects/{bank}/rules", ()),
    ("data", "/projects/{bank}/data", ()),
    ("import", "/projects/{bank}/import", ()),
    ("export", "/projects/{bank}/export", ()),
    ("models", "/projects/{bank}/models", ()),
    ("people", "/projects/{bank}/people", ()),
    ("settings", "/projects/{bank}/settings", ()),
    ("account", "/account", ()),
    ("signin", "/signin", ()),
]
SET_UP = """
from datetime import timedelta
from pathlib import Path
from django.core.management import call_command
from django.db import transaction
from django.utils import timezone
from labeling import dispatch, tasks
from labeling.flow import answering, auditing, ruling
from labeling.models import Ask, Item, Job, Label, Lease, Project, Reference, User

dispatch.send = lambda job: None if dispatch._held_back.get() else tasks.run(job)  # jobs run where they are started
owner = make.user("admin", is_staff=True, is_superuser=True, first_name="Ada", last_name="Okafor")
made = {{}}
for name, file in {files!r}:
    call_command("create_demo", user="admin", **(dict(file=Path(file)) if file else {{}}), verbosity=0)
    made[name] = project = Project.objects.order_by("-pk").first()
    for person in ("Mei Lin", "Jonas"):
        make.member(project, "annotator", person)
Project.objects.filter(pk=made["bank"].pk).update(
    name="Bank questions",
    guidelines="One intent for each question: what the person wants to be done.\\n\\nCard arrival: the card is on its "
    "way and late. If the person only asks how long it takes, choose Card delivery estimate.",
)
for label in Label.objects.filter(project=made["bank"]):
    Label.objects.filter(pk=label.pk).update(name=label.name.replace("_", " ").capitalize())
people = list(User.objects.order_by("pk"))
wrong = {{name: project.labels.order_by("position").last() for name, project in made.items()}}
for name, project in made.items():
    for answers in {rounds!r}:
        with dispatch.held_back():
            open_items = project.items.filter(candidate__isnull=False).order_by("candidate__position")[:answers]
            for k, item in enumerate(open_items.select_related("reference")):
                label = item.reference.label if k % 17 else wrong[name]  # some answers are mistakes, to be doubted
                answering.submit(
                    project=project, item=item, author=people[k % 3], label=label, now=timezone.now(),
                    seconds=2.0 + k % 5,
                )
        tasks.run(Job.objects.filter(project=project, kind="adapt", state="queued").latest("pk").pk)
# A certificate of the digits, audited by one of their annotators.
certified = auditing.start(project=made["digits"], asker=owner, eps=0.1, second_share=0.0, now=timezone.now())
while certified.state == "running" and (asked := Ask.objects.filter(project=made["digits"]).first()):
    Lease.objects.create(
        project=made["digits"], item=asked.item, holder=people[1], reason={{"code": "blind"}},
        created_at=timezone.now(), expires_at=timezone.now() + timedelta(hours=1),
    )
    answering.submit(
        project=made["digits"], item=asked.item, author=people[1], label=asked.item.reference.label, now=timezone.now()
    )
    certified = auditing.advance(certified, now=timezone.now())
bank = made["bank"]
for text, label in (("exchange rate", "Exchange rate"), ("top up", "Top up failed"), ("pin", "Change pin")):
    offered = bank.labels.filter(name=label).first()
    if offered:
        values = {{"label": offered, "kind": "keyword", "text": text}}
        ruling.make(project=bank, by=owner, values=values, now=timezone.now())
answered = Item.objects.filter(project=bank, status="answered").select_related("reference").order_by("pk")
for k, item in enumerate(answered[:40]):  # a second opinion, now and then another one
    label = item.reference.label if k % 5 else wrong["bank"]
    first = item.answers.filter(withdrawn_at=None).values_list("author", flat=True)
    second = next(person for person in people if person.pk not in set(first))
    answering.submit(project=bank, item=item, author=second, label=label, now=timezone.now(), seconds=3.0)
result = {{"cookie": cookie("admin")}} | {{name: project.pk for name, project in made.items()}}
"""


def main() -> None:
    """Make the site, take what was asked for."""
    given = _arguments()
    given.to.mkdir(parents=True, exist_ok=True)
    try:
        with redis_server() as redis:
            _take(given, redis)
    except Unavailable:
        _take(given, None)


def _take(given: argparse.Namespace, redis: str | None) -> None:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as folder, site(Path(folder), redis) as running, sync_playwright() as playwright:
        made = _projects(running, Path(folder))
        browser = playwright.chromium.launch(executable_path=chromium, args=list(CHROMIUM_FLAGS))
        sizes = ["narrow"] if given.narrow else list(SIZES)
        themes = ["dark"] if given.dark else ["light", "dark"]
        for size, theme in product(sizes, themes):
            page = _page(browser, running, made, size, theme, given.language)
            for name, address, keys in SHOTS:
                if not given.names or name in given.names:
                    _shoot(page, address.format(**made), keys, given.to / f"{name}-{size}-{theme}.png")
            page.context.close()
        browser.close()


def _projects(running: Site, folder: Path) -> dict[str, Any]:
    """Ids of the two projects and the admin's session cookie."""
    source = DATA / "text/banking77.test.jsonl"
    if not source.exists():
        raise SystemExit(f"There is no {source}. Set ANNOTATOR_DEV_DATA to the folder with the development data.")
    rows = source.read_text().splitlines()
    spread = [json.loads(row) for row in rows[:: max(1, len(rows) // ROWS)]][:ROWS]
    file = folder / "bank_questions.jsonl"
    file.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in spread))
    return running.run(SET_UP.format(files=[("digits", None), ("bank", str(file))], rounds=[60, 60, 60, 60]))


def _page(browser: Browser, running: Site, made: dict[str, Any], size: str, theme: str, language: str) -> Page:
    context = browser.new_context(
        base_url=running.url, viewport=SIZES[size], color_scheme=theme, has_touch=size == "narrow", locale=language
    )
    context.add_cookies([{"name": "sessionid", "value": made["cookie"], "url": running.url}])
    return context.new_page()


def _shoot(page: Page, address: str, keys: tuple[str, ...], file: Path) -> None:
    if "signin" in address:
        page.context.clear_cookies()
    page.goto(address)
    page.wait_for_timeout(900)
    for key in keys:
        page.keyboard.press(key)
        page.wait_for_timeout(250)
    page.wait_for_timeout(300)
    page.screenshot(path=file)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="which; all if none is named")
    parser.add_argument("--narrow", action="store_true", help="390 pixels alone")
    parser.add_argument("--dark", action="store_true", help="the dark theme alone")
    parser.add_argument("--language", default="en")
    parser.add_argument("--to", type=Path, default=ROOT / "docs/screenshots")
    return parser.parse_args()


if __name__ == "__main__":
    main()
