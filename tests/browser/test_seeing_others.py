"""What annotators see of each other's answers on the labelling page, and gold items made by keyboard."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import BrowserContext, Page, expect

from tests.browser import driving
from tests.browser.site import Site

MAKE = """
from labeling.flow import answering
from labeling.models import Candidate, Item, Label, Project
project = make.project(labels=["yes", "no"], texts=[f"Question {row}" for row in range(6)], overlap=3, name="Seeing")
ids = dict(Label.objects.filter(project=project).values_list("name", "pk"))
people = {name: make.member(project, role, name) for name, role in
          (("anna", "annotator"), ("bo", "annotator"), ("rita", "reviewer"))}
for item in Item.objects.filter(project=project).order_by("row"):
    label = Label.objects.get(pk=ids["yes" if item.row % 2 else "no"])
    answering.submit(project=project, item=item, author=people["bo"], label=label, now=make.NOW)
    Candidate.objects.filter(item=item).update(position=-1000 + item.row)
result = {"project": project.pk, "cookies": {name: cookie(name) for name in people}}
"""
SET = "from labeling.models import Project\nProject.objects.filter(pk=%d).update(visibility='%s')"


def test_others_answers_show_as_the_project_says_and_what_is_decided_becomes_gold_by_a_key(
    running_site: Site, open_as: Callable[..., BrowserContext], serious: Callable[[Page], list[str]]
) -> None:
    made = running_site.run(MAKE)
    project = made["project"]
    running_site.run(SET % (project, "after"))
    anna = open_as(made["cookies"]["anna"], narrow=True).new_page()
    anna.goto(f"/projects/{project}/label")
    expect(anna.locator("#item-body")).to_contain_text("Question 0")
    expect(anna.locator("#others")).to_be_hidden()
    anna.keyboard.press("1")
    expect(anna.locator("#just-list li").first).to_contain_text("bo: no")
    anna.keyboard.press("z")  # back to it: what was seen stays seen
    expect(anna.locator("#item-body")).to_contain_text("Question 0")
    expect(anna.locator("#others")).to_have_text("Others said: bo: no")
    anna.keyboard.press("1")
    expect(anna.locator("#item-body")).to_contain_text("Question 1")
    expect(anna.locator("#others")).to_be_hidden()
    expect(anna.locator("#just-list li").first).to_contain_text("bo: no")
    anna.locator("#just-list button").first.click()
    expect(anna.locator("#picker-others")).to_have_text("Others said: bo: no")
    assert serious(anna) == []
    anna.keyboard.press("Escape")

    running_site.run(SET % (project, "open"))
    anna.reload()
    expect(anna.locator("#others")).to_have_text("Others said: bo: yes")
    assert serious(anna) == []
    anna.keyboard.press("2")
    url = f"/api/projects/{project}/progress"
    driving.wait_until(lambda: driving.ask(anna, url)["mine"] == 2, 10)

    rita = open_as(made["cookies"]["rita"]).new_page()
    rita.goto(f"/projects/{project}/disagreements")
    expect(rita.locator("#item-body")).to_contain_text("Question")
    expect(rita.locator("#gold-line")).to_be_hidden()
    rita.keyboard.press("1")
    expect(rita.locator("#gold-text")).to_contain_text("Beyond doubt?")
    rita.keyboard.press("o")
    expect(rita.locator("#toasts")).to_contain_text("It is a gold item now")
    rita.goto(f"/projects/{project}/gold")
    expect(rita.locator("tr[data-item]")).to_have_count(1)
    expect(rita.locator("tr[data-item]")).to_contain_text("Decided by a reviewer")
    assert serious(rita) == []
    rita.locator("tr[data-item] a").click()
    rita.get_by_role("button", name="Gold no more").click()
    expect(rita.locator("#use-as-gold")).to_be_visible()
    rita.keyboard.press("o")
    expect(rita.get_by_role("button", name="Gold no more")).to_be_visible()
