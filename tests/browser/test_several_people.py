"""Three annotators in three browsers, one of them careless: found, outvoted, and the rest decided by keyboard."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser import driving
from tests.browser.site import Site

LABELS = ("yes", "no", "maybe")
ITEMS = 40
BY_KEYS = 3  # answers that each person gives on the page; the others go through the API from the same browser
MAKE = """
import random
from labeling.models import Candidate, Item, Label
chance = random.Random(0)
said = json.loads(%r)
project = make.project(
    labels=["yes", "no", "maybe"], texts=[f"Question {row}" for row in range(40)], overlap=3, admin="ada",
    name="Three people", guidelines="Say yes only where it is certain.",
)
ids = dict(Label.objects.filter(project=project).values_list("name", "pk"))
for item in Item.objects.filter(project=project):
    # What the model thinks before anybody has answered.
    Candidate.objects.create(
        project=project, item=item, position=item.row, reason={"code": "margin"},
        top=[[ids[said["model"][item.row]], 0.7]],
    )
cookies = {name: cookie(make.member(project, "annotator", name).username) for name in ("anna", "bo", "cy")}
cookies["rita"] = cookie(make.member(project, "reviewer", "rita").username)
result = {"project": project.pk, "cookies": cookies, "labels": ids}
"""
JUDGED = """
from labeling.flow import judging
from labeling.models import Item, Project
right = {}
for method in ("majority", "dawid_skene"):
    Project.objects.filter(pk=%d).update(consensus=method)
    judging.judge(Project.objects.get(pk=%d))
    found = Item.objects.filter(project=%d).order_by("row").values_list("row", "label__name", "status")
    right[method] = sum(name == ["yes", "no", "maybe"][row %% 3] for row, name, _status in found)
    assert all(status == "answered" for *_rest, status in found), list(found)
result = right
"""
ANSWER_THE_REST = """async ([api, said, labels, csrf]) => {
  const tab = "script";
  const headers = {"Content-Type": "application/json", "X-CSRFToken": csrf};
  for (;;) {
    const {items} = await (await fetch(`${api}/next?count=20&tab=${tab}`)).json();
    if (!items.length) return;
    for (const item of items) {
      const body = JSON.stringify({item: item.id, label: labels[said[item.row]], tab, count: 0});
      const reply = await fetch(`${api}/answers/`, {method: "POST", headers, body});
      if (!reply.ok) throw new Error(await reply.text());
    }
  }
}"""


def what_they_say() -> dict[str, list[str]]:
    """Anna and Bo answer well, Cy nearly always "yes", the model foresees four of five."""
    chance = random.Random(0)

    def guess(right: str, share: float) -> str:
        return right if chance.random() < share else chance.choice([one for one in LABELS if one != right])

    said: dict[str, list[str]] = {"anna": [], "model": [], "bo": [], "cy": []}
    for row in range(ITEMS):
        right = LABELS[row % 3]
        for name, wanted, share in (
            ("anna", right, 0.85),
            ("model", right, 0.8),
            ("bo", right, 0.85),
            ("cy", "yes", 0.9),
        ):
            said[name].append(guess(wanted, share))
    return said


def annotate(context: BrowserContext, made: dict[str, Any], said: list[str]) -> None:
    """A few answers by keys, the rest by the API, from this person's browser."""
    page = context.new_page()
    page.goto(f"/projects/{made['project']}/label")
    expect(page.locator("#item-body .text")).to_be_visible()
    driving.label(page, lambda text: said[int(text.split()[-1])], BY_KEYS)
    driving.wait_until(lambda: driving.ask(page, f"/api/projects/{made['project']}/progress")["mine"] == BY_KEYS)
    csrf = page.evaluate("document.body.dataset.csrf")
    # What this tab holds goes back when the page is left.
    with page.expect_response(lambda response: response.url.endswith("/release")):
        page.get_by_role("link", name="Overview", exact=True).click()
    expect(page.get_by_role("heading", name="Three people")).to_be_visible()
    page.evaluate(ANSWER_THE_REST, [f"/api/projects/{made['project']}", said, made["labels"], csrf])


@pytest.fixture
def made(running_site: Site) -> dict[str, Any]:
    """The project, and everybody's session cookie."""
    return dict(running_site.run(MAKE % json.dumps(what_they_say())))


def test_the_careless_one_is_found_the_consensus_beats_the_majority_and_the_rest_is_decided_by_keys(
    running_site: Site,
    made: dict[str, Any],
    open_as: Callable[..., BrowserContext],
    serious: Callable[[Page], list[str]],
) -> None:
    said, project = what_they_say(), made["project"]
    for name in ("anna", "bo", "cy"):
        annotate(open_as(made["cookies"][name]), made, said[name])
    right = running_site.run(JUDGED % (project, project, project))
    assert right["dawid_skene"] > right["majority"], right

    page = open_as(made["cookies"]["rita"]).new_page()
    page.goto(f"/projects/{project}/annotators")
    flagged = page.locator("tr[data-state=below]")
    expect(flagged).to_have_count(1)
    expect(flagged).to_contain_text("cy")
    assert serious(page) == []

    page.get_by_role("link", name="Disagreements").first.click()
    place = page.locator("#place")
    expect(place).to_contain_text("1 of ")
    before = int(place.inner_text().split()[-1])
    assert serious(page) == []
    page.keyboard.press("Enter")
    expect(page.locator("#place")).to_have_text(f"1 of {before - 1}")
    # Undo right after the key, while the decision is still on its way: it takes back that one, not the one before.
    page.route("**/decision", lambda route: (time.sleep(0.3), route.continue_()))
    asked = page.locator("#item-body").inner_text()
    page.keyboard.press("2")
    expect(page.locator("#place")).to_have_text(f"1 of {before - 2}")
    page.keyboard.press("z")
    expect(page.locator("#place")).to_contain_text(f"of {before - 1}")
    expect(page.locator("#item-body")).to_have_text(asked)
    page.unroute("**/decision")
    page.keyboard.press("c")
    page.keyboard.type("Rule 2 says no.")
    page.get_by_role("button", name="Comment", exact=True).click()
    expect(page.locator("#talk")).to_contain_text("Rule 2 says no.")

    # Sent back, it comes first to the one who answered, with the reason.
    page.locator("#said li", has_text="cy").get_by_role("button", name="Send back").click()
    page.locator("#reason").fill("Please read the guidelines.")
    page.get_by_role("dialog").get_by_role("button", name="Send back").click()
    expect(page.locator("#toasts")).to_contain_text("Sent back to cy")
    careless = open_as(made["cookies"]["cy"], narrow=True).new_page()
    careless.goto(f"/projects/{project}/label")
    expect(careless.locator("body")).to_contain_text("Please read the guidelines.")
