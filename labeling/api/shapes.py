"""Shapes: rows as the plain values that pages and scripts get."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.urls import reverse

from labeling import others, prepared
from labeling.flow import suggesting
from labeling.models import Answer, Item, Job, Label, Lease, Project, Snapshot, Tally, User

UNTOLD = ("second",)  # reasons that would sway, or be played to: they look like an item that is just next
SHORT = 120  # characters of a text in lists


def item(item: Item) -> dict[str, Any]:
    """An item, whole."""
    return {
        "id": item.pk,
        "row": item.row,
        "external_id": item.external_id,
        "text": item.text,
        "image": image_url(item),
        "width": item.width,
        "height": item.height,
        "name": item.name,
        "metadata": item.metadata,
    }


def image_url(item: Item) -> str | None:
    """Where the item's image is served; None for a text."""
    return reverse("item_image", args=[item.project_id, item.pk]) if item.image else None


def next_items(project: Project, leases: list[Lease], snapshot: Snapshot | None) -> list[dict[str, Any]]:
    """Items to answer, each with its suggestion by the newest snapshot, the reason it was asked, and what the project
    shows of others' answers.
    """
    labels = _named([lease.reason for lease in leases])
    hidden = not project.show_suggestions
    found = suggesting.for_leases(project, leases, snapshot)
    said = others.before(project, leases)
    return [
        item(lease.item)
        | {
            "suggestion": suggestion,
            "reason": _reason(lease.reason, labels, hidden),
            "lease_expires_at": lease.expires_at.isoformat(),
            "others": said.get(lease.item_id, []),
        }
        for lease, suggestion in zip(leases, found, strict=True)
    ]


def answers(project: Project, user: User, given: list[Answer]) -> list[dict[str, Any]]:
    """This person's answers, each with what the project shows of others' answers to the item."""
    said = others.after(project, user.pk, [one.item_id for one in given])
    return [answer(one) | {"others": said.get(one.item_id, [])} for one in given]


def answer(answer: Answer) -> dict[str, Any]:
    """An answer, with enough of its item to recognise it."""
    return {
        "id": answer.pk,
        "item": answer.item_id,
        "label": answer.label_id,
        "author": answer.author_id,
        "origin": answer.origin,
        "created_at": answer.created_at.isoformat(),
        "seconds": answer.seconds,
        "text": answer.item.text[:SHORT],
        "name": answer.item.name,
        "image": image_url(answer.item),
    }


def progress(project: Project, snapshot: Snapshot | None, user: User | None = None) -> dict[str, Any]:
    """How far the project is, what the model is doing, and the estimated accuracy where there is one.

    `snapshot` is the newest one; `user` adds how many current answers are this person's. `ahead`: what the next answers
    may gain, where a learning curve tells; see outlook.py.
    """
    [tally] = _tally(project=project.pk)
    shown: dict[str, Any] = {
        "items": tally.items,
        "open": tally.open,
        "answered": tally.answered,
        "imported": tally.imported,
        "accepted": tally.accepted,
        "snapshot": snapshot.number if snapshot else None,
        "model": _model(project, snapshot),
        "accuracy": (snapshot.estimates.get("accuracy") if snapshot else None) or None,
        "ahead": (snapshot.estimates.get("ahead") if snapshot else None) or None,
    }
    if user is not None:
        shown["mine"] = Answer.objects.filter(project=project, author=user, withdrawn_at=None).count()
    return shown


def label(label: Label) -> dict[str, Any]:
    """A label as pages and scripts get it."""
    return {
        "id": label.pk,
        "name": label.name,
        "description": label.description,
        "hotkey": label.hotkey,
        "color": label.color,
        "position": label.position,
        "archived": label.archived_at is not None,
    }


def _named(reasons: list[dict[str, Any]]) -> dict[int, str]:
    """The names of the labels that these reasons speak of, by id."""
    ids = {label_id for reason in reasons for label_id in reason.get("labels", [])}
    return {label.pk: label.name for label in _labels(ids=sorted(ids))}


def _reason(reason: dict[str, Any], labels: dict[int, str], hidden: bool) -> dict[str, Any]:
    code = reason.get("code", "open")
    told = {"code": "open" if code in UNTOLD else code, "text": suggesting.why(reason, labels, hidden=hidden)}
    return told | ({} if hidden else {"labels": reason.get("labels", []), "p": reason.get("p", [])})


def _model(project: Project, snapshot: Snapshot | None) -> dict[str, Any]:
    running: dict[str, Job] = {job.kind: job for job in _learning(project=project.pk)}
    embedding = running.get(Job.Kind.EMBED)
    state = "embedding" if embedding else "adapting" if running else "idle"
    at: datetime | None = snapshot.created_at if snapshot else None
    return {
        "state": state,
        "embedded": embedding.done if embedding else None,
        "adapted_at": at.isoformat() if at else None,
    }


@prepared.rows(project=prepared.ID)
def _tally(project: Any) -> QuerySet[Tally]:
    return Tally.objects.filter(project=project)


@prepared.rows(project=prepared.ID)
def _learning(project: Any) -> QuerySet[Job]:
    """The jobs that embed and adapt at this moment."""
    kinds = [Job.Kind.EMBED, Job.Kind.ADAPT]
    return Job.objects.filter(project=project, state=Job.State.RUNNING, kind__in=kinds)


@prepared.rows(ids=prepared.ID)
def _labels(ids: Any) -> QuerySet[Label]:
    return Label.objects.filter(pk__in=ids)
