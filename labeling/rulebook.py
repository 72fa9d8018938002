"""Rulebook: a project's rules as they stand, in words, and which of them spoke for what a snapshot suggests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from django.utils.translation import gettext as _
from jaxtyping import Float

from labeling import bulk, pool, votes
from labeling.matching import Content
from labeling.models import Item, Project, Rule, Snapshot

SHORT = 60  # characters of a pattern, or of the item that others are like, in words


def kept(project: Project) -> list[Rule]:
    """All rules that are not deleted, oldest first."""
    rules = Rule.objects.filter(project=project, deleted_at=None)
    return list(rules.select_related("label", "item", "created_by").order_by("pk"))


def active(project: Project) -> list[Rule]:
    """The rules that vote, oldest first."""
    rules = Rule.objects.filter(project=project, deleted_at=None, off_at=None, label__archived_at=None)
    return list(rules.order_by("pk"))


def signatures(project: Project, rules: Sequence[Rule]) -> dict[int, str]:
    """What tells each rule's present votes from former ones, by rule id."""
    return {rule.pk: votes.signature(rule, project.encoder) for rule in rules}


def says(rule: Rule) -> str:
    """The rule in words."""
    text = _short(rule.text)
    if rule.kind == Rule.Kind.COLUMN:
        comparison = Rule.Comparison(rule.comparison).label
        return _("%(column)s %(comparison)s “%(text)s”") % {
            "column": rule.column, "comparison": comparison, "text": text
        }  # fmt: skip
    if rule.kind == Rule.Kind.SIMILAR:
        item = rule.item
        name = _short((item.text or item.name) if item else "")
        return _("is like “%(item)s” (%(threshold)s)") % {"item": name, "threshold": f"{rule.threshold:.2f}"}
    pattern = {
        Rule.Kind.KEYWORD: _("contains “%(text)s”"),
        Rule.Kind.PHRASE: _("contains the phrase “%(text)s”"),
        Rule.Kind.REGEX: _("matches the expression “%(text)s”"),
    }[Rule.Kind(rule.kind)]
    return pattern % {"text": text}


def spoken(snapshot: Snapshot | None, rows: Sequence[int]) -> dict[int, list[dict[str, Any]]]:
    """The rules that spoke of these rows when the snapshot was made: [{"rule", "label", "says"}, ...] by row.

    Rows of which no rule spoke are absent; so is a rule that has been changed or deleted since.
    """
    took_part = (snapshot.facts.get("rules") if snapshot else None) or []
    if snapshot is None or not took_part or not len(rows):
        return {}
    wanted = {fact["id"]: fact["signature"] for fact in took_part}
    places = np.asarray(rows, dtype=np.int64)
    fired = {rule: rows for rule, rows in votes.spoken(snapshot.project_id, wanted, places).items() if rows.any()}
    rules = Rule.objects.filter(pk__in=list(fired), deleted_at=None).select_related("item")
    told: dict[int, list[dict[str, Any]]] = {}
    for rule in sorted(rules, key=lambda rule: rule.pk):
        word = {"rule": rule.pk, "label": rule.label_id, "says": says(rule)}
        for place in np.flatnonzero(fired[rule.pk]):
            told.setdefault(int(places[place]), []).append(word)
    return told


def named(word: Mapping[str, Any]) -> str:
    """A rule that spoke, by number and in words, as files name it: "#12 contains “refund”"."""
    return f"#{word['rule']} {word['says']}"


def contents(project: Project, rows: Sequence[int], *, metadata: bool) -> Iterator[tuple[int, Content]]:
    """What rules can see of these rows' items: (row, content), in no order. Columns only where they are wanted."""
    columns = ("row", "text", "metadata") if metadata else ("row", "text")
    for row, text, *more in bulk.select(Item, columns, {"project": project.pk}, "row", list(rows)):
        yield row, Content(text, bulk.from_json(more[0]) if more else {})


def vector_of(project: Project, item: Item | None) -> Float[np.ndarray, " dim"] | None:
    """The item's vector; None where it has none yet."""
    x = vectors(project)
    if x is None or item is None or item.row >= len(x.present) or not x.present[item.row]:
        return None
    return np.asarray(x.values[item.row], dtype=np.float32)


def vectors(project: Project) -> pool.Vectors | None:
    """The project's vectors by row; None before its first embedding."""
    dimension = pool.stored_dimension(project.pk, project.encoder) if project.encoder else None
    return None if dimension is None else pool.vectors(project.pk, project.encoder, dimension, project.tally.items)


def _short(text: str) -> str:
    return text if len(text) <= SHORT else text[: SHORT - 1] + "…"
