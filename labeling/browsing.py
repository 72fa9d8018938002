"""Browsing: a project's items in the order of their rows, filtered, a page at a time, quick however many there are."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Q, QuerySet

from labeling import doubts, evaluation, pool, suggestions
from labeling.models import Item, Mark, Project, Snapshot

WINDOW = 20_000  # rows looked through by one query
SECONDS = 1.5  # how long a page may look for items before it says how far it came
MISSED = ("held_out", "random")  # answers held back from the model; suggestions for items asked at random
LONGEST_TEXT = 200  # characters looked for


@dataclass(frozen=True)
class Filters:
    """Which items: of this status, with this label, flagged by anybody, holding this text, ...; empty means any."""

    status: str = ""
    label_id: int | None = None
    flagged: bool = False
    text: str = ""
    said_id: int | None = None
    """What the model said of the answer while it was held back from it."""
    missed: str = ""
    """Of which the model was wrong: one of MISSED."""

    def narrow(self, items: QuerySet[Item]) -> QuerySet[Item]:
        """The items that pass, flags aside."""
        if self.status:
            items = items.filter(status=self.status)
        if self.label_id is not None:
            items = items.filter(label_id=self.label_id)
        if self.text:
            found = Q(text__icontains=self.text) | Q(name__icontains=self.text) | Q(external_id=self.text)
            items = items.filter(found)
        return items


@dataclass
class Page:
    """Items by ascending row. `after`: the row to go on behind, None at the end.

    `unfinished`: time ran out before the page was full; rows up to `after` have been looked through.
    """

    items: list[Item]
    after: int | None = None
    unfinished: bool = False
    flags: dict[int, list[Mark]] = field(default_factory=dict)  # by item id
    suggested: dict[int, tuple[int, float]] = field(default_factory=dict)  # (label id, confidence) by item id


def page(
    project: Project, filters: Filters, *, after: int = -1, limit: int = 50, clock: Callable[[], float] = time.monotonic
) -> Page:
    """At most `limit` items behind row `after`, with their flags and what the newest snapshot suggests."""
    if filters.said_id is not None:
        found = _said(project, filters, after, limit)
    elif filters.missed:
        found = _among(_behind(project, filters, after), "row", _missed(project, filters.missed), limit)
    elif filters.flagged:
        found = _flagged(project, filters, after, limit)
    elif filters.text or filters.label_id is not None:
        found = _windows(project, filters, after, limit, clock)
    else:
        found = _page(list(_behind(project, filters, after)[: limit + 1]), limit)
    found.flags = flags_of(found.items)
    found.suggested = suggested_for(project, found.items)
    return found


def flags_of(items: Iterable[Item]) -> dict[int, list[Mark]]:
    """Who flagged these items and why, by item id."""
    flags: dict[int, list[Mark]] = {}
    marks = Mark.objects.filter(item__in=[item.pk for item in items], code=Mark.Code.FLAG)
    for mark in marks.select_related("author").order_by("pk"):
        flags.setdefault(mark.item_id, []).append(mark)
    return flags


def suggested_for(project: Project, items: list[Item]) -> dict[int, tuple[int, float]]:
    """(label id, confidence in [0, 1]) by item id, from the newest snapshot; items it does not cover are absent."""
    snapshot = suggestions.latest(project)
    if snapshot is None or not items:
        return {}
    found = _of_rows(snapshot, [item.row for item in items])
    ids = {item.row: item.pk for item in items}
    if found is None:
        return {}
    return {
        ids[int(row)]: (int(label_id), float(confidence))
        for row, label_id, confidence in zip(found.rows, found.label_ids, found.confidence, strict=True)
    }


def neighbours(item: Item) -> tuple[int | None, int | None]:
    """The ids of the items before and behind this one."""
    items = Item.objects.filter(project=item.project_id)
    before = items.filter(row__lt=item.row).order_by("-row").values_list("pk", flat=True).first()
    behind = items.filter(row__gt=item.row).order_by("row").values_list("pk", flat=True).first()
    return before, behind


def _of_rows(snapshot: Snapshot, rows: list[int]) -> suggestions.Suggestions | None:
    try:
        return suggestions.of_rows(snapshot, rows)
    except pool.NotKept:
        # A newer snapshot took its place between our two looks.
        return None


def _behind(project: Project, filters: Filters, after: int) -> QuerySet[Item]:
    items = Item.objects.filter(project=project, row__gt=after).select_related("label")
    return filters.narrow(items).order_by("row")


def _page(found: list[Item], limit: int) -> Page:
    shown = found[:limit]
    return Page(shown, shown[-1].row if len(found) > limit else None)


def _windows(project: Project, filters: Filters, after: int, limit: int, clock: Callable[[], float]) -> Page:
    """Look through one window of rows after the other.

    One query over everything would, for a rare text, read a million rows before it answers; and for a common
    label the database would collect and sort all its items first.
    """
    began = clock()
    last = project_rows(project) - 1
    found: list[Item] = []
    while after < last:
        until = min(after + WINDOW, last)
        window = _behind(project, filters, after).filter(row__lte=until)
        found += window[: limit + 1 - len(found)]
        if len(found) > limit:
            return _page(found, limit)
        after = until
        if clock() - began > SECONDS and after < last:
            return Page(found, after, unfinished=True)
    return Page(found)


def project_rows(project: Project) -> int:
    """How many rows the project has given out."""
    last: Any = Item.objects.filter(project=project).order_by("-row").values_list("row", flat=True).first()
    return 0 if last is None else last + 1


def _flagged(project: Project, filters: Filters, after: int, limit: int) -> Page:
    """Flags are few and lead to their items; the items would all have to be looked at for theirs."""
    marks = Mark.objects.filter(project=project, code=Mark.Code.FLAG).order_by()
    ids = list(marks.values_list("item_id", flat=True).distinct()[:50_000])
    return _among(_behind(project, filters, after), "pk", ids, limit)


def _said(project: Project, filters: Filters, after: int, limit: int) -> Page:
    """Answers that were held back from the model are few and known by row."""
    rows = doubts.rows_where(project, answer=filters.label_id, said=filters.said_id or 0)
    return _among(_behind(project, filters, after), "row", rows, limit)


def _missed(project: Project, how: str) -> list[int]:
    return doubts.rows_differing(project) if how == "held_out" else evaluation.wrong_at_random(project)


def _among(items: QuerySet[Item], field: str, values: list[int], limit: int) -> Page:
    """The first of those items whose `field` is among these values, however many values there are."""
    found: list[Item] = []
    for start in range(0, len(values), 5_000):
        found += items.filter(**{f"{field}__in": values[start : start + 5_000]})[: limit + 1]
    return _page(sorted(found, key=lambda item: item.row)[: limit + 1], limit)
