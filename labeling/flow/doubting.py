"""Doubting: an answer that may be a mistake is confirmed by a reviewer, or asked once more."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext as _

from labeling import asking, dispatch, standing
from labeling.errors import Conflict
from labeling.locking import lock
from labeling.models import Answer, Item, Job, Mark, Status, User


def keep(*, item: Item, reviewer: User, now: datetime) -> Mark:
    """Note that the item's label is right after all: it is doubted no more, unless its label changes.

    Raises Conflict where the item has no answer.
    """
    if item.status not in (Status.ANSWERED, Status.IMPORTED):
        raise Conflict(_("This item has no answer that could be confirmed."))
    mark, _created = Mark.objects.update_or_create(
        item=item,
        author=reviewer,
        code=Mark.Code.KEEP,
        defaults={"project_id": item.project_id, "label_id": item.label_id, "created_at": now},
    )
    return mark


def doubt_again(*, item: Item) -> None:
    """Take every confirmation of the item's label back. Raises Conflict where there is none."""
    if not Mark.objects.filter(item=item, code=Mark.Code.KEEP).delete()[0]:
        raise Conflict(_("Nobody has confirmed this label."))


def ask_again(*, item: Item, reviewer: User, now: datetime) -> Item:
    """Withdraw the item's answers, which stay in its history, and ask it before all others.

    Raises Conflict where the item has no answer.
    """
    with transaction.atomic():
        item = lock(Item.objects).select_related("project").get(pk=item.pk)
        current = Answer.objects.filter(item=item, withdrawn_at=None)
        if not current.update(withdrawn_at=now, withdrawn_by=reviewer):
            raise Conflict(_("This item has no answer that could be asked again."))
        standing.restate(item.project_id, [item.pk])
        item.refresh_from_db()
        if item.status == Status.OPEN:
            asking.first(item, reason={"code": "doubted"})
        dispatch.start(item.project, Job.Kind.ADAPT)
    return item
