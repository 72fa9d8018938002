"""Quality through the API and its pages: doubts, near-duplicates, confusions, measured shares."""

from __future__ import annotations

import numpy as np
import pytest
from django.urls import reverse

from labeling import pool
from labeling.models import (
    Answer,
    Audit,
    Candidate,
    Certificate,
    Gold,
    Item,
    Project,
    Purpose,
    Reference,
    Snapshot,
    Status,
    User,
)
from tests import factories, make

pytestmark = pytest.mark.django_db
ENCODER = "test"


@pytest.fixture
def project() -> Project:
    """Ten items. 0 to 5 are answered by anna: 0 and 1 doubted, 5 foreseen; 6 to 9 are open."""
    made = factories.project(10)
    anna = make.member(made, "annotator", "anna")
    make.member(made, "reviewer", "rita")
    given = [0, 1, 1, 2, 2, 0]
    for item, position in zip(items(made), given, strict=False):
        factories.answer(item, anna, factories.label(made, position))
    told(made, answer=given, said=[1, 2, 1, 2, 2, 0], p_answer=[0.1, 0.3, 0.8, 0.9, 0.9, 0.7], doubt=[2, 1, 0, 0, 0, 0])
    return made


def items(project: Project) -> list[Item]:
    return list(Item.objects.filter(project=project).order_by("row"))


def told(project: Project, *, answer: list[int], said: list[int], p_answer: list[float], doubt: list[int]) -> Snapshot:
    """A snapshot whose held-out models said this of the first items."""
    snapshot = factories.snapshot(project, [0.9] * 10)
    ids = np.array(list(project.labels.values_list("pk", flat=True)))
    given = np.array(p_answer, dtype=np.float32)
    arrays = {
        "row": np.arange(len(answer)),
        "answer": ids[answer],
        "suggested": ids[said],
        "p_answer": given,
        "p_suggested": np.where(np.array(said) == answer, given, 0.95 - given).astype(np.float32),
        "doubt": np.array(doubt, dtype=np.int8),
        "chance": np.array([0.02, 0.3, 0.9], dtype=np.float32)[doubt],
    }
    pool.write_held_out(project.pk, snapshot.number, arrays)
    return snapshot


def rita() -> User:
    return User.objects.get(username="rita")


def address(project: Project, name: str, **more: int) -> str:
    return reverse(name, kwargs={"project_id": project.pk, **more})


def doubted(project: Project) -> list[int]:
    """The rows in doubt, as a reviewer's script gets them."""
    return [one["item"]["row"] for one in factories.api(rita()).get(address(project, "api_doubts")).json()]


def test_the_likeliest_mistake_comes_first_with_who_said_what(project: Project) -> None:
    [worst, next_one] = factories.api(rita()).get(address(project, "api_doubts")).json()
    assert (worst["item"]["row"], worst["sure"], worst["by"]) == (0, True, ["anna"])
    assert (next_one["item"]["row"], next_one["sure"]) == (1, False)
    names = [factories.label(project, place).pk for place in (0, 1)]
    assert [worst["label"], worst["said"]] == names
    assert worst["p_said"] > worst["p_label"]
    assert [(one["chance"], one["likely"]) for one in (worst, next_one)] == [(0.9, True), (0.3, False)]


def test_only_likely_mistakes_are_shown_and_all_on_request(project: Project) -> None:
    client, page = factories.browser(rita()), address(project, "doubts")
    shown = client.get(page).content.decode()
    assert "card number 0 " in shown
    assert "card number 1 " not in shown
    assert "about 1 are expected" in " ".join(shown.split())  # 0.9 + 0.3 + 4 times 0.02
    assert "Show all 2 in doubt" in shown
    everything = client.get(f"{page}?all=1").content.decode()
    assert "card number 1 " in everything
    told = factories.api(rita()).get(address(project, "api_quality")).json()["doubts"]
    assert told == {"count": 2, "likely": 1, "sure": 1, "checked": 6, "expected": 1.3}
    reported = " ".join(client.get(address(project, "quality")).content.decode().split())
    assert "likely mistake." in reported
    assert "All 2 in doubt" in reported


def test_a_confirmed_label_is_doubted_no_more_until_it_changes(project: Project) -> None:
    client, item = factories.api(rita()), items(project)[0]
    keep = address(project, "api_doubt_keep", item_id=item.pk)
    assert client.post(keep).status_code == 201
    assert client.post(keep).status_code == 201, "a second press changes nothing"
    assert doubted(project) == [1]
    assert client.delete(keep).status_code == 204
    assert doubted(project) == [0, 1]
    assert client.delete(keep).status_code == 409
    history = client.get(address(project, "api_item", item_id=item.pk)).json()["history"]
    assert [event["event"] for event in history] == ["answer"]


def test_a_corrected_answer_is_doubted_no_more(project: Project) -> None:
    client, item = factories.api(rita()), items(project)[0]
    body = {"label": factories.label(project, 1).pk}
    assert client.post(address(project, "api_item_correct", item_id=item.pk), body, format="json").status_code == 201
    assert doubted(project) == [1]


def test_an_item_asked_again_is_first_in_the_queue_and_keeps_its_history(project: Project) -> None:
    client, item = factories.api(rita()), items(project)[1]
    Candidate.objects.create(project=project, item=items(project)[7], position=0, reason={"code": "margin"})
    ask = address(project, "api_doubt_ask_again", item_id=item.pk)
    assert client.post(ask).json() == {"item": item.pk, "status": "open", "label": None}
    assert client.post(ask).status_code == 409
    assert doubted(project) == [0]
    shown = client.get(address(project, "api_next") + "?tab=t&count=1").json()["items"][0]
    assert shown["id"] == item.pk
    assert "doubt" in shown["reason"]["text"]
    assert Answer.objects.get(item=item).withdrawn_by == rita()
    item.refresh_from_db()
    assert item.status == Status.OPEN


def test_an_open_item_has_nothing_to_confirm_or_to_ask_again(project: Project) -> None:
    client, item = factories.api(rita()), items(project)[8]
    for name in ("api_doubt_keep", "api_doubt_ask_again"):
        refused = client.post(address(project, name, item_id=item.pk))
        assert (refused.status_code, refused.json()["code"]) == (409, "conflict")


def test_confusions_lead_to_their_items(project: Project) -> None:
    page = factories.browser(rita()).get(address(project, "quality")).content.decode()
    first, second = (factories.label(project, place).pk for place in (0, 1))
    assert f"?label={first}&amp;said={second}" in page
    client = factories.api(rita())
    found = client.get(address(project, "api_items"), {"label": first, "said": second}).json()["results"]
    assert [item["row"] for item in found] == [0]
    assert [item["row"] for item in client.get(address(project, "api_items"), {"said": second}).json()["results"]] == [
        0,
        2,
    ]
    listed = factories.browser(rita()).get(address(project, "data"), {"label": first, "said": second}).content.decode()
    assert "card number 0 " in listed
    assert "card number 5 " not in listed, "an answer that was foreseen is no confusion"


def test_the_confusion_matrix_counts_every_held_out_answer_once(project: Project) -> None:
    told = factories.api(rita()).get(address(project, "api_quality")).json()["confusion"]
    assert told["answers"] == 6
    assert told["right"] == 4
    assert sum(map(sum, told["cells"])) + told["others"] == 6


def test_what_was_not_measured_has_no_number(project: Project) -> None:
    told = factories.api(rita()).get(address(project, "api_quality")).json()
    assert all(row["measures"] == [] for row in told["origins"])
    assert "not measured" in factories.browser(rita()).get(address(project, "quality")).content.decode()


def test_hidden_references_measure_each_origin(project: Project) -> None:
    found = items(project)
    truth = [1, 1, 1, 2, 2, 0, 0, 0, 0, 1]  # one of the six answers is wrong; suggestions all say the first label
    for item, position in zip(found, truth, strict=True):
        Reference.objects.create(item=item, label=factories.label(project, position))
    told = {row["origin"]: row for row in factories.api(rita()).get(address(project, "api_quality")).json()["origins"]}
    [people] = told["answered"]["measures"]
    assert people["estimate"] == pytest.approx(5 / 6)
    assert people["low"] < 5 / 6 < people["high"]
    assert people["count"] == 6
    assert told["open"]["measures"] == [], "four cases say nothing"


def test_where_the_model_was_wrong_can_be_looked_at(project: Project) -> None:
    for item in items(project)[:6]:
        foreseen = factories.label(project, 0 if item.row in (0, 3) else item.row % 3)
        Answer.objects.filter(item=item).update(reason="random", foreseen=foreseen, foreseen_p=0.8)
    client, page = factories.api(rita()), factories.browser(rita())

    def rows(missed: str) -> list[int]:
        shown = page.get(address(project, "data"), {"missed": missed}).content.decode()
        found = client.get(address(project, "api_items"), {"missed": missed}).json()["results"]
        assert all(f"/items/{one['id']}" in shown for one in found)
        return [one["row"] for one in found]

    told = client.get(address(project, "api_quality")).json()
    assert len(rows("held_out")) == told["confusion"]["answers"] - told["confusion"]["right"] == 2
    [random] = next(row for row in told["origins"] if row["origin"] == "open")["measures"]
    wrong = rows("random")
    assert len(wrong) == round((1 - random["estimate"]) * random["count"]) > 0
    assert all(item.label_id != item.answers.get().foreseen_id for item in items(project) if item.row in wrong)
    assert "?missed=held_out" in page.get(address(project, "quality")).content.decode()


def test_an_audit_sample_measures_each_origin_and_certificates_are_listed(project: Project) -> None:
    factories.certificate(project, Snapshot.objects.get(project=project), rita())
    sample = Certificate.objects.create(
        project=project, number=2, kind=Certificate.Kind.SAMPLE, state=Certificate.State.MEASURED, seed="s", items=6,
        items_sha256="", strata=[["answered", 6]], budget=4, started_by=rita(), started_at=make.NOW,
    )  # fmt: skip
    for place, item in enumerate(items(project)[:4]):
        Audit.objects.create(
            certificate=sample, item=item, place=place, stratum="answered", suggested=item.label, label=item.label,
            outcome=Audit.Outcome.RIGHT if place else Audit.Outcome.WRONG, drawn_at=make.NOW,
        )  # fmt: skip
    told = factories.api(rita()).get(address(project, "api_quality")).json()
    [audit] = next(row for row in told["origins"] if row["origin"] == "answered")["measures"]
    assert (audit["how"], audit["count"], audit["estimate"], audit["sample"]) == ("audit", 4, 0.75, 2)
    assert audit["low"] < 0.75 < audit["high"]
    assert [one["number"] for one in told["certificates"]] == [2, 1]
    page = factories.browser(rita()).get(address(project, "quality")).content.decode()
    for number in (1, 2):
        assert address(project, "certificate", certificate_id=number) in page


def test_near_duplicates_that_disagree_are_paired(project: Project) -> None:
    near = np.eye(10, 12, dtype=np.float32)
    near[2] = near[0] + np.float32(0.1) * near[3]  # answered otherwise than item 0
    near[4] = near[3]  # the same label: no disagreement
    near[6] = near[0]  # open
    Project.objects.filter(pk=project.pk).update(encoder=ENCODER)
    near /= np.linalg.norm(near, axis=1, keepdims=True)
    pool.write_chunk(project.pk, ENCODER, 0, near.astype(np.float16))
    client = factories.api(rita())
    [pair] = client.get(address(project, "api_duplicates")).json()
    assert [item["row"] for item in pair["items"]] == [0, 2]
    assert 0.99 < pair["cosine"] <= 1
    assert client.get(address(project, "api_quality")).json()["duplicates"] == 1
    page = factories.browser(rita()).get(address(project, "duplicates")).content.decode()
    assert "card number 2 " in page


def test_the_graph_of_neighbours_finds_the_same_pairs(project: Project) -> None:
    from metalearning.graph import neighbour_graph

    rng = np.random.default_rng(0)
    x = rng.standard_normal((10, 16)).astype(np.float32)
    x[3] = x[1] + 0.05 * rng.standard_normal(16)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    Project.objects.filter(pk=project.pk).update(encoder=ENCODER)
    pool.write_chunk(project.pk, ENCODER, 0, x.astype(np.float16))
    client = factories.api(rita())
    plain = client.get(address(project, "api_duplicates")).json()
    drawn = neighbour_graph(x, 3, rng)
    pool.write_graph(project.pk, ENCODER, 10, {"data": drawn.data, "indices": drawn.indices, "indptr": drawn.indptr})
    assert client.get(address(project, "api_duplicates")).json() == plain
    assert len(plain) == 1


def test_without_a_model_the_pages_say_so() -> None:
    made = factories.project(3)
    make.member(made, "reviewer", "rita")
    client = factories.browser(rita())
    assert "Once there are twenty answers" in client.get(address(made, "quality")).content.decode()
    assert "No answer is in doubt" in client.get(address(made, "doubts")).content.decode()
    assert "No near-duplicates disagree" in client.get(address(made, "duplicates")).content.decode()


def test_gold_answers_and_random_questions_measure_too(project: Project) -> None:
    anna, right = User.objects.get(username="anna"), factories.label(project, 0)
    for item in items(project)[:6]:
        Answer.objects.filter(item=item).update(reason="random", foreseen=item.label_id, foreseen_p=0.8)
    for k, item in enumerate(items(project)[4:10]):
        Gold.objects.create(
            project=project, item=item, label=right, source=Gold.Source.HAND, set_by=rita(), created_at=make.NOW
        )
        said = right if k else factories.label(project, 1)
        Answer.objects.create(
            project=project, item=item, author=anna, label=said, purpose=Purpose.GOLD, created_at=make.NOW,
            withdrawn_at=None if k > 1 else make.NOW,
        )  # fmt: skip
    told = {row["origin"]: row for row in factories.api(rita()).get(address(project, "api_quality")).json()["origins"]}
    [gold] = told["answered"]["measures"]
    assert (gold["how"], gold["count"]) == ("gold", 6)
    assert gold["estimate"] == pytest.approx(5 / 6)
    [random] = told["open"]["measures"]
    assert (random["how"], random["count"], random["estimate"]) == ("random", 6, 1.0)
