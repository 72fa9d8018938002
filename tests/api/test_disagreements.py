"""Disagreements and annotators by API: found, decided, commented, sent back; figures against plain counting."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from labeling import annotators, weighing
from labeling.flow import answering, judging, queueing
from labeling.models import Answer, Comment, Item, Label, Lease, Project, Purpose, Role, Status, User
from tests import factories, make

pytestmark = pytest.mark.django_db
LABELS = ["yes", "no", "maybe"]


@pytest.fixture
def project() -> Project:
    return make.project(labels=LABELS, texts=[f"item {row}" for row in range(40)], overlap=3)


@pytest.fixture
def rita(project: Project) -> User:
    return make.member(project, Role.REVIEWER, "rita")


def item_of(project: Project, row: int) -> Item:
    return Item.objects.get(project=project, row=row)


def say(project: Project, row: int, name: str, label: str) -> Answer:
    user = make.member(project, Role.ANNOTATOR, name)
    return answering.submit(
        project=project, item=item_of(project, row), author=user, label=Label.objects.get(project=project, name=label),
        now=timezone.now(),
    ).answer  # fmt: skip


def listed(project: Project, user: User, query: str = "") -> list[dict[str, Any]]:
    told = factories.api(user).get(f"/api/projects/{project.pk}/disagreements/{query}").json()
    return [one | {"row": one["item"]["row"]} for one in told["results"]]


def test_items_on_which_people_differ_are_found_with_who_said_what(project: Project, rita: User) -> None:
    for name, first, second in (("anna", "yes", "no"), ("bo", "yes", "no"), ("cy", "no", "no")):
        say(project, 0, name, first)
        say(project, 1, name, second)
    [torn] = listed(project, rita)
    assert torn["row"] == 0
    names = dict(Label.objects.filter(project=project).values_list("pk", "name"))
    assert [(one["author"], names[one["label"]]) for one in torn["answers"]] == [
        ("anna", "yes"),
        ("bo", "yes"),
        ("cy", "no"),
    ]
    assert names[torn["consensus"]["label"]] == "yes"
    assert 0.5 < torn["consensus"]["p"] < 0.95


def test_decide_take_back_and_decide_otherwise(project: Project, rita: User) -> None:
    for name, label in (("anna", "yes"), ("bo", "no"), ("cy", "no")):
        say(project, 0, name, label)
    client, item = factories.api(rita), item_of(project, 0)
    url = f"/api/projects/{project.pk}/items/{item.pk}/decision"
    key = "8c2e5f7e-5f3c-4f77-9b6f-0b8a6f0f0c11"
    for status in (201, 200):  # the same key twice is one decision
        assert client.post(url, {"label": "maybe", "key": key}, format="json").status_code == status
    assert listed(project, rita) == []
    [decided] = listed(project, rita, "?state=decided")
    assert (decided["row"], decided["decided"]) == (0, True)
    assert client.delete(url).status_code == 204
    assert client.delete(url).status_code == 404
    assert Item.objects.get(pk=item.pk).label.name == "no"
    client.post(url, {"label": "yes"}, format="json")
    assert Item.objects.get(pk=item.pk).label.name == "yes"
    assert Answer.objects.filter(item=item, purpose=Purpose.DECISION).count() == 2  # history stays


def test_a_comment_is_kept_in_the_items_thread(project: Project, rita: User) -> None:
    item = item_of(project, 0)
    url = f"/api/projects/{project.pk}/items/{item.pk}/comments"
    assert factories.api(rita).post(url, {"text": " "}, format="json").status_code == 422
    assert factories.api(rita).post(url, {"text": "Is it?"}, format="json").json()["author"] == "rita"
    assert [one["text"] for one in factories.api(rita).get(url).json()["results"]] == ["Is it?"]
    assert answering.history(item)[0]["note"] == "Is it?"


def send_back(project: Project, rita: User, answer: Answer, text: str = "Read rule 2.") -> int:
    url = f"/api/projects/{project.pk}/items/{answer.item_id}/send-back"
    return factories.api(rita).post(url, {"answer": answer.pk, "text": text}, format="json").status_code


@pytest.mark.parametrize("overlap", [1, 3])
def test_what_is_sent_back_waits_for_its_annotator_with_the_reason(project: Project, rita: User, overlap: int) -> None:
    Project.objects.filter(pk=project.pk).update(overlap=overlap)
    project.refresh_from_db()
    answer = say(project, 0, "anna", "yes")
    assert send_back(project, rita, answer) == 201
    assert send_back(project, rita, answer) == 409
    anna, bo = User.objects.get(username="anna"), make.member(project, Role.ANNOTATOR, "bo")
    taken = queueing.claim(project=project, user=bo, tab="b", count=50, now=timezone.now())
    assert answer.item_id not in {lease.item_id for lease in taken}
    told = factories.api(anna).get(f"/api/projects/{project.pk}/next?count=3&tab=t").json()["items"]
    assert told[0]["id"] == answer.item_id
    assert told[0]["reason"] == told[0]["reason"] | {
        "code": "sent_back",
        "text": "sent back by rita: Read rule 2.",
    }
    # Neither closing the tab nor a lease that ran out gives it away.
    queueing.release(project=project, user=anna, tab="t")
    queueing.sweep(now=timezone.now() + timedelta(hours=2))
    assert Lease.objects.get(item=answer.item_id).holder == anna
    say(project, 0, "anna", "no")
    assert not Lease.objects.filter(item=answer.item_id).exists()
    said = Answer.objects.filter(item=answer.item_id).order_by("pk")
    assert list(said.values_list("label__name", "withdrawn_by__username")) == [("yes", "rita"), ("no", None)]
    assert Comment.objects.get().sent_to == anna


def test_after_two_weeks_it_goes_to_others(project: Project, rita: User) -> None:
    answer = say(project, 0, "anna", "yes")
    send_back(project, rita, answer)
    later = timezone.now() + timedelta(days=15)
    queueing.sweep(now=later)
    bo = make.member(project, Role.ANNOTATOR, "bo")
    taken = queueing.claim(project=project, user=bo, tab="b", count=1, now=later)
    assert [lease.item_id for lease in taken] == [answer.item_id]


def crowd(project: Project) -> dict[int, str]:
    """Anna and Bo answer well, Cy nearly always "yes", the model foresees four of five; returns the truth by row."""
    chance = random.Random(0)
    truth = {row: LABELS[row % 3] for row in range(40)}

    def guess(right: str, share: float) -> str:
        return right if chance.random() < share else chance.choice([one for one in LABELS if one != right])

    for row, right in truth.items():
        first = say(project, row, "anna", guess(right, 0.85))
        foreseen = Label.objects.get(project=project, name=guess(right, 0.8))
        Answer.objects.filter(pk=first.pk).update(foreseen=foreseen, foreseen_p=0.7)
        say(project, row, "bo", guess(right, 0.85))
        say(project, row, "cy", guess("yes", 0.9))
    judging.judge(project)
    return truth


def test_the_careless_annotator_is_found_and_the_figures_are_what_counting_gives(project: Project, rita: User) -> None:
    crowd(project)
    told = factories.api(rita).get(f"/api/projects/{project.pk}/annotators").json()
    people = {one["name"]: one for one in told["people"]}
    assert {name: one["state"] for name, one in people.items()} == {"anna": "", "bo": "", "cy": "below"}
    assert people["cy"]["skill"] < 0.5 < 0.75 < people["anna"]["skill"]
    labels = dict(Item.objects.filter(project=project).values_list("pk", "label"))
    for name, one in people.items():
        mine = dict(Answer.objects.filter(author__username=name).values_list("item", "label"))
        right = sum(labels[item] == label for item, label in mine.items())
        assert (one["answers"], one["consensus"]["right"], one["consensus"]["of"]) == (40, right, 40)
    pair = next(one for one in told["pairs"] if {one["one"], one["other"]} == {"anna", "bo"})
    both = [dict(Answer.objects.filter(author__username=n).values_list("item", "label")) for n in ("anna", "bo")]
    assert (pair["items"], pair["equal"]) == (40, sum(both[0][item] == both[1][item] for item in both[0]))
    assert told["alpha"]["low"] < told["alpha"]["value"] < told["alpha"]["high"]
    assert people["cy"]["confused"][0]["share"] > 0.02


def test_consensus_by_skill_beats_the_majority(project: Project) -> None:
    # One crowd, through the product's own steps; over thirty such crowds: tests/metalearning/test_consensus.py.
    truth = crowd(project)
    right = {}
    for method in Project.Consensus.values:
        Project.objects.filter(pk=project.pk).update(consensus=method)
        judging.judge(Project.objects.get(pk=project.pk))
        items = Item.objects.filter(project=project, status=Status.ANSWERED)
        right[method] = sum(truth[row] == name for row, name in items.values_list("row", "label__name"))
    assert right["dawid_skene"] > right["majority"]


def test_every_figure_leads_to_items(project: Project, rita: User) -> None:
    crowd(project)
    cy = next(one for one in annotators.describe(project, timezone.now())["people"] if one["name"] == "cy")
    worst = cy["confused"][0]
    query = f"?person={cy['id']}&said={worst['said']}&label={worst['is']}&limit=100"
    for one in listed(project, rita, query):
        mine = next(answer for answer in one["answers"] if answer["author"] == "cy")
        assert (mine["label"], one["consensus"]["label"]) == (worst["said"], worst["is"])
    page = factories.browser(rita).get(f"/projects/{project.pk}/annotators").content.decode()
    assert f"person={cy['id']}&amp;said={worst['said']}&amp;label={worst['is']}" in page
    assert "below the threshold" in page


def test_a_pairs_and_a_weeks_figures_lead_to_their_items(project: Project, rita: User) -> None:
    crowd(project)
    told = annotators.describe(project, timezone.now())
    page = factories.browser(rita).get(f"/projects/{project.pk}/annotators").content.decode()
    for pair in told["pairs"]:
        query = f"person={pair['one_id']}&other={pair['other_id']}"
        counted = [len(listed(project, rita, f"?{query}{more}&limit=100")) for more in ("", "&equal=1", "&equal=0")]
        assert counted == [pair["items"], pair["equal"], pair["differ"]]
        assert query.replace("&", "&amp;") in page
    first = Answer.objects.filter(project=project, item__row__lt=10)
    first.update(created_at=timezone.now() - timedelta(days=21))
    weeks = annotators.describe(project, timezone.now())["weeks"]
    assert len(weeks) == 2
    assert [len(listed(project, rita, f"?week={week['from']}&limit=100")) for week in weeks] == [
        week["items"] for week in weeks
    ]


def test_before_anybody_has_answered_nothing_is_claimed(project: Project, rita: User) -> None:
    told = factories.api(rita).get(f"/api/projects/{project.pk}/annotators").json()
    assert (told["alpha"], told["people"], told["pairs"], told["weeks"]) == (None, [], [], [])
    assert factories.browser(rita).get(f"/projects/{project.pk}/annotators").status_code == 200
    assert weighing.all_verdicts(project) == {}
