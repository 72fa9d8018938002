"""API of reviewing: paging, the histogram, accepting with preview and undo, rejecting, and who may."""

from __future__ import annotations

from datetime import timedelta

import pytest
from rest_framework.test import APIClient

from labeling import pool
from labeling.flow import reviewing
from labeling.models import Acceptance, Batch, Item, Job, Project, Role, Snapshot
from tests import factories, make

pytestmark = pytest.mark.django_db


@pytest.fixture
def project() -> Project:
    return factories.project(10)


@pytest.fixture
def snapshot(project: Project) -> Snapshot:
    return factories.snapshot(project, [0.05 + 0.1 * k for k in range(10)], [k % 2 for k in range(10)])


@pytest.fixture
def rita(project: Project) -> APIClient:
    return factories.api(make.member(project, Role.REVIEWER, "rita"))


@pytest.fixture
def base(project: Project) -> str:
    return f"/api/projects/{project.pk}"


def rows(answer: dict) -> list[int]:
    return [result["item"]["row"] for result in answer["results"]]


def test_pages_follow_one_another_to_the_end(rita: APIClient, base: str, snapshot: Snapshot) -> None:
    first = rita.get(f"{base}/suggestions?order=most&limit=4").json()
    assert (first["snapshot"], first["count"], rows(first)) == (1, 10, [9, 8, 7, 6])
    second = rita.get(f"{base}/suggestions", {"order": "most", "limit": 4, "cursor": first["next"]}).json()
    assert rows(second) == [5, 4, 3, 2]
    third = rita.get(f"{base}/suggestions", {"order": "most", "limit": 4, "cursor": second["next"]}).json()
    assert (rows(third), third["next"]) == ([1, 0], None)


def test_the_next_page_stays_with_its_snapshot_and_skips_nothing(
    rita: APIClient, base: str, project: Project, snapshot: Snapshot
) -> None:
    first = rita.get(f"{base}/suggestions?limit=3").json()
    assert rows(first) == [0, 1, 2]
    factories.snapshot(project, [0.9] * 10, number=2)
    rita.post(f"{base}/acceptances", {"snapshot": 1, "items": [r["item"]["id"] for r in first["results"]]}, "json")
    second = rita.get(f"{base}/suggestions", {"limit": 3, "cursor": first["next"]}).json()
    assert (second["snapshot"], rows(second)) == (1, [3, 4, 5])


def test_a_suggestion_says_how_sure_and_what_else(
    rita: APIClient, base: str, project: Project, snapshot: Snapshot
) -> None:
    told = rita.get(f"{base}/suggestions?order=most&limit=1").json()["results"][0]
    labels = list(project.labels.values_list("pk", flat=True))
    assert (told["label"], told["runner_up"], told["state"], told["given"]) == (labels[1], labels[2], "open", None)
    assert told["confidence"] == pytest.approx(0.95, abs=1e-3)
    assert told["runner_up_confidence"] == pytest.approx(0.025, abs=2e-3)


def test_filters_by_label_confidence_and_state(
    rita: APIClient, base: str, project: Project, snapshot: Snapshot
) -> None:
    label = factories.label(project, 1)
    assert rows(rita.get(f"{base}/suggestions?label={label.pk}").json()) == [1, 3, 5, 7, 9]
    assert rows(rita.get(f"{base}/suggestions?min=0.5&max=0.7").json()) == [5, 6]
    rita.post(f"{base}/acceptances", {"snapshot": 1, "threshold": 0.9}, "json")
    accepted = rita.get(f"{base}/suggestions?state=accepted").json()["results"][0]
    assert accepted["given"]["by"] == "rita"
    assert accepted["given"]["batch"] == Batch.objects.get().pk
    factories.answer(Item.objects.get(project=project, row=3), make.user("owner"), label)
    answered = rita.get(f"{base}/suggestions?state=answered").json()["results"][0]
    assert (answered["item"]["row"], answered["given"]["by"], answered["given"]["origin"]) == (3, "owner", "person")


def test_the_histogram_says_what_each_threshold_settles(rita: APIClient, base: str, snapshot: Snapshot) -> None:
    told = rita.get(f"{base}/suggestions/histogram").json()
    assert (told["snapshot"], told["count"], sum(told["bins"])) == (1, 10, 10)
    assert (told["above"][0], told["above"][50], told["above"][100]) == (10, 5, 0)
    assert told["errors"][95] == pytest.approx(0.05, abs=1e-2)


def test_without_a_snapshot_there_is_nothing(rita: APIClient, base: str) -> None:
    for path in ("suggestions", "suggestions/histogram"):
        assert rita.get(f"{base}/{path}").status_code == 404


def test_preview_then_accept_then_undo(rita: APIClient, base: str, project: Project, snapshot: Snapshot) -> None:
    choice = {"snapshot": 1, "threshold": 0.65}
    told = rita.post(f"{base}/acceptances/preview", choice, "json").json()
    assert told["count"] == 4
    assert {entry["count"] for entry in told["by_label"]} == {2}
    assert told["expected_error"] == pytest.approx(0.2, abs=0.01)
    assert not Acceptance.objects.exists()
    made = rita.post(f"{base}/acceptances", choice, "json")
    assert (made.status_code, made.json()["count"], made.json()["job"]) == (201, 4, None)
    batch = rita.get(f"{base}/acceptances").json()["results"][0]
    assert (batch["by"], batch["count"], batch["threshold"], batch["undone_at"]) == ("rita", 4, 0.65, None)
    undone = rita.post(f"{base}/acceptances/{batch['id']}/undo")
    assert (undone.status_code, undone.json()["undone_by"]) == (200, "rita")
    assert Item.objects.filter(status="open").count() == 10
    assert rita.post(f"{base}/acceptances/{batch['id']}/undo").status_code == 409


@pytest.mark.usefixtures("on_the_spot")
def test_many_go_to_a_job(
    rita: APIClient,
    base: str,
    snapshot: Snapshot,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: object,
) -> None:
    monkeypatch.setattr(reviewing, "IN_REQUEST", 5)
    with django_capture_on_commit_callbacks(execute=True):  # type: ignore[operator]
        made = rita.post(f"{base}/acceptances", {"snapshot": 1, "threshold": 0}, "json")
    assert (made.status_code, made.json()["count"], made.json()["job"]["kind"]) == (202, 10, "accept")
    assert Job.objects.get().state == Job.State.DONE
    assert Item.objects.filter(status="accepted").count() == 10
    with django_capture_on_commit_callbacks(execute=True):  # type: ignore[operator]
        undone = rita.post(f"{base}/acceptances/{made.json()['batch']}/undo", {}, "json")
    assert undone.status_code == 202
    assert Item.objects.filter(status="open").count() == 10


def test_a_snapshot_that_is_no_longer_kept_is_a_conflict(
    rita: APIClient, base: str, project: Project, snapshot: Snapshot
) -> None:
    factories.snapshot(project, [0.9] * 10, number=2)
    pool.delete_old_snapshots(project.pk, keep=1)
    refusal = rita.post(f"{base}/acceptances", {"snapshot": 1, "threshold": 0.5}, "json")
    assert refusal.status_code == 409
    assert "Load the page again" in refusal.json()["detail"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"snapshot": 1},
        {"snapshot": 1, "threshold": 1.2},
        {"snapshot": 1, "threshold": -0.1},
        {"snapshot": 1, "items": []},
        {"snapshot": 1, "threshold": 0.5, "items": [1]},
        {"snapshot": 1, "threshold": 0.5, "label": 987654},
        {"snapshot": 10**30, "threshold": 0.5},
        {"snapshot": 1, "items": [10**30]},
        {"snapshot": 1, "threshold": [0.5]},
    ],
)
def test_unusable_choices_are_refused_with_a_reason(rita: APIClient, base: str, snapshot: Snapshot, body: dict) -> None:
    refusal = rita.post(f"{base}/acceptances", body, "json")
    assert refusal.status_code == 422
    assert refusal.json()["detail"]


@pytest.mark.parametrize(
    "query", ["cursor=x", "cursor=1:9:9", "order=best", "limit=0", "min=2", "state=gone", "label=x"]
)
def test_unusable_queries_are_refused(rita: APIClient, base: str, snapshot: Snapshot, query: str) -> None:
    assert rita.get(f"{base}/suggestions?{query}").status_code in (200, 422)
    if query != "cursor=1:9:9":
        assert rita.get(f"{base}/suggestions?{query}").status_code == 422


def test_reject_and_take_back(rita: APIClient, base: str, project: Project, snapshot: Snapshot) -> None:
    item = Item.objects.get(project=project, row=9)
    made = rita.post(f"{base}/rejections", {"item": item.pk, "snapshot": 1}, "json")
    assert (made.status_code, made.json()["label"]) == (201, factories.label(project, 1).pk)
    assert rows(rita.get(f"{base}/suggestions?state=rejected").json()) == [9]
    assert 9 not in rows(rita.get(f"{base}/suggestions").json())
    assert rita.delete(f"{base}/rejections/{item.pk}").status_code == 204
    assert 9 in rows(rita.get(f"{base}/suggestions").json())
    assert rita.delete(f"{base}/rejections/{item.pk}").status_code == 409


def test_items_and_batches_of_other_projects_do_not_exist_here(
    rita: APIClient, base: str, project: Project, snapshot: Snapshot
) -> None:
    other = factories.project(3, admin="else", name="Other")
    theirs = factories.snapshot(other, [0.9] * 3)
    foreign = Item.objects.filter(project=other).first()
    batch, _job = reviewing.accept(
        project=other, reviewer=make.user("else"), choice=reviewing.Choice(theirs, 0.5), now=make.NOW
    )
    assert foreign is not None
    assert rita.post(f"{base}/rejections", {"item": foreign.pk}, "json").status_code == 404
    assert rita.post(f"{base}/acceptances/{batch.pk}/undo").status_code == 404
    assert rita.post(f"{base}/acceptances", {"snapshot": 1, "items": [foreign.pk]}, "json").status_code == 409


def test_annotators_may_not_review_and_strangers_see_nothing(base: str, project: Project, snapshot: Snapshot) -> None:
    anna = factories.api(make.member(project, Role.ANNOTATOR, "anna"))
    stranger = factories.api(make.user("stranger"))
    for method, path in (
        ("get", "suggestions"), ("get", "suggestions/histogram"), ("get", "acceptances"), ("post", "acceptances"),
        ("post", "acceptances/preview"), ("post", "acceptances/1/undo"), ("post", "rejections"),
        ("delete", "rejections/1"),
    ):  # fmt: skip
        for slash in ("", "/"):
            assert getattr(anna, method)(f"{base}/{path}{slash}").status_code == 403
            assert getattr(stranger, method)(f"{base}/{path}{slash}").status_code == 404
            assert getattr(APIClient(), method)(f"{base}/{path}{slash}").status_code == 401


def test_a_newer_batch_comes_first(rita: APIClient, base: str, project: Project, snapshot: Snapshot) -> None:
    reviewer = make.user("rita")
    for step, threshold in enumerate((0.9, 0.8)):
        choice = reviewing.Choice(snapshot, threshold)
        reviewing.accept(project=project, reviewer=reviewer, choice=choice, now=make.NOW + timedelta(seconds=step))
    assert [batch["threshold"] for batch in rita.get(f"{base}/acceptances").json()["results"]] == [0.8, 0.9]
