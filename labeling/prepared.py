"""Prepared: statements that run at every answer, written as querysets and compiled to SQL once.

Django builds the SQL of a queryset anew at each use, which takes some ten times as long as running it. A statement
here is written like any other queryset, as a function of its values:

    @prepared.rows(project=prepared.ID, now=prepared.TIME)
    def _expired(project: Any, now: Any) -> QuerySet[Lease]:
        return Lease.objects.filter(project=project, expires_at__lte=now).select_related("item")

    leases = _expired(project=project.pk, now=now)

The first call compiles it with placeholders; later calls send the same SQL with their values. A value given as a list
is a placeholder for each member (for `pk__in`; the SQL is kept for each length). Parameters that the decorator does
not name are part of the SQL, which is kept for each of their values: few values, and none from a request.
What may follow from a queryset is instances with `select_related`; no prefetching, no annotations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.db import connection, models, transaction
from django.db.models import sql
from django.db.models.expressions import Expression
from django.db.models.query import get_related_populators

Row = TypeVar("Row", bound=models.Model)

ID = models.BigIntegerField()
TEXT = models.TextField()
TIME = models.DateTimeField()
KEY = models.UUIDField()
LARGEST = 2**63 - 1  # no row has a larger number, and SQLite cannot even be asked for one


class Given(Expression):
    """A value of a statement that each call gives anew; `place` is its place in a list, None where it is no list."""

    def __init__(self, name: str, field: models.Field[Any, Any], place: int | None = None) -> None:
        super().__init__(output_field=field)
        self.name, self.place = name, place

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        """A placeholder, and this object where its value belongs."""
        return "%s", [self]

    def of(self, values: dict[str, Any]) -> Any:
        """This call's value, as the database takes it."""
        value = values[self.name] if self.place is None else values[self.name][self.place]
        return self.output_field.get_db_prep_value(value, connection)


@dataclass(frozen=True)
class Compiled:
    """The SQL, its parameters (some of them `Given`), and what makes instances of the rows; None for changes."""

    sql: str
    parameters: tuple[Any, ...]
    read: Callable[[list[Any]], list[Any]] | None

    def with_values(self, values: dict[str, Any]) -> list[Any]:
        """The parameters of one call."""
        return [given.of(values) if isinstance(given, Given) else given for given in self.parameters]


class Statement:
    """A statement that is compiled at its first use, for each database and each value of its fixed parameters."""

    def __init__(self, build: Callable[..., Any], fields: dict[str, models.Field[Any, Any]]) -> None:
        self.build, self.fields = build, fields
        self._compiled: dict[Any, Compiled] = {}
        self.__doc__, self.__name__ = build.__doc__, build.__name__

    def compile(self, built: Any) -> Compiled:
        """What the function returned, as SQL."""
        raise NotImplementedError

    def compiled(self, values: dict[str, Any]) -> Compiled:
        """The SQL for this call, from the store or new."""
        lengths = tuple(len(value) for value in values.values() if isinstance(value, list))
        fixed = tuple(value for name, value in values.items() if name not in self.fields)
        key = (connection.vendor, lengths, fixed)
        if key not in self._compiled:
            self._compiled[key] = self.compile(self.build(**{name: self._hole(name, values[name]) for name in values}))
        return self._compiled[key]

    def _hole(self, name: str, value: Any) -> Any:
        if name not in self.fields:
            return value
        if isinstance(value, list):
            return [Given(name, self.fields[name], place) for place in range(len(value))]
        return Given(name, self.fields[name])


class Rows(Statement, Generic[Row]):
    """A statement that reads."""

    def __call__(self, **values: Any) -> list[Row]:
        if _none_can_match(values):
            return []
        compiled = self.compiled(values)
        assert compiled.read
        with connection.cursor() as cursor:
            cursor.execute(compiled.sql, compiled.with_values(values))
            return compiled.read(cursor.fetchall())

    def first(self, **values: Any) -> Row | None:
        """The first of them, or None."""
        found = self(**values)
        return found[0] if found else None

    def compile(self, built: models.QuerySet[Row]) -> Compiled:
        """The queryset as SQL."""
        compiler = built.query.get_compiler(connection=connection)
        text, parameters = compiler.as_sql()
        return Compiled(text, tuple(parameters), _reader(compiler))


class Change(Statement):
    """A statement that updates or deletes; returns how many rows it met."""

    def __call__(self, **values: Any) -> int:
        if _none_can_match(values):
            return 0
        compiled = self.compiled(values)
        with transaction.mark_for_rollback_on_error(using=connection.alias), connection.cursor() as cursor:
            cursor.execute(compiled.sql, compiled.with_values(values))
            return int(cursor.rowcount)

    def compile(self, built: Any) -> Compiled:
        """The deletion, or (queryset, new values), as SQL."""
        queryset, new = built if isinstance(built, tuple) else (built, None)
        query = queryset.query.clone()
        if new is None:
            query.__class__ = sql.DeleteQuery
        else:
            query = query.chain(sql.UpdateQuery)
            query.add_update_values(new)
        text, parameters = query.get_compiler(connection=connection).as_sql()
        return Compiled(text, tuple(parameters), None)


def rows(**fields: models.Field[Any, Any]) -> Callable[[Callable[..., models.QuerySet[Row]]], Rows[Row]]:
    """Prepare a function of these values that returns a queryset; calling it returns the rows as a list."""
    return lambda build: Rows(build, fields)


def update(
    **fields: models.Field[Any, Any],
) -> Callable[[Callable[..., tuple[models.QuerySet[Any], dict[str, Any]]]], Change]:
    """Prepare a function of these values that returns a queryset and the new values of its rows."""
    return lambda build: Change(build, fields)


def deletion(**fields: models.Field[Any, Any]) -> Callable[[Callable[..., models.QuerySet[Any]]], Change]:
    """Prepare a function that returns a queryset to delete, of rows that no others hang on: nothing cascades."""
    return lambda build: Change(build, fields)


def _none_can_match(values: dict[str, Any]) -> bool:
    return any(
        value == [] or (isinstance(value, int) and not -LARGEST <= value <= LARGEST) for value in values.values()
    )


def _reader(compiler: Any) -> Callable[[list[Any]], list[Any]]:
    """What turns rows of this compiled query into instances, as django.db.models.query.ModelIterable does."""
    chosen, facts = compiler.select, compiler.klass_info
    converters = list(compiler.get_converters([expression for expression, _sql, _alias in chosen]).items())
    own = facts["select_fields"]
    start, stop = own[0], own[-1] + 1
    names = [expression.target.attname for expression, _sql, _alias in chosen[start:stop]]
    related = get_related_populators(facts, chosen, connection.alias)  # type: ignore[call-arg] # the stubs know a later one

    def read(found: list[Any]) -> list[Any]:
        instances = []
        for row in map(list, found):
            for place, (converts, expression) in converters:
                for convert in converts:
                    row[place] = convert(row[place], expression, connection)
            instance = facts["model"].from_db(connection.alias, names, row[start:stop])
            for populator in related:
                populator.populate(row, instance)
            instances.append(instance)
        return instances

    return read
