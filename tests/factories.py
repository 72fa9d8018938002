"""Factories of what reviewing, the overview and exporting need: many items, suggestions, answers, signed-in clients."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from hashlib import blake2b

import numpy as np
from django.db import transaction
from django.test import Client
from rest_framework.test import APIClient

from labeling import pool, standing
from labeling.models import Answer, Certificate, Item, Label, Origin, Project, Snapshot, User
from tests import make

LABELS = ("Card arrival", "Card delivery estimate", "Exchange rate")


@transaction.atomic
def items(project: Project, count: int) -> list[Item]:
    """Further text items, quickly."""
    first = standing.add_items(project.pk, count)
    rows = range(first, first + count)
    return Item.objects.bulk_create(
        [
            Item(
                project=project,
                row=row,
                text=f"How long does card number {row} take?",
                content_hash=blake2b(str(row).encode(), digest_size=16).digest(),
            )
            for row in rows
        ],
        batch_size=2000,
    )


@transaction.atomic
def project(count: int = 0, labels: Sequence[str] = LABELS, **facts: object) -> Project:
    """A text project with three labels, an admin "owner" and this many items."""
    made = make.project(labels=list(labels), **facts)  # type: ignore[arg-type]
    items(made, count)
    return Project.objects.select_related("tally").get(pk=made.pk)


def label(project: Project, position: int) -> Label:
    """The label at this position."""
    return Label.objects.get(project=project, position=position)


def snapshot(
    project: Project,
    confidence: Sequence[float],
    positions: Sequence[int] | None = None,
    *,
    number: int = 1,
    answers: int = 0,
    estimates: dict[str, object] | None = None,
    at: datetime = make.NOW,
) -> Snapshot:
    """A snapshot with one suggestion per row: this confidence, for the label at this position (-1: says nothing).

    The runner-up is the next label, with half of what is left.
    """
    ids = list(project.labels.values_list("pk", flat=True))
    places = np.zeros(len(confidence), dtype=np.int64) if positions is None else np.asarray(positions)
    sure = np.asarray(confidence, dtype=np.float32)
    table = np.asarray([*ids, -1])
    second = np.where(places < 0, -1, (places + 1) % len(ids))
    predictions = pool.Predictions(table[places], sure, table[second], sure - (1 - sure) / 2)
    pool.write_predictions(project.pk, number, predictions)
    return Snapshot.objects.create(
        project=project,
        number=number,
        answers=answers,
        items=len(sure),
        labels=ids,
        estimates=estimates or {},
        seconds=0.1,
        created_at=at,
    )


def certificate(project: Project, snapshot: Snapshot, asker: User) -> Certificate:
    """A certificate that has passed over all open items, surest first as they come, without the audits behind it."""
    items = list(Item.objects.filter(project=project, status="open").order_by("row"))
    label = label_of(snapshot)
    arrays = {
        "item_ids": np.array([item.pk for item in items]),
        "rows": np.array([item.row for item in items]),
        "label_ids": np.full(len(items), label),
        "confidence": np.full(len(items), 0.9, dtype=np.float32),
    }
    made = Certificate.objects.create(
        project=project,
        number=1,
        state=Certificate.State.PASSED,
        snapshot=snapshot,
        eps=0.1,
        attempt=1,
        seed="seed",
        items=len(items),
        items_sha256="0" * 64,
        prefixes=[len(items)],
        budget=10,
        accepted=len(items),
        started_by=asker,
        started_at=make.NOW,
        decided_at=make.NOW,
    )
    pool.write_frozen(project.pk, made.number, made.seed, arrays)
    return made


def label_of(snapshot: Snapshot) -> int:
    """The first of the labels that the snapshot knows."""
    return int(snapshot.labels[0])


@transaction.atomic
def answer(item: Item, author: User, label: Label, at: datetime = make.NOW, **facts: object) -> Answer:
    """A person's answer, with the item's standing brought up to date."""
    given = Answer.objects.create(
        project_id=item.project_id,
        item=item,
        author=author,
        label=label,
        created_at=at,
        **({"origin": Origin.PERSON} | facts),  # type: ignore[arg-type]
    )
    standing.restate(item.project_id, [item.pk])
    return given


def api(user: User) -> APIClient:
    """A signed-in client of the API that speaks JSON."""
    client = APIClient()
    client.force_authenticate(user)
    return client


def browser(user: User) -> Client:
    """A signed-in client of the pages."""
    client = Client()
    client.force_login(user)
    return client
