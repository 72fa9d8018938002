"""The session's API: tokens, the own account, the own password, and being locked out."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.authtoken.models import Token
from rest_framework.test import APIClient

from labeling.models import User
from tests import factories, make

PASSWORD = "correct horse battery"


@pytest.fixture
def ada(db: None) -> User:
    return User.objects.create_user("ada", password=PASSWORD)


def _token(username: str = "ada", password: str = PASSWORD) -> Any:
    return APIClient().post("/api/token", {"username": username, "password": password}, format="json")


def test_a_token_signs_in(ada: User) -> None:
    token = _token().json()["token"]
    client = APIClient(headers={"Authorization": f"Token {token}"})
    assert client.get("/api/me").json() == {
        "id": ada.pk, "username": "ada", "name": "", "language": "", "keymap": {}, "is_staff": False,
    }  # fmt: skip
    assert _token().json()["token"] == token, "the same until it is revoked"
    assert client.delete("/api/token").status_code == 204
    assert client.get("/api/me").status_code == 401


def test_a_stale_token_does_not_keep_from_getting_a_new_one(ada: User) -> None:
    client = APIClient(headers={"Authorization": "Token gone"})
    assert client.post("/api/token", {"username": "ada", "password": PASSWORD}, format="json").status_code == 200


@pytest.mark.parametrize("name", ["ada", "nobody"])
def test_it_is_not_said_what_was_wrong(ada: User, name: str) -> None:
    answer = _token(name, "wrong")
    assert (answer.status_code, answer.json()["code"]) == (401, "wrong_credentials")


def test_too_many_wrong_passwords_lock_out_and_say_for_how_long(ada: User, settings: Any) -> None:
    settings.AXES_FAILURE_LIMIT = 3
    answers = [_token(password="wrong") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [401, 401, 429]
    right = _token()
    assert (right.status_code, right.json()["code"]) == (429, "locked_out")
    assert "15 minutes" in right.json()["detail"]
    assert int(right.headers["Retry-After"]) == 900
    assert set(right.json()) == {"code", "detail", "fields"}


def test_change_the_account(ada: User) -> None:
    client = factories.api(ada)
    changes = {"name": "Ada L.", "language": "zh-hans", "keymap": {"skip": "s", "undo": "u"}}
    assert client.patch("/api/me", changes, format="json").status_code == 200
    ada.refresh_from_db()
    assert (ada.first_name, ada.language, ada.keymap) == ("Ada L.", "zh-hans", {"skip": "s", "undo": "u"})


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"language": "tlh"}, "language"),
        ({"language": ["en"]}, "language"),
        ({"keymap": {"skip": "x", "undo": "x"}}, "keymap"),
        ({"keymap": ["x"]}, "keymap"),
        ({"keymap": {str(n): str(n) for n in range(100)}}, "keymap"),
        ({"name": "x" * 200}, "name"),
    ],
)
def test_what_cannot_be_kept_is_refused(ada: User, change: Any, field: str) -> None:
    answer = factories.api(ada).patch("/api/me", change, format="json")
    assert (answer.status_code, list(answer.json()["fields"])) == (422, [field])


def test_nobody_makes_oneself_staff(ada: User) -> None:
    factories.api(ada).patch("/api/me", {"is_staff": True, "username": "root"}, format="json")
    ada.refresh_from_db()
    assert (ada.is_staff, ada.username) == (False, "ada")


def test_change_the_password(ada: User) -> None:
    client = factories.api(ada)
    wrong = client.post("/api/me/password", {"old": "no", "new": PASSWORD + "!"}, format="json")
    weak = client.post("/api/me/password", {"old": PASSWORD, "new": "short"}, format="json")
    assert (wrong.status_code, list(wrong.json()["fields"])) == (422, ["old"])
    assert (weak.status_code, list(weak.json()["fields"])) == (422, ["new"])
    assert client.post("/api/me/password", {"old": PASSWORD, "new": PASSWORD + "!"}, format="json").status_code == 204
    ada.refresh_from_db()
    assert ada.check_password(PASSWORD + "!")


def test_other_addresses_are_refused_in_the_same_shape(db: None) -> None:
    for method in ("get", "post", "delete"):
        answer = getattr(APIClient(), method)("/api/nothing/here")
        assert (answer.status_code, set(answer.json())) == (404, {"code", "detail", "fields"})


def test_broken_json_is_an_error_of_the_same_shape(ada: User) -> None:
    answer = factories.api(ada).patch("/api/me", b"{", content_type="application/json")
    assert (answer.status_code, set(answer.json())) == (400, {"code", "detail", "fields"})


def test_the_documentation_is_for_those_who_signed_in(ada: User) -> None:
    make.user("other")
    assert factories.browser(ada).get("/api/docs").status_code == 200
    assert factories.browser(ada).get("/api/schema/").status_code == 200
    assert Token.objects.count() == 0
