"""Rows for tests, made the short way."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import blake2b

from django.db import transaction

from labeling import standing
from labeling.models import Item, Label, Member, Project, Role, Snapshot, Tally, User

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def user(name: str = "owner", **facts: object) -> User:
    """A person who can sign in with the password `name`."""
    found = User.objects.filter(username=name).first()
    return found or User.objects.create_user(username=name, password=name, **facts)  # type: ignore[arg-type]


def project(
    *,
    labels: list[str] = (),
    texts: list[str] = (),
    admin: str = "owner",
    name: str = "Project",
    **facts: object,  # type: ignore[assignment]
) -> Project:
    """A text project with these labels and items, and `admin` as its admin."""
    owner = user(admin)
    made = Project.objects.create(name=name, created_by=owner, **({"modality": "text", "random_share": 0.0} | facts))
    Tally.objects.create(project=made)
    Member.objects.create(project=made, user=owner, role=Role.ADMIN)
    for position, label in enumerate(labels):
        Label.objects.create(project=made, name=label, position=position)
    add_texts(made, texts)
    return Project.objects.get(pk=made.pk)


@transaction.atomic
def add_texts(project: Project, texts: list[str]) -> list[Item]:
    """Further text items."""
    first = standing.add_items(project.pk, len(texts))
    return Item.objects.bulk_create(
        [
            Item(
                project=project,
                row=first + place,
                text=text,
                content_hash=blake2b(text.encode(), digest_size=16).digest(),
            )
            for place, text in enumerate(texts)
        ]
    )


def member(project: Project, role: str, name: str) -> User:
    """A person in this role."""
    person = user(name)
    Member.objects.get_or_create(project=project, user=person, defaults={"role": role})
    return person


def snapshot(project: Project, number: int = 1) -> Snapshot:
    """A snapshot's facts, without arrays."""
    labels = list(project.labels.values_list("pk", flat=True))
    return Snapshot.objects.create(
        project=project, number=number, answers=0, items=project.tally.items, labels=labels, seconds=0.1, created_at=NOW
    )
