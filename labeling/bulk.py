"""Bulk: many rows of one table at once, without making an object of each."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from django.db import connections, models, router
from django.db.backends.base.base import BaseDatabaseWrapper

PARAMETERS = 4_000  # of one statement; SQLite takes 32,766, PostgreSQL 65,535


def insert(model: type[models.Model], columns: Sequence[str], rows: Sequence[list[Any]]) -> None:
    """Insert rows of values in the order of `columns`, which are fields' names; the lists are changed on the way.

    Where `bulk_create` takes 100 microseconds a row, most of it in Python, this takes ten. It knows no defaults:
    name every column that has no default in the database. Call it in a transaction.
    """
    if not rows:
        return
    connection = connections[router.db_for_write(model)]
    fields = [_field(model, name) for name in columns]
    table, *names = _quoted(connection, model, columns)
    places = ", ".join(["%s"] * len(fields))
    statement = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({places})"  # noqa: S608 - names of ours
    for place, field in enumerate(fields):
        if convert := _converter(field, connection):
            for row in rows:
                row[place] = convert(row[place])
    with connection.cursor() as cursor:
        cursor.executemany(statement, rows)


def select(
    model: type[models.Model], columns: Sequence[str], where: Mapping[str, Any], among: str, values: Sequence[Any]
) -> Iterator[tuple[Any, ...]]:
    """The columns of those rows that match `where` exactly and whose column `among` has one of many values."""
    connection = connections[router.db_for_write(model)]
    table, *names = _quoted(connection, model, columns)
    _table, one_of, *exact = _quoted(connection, model, (among, *where))
    for start in range(0, len(values), PARAMETERS):
        some = values[start : start + PARAMETERS]
        conditions = [*(f"{name} = %s" for name in exact), f"{one_of} IN ({', '.join(['%s'] * len(some))})"]
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT {', '.join(names)} FROM {table} WHERE {' AND '.join(conditions)}",  # noqa: S608 - names of ours
                [*where.values(), *some],
            )
            yield from cursor.fetchall()


def _field(model: type[models.Model], name: str) -> models.Field[Any, Any]:
    field = model._meta.get_field(name)
    assert isinstance(field, models.Field)  # and no reverse relation
    return field


def _quoted(connection: BaseDatabaseWrapper, model: type[models.Model], columns: Sequence[str]) -> list[str]:
    """The table's name and its columns', as SQL writes them."""
    names = [model._meta.db_table, *(str(_field(model, name).column) for name in columns)]
    return [connection.ops.quote_name(name) for name in names]


def _converter(field: models.Field[Any, Any], connection: BaseDatabaseWrapper) -> Callable[[Any], Any] | None:
    """What turns a field's values into the database's; None where they are the same."""
    if isinstance(field, models.JSONField):
        if connection.vendor == "postgresql":
            return lambda value: connection.ops.adapt_json_value(value, None)
        return lambda value: json.dumps(value) if value else "{}"
    if isinstance(field, models.DateTimeField):
        # A batch has one or few times.
        return lru_cache(maxsize=64)(connection.ops.adapt_datetimefield_value)
    return None


def from_json(value: Any) -> Any:
    """A JSON column's value as `select` gives it: SQLite's and some drivers' is text still."""
    return json.loads(value) if isinstance(value, str | bytes) else value
