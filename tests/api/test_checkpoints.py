"""Checkpoints and snapshots through the doors: choosing, comparing, going back, and what is told to whom."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.utils import timezone
from safetensors.numpy import save

from labeling import checkpoints, learner, pool, suggestions, tasks
from labeling.flow import adapting, answering, choosing, founding, queueing
from labeling.models import Candidate, Checkpoint, Item, Job, Project, Snapshot, User
from metalearning import crossval
from metalearning.checkpoint import FORMAT
from metalearning.gate import RECIPE, TENSORS
from tests import factories, make

pytestmark = pytest.mark.django_db
ENCODER = "imported"
LETTERS = {"name": "letters", "items": 9, "labels": 3}


@pytest.fixture
def project() -> Project:
    """Sixty items in three groups, thirty of them answered."""
    learner.forget()
    made = make.project(labels=["red", "green", "blue"], texts=[f"{k % 3} of {k}" for k in range(60)], encoder=ENCODER)
    rng = np.random.default_rng(0)
    x = np.eye(3, 8)[np.arange(60) % 3] + 0.4 * rng.standard_normal((60, 8))
    pool.write_chunk(made.pk, ENCODER, 0, (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32))
    answer(made, range(30))
    return made


def answer(project: Project, rows: range) -> None:
    labels = list(project.labels.order_by("position"))
    for item in Item.objects.filter(project=project, row__in=rows):
        answering.submit(
            project=project, item=item, author=make.user("owner"), label=labels[item.row % 3], now=timezone.now()
        )


def trained(name: str = "Trained", seed: int = 0, **facts: Any) -> Checkpoint:
    """A checkpoint with a gate of made-up weights that serves the tests' encoder."""
    rng = np.random.default_rng(seed)
    tensors = {part: rng.standard_normal((2, *shape)).astype(np.float32) for part, shape in TENSORS.items()}
    content = save(tensors, {"format": FORMAT, "card": "{}"})
    config = {"recipe": RECIPE, "serves": [ENCODER]}
    told = {"origin": "shipped", "created_at": make.NOW, "config": config} | facts
    return checkpoints.keep(content, name=name, **told)


@pytest.fixture
def shipped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Checkpoint:
    """A package that comes with a checkpoint for the tests' encoder, registered as a start does."""
    tensors = {part: np.full((1, *shape), 3, np.float32) for part, shape in TENSORS.items()}
    card = {"name": "text", "recipe": RECIPE, "serves": [ENCODER], "sources": [LETTERS]}
    (tmp_path / "text.safetensors").write_bytes(save(tensors, {"format": FORMAT, "card": json.dumps(card)}))
    monkeypatch.setattr(checkpoints, "SHIPPED", tmp_path)
    checkpoints.register()
    used = checkpoints.in_use()
    assert used is not None
    return used


def owner() -> Any:
    return factories.api(make.user("owner"))


def test_what_comes_with_the_application_is_known_and_used() -> None:
    checkpoints.register()
    used = checkpoints.in_use()
    assert used is not None
    assert Checkpoint.objects.filter(origin="fixed").count() == 1
    newer = trained(chosen_at=timezone.now(), origin="self-trained")
    checkpoints.register()
    assert checkpoints.in_use() == newer, "an update takes nothing away"


def test_a_new_projects_first_snapshot_says_what_it_began_with(shipped: Checkpoint, project: Project) -> None:
    assert (shipped.origin, shipped.name, shipped.sources) == ("shipped", "text", [LETTERS])
    snapshot = adapting.adapt(project=project)
    assert snapshot is not None
    assert snapshot.checkpoint == shipped
    assert snapshot.facts["checkpoint"] == "text"
    assert snapshot.facts["learned"] == pytest.approx(0.8 * 30 / 50, abs=0.05)
    page = factories.browser(make.user("owner")).get(f"/projects/{project.pk}/models").content.decode()
    assert "This project begins with “text”." in page
    assert "Came with the application" in page
    assert "trained beginning: trust moved to the answers" in page


def test_an_admin_goes_back_to_the_untrained_recipe(shipped: Checkpoint, project: Project) -> None:
    fixed = Checkpoint.objects.get(origin="fixed")
    response = owner().post(f"/api/projects/{project.pk}/checkpoints/", {"checkpoint": fixed.pk}, format="json")
    assert response.status_code == 200
    project.refresh_from_db()
    snapshot = adapting.adapt(project=project)
    assert snapshot is not None
    assert snapshot.checkpoint is None
    assert snapshot.facts["checkpoint"] == "fixed weights"
    assert "learned" not in snapshot.facts
    checkpoints.register()
    assert checkpoints.of(project) == fixed, "a start does not take the choice away"


def test_answers_that_refute_it_are_told(
    shipped: Checkpoint, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crossval, "refuted", lambda right, plainly: True)
    snapshot = adapting.adapt(project=project)
    assert snapshot is not None
    assert (snapshot.facts["learned"], snapshot.facts["refuted"]) == (0, True)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"recipe": RECIPE, "serves": ["pixels"]}, "was not trained for the encoder of this project"),
        ({"recipe": RECIPE - 1, "serves": [ENCODER]}, "was trained for another version of the recipe"),
    ],
)
def test_one_that_does_not_fit_is_refused_with_the_reason(
    config: dict[str, Any], reason: str, project: Project
) -> None:
    foreign = trained("Foreign", config=config, chosen_at=timezone.now())
    response = owner().post(f"/api/projects/{project.pk}/checkpoints/", {"checkpoint": foreign.pk}, format="json")
    assert response.status_code == 409
    assert reason in response.json()["fields"]["checkpoint"]
    assert checkpoints.in_use() == foreign
    snapshot = adapting.adapt(project=project)
    assert snapshot is not None
    assert snapshot.facts["checkpoint"] == "fixed weights", "where it is in use everywhere, the project does without"
    page = factories.browser(make.user("owner")).get(f"/projects/{project.pk}/models").content.decode()
    assert reason in page
    User.objects.filter(username="owner").update(is_staff=True)
    assert owner().post(f"/api/checkpoints/{foreign.pk}/use/").status_code == (
        200 if config["recipe"] == RECIPE else 409
    )


def test_an_admin_chooses_for_the_project_and_it_adapts_anew(project: Project) -> None:
    checkpoint = trained()
    response = owner().post(f"/api/projects/{project.pk}/checkpoints/", {"checkpoint": checkpoint.pk}, format="json")
    assert response.status_code == 200
    assert Job.objects.filter(project=project, kind=Job.Kind.ADAPT, state=Job.State.QUEUED).exists()
    project.refresh_from_db()
    snapshot = adapting.adapt(project=project)
    assert snapshot is not None
    assert snapshot.checkpoint == checkpoint
    listed = owner().get(f"/api/projects/{project.pk}/checkpoints/").json()["results"]
    told = next(one for one in listed if one["id"] == checkpoint.pk)
    assert told["chosen_here"]
    assert told["results"][0]["answers"] == 30
    owner().post(f"/api/projects/{project.pk}/checkpoints/", {"checkpoint": None}, format="json")
    project.refresh_from_db()
    assert project.checkpoint is None


def test_one_that_was_refused_cannot_be_used(project: Project) -> None:
    refused = trained(state="refused")
    response = owner().post(f"/api/projects/{project.pk}/checkpoints/", {"checkpoint": refused.pk}, format="json")
    assert (response.status_code, response.json()["code"]) == (409, "conflict")
    assert "was not better" in response.json()["fields"]["checkpoint"]


def test_staff_go_back_everywhere(project: Project) -> None:
    old, new = trained("Old", 1), trained("New", 2)
    User.objects.filter(username="owner").update(is_staff=True)
    for one in (old, new, old):
        assert owner().post(f"/api/checkpoints/{one.pk}/use/").status_code == 200
        assert checkpoints.in_use() == one
        assert checkpoints.of(project) == one
    assert checkpoints.previous() == new


def test_two_are_compared_on_the_answers(project: Project) -> None:
    fixed, other = Checkpoint.objects.get(origin="fixed"), trained()
    begun = owner().post(
        f"/api/projects/{project.pk}/comparisons/", {"first": fixed.pk, "second": other.pk}, format="json"
    )
    assert begun.status_code == 202
    tasks.run(begun.json()["id"])
    [told] = owner().get(f"/api/projects/{project.pk}/comparisons/").json()
    assert (told["state"], told["error"]) == ("done", "")
    assert told["result"]["answers"] == 30
    gain = told["result"]["accuracy"]
    assert gain["low"] <= gain["mean"] <= gain["high"]
    assert gain["mean"] == pytest.approx(told["result"]["second"] - told["result"]["first"], abs=1e-3)
    same = owner().post(
        f"/api/projects/{project.pk}/comparisons/", {"first": fixed.pk, "second": fixed.pk}, format="json"
    )
    assert same.status_code == 409


def test_too_few_answers_are_not_compared(project: Project) -> None:
    other = make.project(labels=["a", "b"], texts=["x"], name="Empty", encoder=ENCODER)
    fixed = Checkpoint.objects.get(origin="fixed")
    job = choosing.compare(project=other, first=fixed, second=trained(), by=make.user("owner"))
    tasks.run(job.pk)
    job.refresh_from_db()
    assert (job.state, "at least 20 answered items" in job.error) == (Job.State.FAILED, True)


def test_going_back_to_an_earlier_snapshot_and_forth_again(project: Project) -> None:
    early = adapting.adapt(project=project)
    assert early is not None
    answer(project, range(30, 45))
    late = adapting.adapt(project=project)
    assert suggestions.latest(project) == late
    response = owner().post(f"/api/projects/{project.pk}/pin/", {"snapshot": early.number}, format="json")
    assert response.status_code == 200
    project.refresh_from_db()
    assert suggestions.latest(project) == early
    newest = adapting.adapt(project=project)
    assert newest is not None
    queueing.run(Job.objects.filter(project=project).select_related("project").latest("pk"))
    queued = Candidate.objects.filter(project=project).select_related("snapshot", "item").order_by("position")
    assert {candidate.snapshot for candidate in queued} == {early}
    assert {candidate.item.row for candidate in queued} == set(range(45, 60)), "what was answered since is not asked"
    margins = suggestions.of_rows(early, range(45, 60)).margin
    assert [candidate.item.row for candidate in queued] == (45 + np.argsort(margins, kind="stable")).tolist()
    progress = owner().get(f"/api/projects/{project.pk}/overview/").json()["accuracy"]
    assert progress["snapshot"] in (early.number, None)
    owner().post(f"/api/projects/{project.pk}/pin/", {"snapshot": None}, format="json")
    project.refresh_from_db()
    assert suggestions.latest(project) == newest


def test_what_is_no_longer_kept_cannot_be_gone_back_to(project: Project) -> None:
    gone = make.snapshot(project, 7)
    response = owner().post(f"/api/projects/{project.pk}/pin/", {"snapshot": gone.number}, format="json")
    assert (response.status_code, "no longer kept" in response.json()["detail"]) == (409, True)


def test_a_pinned_snapshot_keeps_its_arrays_and_goes_with_the_project(project: Project) -> None:
    first = adapting.adapt(project=project)
    assert first is not None
    choosing.pin(project=project, snapshot=first)
    for _ in range(adapting.KEPT + 1):
        adapting.adapt(project=project)
    assert suggestions.has_arrays(first)
    founding.dissolve(project=project, by=make.user("owner"), name=project.name)
    assert not Snapshot.objects.filter(pk=first.pk).exists()


def test_finishing_and_agreeing(project: Project) -> None:
    address = f"/api/projects/{project.pk}/finish/"
    told = owner().post(address, {"finished": True, "contributes": True}, format="json").json()
    assert told == {"finished": True, "contributes": True}
    project.refresh_from_db()
    assert project.finished_at is not None
    told = owner().post(address, {"finished": False}, format="json").json()
    assert told == {"finished": False, "contributes": True}, "what is not said stays"


def test_other_peoples_projects_are_not_named(project: Project) -> None:
    hidden = make.project(admin="stranger", name="Secret")
    sources = [{"project": one.pk, "items": 5, "labels": 2, "content": "c"} for one in (project, hidden)]
    evidence = {
        "difference": {"mean": 0.1, "low": 0.05, "high": 0.2},
        "promoted": True,
        "projects": [{"project": hidden.pk, "draws": 3, "before": 0.5, "after": 0.6, "gain": 0.1}],
    }
    trained(sources=sources, evidence=evidence, origin="self-trained")
    listed = owner().get(f"/api/projects/{project.pk}/checkpoints/").json()["results"]
    told = next(one for one in listed if one["origin"] == "self-trained")
    assert [source["name"] for source in told["sources"]] == ["Project", None]
    assert told["evidence"]["projects"][0]["name"] is None
    page = factories.browser(make.user("owner")).get(f"/projects/{project.pk}/models").content.decode()
    assert "Secret" not in page
    assert "a project that you are not a member of" in page


def test_the_page_does_it_all_by_forms(project: Project) -> None:
    browser = factories.browser(make.user("owner"))
    address = f"/projects/{project.pk}/models"
    checkpoint = trained()
    first = adapting.adapt(project=project)
    adapting.adapt(project=project)
    assert first is not None
    browser.post(address, {"do": "choose", "checkpoint": checkpoint.pk})
    browser.post(address, {"do": "pin", "snapshot": first.number})
    browser.post(address, {"do": "finish", "finished": "on", "contributes": "on"})
    project.refresh_from_db()
    assert (project.checkpoint, project.pinned) == (checkpoint, first)
    assert (project.finished_at is not None, project.contributes, project.reuses) == (True, True, False)
    page = browser.get(address).content.decode()
    assert "goes by snapshot 1" in page
    assert "chosen for this project" in page
    fixed = Checkpoint.objects.get(origin="fixed")
    assert browser.post(address, {"do": "use", "checkpoint": fixed.pk}).status_code == 403, "staff only"
    browser.post(address, {"do": "compare", "first": fixed.pk, "second": checkpoint.pk})
    tasks.run(Job.objects.get(kind=Job.Kind.COMPARE).pk)
    assert "accuracy" in browser.get(address).content.decode()
