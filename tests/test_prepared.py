"""Prepared statements: the same rows as the queryset they are written as, compiled once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

import pytest
from django.db import models
from django.db.models import F, QuerySet

from labeling import prepared
from labeling.models import Item, Lease, Project, Tally
from tests import make

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
pytestmark = pytest.mark.django_db


@prepared.rows(project=prepared.ID, now=prepared.TIME)
def running(project: Any, now: Any, count: int) -> QuerySet[Lease]:
    """Leases that have not run out."""
    found = Lease.objects.filter(project=project, expires_at__gt=now).select_related("item", "snapshot")
    return found.order_by("-item__row")[:count]


@prepared.rows(ids=prepared.ID)
def items(ids: Any) -> QuerySet[Item]:
    return Item.objects.filter(pk__in=ids).order_by("row")


@prepared.update(project=prepared.ID, more=prepared.ID)
def add(project: Any, more: Any) -> tuple[QuerySet[Tally], dict[str, Any]]:
    return Tally.objects.filter(project=project), {"accepted": F("accepted") + more}


@prepared.deletion(holder=prepared.ID)
def give_up(holder: Any) -> QuerySet[Lease]:
    return Lease.objects.filter(holder=holder)


@pytest.fixture
def project() -> Project:
    made = make.project(labels=["yes"], texts=[f"text {k}" for k in range(5)])
    snapshot = make.snapshot(made)
    for item in made.items.all():
        Lease.objects.create(
            project=made, item=item, holder=made.created_by, created_at=NOW, reason={"code": "margin"}, top=[[1, 0.5]],
            expires_at=NOW + timedelta(seconds=item.row), snapshot=snapshot if item.row % 2 else None,
        )  # fmt: skip
    return made


@pytest.fixture
def compiled() -> Iterator[mock.Mock]:
    """Counts how often Django builds the SQL of a reading query."""
    target = "django.db.models.sql.compiler.SQLCompiler.as_sql"
    with mock.patch(target, autospec=True, side_effect=models.sql.compiler.SQLCompiler.as_sql) as counted:
        yield counted


def facts(lease: Lease) -> dict[str, Any]:
    return {field.attname: getattr(lease, field.attname) for field in Lease._meta.concrete_fields}


@pytest.mark.parametrize(("after", "count"), [(0, 9), (2, 9), (1, 2), (9, 3)])
def test_the_rows_are_those_of_the_queryset(project: Project, after: int, count: int) -> None:
    now = NOW + timedelta(seconds=after)
    got, wanted = running(project=project.pk, now=now, count=count), running.build(project.pk, now, count)
    assert [facts(lease) for lease in got] == [facts(lease) for lease in wanted]
    assert [lease.item.text for lease in got] == [lease.item.text for lease in wanted]
    assert [lease.snapshot and lease.snapshot.number for lease in got] == [
        lease.snapshot and lease.snapshot.number for lease in wanted
    ]


def test_related_rows_come_with_them_and_rows_can_be_saved(project: Project, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(1):
        [lease] = running(project=project.pk, now=NOW, count=1)
        assert (lease.item.row, lease.snapshot) == (4, None)
    lease.tab = "another"
    lease.save()
    assert Lease.objects.get(tab="another").pk == lease.pk


def test_sql_is_built_once(project: Project, compiled: mock.Mock) -> None:
    items(ids=[1, 2, 3, 4])
    first = compiled.call_count
    assert [item.row for item in items(ids=sorted(project.items.values_list("pk", flat=True))[:4])] == [0, 1, 2, 3]
    assert compiled.call_count == first + 1, "only the list of numbers above was built anew"


def test_a_list_may_have_any_length(project: Project) -> None:
    ids = list(project.items.order_by("row").values_list("pk", flat=True))
    for length in (3, 1, 0, 5):
        assert [item.pk for item in items(ids=ids[:length])] == ids[:length]


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**40])
def test_a_number_too_large_for_the_database_finds_nothing(project: Project, number: int) -> None:
    assert running(project=number, now=NOW, count=3) == []
    assert running.first(project=number, now=NOW, count=3) is None
    assert give_up(holder=number) == 0


def test_changes_say_how_many_rows_they_met(project: Project) -> None:
    other = make.project(texts=["one"])
    assert (add(project=project.pk, more=3), add(project=project.pk, more=4), add(project=-1, more=1)) == (1, 1, 0)
    assert list(Tally.objects.order_by("pk").values_list("project", "accepted")) == [(project.pk, 7), (other.pk, 0)]
    assert give_up(holder=project.created_by_id) == 5
    assert not Lease.objects.exists()
