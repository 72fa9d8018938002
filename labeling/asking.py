"""Asking: questions beside the queue, mixed in unmarked and asked blind; made and withdrawn by whoever needs them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from datetime import datetime
from typing import Any

from django.db.models import Min, QuerySet

from labeling.models import Acceptance, Answer, Ask, Candidate, Item, Mark, Origin, Project, Snapshot, User

BLIND = "blind"  # the reason that an answer to such a question carries, and to others asked without a suggestion


def ask(
    *,
    project: Project,
    item_ids: Collection[int],
    purpose: str,
    now: datetime,
    not_for: User | None = None,
    only_for: User | None = None,
    lasting: bool = False,
) -> None:
    """Have these items asked blind; those that are asked for this purpose already stay as they are.

    They leave the queue, and come back into it by themselves when the question is withdrawn.
    """
    Ask.objects.bulk_create(
        [
            Ask(
                project=project, item_id=item_id, purpose=purpose, not_for=not_for, only_for=only_for, lasting=lasting,
                created_at=now,
            )
            for item_id in item_ids
        ],
        ignore_conflicts=True,
    )  # fmt: skip
    Candidate.objects.filter(item__in=item_ids).delete()


def withdraw(*, project: Project, purpose: str, item_ids: Collection[int] | None = None) -> None:
    """Ask these items no longer for this purpose, or none at all."""
    asks = Ask.objects.filter(project=project, purpose=purpose)
    (asks if item_ids is None else asks.filter(item__in=item_ids)).delete()


def mix(*, project: Project, share: float) -> None:
    """Say how many of all questions come from here while there are any, in [0, 1); 0 where none are needed any more.

    As many of the others are asked without a suggestion, so that a question without one tells nothing of its purpose.
    """
    Project.objects.filter(pk=project.pk).update(blind_share=share)


def spoiled(items: QuerySet[Item] | Collection[int], *, accepted: bool = True) -> dict[int, set[int]]:
    """By item id, who can't be asked blind: they skipped or refused it, accepted its suggestion, or have answered it.

    `accepted`: whether having accepted a suggestion counts. An answer that was given blind and taken back does not.
    """
    who: dict[int, set[int]] = defaultdict(set)
    marks = Mark.objects.filter(item__in=items, code__in=[Mark.Code.SKIP, Mark.Code.REJECT])
    answers = Answer.objects.filter(item__in=items, origin=Origin.PERSON)
    answers = answers.exclude(reason=BLIND, withdrawn_at__isnull=False)
    found = [*marks.values_list("item_id", "author_id"), *answers.values_list("item_id", "author_id")]
    if accepted:
        found += Acceptance.objects.filter(item__in=items).values_list("item_id", "batch__accepted_by_id")
    for item_id, user_id in found:
        who[item_id].add(user_id)
    return who


def first(item: Item, *, reason: dict[str, Any], snapshot: Snapshot | None = None) -> None:
    """Put the item at the head of the queue, without a suggestion."""
    head = Candidate.objects.filter(project=item.project_id).aggregate(first=Min("position"))["first"]
    Candidate.objects.update_or_create(
        item=item,
        defaults={
            "project_id": item.project_id,
            "position": min(head or 0, 0) - 1,  # below 0: refilling the queue leaves it there
            "snapshot": snapshot,
            "reason": reason,
            "top": [],
        },
    )
