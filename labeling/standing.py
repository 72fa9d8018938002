"""Standing: where each item stands, derived from answers and acceptances; the one writer of that and of the tally."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from django.db import transaction
from django.db.models import Count, F, QuerySet

from labeling import prepared, weighing
from labeling.locking import lock
from labeling.models import LABELLING, Acceptance, Answer, Item, Origin, Project, Purpose, Status, Tally

Standing = tuple[str, int | None]  # (status, label id)
OPEN: Standing = (Status.OPEN, None)
STANDS = ("pk", "status", "label_id")
COUNTED = (Status.ANSWERED, Status.IMPORTED, Status.ACCEPTED)


@transaction.atomic(savepoint=False)
def restate(project_id: int, item_ids: Sequence[int]) -> None:
    """Derive anew where these items stand, and count them.

    Call it in the transaction that changed their answers or acceptances. A reviewer's decision comes first, then what
    people answered (where one answer is wanted the newest, else their consensus once there are enough), then the
    imported answer, then an acceptance.
    """
    project = Project.objects.get(pk=project_id)
    for some in _slices(item_ids):
        # Locked, and before the answers are read: of two who change an item at once, the second counts from the first.
        locked = lock(Item.objects).filter(pk__in=some).order_by("pk")
        before: dict[int, Standing] = {pk: (status, label) for pk, status, label in locked.values_list(*STANDS)}
        after = derive(project, some)
        by_standing: dict[Standing, list[int]] = defaultdict(list)
        for item_id, stood in before.items():
            if stood != after.get(item_id, OPEN):
                by_standing[after.get(item_id, OPEN)].append(item_id)
        for (status, label_id), members in by_standing.items():
            Item.objects.filter(pk__in=members).update(status=status, label_id=label_id)
        change = Counter(after.get(item_id, OPEN)[0] for item_id in before)
        change.subtract(status for status, _label_id in before.values())
        _count(project_id, change)


def answered(project_id: int, item_id: int, label_id: int) -> None:
    """Note that a person has just answered this item: the same as `restate`, quicker for an item that was open.

    Only for projects that want one answer an item.
    """
    if _now_answered(item=item_id, label=label_id):
        _one_more_answered(project=project_id)
    else:
        restate(project_id, [item_id])


def restate_weighed(project: Project) -> int:
    """Say anew where the items stand that people answered, after their answers were weighed; returns how many moved."""
    verdicts = weighing.all_verdicts(project)
    moved: list[int] = []
    for some in _slices(verdicts):
        after = derive(project, some)
        stood = Item.objects.filter(pk__in=some).values_list(*STANDS)
        moved += [pk for pk, status, label_id in stood if (status, label_id) != after.get(pk, OPEN)]
    restate(project.pk, moved)
    return len(moved)


def derive(project: Project, item_ids: Sequence[int]) -> dict[int, Standing]:
    """Where these items stand; open ones are absent."""
    standing: dict[int, Standing] = {}
    accepted = Acceptance.objects.filter(item__in=item_ids, withdrawn_at=None)
    for item_id, label_id in accepted.values_list("item_id", "label_id"):
        standing[item_id] = (Status.ACCEPTED, label_id)
    answers = Answer.objects.filter(item__in=item_ids, withdrawn_at=None, purpose__in=LABELLING).order_by("id")
    imported = answers.filter(origin=Origin.IMPORTED)
    standing |= {item_id: (Status.IMPORTED, label_id) for item_id, label_id in imported.values_list("item", "label")}
    if project.overlap > 1:
        verdicts = weighing.verdicts(project, item_ids).items()
        return standing | {pk: (Status.ANSWERED, verdict.label_id) for pk, verdict in verdicts if verdict.enough}
    said = answers.filter(origin=Origin.PERSON).values_list("item", "label", "purpose")
    # Decisions last, so that they override all others.
    in_order = sorted(said, key=lambda answer: answer[2] == Purpose.DECISION)
    return standing | {item_id: (Status.ANSWERED, label_id) for item_id, label_id, _purpose in in_order}


def add_items(project_id: int, count: int, imported: int = 0) -> int:
    """Take `count` dense row numbers for new items and return the first. Call it in the transaction that adds them.

    `imported` of them have a label from the file: they are inserted as IMPORTED with it, their answers beside them.
    """
    tally = lock(Tally.objects).get(project=project_id)
    Tally.objects.filter(pk=tally.pk).update(items=F("items") + count, imported=F("imported") + imported)
    return tally.items


@transaction.atomic
def rebuild(project: Project) -> Tally:
    """Derive every item's standing and the tally from nothing but answers and acceptances."""
    Tally.objects.update_or_create(project=project, defaults=dict.fromkeys(COUNTED, 0) | {"items": _next_row(project)})
    Item.objects.filter(project=project).update(status=Status.OPEN, label=None)
    ids = Item.objects.filter(project=project).order_by("row").values_list("pk", flat=True)
    restate(project.pk, list(ids))
    return Tally.objects.get(project=project)


def counted(project: Project) -> dict[str, int]:
    """The tally as counting every item gives it; slow, for tests and repair."""
    rows = Item.objects.filter(project=project).values_list("status").annotate(n=Count("pk"))
    return dict.fromkeys(Status.values, 0) | dict(rows)


def _next_row(project: Project) -> int:
    last = Item.objects.filter(project=project).order_by("-row").values_list("row", flat=True).first()
    return 0 if last is None else last + 1


def _count(project_id: int, change: Counter[str]) -> None:
    moves = {status: F(status) + change[status] for status in COUNTED if change[status]}
    if moves:
        Tally.objects.filter(project=project_id).update(**moves)


@prepared.update(item=prepared.ID, label=prepared.ID)
def _now_answered(item: Any, label: Any) -> tuple[QuerySet[Item], dict[str, Any]]:
    was_open = Item.objects.filter(pk=item, status=Status.OPEN)
    return was_open, {"status": Status.ANSWERED, "label": label}


@prepared.update(project=prepared.ID)
def _one_more_answered(project: Any) -> tuple[QuerySet[Tally], dict[str, Any]]:
    return Tally.objects.filter(project=project), {"answered": F("answered") + 1}


def _slices(ids: Iterable[int], size: int = 5000) -> Iterable[list[int]]:
    ids = iter(ids)
    while some := [item_id for _, item_id in zip(range(size), ids, strict=False)]:
        yield some
