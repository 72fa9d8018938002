"""Labelling page: by keys, by thumb, without the server, in two tabs; looked at in a browser."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, Request, Route, expect

from tests.browser.site import Site

FIVE = ["Card arrival", "Card delivery estimate", "Lost or stolen card", "Card not working", "Order a physical card"]
SUBJECTS = ["card", "cash", "transfer", "top-up", "refund", "exchange", "account"]
MATTERS = ["arrival", "fee", "limit", "reverted", "pending", "declined", "lost", "PIN", "country", "age", "évaluation"]
MANY = [f"{subject} {matter}" for subject in SUBJECTS for matter in MATTERS]
PLAIN = ["keys", "lag", "undo", "marks", "change", "offline", "closed", "reloaded", "refused", "tabs", "thumb", "remap"]
PLAIN += ["live", "held", "leaving"]
SET_UP = f"""
import io
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from PIL import Image
from labeling import standing
from labeling.models import Candidate, Item, Label, User

made = {{}}
texts = lambda n: [f"I ordered my card {{k}} days ago and it still is not here. Should I be worried?" for k in range(n)]
def keep(name, project):
    made[name] = {{
        "id": project.pk,
        "labels": {{label.name: label.pk for label in project.labels.all()}},
    }}
    return project
for name in {PLAIN!r}:
    keep(name, make.project(labels={FIVE!r}, texts=texts(30), name=name, guidelines="Read the whole text."))
keep("many", make.project(labels={MANY!r}, texts=texts(20), name="many"))
keep("no items", make.project(labels=["a", "b"], name="no items"))
keep("no labels", make.project(texts=texts(3), name="no labels"))
keep("done", make.project(labels=["a", "b"], texts=texts(2), name="done"))
for name, shown in [("suggested", True), ("clicked", True), ("heard", True), ("hidden", False)]:
    project = keep(name, make.project(labels={FIVE!r}, texts=texts(10), name=name, show_suggestions=shown))
    first, second, *_ = project.labels.all()
    snapshot = make.snapshot(project, 3)
    top = [[second.pk, 0.46], [first.pk, 0.41]]
    reason = {{"code": "margin", "labels": [second.pk, first.pk], "p": [0.46, 0.41]}}
    Candidate.objects.bulk_create(
        Candidate(project=project, item=item, position=item.row, snapshot=snapshot, reason=reason, top=top)
        for item in project.items.all()
    )
many = make.project(labels={MANY!r}, texts=texts(20), name="likeliest")
keep("likeliest", many)
top = [[label.pk, round(0.3 - 0.03 * place, 2)] for place, label in enumerate(reversed(many.labels.all()[60:69]))]
Candidate.objects.bulk_create(
    Candidate(project=many, item=item, position=item.row, reason={{"code": "typical"}}, top=top)
    for item in many.items.all()
)
images = keep("images", make.project(labels=[str(digit) for digit in range(10)], name="images", modality="image"))
for row in range(6):
    data = io.BytesIO()
    Image.new("L", (8, 8), 40 * row).save(data, "PNG")
    path = default_storage.save(f"projects/{{images.pk}}/images/{{row}}.png", ContentFile(data.getvalue()))
    standing.add_items(images.pk, 1)
    Item.objects.create(
        project=images, row=row, image=path, image_type="image/png", width=8, height=8, name=f"{{row}}.png",
        content_hash=bytes([row] * 16),
    )
scripts = [
    "我上周订的新卡还没有到，应该担心吗？",
    "طلبت بطاقتي الجديدة منذ أكثر من أسبوع ولم تصل بعد",
    "<script>document.title = 'taken over'</script>",
    "A long story. " * 400,
]
keep("scripts", make.project(labels=["a", "b"], texts=scripts, name="scripts"))
make.member(images, "annotator", "ann")
result = {{"projects": made, "owner": cookie("owner"), "ann": cookie("ann")}}
"""

Open = Callable[..., BrowserContext]


@pytest.fixture(scope="module")
def made(running_site: Site) -> dict[str, Any]:
    """A project for each test, and the session cookies of their people."""
    return running_site.run(SET_UP)


def posts(route: Route) -> bool:
    return route.request.method == "POST"


class Bench:
    """A labelling page, and what the server has of it."""

    def __init__(self, page: Page, project: dict[str, Any]) -> None:
        self.page = page
        self.labels: dict[str, int] = project["labels"]
        self.api = f"/api/projects/{project['id']}"
        self.problems: list[str] = []
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("console", lambda line: self._note(line.type, line.text))

    def _note(self, kind: str, text: str) -> None:
        if kind == "error" and "Failed to load resource" not in text:
            self.problems.append(text)

    @property
    def text(self) -> str:
        return self.page.locator("#item-body .text").inner_text()

    def wait(self) -> Bench:
        expect(self.page.locator("#item-body .text, #item-body .frame").first).to_be_visible()
        return self

    def get(self, path: str) -> Any:
        reply = self.page.request.get(self.api + path)
        assert reply.ok, reply.text()
        return reply.json()

    def answers(self) -> list[dict[str, Any]]:
        """This person's current answers, newest first."""
        return self.get("/answers?author=me&limit=100")["results"]

    def given(self, text: str) -> list[int]:
        """The labels of this person's current answers to the item with this text."""
        return [answer["label"] for answer in self.answers() if answer["text"] == text]

    def settle(self, count: int) -> list[dict[str, Any]]:
        """Wait until the server has this many answers, no more; returns them."""
        until = time.monotonic() + 40
        while len(found := self.answers()) != count and time.monotonic() < until:
            time.sleep(0.05)
        assert len(found) == count
        return found

    def press(self, *keys: str) -> None:
        """Press keys one after the other, as fast as the page shows the next item."""
        for key in keys:
            before = self.text
            self.page.keyboard.press(key)
            expect(self.page.locator("#item-body .text")).not_to_have_text(before)


@pytest.fixture
def bench(open_as: Open, made: dict[str, Any]) -> Callable[..., Bench]:
    """Open the labelling page of a project by its name."""

    def enter(name: str, *, person: str = "owner", context: BrowserContext | None = None, **more: Any) -> Bench:
        project = made["projects"][name]
        page = (context or open_as(made[person], **more)).new_page()
        found = Bench(page, project)
        page.goto(f"/projects/{project['id']}/label")
        return found

    return enter


def test_twenty_items_by_keys_alone(bench: Callable[..., Bench]) -> None:
    found = bench("keys").wait()
    given = {}
    for k in range(20):
        given[found.text] = FIVE[k % 5]
        found.press(str(k % 5 + 1))
    answers = found.settle(20)
    names = {label: name for name, label in found.labels.items()}
    assert {answer["text"]: names[answer["label"]] for answer in answers} == given
    assert all(answer["seconds"] >= 0 for answer in answers)
    progress = found.get("/progress")
    assert (progress["answered"], progress["mine"], progress["open"]) == (20, 20, 10)
    expect(found.page.locator("#counts")).to_contain_text("20 by people")
    expect(found.page.locator("#just-list li")).to_have_count(8)
    assert found.problems == []


def test_the_next_item_does_not_wait_for_the_server(bench: Callable[..., Bench]) -> None:
    found = bench("lag").wait()
    held: list[Route] = []
    found.page.route("**/answers", lambda route: held.append(route) if posts(route) else route.continue_())
    seen = [found.text]
    for key in "123":
        found.press(key)
        seen.append(found.text)
    assert len(set(seen)) == 4
    assert found.answers() == []
    for _ in range(3):
        until = time.monotonic() + 30
        while not held and time.monotonic() < until:
            found.page.wait_for_timeout(20)
        held.pop().continue_()
    assert [answer["text"] for answer in reversed(found.settle(3))] == seen[:3]


def test_a_held_key_labels_one_item(bench: Callable[..., Bench]) -> None:
    found = bench("held").wait()
    second = found.text
    found.page.keyboard.down("1")
    expect(found.page.locator("#item-body .text")).not_to_have_text(second)
    second = found.text
    for _ in range(5):
        found.page.keyboard.down("1")  # what a keyboard repeats while the key is held
    found.page.keyboard.up("1")
    found.settle(1)
    assert found.text == second


def test_undo_at_once_and_after_a_reload(bench: Callable[..., Bench]) -> None:
    found = bench("undo").wait()
    first = found.text
    found.press("1")
    second = found.text
    found.press("2")
    third = found.text
    found.settle(2)
    found.press("z")
    assert found.text == second
    [kept] = found.settle(1)
    assert kept["text"] == first
    found.page.reload()
    found.wait()
    assert found.text == second
    found.press("z")
    assert found.text == first
    found.settle(0)
    found.press("5", "5")
    assert {answer["text"] for answer in found.settle(2)} == {first, second}
    assert found.text == third
    assert found.problems == []


def test_undo_of_what_was_never_sent_sends_nothing(bench: Callable[..., Bench]) -> None:
    found = bench("undo").wait()
    before = len(found.answers())
    sent: list[str] = []
    found.page.on("request", lambda request: sent.append(request.method) if "/answers" in request.url else None)
    found.page.context.set_offline(True)
    first = found.text
    found.press("1")
    second = found.text
    found.press("2", "z")
    assert found.text == second
    found.page.keyboard.press("Control+z")
    expect(found.page.locator("#item-body .text")).to_have_text(first)
    found.page.context.set_offline(False)
    expect(found.page.locator("#banners .banner")).to_have_count(0)
    assert len(found.settle(before)) == before


def test_skip_flag_and_note(bench: Callable[..., Bench]) -> None:
    found = bench("marks").wait()
    skipped = found.text
    found.press("Space")
    flagged = found.text
    found.page.keyboard.press("f")
    expect(found.page.locator("#flagged")).to_be_visible()
    found.page.keyboard.press("f")
    found.page.keyboard.type("two cards, 1 text?")
    found.page.keyboard.press("Enter")
    assert found.text == flagged  # what was typed into the note has labelled nothing
    found.press("3")
    [answer] = found.settle(1)
    marks = found.get(f"/items/{answer['item']}")["history"]
    assert [(mark["event"], mark["note"]) for mark in marks if mark["event"] == "flag"] == [
        ("flag", "two cards, 1 text?")
    ]
    found.press("z", "z")
    assert found.text == skipped
    found.settle(0)
    found.press("1")
    assert [answer["text"] for answer in found.settle(1)] == [skipped]


def test_search_among_77_labels(bench: Callable[..., Bench]) -> None:
    found = bench("many").wait()
    expect(found.page.locator("#labels .lab")).to_have_count(10)
    before = found.text
    found.page.keyboard.press("/")
    found.page.keyboard.type("tra pend")
    rows = found.page.locator("#picker-list li")
    expect(rows).to_have_count(1)
    expect(rows.first).to_have_attribute("aria-selected", "true")
    found.page.keyboard.press("Enter")
    expect(found.page.locator("#item-body .text")).not_to_have_text(before)
    found.page.keyboard.press("/")
    found.page.keyboard.type("evaluation")  # without the accent
    expect(rows).to_have_count(7)
    found.page.keyboard.press("ArrowDown")
    found.page.keyboard.press("Enter")
    found.page.keyboard.press("/")
    found.page.keyboard.type("nothing like it")
    expect(found.page.locator("#picker-none")).to_be_visible()
    found.page.keyboard.press("Enter")
    found.page.keyboard.press("Escape")
    names = {label: name for name, label in found.labels.items()}
    assert [names[answer["label"]] for answer in found.settle(2)] == ["cash évaluation", "transfer pending"]
    found.press("2")
    assert names[found.settle(3)[0]["label"]] == MANY[1]


def test_the_likeliest_nine_of_77_get_the_digits(bench: Callable[..., Bench]) -> None:
    found = bench("likeliest").wait()
    likeliest = MANY[60:69][::-1]
    expect(found.page.locator("#labels .lab .g").first).to_have_text(likeliest[0])
    assert found.page.locator("#labels .lab .g").all_inner_texts()[:9] == likeliest
    found.press("3", "Enter")
    names = {label: name for name, label in found.labels.items()}
    assert [names[answer["label"]] for answer in found.settle(2)] == [likeliest[0], likeliest[2]]


def test_what_was_answered_can_be_changed(bench: Callable[..., Bench]) -> None:
    found = bench("change").wait()
    first = found.text
    found.press("1", "2")
    here = found.text
    found.settle(2)
    found.page.locator("#just-list button", has_text="Card arrival").click()
    expect(found.page.locator("#picker-item")).to_have_text(first)
    found.page.keyboard.type("lost")
    found.page.keyboard.press("Enter")
    expect(found.page.locator("#just-list")).to_contain_text("Lost or stolen card")
    assert found.text == here
    _until(lambda: found.given(first) == [found.labels[FIVE[2]]])
    found.page.keyboard.press("z")  # takes back the change, not the answer
    _until(lambda: found.given(first) == [found.labels[FIVE[0]]])
    assert len(found.answers()) == 2


def test_answers_are_kept_while_the_server_is_away(bench: Callable[..., Bench]) -> None:
    found = bench("offline").wait()
    found.page.context.set_offline(True)
    texts = []
    for key in "123":
        texts.append(found.text)
        found.press(key)
    expect(found.page.locator("[data-trouble=away]")).to_contain_text("3 kept")
    found.page.context.set_offline(False)
    expect(found.page.locator("[data-trouble=away]")).to_have_count(0)
    assert [answer["text"] for answer in reversed(found.settle(3))] == texts


def test_a_closed_tab_leaves_its_answers_to_the_next(
    bench: Callable[..., Bench], open_as: Open, made: dict[str, Any]
) -> None:
    context = open_as(made["owner"])
    found = bench("closed", context=context).wait()
    context.route("**/api/**/answers", lambda route: route.abort() if posts(route) else route.continue_())
    first = found.text
    found.press("4", "5")
    expect(found.page.locator("[data-trouble=away]")).to_contain_text("2 kept")
    found.page.close(run_before_unload=False)
    context.unroute("**/api/**/answers")
    again = bench("closed", context=context).wait()
    assert {answer["label"] for answer in again.settle(2)} == {again.labels[FIVE[3]], again.labels[FIVE[4]]}
    assert again.text != first
    # The closed tab keeps nothing: all but the two answered and the four of the new tab are free.
    _until(lambda: len(again.get("/next?count=50&tab=other")["items"]) == 30 - 2 - 4)


def test_a_reload_keeps_what_is_not_sent(bench: Callable[..., Bench], open_as: Open, made: dict[str, Any]) -> None:
    found = bench("reloaded").wait()
    found.page.route("**/answers", lambda route: route.abort() if posts(route) else route.continue_())
    answered = found.text
    found.press("1")
    expect(found.page.locator("[data-trouble=away]")).to_contain_text("1 kept")
    found.page.reload()
    found.wait()
    assert found.text != answered
    found.page.keyboard.press("z")
    expect(found.page.locator("#item-body .text")).to_have_text(answered)
    found.press("2")
    found.page.unroute("**/answers")
    found.page.evaluate("dispatchEvent(new Event('online'))")
    _until(lambda: found.given(answered) == [found.labels[FIVE[1]]])
    assert len(found.answers()) == 1


def test_leaving_the_page_sends_what_still_waits(bench: Callable[..., Bench]) -> None:
    found = bench("leaving").wait()
    held: list[Route] = []

    def hold_the_first(route: Route) -> None:
        if posts(route) and not held:
            held.append(route)  # never answered: what comes behind it waits in the browser
        else:
            route.continue_()

    found.page.route("**/answers", hold_the_first)
    found.press("1", "2", "1")
    assert found.answers() == []
    found.page.get_by_role("link", name="Overview").click()
    found.settle(3)


def test_a_refusal_is_shown_and_can_be_mended(bench: Callable[..., Bench]) -> None:
    found = bench("refused").wait()
    refusal = {"code": "unknown_label", "detail": "The label was archived. Choose another.", "fields": {}}

    def refuse(route: Route, request: Request) -> None:
        if request.method == "POST" and request.post_data_json["label"] == found.labels[FIVE[0]]:
            route.fulfill(status=422, json=refusal)
        else:
            route.continue_()

    found.page.route("**/answers", refuse)
    first = found.text
    found.press("1", "2")
    banner = found.page.locator("[data-refused]")
    expect(banner).to_contain_text("The label was archived. Choose another.")
    found.settle(1)  # the refusal does not hold up what comes after it
    found.page.reload()
    found.wait()
    expect(banner).to_have_count(1)
    banner.get_by_role("button", name="Choose another label").click()
    found.page.keyboard.type("lost")
    found.page.keyboard.press("Enter")
    expect(banner).to_have_count(0)
    assert (first, found.labels[FIVE[2]]) in [(answer["text"], answer["label"]) for answer in found.settle(2)]


def test_two_tabs_never_show_the_same_item(bench: Callable[..., Bench], open_as: Open, made: dict[str, Any]) -> None:
    context = open_as(made["owner"])
    one = bench("tabs", context=context).wait()
    with context.expect_page() as opened:
        one.page.evaluate("open(location.href)")  # a duplicated tab starts with a copy of this tab's storage
    two = Bench(opened.value, made["projects"]["tabs"]).wait()
    seen = []
    for _ in range(6):
        for tab in (one, two):
            seen.append(tab.text)
            tab.press("1")
    assert len(set(seen)) == 12
    one.settle(12)
    assert one.problems + two.problems == []


def test_suggestions_are_accepted_by_enter(bench: Callable[..., Bench]) -> None:
    found = bench("suggested").wait()
    expect(found.page.locator("#why")).to_contain_text("torn")
    expect(found.page.locator('[data-action="accept"]')).to_contain_text("Card delivery estimate")
    expect(found.page.locator(".lab.sug")).to_contain_text("46%")
    assert found.page.locator("#labels .lab .g").all_inner_texts() == FIVE  # few labels keep their places
    found.press("Enter")
    [answer] = found.settle(1)
    assert answer["label"] == found.labels[FIVE[1]]


def test_hidden_suggestions_do_not_show(bench: Callable[..., Bench]) -> None:
    found = bench("hidden").wait()
    before = found.text
    expect(found.page.locator(".lab.sug")).to_have_count(0)
    expect(found.page.locator('[data-action="accept"]')).to_be_hidden()
    found.page.keyboard.press("Enter")
    expect(found.page.locator("#toasts")).to_contain_text("no suggestion")
    assert found.text == before
    assert "46" not in found.page.locator("#main").inner_text()


def test_a_click_does_not_take_enter_away(bench: Callable[..., Bench]) -> None:
    found = bench("clicked").wait()
    text = found.text
    found.page.locator("#labels .lab").first.click()
    expect(found.page.locator("#item-body .text")).not_to_have_text(text)
    found.press("Enter")
    newest, clicked = found.settle(2)
    assert (clicked["label"], newest["label"]) == (found.labels[FIVE[0]], found.labels[FIVE[1]])


def test_images_zoom_and_digits_are_their_own_keys(bench: Callable[..., Bench]) -> None:
    found = bench("images", person="ann").wait()
    image = found.page.locator(".frame img")
    expect(image).to_have_js_property("naturalWidth", 8)
    found.page.keyboard.press("+")
    expect(image).to_have_attribute("style", re.compile(r"scale\(1\.4\)"))
    found.page.keyboard.press("-")
    expect(image).not_to_have_attribute("style", re.compile("scale"))
    first = image.get_attribute("src")
    found.page.keyboard.press("0")
    expect(image).not_to_have_attribute("src", first or "")
    found.page.keyboard.press("7")
    names = {label: name for name, label in found.labels.items()}
    assert [names[answer["label"]] for answer in found.settle(2)] == ["7", "0"]
    assert found.problems == []


def test_own_keys_are_kept_with_the_account(bench: Callable[..., Bench]) -> None:
    found = bench("remap", person="owner").wait()
    found.page.keyboard.press("?")
    found.page.locator('[data-remap="skip"]').click()
    with found.page.expect_response("**/api/me"):
        found.page.keyboard.press("x")
    found.page.locator('[data-remap="flag"]').click()
    found.page.keyboard.press("1")
    expect(found.page.locator("#keys-told")).to_contain_text("Card arrival")  # a label's key is refused
    found.page.keyboard.press("Escape")
    expect(found.page.locator("#keys")).to_be_hidden()
    found.page.reload()
    found.wait()
    before = found.text
    found.page.keyboard.press("Space")
    found.page.wait_for_timeout(150)
    assert found.text == before
    found.press("x")
    found.page.keyboard.press("?")
    with found.page.expect_response("**/api/me"):
        found.page.locator("#keys-reset").click()


def test_news_reach_the_page_but_not_the_item_on_screen(bench: Callable[..., Bench], running_site: Site) -> None:
    found = bench("live").wait()
    before = found.text
    project = found.api.rsplit("/", 1)[1]
    running_site.run(f"""
from labeling import live
from labeling.models import Lease, Project
project = Project.objects.get(pk={project})
snapshot = make.snapshot(project, 7)
label = project.labels.last()
Lease.objects.filter(project=project).update(top=[[label.pk, 0.9]], snapshot=snapshot)
live.publish(project.pk, "snapshot", {{"number": 7, "answers": 1, "accuracy": None}})
""")
    expect(found.page.locator("#model-text")).to_have_text("model 7")
    assert found.text == before
    expect(found.page.locator(".lab.sug")).to_have_count(0)  # it must not change under the hand
    found.press("1")
    expect(found.page.locator(".lab.sug")).to_contain_text("90%")


def test_by_thumb(bench: Callable[..., Bench]) -> None:
    found = bench("thumb", narrow=True).wait()
    assert found.page.evaluate("document.documentElement.scrollWidth") <= 390
    for place in range(3):
        before = found.text
        found.page.locator("#labels .lab").nth(place).tap()
        expect(found.page.locator("#item-body .text")).not_to_have_text(before)
    for button in found.page.locator("#labels .lab, #actions .btn:visible").all():
        box = button.bounding_box()
        assert box is not None
        assert box["height"] >= 44
        assert box["y"] + box["height"] <= 844  # within reach without scrolling
    found.settle(3)
    before = found.text
    found.page.locator('[data-action="undo"]').tap()
    expect(found.page.locator("#item-body .text")).not_to_have_text(before)
    found.settle(2)


def test_every_script_is_shown_as_it_is_read(bench: Callable[..., Bench]) -> None:
    found = bench("scripts").wait()
    seen = {}
    for _ in range(4):
        box = found.page.locator("#item-body .text")
        seen[found.text.strip()[:10]] = box.evaluate(
            "box => [getComputedStyle(box).direction, box.lang, box.scrollHeight > box.clientHeight, box.tabIndex]"
        )
        if "A long sto" in seen and len(seen) == len({*seen, "A long sto"}) and found.text.startswith("A long"):
            found.page.keyboard.press("PageDown")
            assert box.evaluate("box => box.scrollTop") > 0
        found.page.keyboard.press("1")
        found.page.wait_for_timeout(100)
    assert seen["我上周订的新卡还没有"] == ["ltr", "zh", False, -1]
    assert seen["طلبت بطاقت"] == ["rtl", "", False, -1]
    assert seen["<script>do"][0] == "ltr"
    assert seen["A long sto"] == ["ltr", "", True, 0]
    assert "taken over" not in found.page.title()
    found.settle(4)


@pytest.mark.parametrize(
    ("name", "title"),
    [("no items", "Nothing to label yet"), ("no labels", "This project has no labels yet")],
)
def test_an_empty_project_says_what_to_do(bench: Callable[..., Bench], name: str, title: str) -> None:
    found = bench(name)
    expect(found.page.locator("#empty h2")).to_have_text(title)
    expect(found.page.locator("#empty a.btn")).to_have_attribute("href", re.compile(r"/(import|settings)"))
    assert found.problems == []


def test_the_end_is_told(bench: Callable[..., Bench]) -> None:
    found = bench("done").wait()
    found.press("1")
    found.page.keyboard.press("2")
    expect(found.page.locator("#empty h2")).to_have_text("All done")
    found.settle(2)
    found.page.reload()
    expect(found.page.locator("#empty h2")).to_have_text("All done")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("narrow", [False, True], ids=["wide", "narrow"])
def test_nothing_serious_by_axe(
    bench: Callable[..., Bench], serious: Callable[[Page], list[str]], dark: bool, narrow: bool
) -> None:
    found = bench("likeliest", dark=dark, narrow=narrow).wait()
    found.page.locator('[data-action="flag"]').click()
    assert serious(found.page) == []
    found.page.keyboard.press("/")
    assert serious(found.page) == []
    found.page.keyboard.press("Escape")
    found.page.keyboard.press("?")
    assert serious(found.page) == []
    found.page.keyboard.press("Escape")
    found.page.keyboard.press("g")
    assert serious(found.page) == []
    found.page.locator("#unflag").click(force=True) if not narrow else None


def test_a_screen_reader_hears_what_happened_and_what_comes(bench: Callable[..., Bench]) -> None:
    found = bench("heard").wait()
    text = found.page.locator("#announce")
    expect(text).to_contain_text(found.text)
    expect(text).to_contain_text("Suggested: Card delivery estimate, 46%.")
    found.press("1")
    expect(text).to_contain_text("Saved: Card arrival.")
    expect(text).to_contain_text(found.text)


def _until(true: Callable[[], bool]) -> None:
    until = time.monotonic() + 40
    while not true():
        assert time.monotonic() < until
        time.sleep(0.05)
