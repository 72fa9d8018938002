"""Locking: rows kept from change by others until a transaction ends."""

from __future__ import annotations

from typing import TypeVar

from django.db.models import Manager, Model, QuerySet

Row = TypeVar("Row", bound=Model)


def lock(rows: QuerySet[Row] | Manager[Row], *, skip_locked: bool = False, of: tuple[str, ...] = ()) -> QuerySet[Row]:
    """These rows, locked once they are read; `skip_locked` leaves out what others hold, `of` names what to lock.

    Against change, not against being referred to: PostgreSQL checks foreign keys when a transaction commits, and a
    stronger lock would make that wait for us, who may be waiting for what it holds.
    """
    return rows.select_for_update(no_key=True, skip_locked=skip_locked, of=of)
