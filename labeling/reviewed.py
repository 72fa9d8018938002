"""Reviewed: suggestions and batches in plain values, as the review page and the API show them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.urls import reverse

from labeling import jobs, rulebook, suggestions
from labeling.models import LABELLING, Acceptance, Answer, Batch, Item, Job, Project, Snapshot, Status
from labeling.suggestions import State, Suggestions

SHORT = 1000  # characters of a text that a row shows; the item's own page has the rest


def describe_suggestions(
    project: Project, chosen: Suggestions, snapshot: Snapshot | None = None
) -> list[dict[str, Any]]:
    """Each suggestion with its item, in the order given, and the rules that spoke of it when `snapshot` was made."""
    found = Item.objects.filter(project=project, row__in=chosen.rows.tolist())
    items = {item.row: item for item in found}
    given = _given(items.values())
    refused = suggestions.rejections(project)
    spoken = rulebook.spoken(snapshot, chosen.rows.tolist())
    described = []
    for k, row in enumerate(chosen.rows.tolist()):
        if row not in items:
            continue
        item, label_id = items[row], int(chosen.label_ids[k])
        confidence, margin = float(chosen.confidence[k]), float(chosen.margin[k])
        second = int(chosen.runner_up_ids[k])
        is_refused = item.status == Status.OPEN and label_id in refused.get(row, ())
        described.append(
            {
                "item": describe_item(item),
                "label": label_id,
                "confidence": round(confidence, 4),
                "runner_up": second if second >= 0 else None,
                "runner_up_confidence": round(max(confidence - margin, 0.0), 4) if second >= 0 else None,
                "margin": round(margin, 4),
                "state": State.REJECTED if is_refused else item.status,
                "given": given.get(item.pk),
                "rules": spoken.get(row, []),
            }
        )
    return described


def describe_item(item: Item) -> dict[str, Any]:
    """As much of an item as a row of a table needs."""
    image = reverse("item_image", args=[item.project_id, item.pk]) if item.image else None
    return {
        "id": item.pk,
        "row": item.row,
        "external_id": item.external_id,
        "text": item.text[:SHORT],
        "cut": len(item.text) > SHORT,
        "image": image,
        "width": item.width,
        "height": item.height,
        "name": item.name,
    }


def describe_batch(batch: Batch, job: Job | None = None) -> dict[str, Any]:
    """A batch, and the job that settles it or takes it back if there is one."""
    return {
        "id": batch.pk,
        "by": str(batch.accepted_by),
        "snapshot": batch.snapshot.number,
        "threshold": batch.threshold,
        "label": batch.label_id,
        "count": batch.count,
        "created_at": batch.created_at.isoformat(),
        "undone_at": batch.undone_at.isoformat() if batch.undone_at else None,
        "undone_by": str(batch.undone_by) if batch.undone_by else "",
        "job": jobs.describe(job) if job else None,
    }


def describe_batches(project: Project, limit: int = 20) -> list[dict[str, Any]]:
    """The newest batches, newest first; single items accepted one by one are left to the items' own history."""
    batches = Batch.objects.filter(project=project).exclude(threshold=None, count__lte=1)
    batches = batches.select_related("accepted_by", "undone_by", "snapshot")
    newest: dict[int, Job] = {}
    for job in Job.objects.filter(project=project, kind=Job.Kind.ACCEPT).order_by("-pk")[: 2 * limit]:
        newest.setdefault(job.arguments.get("batch", 0), job)
    return [describe_batch(batch, newest.get(batch.pk)) for batch in batches.order_by("-pk")[:limit]]


def queue_of(
    project: Project,
    snapshot: Snapshot,
    chosen: Suggestions,
    order: str,
    after: tuple[float, int] | None,
    limit: int,
) -> Any:
    """One page of suggestions in plain values, and behind which (confidence, row) the next begins; None at the end."""
    some = suggestions.page(chosen, order, after, limit)
    more = (float(some.confidence[-1]), int(some.rows[-1])) if len(some) == limit else None
    return describe_suggestions(project, some, snapshot), more


def _given(items: Iterable[Item]) -> dict[int, dict[str, Any]]:
    """Who gave the items that have a label theirs, and when; by item id."""
    by_status: dict[str, list[int]] = {}
    items = list(items)
    for item in items:
        by_status.setdefault(item.status, []).append(item.pk)
    given: dict[int, dict[str, Any]] = {}
    accepted = Acceptance.objects.filter(item__in=by_status.get(Status.ACCEPTED, []), withdrawn_at=None)
    for acceptance in accepted.select_related("batch__accepted_by"):
        batch = acceptance.batch
        given[acceptance.item_id] = _fact("accepted", acceptance.label_id, batch.accepted_by, batch.created_at) | {
            "batch": batch.pk
        }
    settled = by_status.get(Status.ANSWERED, []) + by_status.get(Status.IMPORTED, [])
    label_of = {item.pk: item.label_id for item in items}
    answers = Answer.objects.filter(item__in=settled, withdrawn_at=None, purpose__in=LABELLING)
    # A person's answer comes after an imported one, the newest last, as standing.derive reads them; before all others
    # one that gave the item the label it has.
    said = answers.select_related("author").order_by("pk")
    for answer in sorted(said, key=lambda one: (one.label_id == label_of[one.item_id], one.author_id is not None)):
        given[answer.item_id] = _fact(answer.origin, answer.label_id, answer.author, answer.created_at) | {
            "answer": answer.pk
        }
    return given


def _fact(origin: str, label_id: int, who: Any, at: Any) -> dict[str, Any]:
    return {
        "origin": origin,
        "label": label_id,
        "by": str(who) if who else "",
        "by_id": who.pk if who else None,
        "at": at,
    }
