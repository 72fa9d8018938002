"""Pages for getting in: signing in and out, being locked out, the language, the account, a project's beginning."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from rest_framework.authtoken.models import Token

from labeling.models import Label, Project, User
from tests import factories, make

PASSWORD = "correct horse battery"


@pytest.fixture
def ada(db: None) -> User:
    return User.objects.create_user("ada", password=PASSWORD)


def _text(response: Any) -> str:
    return str(response.content.decode())


def _language(client: Client) -> str:
    return str(client.get("/account").headers["Content-Language"])


def test_signing_in_leads_back_to_where_one_wanted(ada: User) -> None:
    client = Client()
    asked = client.get("/account")
    assert asked.headers["Location"] == "/signin?next=/account"
    done = client.post("/signin", {"username": "ada", "password": PASSWORD, "next": "/account"})
    assert done.headers["Location"] == "/account"
    assert client.get("/account").status_code == 200


def test_signing_in_never_leads_elsewhere(ada: User) -> None:
    done = Client().post("/signin", {"username": "ada", "password": PASSWORD, "next": "https://evil.example/"})
    assert done.headers["Location"] == "/"


def test_a_wrong_password_and_too_many_of_them(ada: User, settings: Any) -> None:
    settings.AXES_FAILURE_LIMIT = 2
    client = Client()
    wrong = client.post("/signin", {"username": "ada", "password": "no"})
    assert (wrong.status_code, "do not belong together" in _text(wrong)) == (200, True)
    locked = client.post("/signin", {"username": "ada", "password": "no"})
    assert (locked.status_code, "Try again in 15 minutes" in _text(locked)) == (429, True)
    assert client.post("/signin", {"username": "ada", "password": PASSWORD}).status_code == 429


def test_signing_out_takes_a_post(ada: User) -> None:
    client = factories.browser(ada)
    assert client.get("/signout").status_code == 405
    assert client.post("/signout").headers["Location"] == "/signin"
    assert client.get("/account").status_code == 302


def test_forms_need_their_token(ada: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(ada)
    assert client.post("/account", {"do": "revoke"}).status_code == 403


def test_the_language_is_kept_with_the_account(ada: User) -> None:
    client = factories.browser(ada)
    client.post("/language/", {"language": "zh-hans", "next": "/account"})
    ada.refresh_from_db()
    assert ada.language == "zh-hans"
    assert _language(client) == "zh-hans"
    elsewhere = Client()
    elsewhere.post("/signin", {"username": "ada", "password": PASSWORD})
    assert _language(elsewhere) == "zh-hans", "another browser speaks it too after signing in"
    client.post("/account", {"do": "profile", "name": "Ada", "language": ""})
    assert _language(client) == "en"


def test_a_token_is_shown_once(ada: User) -> None:
    client = factories.browser(ada)
    made = client.post("/account", {"do": "token"})
    key = Token.objects.get(user=ada).key
    assert key in _text(made)
    assert key not in _text(client.get("/account"))
    assert "no-store" in made.headers["Cache-Control"], "the back button must not show it again"
    client.post("/account", {"do": "token"})
    assert Token.objects.get(user=ada).key != key, "the old one ends"
    client.post("/account", {"do": "revoke"})
    assert not Token.objects.exists()


def test_change_the_password_and_stay_signed_in(ada: User) -> None:
    client, other = factories.browser(ada), factories.browser(ada)
    new = {"new_password1": PASSWORD + "!", "new_password2": PASSWORD + "!"}
    assert client.post("/account", {"do": "password", "old_password": "no"} | new).status_code == 422
    assert client.post("/account", {"do": "password", "old_password": PASSWORD} | new).status_code == 302
    assert client.get("/account").status_code == 200
    assert other.get("/account").status_code == 302


def test_back_to_the_first_keys(ada: User) -> None:
    User.objects.filter(pk=ada.pk).update(keymap={"skip": "x"})
    client = factories.browser(ada)
    assert "<kbd>X</kbd>" in _text(client.get("/account"))
    client.post("/account", {"do": "keys"})
    ada.refresh_from_db()
    assert ada.keymap == {}


def test_an_empty_home_leads_on(ada: User) -> None:
    assert "invitation link" in _text(factories.browser(ada).get("/"))
    staff = factories.browser(make.user("sam", is_staff=True))
    assert "/projects/new" in _text(staff.get("/"))


def test_home_shows_only_ones_own_projects(ada: User) -> None:
    project = factories.project(4, name="Mine & yours")
    factories.answer(project.items.first(), make.user("owner"), factories.label(project, 0))
    make.member(project, "annotator", "ada")
    make.project(admin="else", name="Hidden")
    shown = _text(factories.browser(ada).get("/"))
    assert "Mine &amp; yours" in shown
    assert "25.0%" in shown
    assert "Hidden" not in shown
    assert "Hidden" not in _text(factories.browser(ada).get("/?q=hid"))


def test_a_project_begins_with_its_labels_and_goes_on_to_its_import(db: None) -> None:
    client = factories.browser(make.user("sam", is_staff=True))
    form = {"name": "Bank", "modality": "text", "labels": "card: about cards\nfee", "guidelines": "Look *twice*."}
    made = client.post("/projects/new", form)
    project = Project.objects.get()
    assert made.headers["Location"] == f"/projects/{project.pk}/import"
    assert list(project.labels.values_list("name", "description")) == [("card", "about cards"), ("fee", "")]
    assert client.get(made.headers["Location"]).status_code == 200


def test_a_label_that_comes_twice_makes_no_project_and_keeps_what_was_typed(db: None) -> None:
    client = factories.browser(make.user("sam", is_staff=True))
    again = client.post("/projects/new", {"name": "Bank", "modality": "text", "labels": "a\nb\na"})
    assert (again.status_code, "Line 3" in _text(again), "a\nb\na</textarea>" in _text(again)) == (422, True, True)
    assert not Project.objects.exists()
    assert not Label.objects.exists()


def test_what_does_not_exist_looks_like_what_one_may_not_know_of(ada: User) -> None:
    project = make.project(name="Secret")
    client = factories.browser(ada)
    hidden, missing = client.get(f"/projects/{project.pk}/data"), client.get(f"/projects/{project.pk + 1}/data")
    assert hidden.status_code == missing.status_code == 404
    assert "Secret" not in _text(hidden)
    address = f"/projects/{project.pk}/data", f"/projects/{project.pk + 1}/data"
    told = [_text(page).replace(path, "") for page, path in zip((hidden, missing), address, strict=True)]
    assert _without_secrets(told[0]) == _without_secrets(told[1])


def _without_secrets(text: str) -> str:
    """The page without its form tokens, which differ each time."""
    return "\n".join(line for line in text.splitlines() if "csrf" not in line)
