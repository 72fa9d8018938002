"""Pages of a project: settings, people, import, data, item and models."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from django.test import Client
from django.utils import timezone

from labeling import tunings
from labeling.models import Invitation, Item, Job, Mark, Member, Project, Role, Snapshot, Upload
from tests import factories, make


@pytest.fixture
def project(db: None) -> Project:
    return factories.project(3)


@pytest.fixture
def owner(project: Project) -> Client:
    return factories.browser(make.user("owner"))


@pytest.fixture
def base(project: Project) -> str:
    return f"/projects/{project.pk}"


def _text(response: Any) -> str:
    return str(response.content.decode())


def test_save_the_general_settings(owner: Client, base: str, project: Project) -> None:
    form = {"do": "general", "name": "New name", "description": "d", "guidelines": "# Look\n\n  twice"}
    assert owner.post(f"{base}/settings", form).headers["Location"] == f"{base}/settings#general"
    project.refresh_from_db()
    assert (project.name, project.description, project.guidelines) == ("New name", "d", "# Look\n\n  twice")


def test_save_how_it_is_worked_on(owner: Client, base: str, project: Project) -> None:
    form = {"do": "work", "goal": "92.5", "minutes": "2.5", "random": "20", "encoder": "multilingual"}
    assert project.tunes, "from the start"
    assert owner.post(f"{base}/settings", form).status_code == 302
    project.refresh_from_db()
    assert (project.show_suggestions, project.goal_accuracy, project.lease_seconds) == (False, 0.925, 150)
    assert (project.random_share, project.encoder) == (0.2, "multilingual")
    assert not project.tunes
    owner.post(f"{base}/settings", form | {"tunes": "on"})
    project.refresh_from_db()
    assert project.tunes
    shown = _text(owner.get(f"{base}/settings"))
    assert 'value="92.5"' in shown
    assert 'value="2.5"' in shown


def test_a_model_of_ones_own(owner: Client, base: str, project: Project) -> None:
    form = {
        "do": "work",
        "goal": "95",
        "minutes": "10",
        "random": "0",
        "encoder": "",
        "own_encoder": "BAAI/bge-small-en",
    }
    owner.post(f"{base}/settings", form)
    project.refresh_from_db()
    assert project.encoder == "sentence-transformers:BAAI/bge-small-en"
    assert "sentence-transformers:BAAI/bge-small-en" in _text(owner.get(f"{base}/settings")), "is kept in the choice"


@pytest.mark.parametrize(
    "wrong", [{"goal": "120"}, {"goal": "many"}, {"minutes": "0"}, {"random": "101"}, {"encoder": "no"}]
)
def test_settings_that_cannot_be_are_refused(owner: Client, base: str, project: Project, wrong: dict[str, str]) -> None:
    form = {"do": "work", "goal": "90", "minutes": "10", "random": "0", "encoder": ""} | wrong
    refused = owner.post(f"{base}/settings", form)
    assert (refused.status_code, bool(refused.context["work"].errors)) == (422, True)
    project.refresh_from_db()
    assert project.goal_accuracy == 0.95


def test_paste_labels(owner: Client, base: str, project: Project) -> None:
    owner.post(f"{base}/settings", {"do": "labels", "labels": "One: first\nTwo"})
    assert list(project.labels.values_list("name", flat=True)) == [*factories.LABELS, "One", "Two"]
    refused = owner.post(f"{base}/settings", {"do": "labels", "labels": "Three\nOne"})
    assert (refused.status_code, "Three\nOne</textarea>" in _text(refused)) == (422, True)
    assert project.labels.count() == 5


def test_delete_asks_for_the_name(owner: Client, base: str, project: Project) -> None:
    assert owner.post(f"{base}/settings", {"do": "delete", "name": "project"}).status_code == 422
    assert Project.objects.exists()
    assert owner.post(f"{base}/settings", {"do": "delete", "name": project.name}).headers["Location"] == "/"
    assert not Project.objects.exists()


def test_names_are_never_markup(owner: Client, base: str, project: Project) -> None:
    evil = "<script>alert(1)</script>"
    project.labels.filter(position=0).update(name=evil)
    Item.objects.filter(project=project, row=0).update(text=evil, label=factories.label(project, 0), status="answered")
    Project.objects.filter(pk=project.pk).update(name=evil)
    for path in ("settings", "people", "data", "import", "models", f"items/{Item.objects.get(row=0).pk}"):
        page = _text(owner.get(f"{base}/{path}"))
        assert evil not in page, path
        assert "alert(1)" in page


def test_an_invitation_link_is_shown_once(owner: Client, base: str) -> None:
    made = owner.post(f"{base}/people", {"do": "invite", "role": "reviewer", "uses": "3", "days": "2"})
    link = made.context["link"]
    assert (made.status_code, link in _text(made)) == (201, True)
    assert link not in _text(owner.get(f"{base}/people"))
    assert Client().get(link.removeprefix("http://testserver")).status_code == 200
    owner.post(f"{base}/people", {"do": "revoke", "invitation": str(Invitation.objects.get().pk)})
    assert Client().get(link.removeprefix("http://testserver")).status_code == 404


@pytest.mark.parametrize("wrong", [{"uses": "0"}, {"uses": "-1"}, {"uses": "x"}, {"days": "9" * 30}, {"role": "king"}])
def test_invitations_that_cannot_be(owner: Client, base: str, wrong: dict[str, str]) -> None:
    form = {"do": "invite", "role": "reviewer", "uses": "3", "days": "2"} | wrong
    assert owner.post(f"{base}/people", form).status_code == 422
    assert not Invitation.objects.exists()


def test_change_a_role_and_remove_somebody(owner: Client, base: str, project: Project) -> None:
    make.member(project, Role.ANNOTATOR, "anna")
    anna = Member.objects.get(user__username="anna")
    owner.post(f"{base}/people", {"do": "role", "member": str(anna.pk), "role": "reviewer"})
    anna.refresh_from_db()
    assert anna.role == "reviewer"
    owner.post(f"{base}/people", {"do": "remove", "member": str(anna.pk)})
    assert not Member.objects.filter(pk=anna.pk).exists()


def test_the_last_admin_cannot_leave(owner: Client, base: str, project: Project) -> None:
    me = Member.objects.get(project=project)
    refused = owner.post(f"{base}/people", {"do": "remove", "member": str(me.pk)})
    assert (refused.status_code, "needs an admin" in _text(refused)) == (409, True)
    make.member(project, Role.ADMIN, "second")
    assert (
        owner.post(f"{base}/people", {"do": "role", "member": str(me.pk), "role": "annotator"}).headers["Location"]
        == "/"
    ), "who is no admin any more is not sent back to a page of admins"


def test_the_import_page_takes_up_what_runs_and_lists_what_was(owner: Client, base: str, project: Project) -> None:
    upload = Upload.objects.create(
        project=project, name="mails.csv", path="x", size=1, created_by=make.user("owner"), created_at=make.NOW
    )
    facts = {"project": project, "kind": "import", "created_at": make.NOW, "arguments": {"upload": upload.pk}}
    Job.objects.create(state="done", result={"added": 1234, "existing": 5, "bad": 2}, **facts)
    page = owner.get(f"{base}/import")
    assert page.context["data"]["job"] is None
    assert all(text in _text(page) for text in ("mails.csv", "1,234", "bad_rows.csv"))
    running = Job.objects.create(state="running", **facts)
    assert owner.get(f"{base}/import").context["data"]["job"]["id"] == running.pk


def test_the_data_page_filters_and_pages_without_counting(
    owner: Client, base: str, project: Project, monkeypatch: pytest.MonkeyPatch, django_assert_max_num_queries: Any
) -> None:
    monkeypatch.setattr("labeling.pages.data.PER_PAGE", 2)
    with django_assert_max_num_queries(12):
        page = owner.get(f"{base}/data?q=card")
    assert [entry["item"].row for entry in page.context["entries"]] == [0, 1]
    following = owner.get(f"{base}/data?{page.context['next_query']}")
    assert [entry["item"].row for entry in following.context["entries"]] == [2]
    assert following.context["next_query"] == ""
    assert "No item is like this" in _text(owner.get(f"{base}/data?q=zebra"))


@pytest.mark.parametrize(
    "query", ["status=zzz", "label=x", "after=x", f"after={'9' * 40}", "label=²", "q=%00", "flagged=2"]
)
def test_an_address_that_makes_no_sense_does_no_harm(owner: Client, base: str, query: str) -> None:
    assert owner.get(f"{base}/data?{query}").status_code == 200


def test_an_item_shows_its_history_its_flags_and_the_suggestion(owner: Client, base: str, project: Project) -> None:
    factories.snapshot(project, [0.62] * 3, [1] * 3)
    item = Item.objects.get(project=project, row=1)
    owner_user = make.user("owner")
    factories.answer(item, owner_user, factories.label(project, 0))
    Mark.objects.create(project=project, item=item, author=owner_user, code="flag", note="odd one", created_at=make.NOW)
    page = _text(owner.get(f"{base}/items/{item.pk}"))
    assert all(text in page for text in ("answered “Card arrival”", "odd one", "62%", "Item 2"))
    assert f"{base}/items/{Item.objects.get(row=0).pk}" in page
    assert f"{base}/items/{Item.objects.get(row=2).pk}" in page


def test_an_item_leads_on_within_the_filters(owner: Client, base: str, project: Project) -> None:
    rows = {item.row: item.pk for item in Item.objects.filter(project=project)}
    page = owner.get(f"{base}/items/{rows[0]}?q=number 2")
    assert page.context["behind"] == rows[2]


def test_the_models_page_tells_measured_from_unknown(owner: Client, base: str, project: Project) -> None:
    assert "No model yet" in _text(owner.get(f"{base}/models"))
    known = {"accuracy": {"estimate": 0.914, "low": 0.886, "high": 0.938, "how": "cross-validation"}}
    factories.snapshot(project, [0.5] * 3, number=1, answers=3)
    factories.snapshot(project, [0.5] * 3, number=2, answers=40, estimates=known)
    page = _text(owner.get(f"{base}/models"))
    assert "91.4%" in page
    assert "88.6 – 93.8" in page
    assert page.count("cannot tell yet") == 1


def test_save_how_several_people_work_on_it(owner: Client, base: str, project: Project) -> None:
    form = {
        "do": "people",
        "overlap": "3",
        "overlap_mode": "adaptive",
        "overlap_share": "25",
        "sure_enough": "97.5",
        "consensus": "majority",
        "visibility": "after",
    }
    assert owner.post(f"{base}/settings", form).status_code == 302
    project.refresh_from_db()
    assert (project.overlap, project.overlap_mode, project.overlap_share) == (3, "adaptive", 0.25)
    assert (project.sure_enough, project.consensus, project.visibility) == (0.975, "majority", "after")
    assert 'value="97.5"' in _text(owner.get(f"{base}/settings"))
    assert owner.post(f"{base}/settings", form | {"overlap": "16"}).status_code == 422


def test_who_answered_everything_is_told_that_others_must(project: Project) -> None:
    Project.objects.filter(pk=project.pk).update(overlap=2)
    anna = make.member(project, "annotator", "anna")
    client = factories.api(anna)
    for item in Item.objects.filter(project=project):
        body = {"item": item.pk, "label": factories.LABELS[0], "count": 0}
        assert client.post(f"/api/projects/{project.pk}/answers/", body, format="json").status_code == 201
    told = client.get(f"/api/projects/{project.pk}/next").json()
    assert (told["items"], told["for_others"]) == ([], 3)


def test_the_models_page_tells_how_the_encoder_learns(
    owner: Client, base: str, project: Project, settings: Any
) -> None:
    Project.objects.filter(pk=project.pk).update(encoder="minilm", tunes=True)
    facts = {"encoder": "minilm", "tuning": 2, "tuning_answers": 120}
    shown = factories.snapshot(project, [0.5] * 3, number=1, answers=130)
    Snapshot.objects.filter(pk=shown.pk).update(facts=facts)
    tunings.write_states(project.pk, "minilm", 0, [np.zeros((2, 4), np.float16), None])
    result = {"tuning": 2, "answers": 120, "items": 3, "seconds": 41.2}
    job = Job.objects.create(
        project=project, kind="tune", state="done", result=result, created_at=timezone.now(), finished_at=timezone.now()
    )
    page = _text(owner.get(f"{base}/models"))
    for name, value in (("encoder tuned: from answers", "120"), ("Took", "41 s")):
        assert f'<dt>{name}</dt><dd class="num">{value}</dd>' in page
    assert "of 1 items; at most 20,000" in page
    Job.objects.filter(pk=job.pk).update(state="failed", error="OSError: disk full")
    assert "The last time it failed: OSError: disk full" in _text(owner.get(f"{base}/models"))
    settings.ANNOTATOR_TUNED_ITEMS = 2
    assert "more than 2 items" in _text(owner.get(f"{base}/models"))
    Project.objects.filter(pk=project.pk).update(encoder="pixels")
    assert "stays as it was published" in _text(owner.get(f"{base}/models"))
    Project.objects.filter(pk=project.pk).update(tunes=False)
    assert "switched off" in _text(owner.get(f"{base}/models"))
