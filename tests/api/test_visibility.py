"""Visibility: what annotators see of each other's answers, through every door that is open to them."""

from __future__ import annotations

import random
import re
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from labeling import asking
from labeling.flow import answering, examining
from labeling.models import Answer, Item, Label, Lease, Project, Role, User
from tests import factories, make
from tests.test_access import ANNOTATOR, ANYBODY, PATTERNS, SIGNED_IN, TABLE

pytestmark = pytest.mark.django_db
NOW = make.NOW
CHANGING = (
    (r'(csrfmiddlewaretoken" value|data-csrf|nonce)="[^"]*"', ""),
    (r"\d{4}-\d\d-\d\dT[\d:.]+(\+00:00|Z)?", "then"),
    (r'"per_hour": ?[\d.]+', "pace"),
)


@pytest.fixture
def project() -> Project:
    made = make.project(labels=["yes", "no"], texts=[f"item {row}" for row in range(6)], overlap=3)
    for name in ("anna", "bo"):
        make.member(made, Role.ANNOTATOR, name)
    factories.snapshot(made, confidence=[0.9] * 6)
    return made


def person(name: str) -> User:
    return User.objects.get(username=name)


def item_of(project: Project, row: int) -> Item:
    return Item.objects.get(project=project, row=row)


def say(project: Project, row: int, who: str, name: str) -> Answer:
    label = Label.objects.get(project=project, name=name)
    item = item_of(project, row)
    return answering.submit(project=project, item=item, author=person(who), label=label, now=NOW).answer


def all_that_anna_can_see(project: Project, bo_says: dict[int, str]) -> list[str]:
    """The bodies of all replies to Anna after Bo has answered so; nothing of it stays."""
    seen: list[str] = []
    with transaction.atomic():
        for row, name in bo_says.items():
            say(project, row, "bo", name)
        random.seed(0)
        client, page = factories.api(person("anna")), factories.browser(person("anna"))
        url = f"/api/projects/{project.pk}"

        def look() -> None:
            for address in open_doors(project):
                seen.append(address + "\n" + page.get(address).content.decode(errors="replace"))

        look()
        handed = client.get(f"{url}/next?count=50")
        assert {0, 1} <= {one["row"] for one in handed.json()["items"]}
        seen.append(handed.content.decode())
        for row in (0, 1):
            body = {"item": item_of(project, row).pk, "label": "yes", "count": 50}
            seen.append(client.post(f"{url}/answers/", body, format="json").content.decode())
        look()
        seen.append(client.post(f"{url}/undo", {}, format="json").content.decode())
        look()
        transaction.set_rollback(True)
    for pattern, to in CHANGING:
        seen = [re.sub(pattern, to, body) for body in seen]
    return seen


def open_doors(project: Project) -> list[str]:
    """Every address that an annotator may look at in this project, of items too."""
    found = []
    for door in TABLE:
        wanted = set(PATTERNS[door.name].pattern.regex.groupindex)
        may = door.method == "GET" and door.needed in (ANNOTATOR, SIGNED_IN, ANYBODY)
        if may and door.name != "events" and wanted <= {"project_id", "item_id"} and "project_id" in wanted:
            for item in Item.objects.filter(project=project, row__lt=2) if "item_id" in wanted else [None]:
                ids = {"project_id": project.pk} | ({"item_id": item.pk} if item else {})
                found.append(reverse(door.name, kwargs={name: ids[name] for name in wanted}) + door.query)
    assert len(found) > 8
    return found


def test_blind_no_door_tells_an_annotator_what_another_one_said(project: Project) -> None:
    """Whatever Bo says of the two items, as long as the counts are the same, everything that Anna sees is the same."""
    one = all_that_anna_can_see(project, {0: "yes", 1: "no"})
    other = all_that_anna_can_see(project, {0: "no", 1: "yes"})
    assert one == other


@pytest.mark.parametrize("visibility", ["open", "after"])
def test_the_test_above_would_notice(project: Project, visibility: str) -> None:
    Project.objects.filter(pk=project.pk).update(visibility=visibility)
    project.refresh_from_db()
    one = all_that_anna_can_see(project, {0: "yes", 1: "no"})
    other = all_that_anna_can_see(project, {0: "no", 1: "yes"})
    assert one != other


def answer(project: Project, row: int, label: str = "yes") -> dict[str, Any]:
    """Anna's answer by the API; returns it as she is told it."""
    body = {"item": item_of(project, row).pk, "label": label, "count": 0, "tab": "t"}
    told = factories.api(person("anna")).post(f"/api/projects/{project.pk}/answers/", body, format="json")
    return dict(told.json()["answer"])


def handed(project: Project) -> dict[int, list[dict[str, Any]]]:
    """What Anna is shown of others beside the items that she is handed, by row."""
    told = factories.api(person("anna")).get(f"/api/projects/{project.pk}/next?count=50&tab=t").json()
    return {one["row"]: one["others"] for one in told["items"]}


def words(project: Project, others: list[dict[str, Any]]) -> list[tuple[str, str, bool]]:
    names = dict(project.labels.values_list("pk", "name"))
    return [(one["who"], names[one["label"]], one["decision"]) for one in others]


def see(project: Project, visibility: str) -> None:
    Project.objects.filter(pk=project.pk).update(visibility=visibility)
    project.refresh_from_db()


def test_open_who_said_what_stands_beside_the_item(project: Project) -> None:
    see(project, "open")
    say(project, 0, "bo", "no")
    say(project, 0, "owner", "yes")
    say(project, 1, "bo", "yes")
    answering.undo(project=project, author=person("bo"), now=NOW)  # what was taken back is not told
    found = handed(project)
    assert words(project, found[0]) == [("bo", "no", False), ("owner", "yes", False)]
    assert found[1] == []


def test_after_answering_others_answers_come_with_the_reply_the_history_and_the_item_taken_back(
    project: Project,
) -> None:
    see(project, "after")
    say(project, 0, "bo", "no")
    assert not any(handed(project).values())
    assert words(project, answer(project, 0)["others"]) == [("bo", "no", False)]
    yes = Label.objects.get(project=project, name="yes")
    answering.decide(project=project, item=item_of(project, 0), reviewer=person("owner"), label=yes, now=NOW)
    client, url = factories.api(person("anna")), f"/api/projects/{project.pk}"
    [mine] = client.get(f"{url}/answers/").json()["results"]
    assert words(project, mine["others"]) == [("bo", "no", False), ("owner", "yes", True)]
    back = client.post(f"{url}/undo", {"tab": "t"}, format="json").json()["item"]
    assert words(project, back["others"]) == [("bo", "no", False), ("owner", "yes", True)]


@pytest.mark.parametrize("visibility", ["open", "after"])
def test_what_is_asked_blind_stays_blind(project: Project, visibility: str) -> None:
    see(project, visibility)
    for row in range(4):
        say(project, row, "bo", "no")
    items = [item_of(project, row) for row in range(4)]
    no = Label.objects.get(project=project, name="no")
    examining.set_by_hand(project=project, item=items[0], label=no, by=person("owner"), now=NOW)  # gold
    asking.ask(project=project, item_ids=[items[1].pk], purpose="audit", now=NOW)
    until = timezone.now() + timedelta(hours=1)
    for item in items[:3]:  # the third is an ordinary question that was asked without a suggestion
        Lease.objects.create(
            project=project, item=item, holder=person("anna"), tab="t", reason={"code": "blind"}, created_at=NOW,
            expires_at=until,
        )  # fmt: skip
    found = handed(project)
    assert [found[row] for row in range(3)] == [[], [], []]
    assert [answer(project, row)["others"] for row in range(4)] == [[], [], [], answer(project, 3)["others"]]
    assert words(project, answer(project, 3)["others"]) == [("bo", "no", False)]
    client, url = factories.api(person("anna")), f"/api/projects/{project.pk}"
    listed = {one["item"]: one["others"] for one in client.get(f"{url}/answers/").json()["results"]}
    assert [bool(listed[item.pk]) for item in items] == [False, False, False, True]


def test_it_is_a_setting_of_the_project(project: Project) -> None:
    client, url = factories.api(person("owner")), f"/api/projects/{project.pk}/"
    assert client.get(url).json()["visibility"] == "blind"
    assert client.patch(url, {"visibility": "after"}, format="json").json()["visibility"] == "after"
    refused = client.patch(url, {"visibility": "loud"}, format="json")
    assert refused.status_code == 422
    assert "visibility" in refused.json()["fields"]
    page = factories.browser(person("owner"))
    form = {"do": "people", "overlap": 2, "overlap_mode": "all", "overlap_share": 20, "sure_enough": 95}
    page.post(f"/projects/{project.pk}/settings", form | {"consensus": "majority", "visibility": "open"})
    assert client.get(url).json()["visibility"] == "open"
