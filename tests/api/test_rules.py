"""API of rules: making, trying, changing, what is behind the figures, proposals, files, and refusals that help."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from rest_framework.test import APIClient

from labeling import pool, ruled, votes
from labeling.flow import ruling
from labeling.models import Item, Job, Project, Role, Rule, Snapshot
from tests import factories, make

pytestmark = pytest.mark.django_db
TEXTS = [
    "I want a refund",
    "Where is my refund?",
    "refund my card",
    "My card is lost",
    "I lost my card",
    "退款什么时候到",
    "我要退款 now",
    "hello 👋 refund",
]


@pytest.fixture
def project() -> Project:
    made = make.project(labels=["Refund", "Lost"], texts=TEXTS)
    Item.objects.filter(project=made, row__lt=4).update(metadata={"amount": 5, "tier": "gold"})
    return Project.objects.select_related("tally").get(pk=made.pk)


@pytest.fixture
def rita(project: Project) -> APIClient:
    return factories.api(make.member(project, Role.REVIEWER, "rita"))


@pytest.fixture
def base(project: Project) -> str:
    return f"/api/projects/{project.pk}/rules"


@pytest.fixture
def answered(project: Project) -> None:
    author = make.member(project, Role.ANNOTATOR, "anna")
    for row, position in ((0, 0), (1, 0), (2, 1), (3, 1)):
        factories.answer(Item.objects.get(project=project, row=row), author, factories.label(project, position))


def make_rule(client: APIClient, base: str, label: str, text: str, **more: Any) -> dict[str, Any]:
    response = client.post(base, {"label": label, "kind": "keyword", "text": text} | more, "json")
    assert response.status_code == 201, response.content
    return dict(response.json())


def rows(found: list[dict[str, Any]]) -> list[int]:
    return [one["item"]["row"] for one in found]


def test_a_rule_is_made_counted_changed_and_deleted_with_undo(
    rita: APIClient, base: str, project: Project, answered: None
) -> None:
    made = make_rule(rita, base, "Refund", "refund, 退款")
    assert (made["says"], made["active"], made["by"]) == ("contains “refund, 退款”", True, "rita")
    assert Job.objects.filter(project=project, kind="vote", state="queued").count() == 1
    [listed] = rita.get(base).json()["rules"]
    assert (listed["voted"], listed["counts"]["all"], listed["precision"]) == (0, 0, None)
    ruling.vote(project)
    [listed] = rita.get(base).json()["rules"]
    assert (listed["voted"], listed["looked"]) == (8, 8)
    counts = {"all": 6, "answered": 3, "right": 2, "wrong": 1, "overlap": 0, "conflict": 0, "model": 0}
    assert listed["counts"] == counts
    assert listed["precision"]["estimate"] == pytest.approx(2 / 3, abs=1e-3)
    assert (listed["precision"]["low"], listed["precision"]["high"]) == (0.2077, 0.9385)  # Wilson's, by hand
    one = f"{base}/{made['id']}"
    assert rita.patch(one, {"text": "refund"}, "json").json()["says"] == "contains “refund”"
    assert rita.patch(one, {"active": False}, "json").json()["active"] is False
    assert rita.delete(one).status_code == 204
    assert rita.get(base).json()["rules"] == []
    assert rita.patch(one, {"text": "x"}, "json").status_code == 404
    assert rita.post(f"{one}/restore").json()["active"] is False
    assert len(rita.get(base).json()["rules"]) == 1


def test_a_trial_shows_what_it_would_do_before_anything_is_saved(
    rita: APIClient, base: str, project: Project, answered: None
) -> None:
    make_rule(rita, base, "Lost", "card")
    ruling.vote(project)
    factories.snapshot(project, [0.9] * 8, [1] * 8)
    told = rita.post(f"{base}/preview", {"label": "Refund", "kind": "keyword", "text": "refund"}, "json").json()
    assert (told["looked"], told["items"]) == (8, 8)
    assert told["counts"] == {
        "all": 4, "answered": 3, "right": 2, "wrong": 1, "overlap": 1, "conflict": 1, "model": 1
    }  # fmt: skip
    assert [(other["says"], other["count"]) for other in told["others"]] == [("contains “card”", 1)]
    assert rows(told["examples"]) == [0, 1, 2, 7]
    waving = told["examples"][3]
    [[start, end]] = waving["item"]["spans"]
    assert waving["item"]["text"][start:end] == "refund"
    assert (waving["answer"], waving["suggested"]) == (None, factories.label(project, 1).pk)
    for which, wanted in (("wrong", [2]), ("right", [0, 1]), ("conflict", [2]), ("model", [7])):
        asked = {"label": "Refund", "kind": "keyword", "text": "refund", "which": which}
        assert rows(rita.post(f"{base}/preview", asked, "json").json()["examples"]) == wanted
    assert Rule.objects.count() == 1


def test_a_saved_rule_tried_anew_does_not_overlap_with_itself(rita: APIClient, base: str, project: Project) -> None:
    made = make_rule(rita, base, "Refund", "refund")
    ruling.vote(project)
    asked = {"label": "Refund", "kind": "keyword", "text": "refund, card", "rule": made["id"]}
    told = rita.post(f"{base}/preview", asked, "json").json()
    assert (told["counts"]["all"], told["counts"]["overlap"], told["others"]) == (6, 0, [])


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"kind": "phrase", "text": "my card"}, [2, 3, 4]),
        ({"kind": "regex", "text": "^(i|where).*refund"}, [0, 1]),
        ({"kind": "column", "column": "amount", "comparison": "ge", "text": "5"}, [0, 1, 2, 3]),
        ({"kind": "column", "column": "tier", "comparison": "equals", "text": "silver"}, []),
    ],
)
def test_every_kind_can_be_tried(rita: APIClient, base: str, given: dict[str, Any], wanted: list[int]) -> None:
    told = rita.post(f"{base}/preview", {"label": "Refund"} | given, "json").json()
    assert rows(told["examples"]) == wanted


def test_items_like_one(rita: APIClient, base: str, project: Project) -> None:
    given = {"label": "Refund", "kind": "similar", "row": 0, "threshold": 0.9}
    early = rita.post(f"{base}/preview", given, "json")
    assert early.status_code == 422
    assert "has not been read" in early.json()["fields"]["item"]
    x = np.eye(8, 4)[[0, 0, 1, 1, 2, 2, 3, 3]].astype(np.float32)
    pool.write_chunk(project.pk, "imported", 0, x)
    Project.objects.filter(pk=project.pk).update(encoder="imported")
    assert rows(rita.post(f"{base}/preview", given, "json").json()["examples"]) == [0, 1]
    assert rita.post(f"{base}/preview", given | {"row": 99}, "json").json()["fields"].keys() == {"item"}


def test_every_figure_leads_to_its_items_a_page_at_a_time(
    rita: APIClient, base: str, project: Project, answered: None
) -> None:
    made = make_rule(rita, base, "Refund", "refund")
    make_rule(rita, base, "Lost", "card")
    ruling.vote(project)
    where = f"{base}/{made['id']}/items"
    first = rita.get(where, {"limit": 3}).json()
    assert (first["count"], rows(first["results"])) == (4, [0, 1, 2])
    second = rita.get(where, {"limit": 3, "cursor": first["next"]}).json()
    assert (rows(second["results"]), second["next"]) == ([7], None)
    assert rows(rita.get(where, {"which": "wrong"}).json()["results"]) == [2]
    conflict = rita.get(where, {"which": "conflict"}).json()
    assert [one["says"] for one in conflict["results"][0]["others"]] == ["contains “card”"]
    listed = {rule["id"]: rule for rule in rita.get(base).json()["rules"]}[made["id"]]
    for which in ruled.Which.values:
        assert listed["counts"][which] == rita.get(where, {"which": which}).json()["count"]


def test_a_long_text_is_shown_around_what_was_found(rita: APIClient, base: str, project: Project) -> None:
    make.add_texts(project, ["so " * 500 + "REFUND" + " so" * 500])
    told = rita.post(f"{base}/preview", {"label": "Refund", "kind": "keyword", "text": "refund"}, "json").json()
    item = told["examples"][-1]["item"]
    [[start, end]] = item["spans"]
    assert item["text"][start:end] == "REFUND"
    assert len(item["text"]) <= ruled.EXCERPT
    assert item["begins"] + start == 1500


def test_answers_propose_rules_and_one_call_adds_one(rita: APIClient, base: str, project: Project) -> None:
    anna = make.member(project, Role.ANNOTATOR, "anna")
    texts = [f"{word} number {n}" for n in range(12) for word in ("bring back money", "stolen wallet")]
    for place, item in enumerate(make.add_texts(project, texts)):
        factories.answer(item, anna, factories.label(project, place % 2))
    found = rita.get(f"{base}/proposals").json()["results"]
    stolen = next(one for one in found if one["text"] in ("stolen", "wallet"))
    assert (stolen["right"], stolen["answered"], stolen["items"]) == (12, 12, 12)
    assert stolen["label"] == factories.label(project, 1).pk
    assert all("number" not in one["text"] for one in found)
    make_rule(rita, base, "Lost", stolen["text"])
    left = rita.get(f"{base}/proposals").json()["results"]
    assert all(one["label"] != stolen["label"] for one in left)


def test_rules_are_carried_by_a_file(rita: APIClient, base: str, project: Project) -> None:
    make_rule(rita, base, "Refund", "refund")
    make_rule(rita, base, "Lost", "", kind="column", column="tier", comparison="equals")
    file = rita.get(f"{base}/file")
    assert "attachment" in file["Content-Disposition"]
    other = make.project(labels=["Refund"], texts=["x"], name="next")
    make.member(other, Role.REVIEWER, "rita")
    told = rita.post(f"/api/projects/{other.pk}/rules/file", file.json(), "json").json()
    assert [rule["says"] for rule in told["made"]] == ["contains “refund”"]
    assert (told["known"], len(told["left"])) == (0, 1)
    assert "“Lost”" in told["left"][0]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"kind": "regex", "text": "(a"}, "text"),
        ({"kind": "keyword", "text": " "}, "text"),
        ({"kind": "similar"}, "item"),
        ({"kind": "column", "text": "x", "comparison": "equals"}, "column"),
        ({"kind": "spell", "text": "x"}, "kind"),
        ({"kind": "keyword", "text": "x", "label": "Nope"}, "label"),
        ({"kind": "keyword", "text": "x" * 501}, "text"),
        ({"kind": "keyword", "text": "x\u0000"}, "text"),
    ],
)
def test_refusals_name_the_field(rita: APIClient, base: str, given: dict[str, Any], field: str) -> None:
    for where in (base, f"{base}/preview"):
        response = rita.post(where, {"label": "Refund"} | given, "json")
        assert response.status_code == 422, response.content
        assert field in response.json()["fields"]


def test_the_same_rule_twice_is_a_conflict(rita: APIClient, base: str) -> None:
    make_rule(rita, base, "Refund", "refund")
    assert rita.post(base, {"label": "Refund", "kind": "keyword", "text": "refund"}, "json").status_code == 409


def test_a_catastrophic_expression_holds_nobody_up(rita: APIClient, base: str, project: Project) -> None:
    make.add_texts(project, ["a" * 50_000 + "!"])
    began = time.monotonic()
    told = rita.post(f"{base}/preview", {"label": "Refund", "kind": "regex", "text": "(a+)+$"}, "json")
    assert told.status_code == 200
    assert time.monotonic() - began < 60


def test_a_trial_is_over_all_of_ten_thousand_items_and_over_more_a_sample(
    rita: APIClient, base: str, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    factories.items(project, 9_992)
    asked = {"label": "Refund", "kind": "keyword", "text": "long, 退款"}
    monkeypatch.setattr(ruled, "SECONDS", 60.0)  # however busy the machine is
    told = rita.post(f"{base}/preview", asked, "json").json()
    assert (told["looked"], told["counts"]["all"]) == (10_000, 9_994)
    monkeypatch.setattr(ruled, "SAMPLE", 1_000)
    told = rita.post(f"{base}/preview", asked, "json").json()
    assert (told["looked"], told["items"]) == (1_000, 10_000)
    monkeypatch.setattr(ruled, "SECONDS", 0.0)
    monkeypatch.setattr(ruled, "WINDOW", 100)
    told = rita.post(f"{base}/preview", asked, "json").json()
    assert told["looked"] == 100
    assert told["counts"]["all"] >= 98  # evenly spread: not only the first rows, which speak otherwise


def test_suggestions_and_items_say_which_rules_spoke(rita: APIClient, base: str, project: Project) -> None:
    made = make_rule(rita, base, "Refund", "refund")
    ruling.vote(project)
    snapshot = factories.snapshot(project, [0.9] * 8, [0] * 8)
    signed = votes.signature(Rule.objects.get(pk=made["id"]))
    fact = {"id": made["id"], "label": made["label"], "signature": signed, "precision": 0.8, "own": 1.0, "votes": 4}
    Snapshot.objects.filter(pk=snapshot.pk).update(facts={"rules": [fact], "voices": {"rules": 0.5}})
    told = rita.get(f"/api/projects/{project.pk}/suggestions").json()["results"]
    said = {one["item"]["row"]: [rule["says"] for rule in one["rules"]] for one in told}
    assert said == {row: ["contains “refund”"] if row in (0, 1, 2, 7) else [] for row in range(8)}
    listed = rita.get(base).json()
    assert (listed["weight"], listed["rules"][0]["learned"]) == (0.5, {"precision": 0.8, "own": 1.0})
    page = factories.browser(make.user("rita"))
    item = Item.objects.get(project=project, row=0)
    assert "rule: contains “refund”" in page.get(f"/projects/{project.pk}/items/{item.pk}").content.decode()
