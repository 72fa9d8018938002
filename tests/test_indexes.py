"""Indexes: a foreign key without one of its own is led by a longer one, or stands here with the reason."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.db import connection, models

from labeling.models import Answer, Snapshot
from tests import make

READ_SELDOM = {
    ("Answer", "foreseen"): "cleared when a label is deleted",
    ("Candidate", "snapshot"): "queues are short, and lose their rows with the snapshot",
    ("Lease", "holder"): "leases are few, and found by project and holder",
    ("Lease", "snapshot"): "leases are few",
}


def bare() -> list[tuple[type[models.Model], models.ForeignKey]]:
    ours = apps.get_app_config("labeling").get_models()
    return [
        (model, field)
        for model in ours
        for field in model._meta.concrete_fields
        if isinstance(field, models.ForeignKey) and not field.db_index and not field.unique
    ]


def leaders(model: type[models.Model]) -> set[str]:
    """The columns that an index or a constraint over all rows, or all that name something, begins with."""
    meta = model._meta
    whole = [
        rule.fields[0]
        for rule in meta.constraints
        if isinstance(rule, models.UniqueConstraint) and rule.fields and not rule.condition
    ]
    led = [
        index.fields[0]
        for index in meta.indexes
        if not index.condition or index.condition == models.Q((f"{index.fields[0]}__isnull", False))
    ]
    return set(whole) | set(led)


@pytest.mark.parametrize(("model", "field"), bare(), ids=lambda part: getattr(part, "__name__", str(part)))
def test_what_has_no_index_of_its_own_is_led_by_one(model: type[models.Model], field: models.ForeignKey) -> None:
    assert (model.__name__, field.name) in READ_SELDOM or field.name in leaders(model)


@pytest.mark.django_db
def test_the_database_finds_answers_by_the_partial_indexes() -> None:
    project = make.project(labels=["yes"], texts=["one"])
    make.snapshot(project)
    for wanted in (
        Answer.objects.filter(snapshot__in=Snapshot.objects.all()[:1].values_list("pk", flat=True)),
        Answer.objects.filter(snapshot=1),
        Answer.objects.filter(suggested=1),
        Answer.objects.filter(withdrawn_by=1),
        Answer.objects.filter(author=1),
        Answer.objects.filter(project=1),
    ):
        if connection.vendor == "sqlite":
            assert "SCAN labeling_answer" not in wanted.explain()
