"""Others: what other people said of an item, as far as the project lets whoever answers it see.

Never of an item that is, or was to this person, asked blind: audits, gold items and second opinions measure something
only where nobody is swayed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from django.db.models import Q

from labeling import asking
from labeling.models import Answer, Ask, Lease, Origin, Project, Purpose
from labeling.models.answer import LABELLING

Said = list[dict[str, Any]]
"""[{"who", "label", "decision", "at"}], oldest first: a name, a label's id, whether a reviewer decided, when."""


def before(project: Project, leases: Sequence[Lease]) -> dict[int, Said]:
    """What is shown beside items in one person's hands, by item id.

    Where people see answers only after their own, an item that came back to whoever had answered it shows them again.
    """
    if project.visibility == Project.Visibility.BLIND or not leases:
        return {}
    user_id = leases[0].holder_id
    asked = [lease.item_id for lease in leases if lease.reason.get("code") != asking.BLIND]
    if project.visibility == Project.Visibility.AFTER:
        asked = _answered(user_id, asked)
    return _said(user_id, asked)


def after(project: Project, user_id: int, item_ids: Sequence[int]) -> dict[int, Said]:
    """What is shown beside items that this person has answered, by item id."""
    if project.visibility == Project.Visibility.BLIND:
        return {}
    return _said(user_id, _answered(user_id, item_ids))


def _answered(user_id: int, item_ids: Sequence[int]) -> list[int]:
    mine = Answer.objects.filter(item__in=item_ids, author=user_id, origin=Origin.PERSON, purpose=Purpose.LABEL)
    return list(mine.order_by().values_list("item", flat=True).distinct())


def _said(user_id: int, item_ids: Sequence[int]) -> dict[int, Said]:
    told: dict[int, Said] = defaultdict(list)
    shown = _open_to(user_id, item_ids)
    current = Answer.objects.filter(item__in=shown, withdrawn_at=None, origin=Origin.PERSON, purpose__in=LABELLING)
    for answer in current.exclude(author=user_id).select_related("author").order_by("pk"):
        told[answer.item_id].append(
            {
                "who": str(answer.author),
                "label": answer.label_id,
                "decision": answer.purpose == Purpose.DECISION,
                "at": answer.created_at.isoformat(),
            }
        )
    return told


def _open_to(user_id: int, item_ids: Sequence[int]) -> set[int]:
    """Those of the items that are asked of nobody blind, and were never answered blind by this person."""
    blind = Answer.objects.filter(item__in=item_ids, author=user_id)
    blind = blind.filter(Q(reason=asking.BLIND) | ~Q(purpose__in=LABELLING))
    waiting = Ask.objects.filter(item__in=item_ids)
    hidden = {*blind.values_list("item", flat=True), *waiting.values_list("item", flat=True)}
    return set(item_ids) - hidden
