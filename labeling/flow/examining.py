"""Examining: items whose label is known are mixed in unmarked, and score whoever answers them."""

from __future__ import annotations

import random
from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext as _

from labeling import asking, dispatch, standing
from labeling.errors import BadField, Conflict, NotFound
from labeling.models import Answer, Gold, Item, Job, Label, Member, Project, Purpose, Reference, Status, User

GOLD = "gold"  # the purpose of our questions
USUAL_SHARE = 0.1  # of all questions, where none was set
MOST = 1_000  # chosen at once


def choose(*, project: Project, source: str, count: int, by: User, now: datetime, seed: int = 0) -> list[Gold]:
    """Make up to `count` items gold, drawn at random from those whose label is known from `source`.

    Raises BadField for another source, Conflict where it knows no further item's label.
    """
    known = _known(project, source)
    taken = set(Gold.objects.filter(project=project).values_list("item", flat=True))
    free = sorted(item_id for item_id in known if item_id not in taken)
    if not free:
        raise Conflict(_("No further item's label is known from there."))
    drawn = random.Random(seed + len(taken)).sample(free, min(count, len(free), MOST))  # noqa: S311 - no secret
    return _make(project, {item_id: known[item_id] for item_id in drawn}, source, by, now)


def set_by_hand(*, project: Project, item: Item, label: Label, by: User, now: datetime) -> Gold:
    """Make this item gold with this label, whatever was known of it; an item without a label gets it.

    Where a reviewer had decided on this very label, or it came with the file, that is what it is known from.
    """
    with transaction.atomic():
        Gold.objects.filter(item=item).delete()
        [made] = _make(project, {item.pk: label.pk}, _known_from(item, label), by, now)
    return made


def unset(*, project: Project, item: Item) -> None:
    """Make this item gold no more; scores it gave are gone with it. Raises NotFound where it is not."""
    with transaction.atomic():
        if not Gold.objects.filter(project=project, item=item).delete()[0]:
            raise NotFound("item")
        asking.withdraw(project=project, purpose=GOLD, item_ids=[item.pk])


def resume(*, member: Member, now: datetime) -> Member:
    """Lift a pause; gold answers count anew from here. Raises Conflict where the member is not paused."""
    if not Member.objects.filter(pk=member.pk, paused_at__isnull=False).update(paused_at=None, resumed_at=now):
        raise Conflict(_("This member is not paused."))
    member.refresh_from_db()
    return member


def _known_from(item: Item, label: Label) -> str:
    if Answer.objects.filter(item=item, label=label, purpose=Purpose.DECISION, withdrawn_at=None).exists():
        return Gold.Source.DECISION
    came_with_it = item.status == Status.IMPORTED and item.label_id == label.pk
    return Gold.Source.IMPORTED if came_with_it else Gold.Source.HAND


def _known(project: Project, source: str) -> dict[int, int]:
    """Label ids by item id, as this source knows them."""
    if source == Gold.Source.DECISION:
        found = Answer.objects.filter(project=project, purpose=Purpose.DECISION, withdrawn_at=None)
        return dict(found.values_list("item", "label"))
    if source == Gold.Source.IMPORTED:
        imported = Item.objects.filter(project=project, status=Status.IMPORTED, label__isnull=False)
        return {pk: label_id for pk, label_id in imported.values_list("pk", "label") if label_id}
    if source == Gold.Source.REFERENCE:
        return dict(Reference.objects.filter(item__project=project).values_list("item", "label"))
    raise BadField("source", _("Choose decisions, imported labels or the file's hidden reference."))


def _make(project: Project, labels: dict[int, int], source: str, by: User, now: datetime) -> list[Gold]:
    with transaction.atomic():
        made = Gold.objects.bulk_create(
            Gold(project=project, item_id=item_id, label_id=label_id, source=source, set_by=by, created_at=now)
            for item_id, label_id in labels.items()
        )
        _label_what_is_open(project, labels, by, now)
        asking.ask(project=project, item_ids=list(labels), purpose=GOLD, now=now, lasting=True)
        if not project.gold_share:
            Project.objects.filter(pk=project.pk).update(gold_share=USUAL_SHARE)
        dispatch.start(project, Job.Kind.ADAPT)
    return made


def _label_what_is_open(project: Project, labels: dict[int, int], by: User, now: datetime) -> None:
    """An item that is asked as gold is asked as nothing else: one that is open gets its label by a decision."""
    unlabelled = list(Item.objects.filter(pk__in=list(labels), status=Status.OPEN).values_list("pk", flat=True))
    Answer.objects.bulk_create(
        Answer(
            project=project, item_id=item_id, author=by, label_id=labels[item_id], purpose=Purpose.DECISION,
            created_at=now,
        )
        for item_id in unlabelled
    )  # fmt: skip
    standing.restate(project.pk, unlabelled)
