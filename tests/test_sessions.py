"""Sessions: whoever signed in stays so until the session ends, however it ends."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone

from annotator.sessions import SessionStore
from tests import make

pytestmark = pytest.mark.django_db


@pytest.fixture
def signed_in() -> Client:
    client = Client()
    client.force_login(make.user("anna"))
    return client


def status(client: Client) -> int:
    return client.get("/").status_code


def test_a_session_lasts_from_request_to_request(signed_in: Client) -> None:
    assert (status(signed_in), status(signed_in), status(Client())) == (200, 200, 302)


def test_an_expired_session_is_none(signed_in: Client) -> None:
    Session.objects.update(expire_date=timezone.now() - timedelta(seconds=1))
    assert status(signed_in) == 302


def test_a_deleted_session_is_none_and_its_key_is_not_used_again(signed_in: Client) -> None:
    [session] = Session.objects.all()
    session.delete()
    store = SessionStore(session.session_key)
    assert (store.load(), store.session_key) == ({}, None)
    assert status(signed_in) == 302


def test_what_is_put_into_a_session_is_found_again() -> None:
    store = SessionStore()
    store["a"] = [1, 2]
    store.save()
    assert SessionStore(store.session_key)["a"] == [1, 2]
    assert SessionStore("no such key").load() == {}
