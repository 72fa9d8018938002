"""Labelling by the API: next, answers, skips, flags and undo, as a script or the page calls them."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.test import Client
from rest_framework.authtoken.models import Token

from labeling.models import Answer, Candidate, Item, Lease, Project, Role
from tests import make

pytestmark = pytest.mark.django_db
QUERIES = 26  # of one answer with the next items, savepoints among them; see bench/answering.py for the time


@pytest.fixture
def project() -> Project:
    made = make.project(labels=["yes", "no"], texts=[f"text {k}" for k in range(6)])
    yes, no = made.labels.order_by("position")
    for item in Item.objects.filter(project=made, row__lt=3):
        Candidate.objects.create(
            project=made,
            item=item,
            position=item.row,
            reason={"code": "margin", "labels": [yes.pk, no.pk], "p": [0.52, 0.46]},
            top=[[yes.pk, 0.52], [no.pk, 0.46]],
        )
    return made


@pytest.fixture
def api(project: Project) -> Client:
    token = Token.objects.create(user=make.member(project, Role.ANNOTATOR, "anna"))
    return Client(headers={"authorization": f"Token {token.key}"})


def url(project: Project, rest: str) -> str:
    return f"/api/projects/{project.pk}/{rest}"


def post(api: Client, project: Project, rest: str, body: dict[str, Any]) -> Any:
    return api.post(url(project, rest), body, content_type="application/json")


def test_next_gives_items_with_suggestion_and_reason_and_leases_them(project: Project, api: Client) -> None:
    body = api.get(url(project, "next?count=3&tab=a")).json()
    assert [item["row"] for item in body["items"]] == [0, 1, 2]
    first = body["items"][0]
    yes, no = project.labels.order_by("position")
    assert first["text"] == "text 0"
    assert first["suggestion"]["label"] == yes.pk
    assert first["suggestion"]["top"] == [[yes.pk, 0.52], [no.pk, 0.46]]
    assert first["reason"]["text"] == "asked because the model is torn: yes 52% · no 46%"
    assert Lease.objects.filter(project=project).count() == 3
    assert body["progress"]["open"] == 6


def test_an_answer_is_kept_and_the_next_items_come_with_it(project: Project, api: Client) -> None:
    held = api.get(url(project, "next?count=3&tab=a")).json()["items"]
    answered = {"item": held[0]["id"], "label": "no", "key": str(uuid.uuid4()), "seconds": 1.5, "tab": "a", "count": 3}
    response = post(api, project, "answers/", answered)
    assert response.status_code == 201
    body = response.json()
    assert [item["id"] for item in body["next"][:2]] == [item["id"] for item in held[1:]]
    assert body["progress"]["answered"] == 1
    kept = Answer.objects.get()
    assert (kept.label.name, kept.seconds, kept.reason, kept.confidence) == ("no", 1.5, "margin", 0.52)
    again = post(api, project, "answers", answered)
    assert (again.status_code, again.json()["answer"]["id"]) == (200, kept.pk)
    assert Answer.objects.count() == 1


def test_one_answer_takes_few_queries(project: Project, django_assert_max_num_queries: Any) -> None:
    make.snapshot(project)
    client = Client()
    client.force_login(make.member(project, Role.ANNOTATOR, "anna"))
    label = project.labels.get(name="yes").pk
    held = client.get(url(project, "next?count=2&tab=a")).json()["items"]
    # The first answer starts the adaptation; the others find it waiting.
    first = {"item": held[0]["id"], "label": label, "key": str(uuid.uuid4()), "tab": "a", "count": 2}
    held = post(client, project, "answers", first).json()["next"]
    second = {"item": held[0]["id"], "label": label, "key": str(uuid.uuid4()), "tab": "a", "count": 2}
    with django_assert_max_num_queries(QUERIES):
        assert post(client, project, "answers", second).status_code == 201


def test_a_label_may_be_given_by_id(project: Project, api: Client) -> None:
    item, label = Item.objects.get(project=project, row=4), project.labels.get(name="yes")
    assert post(api, project, "answers/", {"item": item.pk, "label": label.pk}).status_code == 201


@pytest.mark.parametrize(
    ("body", "code", "named"),
    [
        ({"label": "yes"}, "invalid", "item"),
        ({"item": 1, "label": "maybe"}, "unknown_label", "maybe"),
        ({"item": 1, "label": ["yes"]}, "unknown_label", "yes"),
        ({"item": 1, "label": "yes", "key": "no-uuid"}, "invalid", "key"),
        ({"item": 1, "label": "yes", "seconds": -1}, "invalid", "seconds"),
        ({"item": 1, "label": "yes", "count": 1000}, "invalid", "count"),
    ],
)
def test_a_bad_answer_is_refused_by_name_and_nothing_is_kept(
    project: Project, api: Client, body: dict[str, Any], code: str, named: str
) -> None:
    if "item" in body:
        body = body | {"item": Item.objects.filter(project=project).order_by("row")[0].pk}
    response = post(api, project, "answers/", body)
    assert response.status_code == 422
    refusal = response.json()
    assert set(refusal) == {"code", "detail", "fields"}
    assert refusal["code"] == code
    assert named in refusal["detail"]
    assert not Answer.objects.exists()


def test_an_item_of_another_project_is_not_found(project: Project, api: Client) -> None:
    other = make.project(labels=["yes"], texts=["secret"], admin="someone", name="Other")
    item = Item.objects.get(project=other)
    response = post(api, project, "answers/", {"item": item.pk, "label": "yes"})
    assert (response.status_code, response.json()["code"]) == (404, "not_found")
    assert api.get(f"/api/projects/{other.pk}/next").status_code == 404


def test_nobody_gets_in_without_signing_in(project: Project) -> None:
    response = Client().get(url(project, "next"))
    assert response.status_code == 401
    assert set(response.json()) == {"code", "detail", "fields"}


def test_undo_gives_the_item_back_to_the_same_tab(project: Project, api: Client) -> None:
    [held] = api.get(url(project, "next?count=1&tab=a")).json()["items"]
    post(api, project, "answers/", {"item": held["id"], "label": "yes", "tab": "a"})
    undone = post(api, project, "undo", {"tab": "a"}).json()
    assert undone["item"]["id"] == held["id"]
    assert undone["progress"]["answered"] == 0
    ids = [item["id"] for item in api.get(url(project, "next?count=3&tab=a")).json()["items"]]
    assert held["id"] in ids


def test_one_answer_can_be_taken_back_by_its_id(project: Project, api: Client) -> None:
    item = Item.objects.get(project=project, row=5)
    kept = post(api, project, "answers/", {"item": item.pk, "label": "yes"}).json()["answer"]
    assert api.delete(url(project, f"answers/{kept['id']}?tab=a")).json()["item"]["id"] == item.pk
    assert api.delete(url(project, f"answers/{kept['id']}")).status_code == 404


def test_a_skipped_item_does_not_come_again(project: Project, api: Client) -> None:
    [held] = api.get(url(project, "next?count=1&tab=a")).json()["items"]
    body = post(api, project, "skips/", {"item": held["id"], "tab": "a", "count": 5}).json()
    assert held["id"] not in [item["id"] for item in body["next"]]
    assert len(body["next"]) == 5


def test_a_flag_is_kept_with_its_note_and_can_be_taken_off(project: Project, api: Client) -> None:
    item = Item.objects.get(project=project, row=0)
    assert post(api, project, "flags/", {"item": item.pk, "note": "blurred"}).status_code == 201
    assert item.marks.get().note == "blurred"
    assert api.delete(url(project, f"flags/{item.pk}")).status_code == 204
    assert not item.marks.exists()


def test_hidden_suggestions_stay_hidden(project: Project, api: Client) -> None:
    Project.objects.filter(pk=project.pk).update(show_suggestions=False)
    [held] = api.get(url(project, "next?count=1")).json()["items"]
    assert held["suggestion"] is None
    assert held["reason"] == {"code": "margin", "text": "asked because the model is unsure"}


def test_when_all_is_in_other_hands_it_says_so(project: Project, api: Client) -> None:
    api.get(url(project, "next?count=6&tab=a"))
    other = Token.objects.create(user=make.member(project, Role.ANNOTATOR, "ben"))
    client = Client(headers={"authorization": f"Token {other.key}"})
    body = client.get(url(project, "next?count=1")).json()
    assert (body["items"], body["waiting"]) == ([], 6)


def test_my_answers_come_newest_first(project: Project, api: Client) -> None:
    for row, name in enumerate(["yes", "no"]):
        post(api, project, "answers/", {"item": Item.objects.get(project=project, row=row).pk, "label": name})
    results = api.get(url(project, "answers?limit=5")).json()["results"]
    assert [answer["text"] for answer in results] == ["text 1", "text 0"]
    assert api.get(url(project, "progress")).json()["mine"] == 2


def test_released_items_are_free_again(project: Project, api: Client) -> None:
    api.get(url(project, "next?count=4&tab=a"))
    assert post(api, project, "release", {"tab": "a"}).json() == {"released": 4}
    assert not Lease.objects.exists()
