"""The projects' API: make, list, change and delete them."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from rest_framework.test import APIClient

from labeling.models import Answer, Batch, Item, Job, Label, Member, Project, Reference, Role, Snapshot, User
from tests import factories, make

NEW = {
    "name": " Bank questions ",
    "modality": "text",
    "guidelines": "Look twice.",
    "labels": ["card", {"name": "fee", "description": "About money", "hotkey": "M", "color": "#2F5BD7"}],
}


@pytest.fixture
def staff(db: None) -> APIClient:
    return factories.api(make.user("sam", is_staff=True))


def test_make_a_project(staff: APIClient) -> None:
    answer = staff.post("/api/projects", NEW, format="json")
    assert answer.status_code == 201
    made = answer.json()
    assert (made["name"], made["role"], made["modality"], made["kind"]) == (
        "Bank questions", "admin", "text", "single_label",
    )  # fmt: skip
    assert [(label["name"], label["position"], label["hotkey"], label["color"]) for label in made["labels"]] == [
        ("card", 0, "", ""), ("fee", 1, "m", "#2f5bd7"),
    ]  # fmt: skip
    assert made["progress"] == {"items": 0, "open": 0, "answered": 0, "imported": 0, "accepted": 0}
    assert staff.get(f"/api/projects/{made['id']}/").json() == made, "a slash behind makes no difference"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": " "}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"modality": "sound"}, "modality"),
        ({"modality": {}}, "modality"),
        ({"labels": ["a", "a"]}, "name"),
        ({"labels": [{"name": "a", "hotkey": "f"}]}, "hotkey"),
        ({"labels": [{"name": "a", "hotkey": "1"}, {"name": "b", "hotkey": "1"}]}, "hotkey"),
        ({"labels": [{"name": "a", "color": "red"}]}, "labels"),
        ({"labels": "a"}, "labels"),
        ({"goal_accuracy": 1.5}, "goal_accuracy"),
        ({"encoder": "magic"}, "encoder"),
        ({"encoder": "pixels"}, "encoder"),  # is for images
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_made(staff: APIClient, change: Any, field: str) -> None:
    answer = staff.post("/api/projects", NEW | change, format="json")
    assert answer.status_code in (409, 422)
    assert list(answer.json()["fields"]) == [field]
    assert not Project.objects.exists()


def test_the_list_is_of_ones_own_and_in_pages(staff: APIClient) -> None:
    mine = [staff.post("/api/projects", NEW | {"name": f"P{n}"}, format="json").json()["id"] for n in range(3)]
    make.project(admin="else")
    page = staff.get("/api/projects?limit=2").json()
    assert (page["count"], [row["id"] for row in page["results"]]) == (3, mine[:0:-1])
    assert [row["id"] for row in staff.get(page["next"]).json()["results"]] == mine[:1]


def test_the_list_takes_the_same_number_of_queries_however_long(
    staff: APIClient, django_assert_max_num_queries: Any
) -> None:
    for n in range(6):
        staff.post("/api/projects", NEW | {"name": f"P{n}"}, format="json")
    with django_assert_max_num_queries(5):
        assert len(staff.get("/api/projects").json()["results"]) == 6


def test_change_settings(staff: APIClient) -> None:
    address = f"/api/projects/{staff.post('/api/projects', NEW, format='json').json()['id']}"
    settings = {
        "name": "Other",
        "show_suggestions": False,
        "goal_accuracy": 0.9,
        "lease_seconds": 60,
        "random_share": 0.2,
        "tunes": False,
    }
    changed = staff.patch(address, settings, format="json").json()
    assert {name: changed[name] for name in settings} == settings
    assert staff.patch(address, {"lease_seconds": 1}, format="json").status_code == 422
    assert staff.patch(address, {"modality": "image"}, format="json").json()["modality"] == "text", "cannot be changed"


def test_another_encoder_embeds_anew_and_another_share_fills_the_queue(db: None) -> None:
    project = factories.project(2)
    owner = factories.api(make.user("owner"))
    owner.patch(f"/api/projects/{project.pk}", {"name": "Other"}, format="json")
    assert not Job.objects.exists()
    owner.patch(f"/api/projects/{project.pk}", {"encoder": "multilingual"}, format="json")
    owner.patch(f"/api/projects/{project.pk}", {"random_share": 0.5}, format="json")
    assert list(Job.objects.order_by("pk").values_list("kind", flat=True)) == ["embed", "adapt"]


def test_delete_takes_everything_of_this_project_and_nothing_else(db: None) -> None:
    project, other = _full("Doomed"), _full("Other")
    owner = factories.api(make.user("owner"))
    address = f"/api/projects/{project.pk}"
    assert owner.delete(address, {"name": "doomed"}, format="json").status_code == 409
    assert Item.objects.filter(project=project).count() == 3
    assert owner.delete(address, {"name": "Doomed"}, format="json").status_code == 204
    assert owner.get(address).status_code == 404
    for model in (Item, Answer, Label, Snapshot, Member, Job, Batch):
        assert set(model.objects.values_list("project", flat=True)) == {other.pk}, model
    assert list(Project.objects.all()) == [other]
    assert not default_storage.exists(f"projects/{project.pk}/uploads/a/b")
    assert default_storage.exists(f"projects/{other.pk}/uploads/a/b")


def _full(name: str) -> Project:
    project = factories.project(3, name=name)
    owner, item = make.user("owner"), Item.objects.filter(project=project).first()
    assert item is not None
    make.member(project, Role.ANNOTATOR, f"anna of {name}")
    factories.answer(item, owner, factories.label(project, 0))
    Reference.objects.create(item=item, label=factories.label(project, 1))
    snapshot = factories.snapshot(project, [0.5] * 3)
    Batch.objects.create(project=project, accepted_by=owner, snapshot=snapshot, created_at=make.NOW)
    Job.objects.create(project=project, kind="export", state="done", created_at=make.NOW)
    default_storage.save(f"projects/{project.pk}/uploads/a/b", ContentFile(b"x"))
    return project


def test_those_who_are_not_staff_make_none(db: None) -> None:
    answer = factories.api(User.objects.create_user("eve")).post("/api/projects", NEW, format="json")
    assert (answer.status_code, answer.json()["code"]) == (403, "not_allowed")
