"""Sessions: Django's, in the database; the statement that every request begins with is compiled once."""

from __future__ import annotations

from typing import Any

from django.contrib.sessions.backends import db
from django.contrib.sessions.models import Session
from django.db.models import QuerySet
from django.utils import timezone

from labeling import prepared


class SessionStore(db.SessionStore):
    """The name is part of what signs a session: with another one everybody would be signed out."""

    def _get_session_from_db(self) -> Session | None:
        found = _alive.first(session_key=self.session_key, now=timezone.now())
        if found is None:
            self._session_key = None
        return found


@prepared.rows(session_key=prepared.TEXT, now=prepared.TIME)
def _alive(session_key: Any, now: Any) -> QuerySet[Session]:
    return Session.objects.filter(session_key=session_key, expire_date__gt=now)
