"""The people's API and joining by a link: roles, the last admin, invitations that run out."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from labeling.models import Invitation, Item, Lease, Member, Project, Role, User
from tests import factories, make

ACCOUNT = {"username": "newbie", "name": "New B.", "password": "correct horse battery"}


@pytest.fixture
def project(db: None) -> Project:
    return factories.project(2)


@pytest.fixture
def owner(project: Project) -> APIClient:
    return factories.api(make.user("owner"))


@pytest.fixture
def base(project: Project) -> str:
    return f"/api/projects/{project.pk}"


def _member(project: Project, name: str) -> Member:
    return Member.objects.get(project=project, user__username=name)


def test_add_list_change_and_remove(owner: APIClient, base: str, project: Project) -> None:
    make.user("anna")
    added = owner.post(f"{base}/members", {"username": "anna", "role": "annotator"}, format="json")
    assert (added.status_code, added.json()["user"]["username"]) == (201, "anna")
    again = owner.post(f"{base}/members", {"username": "anna", "role": "admin"}, format="json")
    assert (again.status_code, _member(project, "anna").role) == (409, "annotator")
    address = f"{base}/members/{added.json()['id']}"
    assert owner.patch(address, {"role": "reviewer"}, format="json").json()["role"] == "reviewer"
    assert [row["role"] for row in owner.get(f"{base}/members").json()] == ["admin", "reviewer"]
    assert owner.delete(address).status_code == 204
    assert [row["role"] for row in owner.get(f"{base}/members").json()] == ["admin"]


@pytest.mark.parametrize("body", [{"username": "ghost", "role": "annotator"}, {"username": "owner", "role": "king"}])
def test_unknown_people_and_roles_are_refused(owner: APIClient, base: str, body: dict) -> None:
    assert owner.post(f"{base}/members", body, format="json").status_code == 422


def test_the_last_admin_stays(owner: APIClient, base: str, project: Project) -> None:
    address = f"{base}/members/{_member(project, 'owner').pk}"
    assert owner.delete(address).json()["code"] == "conflict"
    assert owner.patch(address, {"role": "reviewer"}, format="json").status_code == 409
    make.member(project, Role.ADMIN, "second")
    assert owner.delete(address).status_code == 204
    assert owner.get(base).status_code == 404


def test_who_leaves_gives_back_what_was_in_hand(base: str, project: Project) -> None:
    anna = make.member(project, Role.ANNOTATOR, "anna")
    other = make.member(project, Role.ANNOTATOR, "other")
    item = Item.objects.filter(project=project).first()
    Lease.objects.create(
        project=project, item=item, holder=anna, created_at=make.NOW, expires_at=make.NOW + timedelta(hours=1)
    )
    client = factories.api(anna)
    assert client.delete(f"{base}/members/{_member(project, other.username).pk}").status_code == 403
    assert client.delete(f"{base}/members/{_member(project, 'anna').pk}").status_code == 204
    assert not Lease.objects.exists()


def _invite(owner: APIClient, base: str, **more: Any) -> dict[str, Any]:
    made = owner.post(f"{base}/invitations", {"role": "reviewer"} | more, format="json")
    assert made.status_code == 201
    return dict(made.json())


def _path(invitation: dict[str, Any]) -> str:
    return str(invitation["url"]).removeprefix("http://testserver")


def test_a_link_makes_an_account_and_a_member(owner: APIClient, base: str, project: Project) -> None:
    invitation = _invite(owner, base)
    client = Client()
    assert project.name in client.get(_path(invitation)).content.decode()
    joined = client.post(_path(invitation), ACCOUNT)
    assert (joined.status_code, joined.headers["Location"]) == (302, f"/projects/{project.pk}/")
    assert _member(project, "newbie").role == "reviewer"
    assert client.get("/api/me").json()["name"] == "New B.", "signed in at once"
    assert Client().get(_path(invitation)).status_code == 404, "one use was one person"
    assert owner.get(f"{base}/invitations").json() == []


def test_the_link_is_told_once_and_not_kept(owner: APIClient, base: str) -> None:
    invitation = _invite(owner, base)
    assert owner.get(f"{base}/invitations").json()[0]["url"] is None
    assert invitation["url"].rsplit("/", 1)[1] not in Invitation.objects.get().token_hash


def test_someone_signed_in_joins_with_the_account_at_hand(owner: APIClient, base: str, project: Project) -> None:
    invitation = _invite(owner, base, uses=5)
    client = factories.browser(make.user("anna"))
    for _again in range(2):
        assert client.post(_path(invitation)).status_code == 302
    assert _member(project, "anna").role == "reviewer"
    assert owner.get(f"{base}/invitations").json()[0]["uses_left"] == 4, "joining twice uses one place"


def test_a_member_stays_what_they_are(owner: APIClient, base: str, project: Project) -> None:
    invitation = _invite(owner, base, role="annotator")
    factories.browser(make.user("owner")).post(_path(invitation))
    assert _member(project, "owner").role == "admin"


def test_links_end_by_time_by_use_and_by_revoking(owner: APIClient, base: str) -> None:
    expired, used, revoked = (_invite(owner, base) for _ in range(3))
    Invitation.objects.filter(pk=expired["id"]).update(expires_at=timezone.now() - timedelta(seconds=1))
    Invitation.objects.filter(pk=used["id"]).update(uses_left=0)
    assert owner.delete(f"{base}/invitations/{revoked['id']}").status_code == 204
    for invitation in (expired, used, revoked):
        assert Client().get(_path(invitation)).status_code == 404
        assert Client().post(_path(invitation), ACCOUNT).status_code == 404
    assert not User.objects.filter(username="newbie").exists()
    assert owner.get(f"{base}/invitations").json() == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"username": "OWNER"}, "username"),
        ({"username": "a b"}, "username"),
        ({"password": "short"}, "password"),
        ({"password": "newbie2026"}, "password"),  # too like the name
    ],
)
def test_an_account_that_cannot_be_uses_nothing_up(
    owner: APIClient, base: str, change: dict[str, str], field: str
) -> None:
    invitation = _invite(owner, base)
    answer = Client().post(_path(invitation), ACCOUNT | change)
    assert answer.status_code == 422
    assert list(answer.context["form"].errors) == [field]
    assert Invitation.objects.get().uses_left == 1


@pytest.mark.parametrize(
    "body", [{"role": "annotator", "uses": 0}, {"role": "annotator", "days": 400}, {"role": []}, {}]
)
def test_invitations_within_reason(owner: APIClient, base: str, body: dict) -> None:
    assert owner.post(f"{base}/invitations", body, format="json").status_code == 422
