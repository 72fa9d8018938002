"""The labels' API: add, rename, describe, give keys, archive, delete."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rest_framework.test import APIClient

from labeling.errors import BadField
from labeling.flow import offering
from labeling.models import Answer, Item, Job, Label, Project
from tests import factories, make


@pytest.fixture
def project(db: None) -> Project:
    return factories.project(2)


@pytest.fixture
def owner(project: Project) -> APIClient:
    return factories.api(make.user("owner"))


@pytest.fixture
def base(project: Project) -> str:
    return f"/api/projects/{project.pk}/labels"


def test_a_new_label_comes_last_and_makes_the_model_learn_anew(owner: APIClient, base: str) -> None:
    made = owner.post(base, {"name": " New ", "description": "d"}, format="json")
    assert (made.status_code, made.json()["name"], made.json()["position"]) == (201, "New", 3)
    assert [label["name"] for label in owner.get(base).json()] == [*factories.LABELS, "New"]
    assert Job.objects.get().kind == "adapt"


def test_a_rename_keeps_answers(owner: APIClient, base: str, project: Project) -> None:
    label = factories.label(project, 0)
    item = Item.objects.filter(project=project).first()
    assert item is not None
    answer = factories.answer(item, make.user("owner"), label)
    assert owner.patch(f"{base}/{label.pk}", {"name": "Renamed"}, format="json").json()["name"] == "Renamed"
    assert Answer.objects.get(pk=answer.pk).label.name == "Renamed"


@pytest.mark.parametrize(
    ("values", "status"),
    [
        ({"name": factories.LABELS[1]}, 409),
        ({"name": "  "}, 422),
        ({"name": "two\nlines"}, 422),
        ({"hotkey": "f"}, 422),
        ({"hotkey": "/"}, 422),
        ({"hotkey": "ab"}, 422),
        ({"hotkey": "k"}, 409),
        ({"color": "blue"}, 422),
        ({"archived": "perhaps"}, 422),
    ],
)
def test_what_cannot_be_is_refused(owner: APIClient, base: str, project: Project, values: dict, status: int) -> None:
    Label.objects.filter(pk=factories.label(project, 1).pk).update(hotkey="k")
    label = factories.label(project, 0)
    answer = owner.patch(f"{base}/{label.pk}", values, format="json")
    assert (answer.status_code, list(answer.json()["fields"])) == (status, list(values))
    label.refresh_from_db()
    assert (label.name, label.hotkey, label.archived_at) == (factories.LABELS[0], "", None)


def test_an_archived_label_gives_its_key_to_another(owner: APIClient, base: str, project: Project) -> None:
    first, second = factories.label(project, 0), factories.label(project, 1)
    for values in ({"hotkey": "K"}, {"archived": True}):
        assert owner.patch(f"{base}/{first.pk}", values, format="json").status_code == 200
    assert owner.patch(f"{base}/{second.pk}", {"hotkey": "k"}, format="json").json()["hotkey"] == "k"
    back = owner.patch(f"{base}/{first.pk}", {"archived": False}, format="json")
    assert (back.status_code, back.json()["code"]) == (409, "conflict")


def test_delete_an_unused_label_archive_a_used_one(owner: APIClient, base: str, project: Project) -> None:
    used, unused = factories.label(project, 0), factories.label(project, 2)
    item = Item.objects.filter(project=project).first()
    assert item is not None
    factories.answer(item, make.user("owner"), used)
    assert owner.delete(f"{base}/{unused.pk}").status_code == 204
    kept = owner.delete(f"{base}/{used.pk}")
    assert (kept.status_code, kept.json()["archived"]) == (200, True)
    assert [label["archived"] for label in owner.get(base).json()] == [True, False]


def test_a_position_that_a_snapshot_knows_is_never_given_again(owner: APIClient, base: str, project: Project) -> None:
    factories.snapshot(project, [0.5, 0.5])
    last = factories.label(project, 2)
    assert owner.delete(f"{base}/{last.pk}").status_code == 200, "archived, though nothing was answered with it"
    assert owner.post(base, {"name": "New"}, format="json").json()["position"] == 3


def test_paste_labels_one_a_line() -> None:
    read = offering.parse("card arrival: it is late: really\r\n\n  fee  \nodd:\n标签: 说明\n")
    assert [(label.name, label.description) for label in read] == [
        ("card arrival", "it is late: really"), ("fee", ""), ("odd", ""), ("标签", "说明"),
    ]  # fmt: skip
    with pytest.raises(BadField, match="Line 3"):
        offering.parse("a\nb\na: again")


@given(st.lists(st.text(st.characters(exclude_categories=("C", "Z"), exclude_characters=":"), min_size=1), unique=True))
def test_names_alone_come_back_as_they_are(names: list[str]) -> None:
    assert [label.name for label in offering.parse("\n".join(names))] == names
