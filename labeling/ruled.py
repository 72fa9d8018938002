"""Ruled: what rules do, saved ones and ones still being written: figures, and the items behind them.

A rule being written is tried on all items of a project of up to 20,000, on an even sample of a larger one, and for at
most 0.7 seconds; what it was tried on is told with the figures.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from django.db.models import TextChoices
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from jaxtyping import Bool, Int

from labeling import matching, phrases, pool, reviewed, rulebook, suggestions, votes
from labeling.errors import BadField
from labeling.matching import Content
from labeling.models import Item, Project, Rule, Snapshot, Status
from metalearning.shares import wilson

SAMPLE = 20_000  # items that a rule being written is tried on
SECONDS = 0.7
WINDOW = 2_000
KNOWN = 50_000  # people's answers that rules are measured on; and as many of the file's labels
PROPOSED_FROM = 5_000  # texts with a known label that proposals are made from
PROPOSED_TO = 10_000  # texts of the pool in which their phrases are counted
EXCERPT = 280  # characters of a text around what was found
BEFORE = 90  # of them before it
OTHERS = 5


class Which(TextChoices):
    """Some of the items that a rule speaks of."""

    ALL = "all", _("Items it speaks of")
    ANSWERED = "answered", _("Those with an answer")
    RIGHT = "right", _("Answers that say the same")
    WRONG = "wrong", _("Answers that say otherwise")
    OVERLAP = "overlap", _("Other rules speak too")
    CONFLICT = "conflict", _("Other rules say otherwise")
    MODEL = "model", _("The model says otherwise")


@dataclass(frozen=True, eq=False)
class Scene:
    """What answers, the model and the rules say of some rows; all arrays have one entry per row."""

    rows: Int[np.ndarray, " n"]
    answers: Int[np.ndarray, " n"]
    """Label ids, -1 where nobody has answered."""
    suggested: Int[np.ndarray, " n"]
    """What the newest snapshot says of items without an answer, -1 of the others."""
    spoken: dict[int, Bool[np.ndarray, " n"]]
    """Whom each active rule speaks of, by its id."""
    rules: dict[int, Rule]
    same: dict[int | None, Int[np.ndarray, " n"]] = field(default_factory=dict)
    """How many active rules speak for a label, by the label's id; None: for any."""

    def some(self, which: str, fired: Bool[np.ndarray, " n"], label_id: int, but: int | None) -> np.ndarray:
        """Of the items that a rule speaks of, those of this sort. `but`: its id, where it is saved."""
        if which == Which.ANSWERED:
            return fired & (self.answers >= 0)
        if which == Which.RIGHT:
            return fired & (self.answers == label_id)
        if which == Which.WRONG:
            return fired & (self.answers >= 0) & (self.answers != label_id)
        if which == Which.MODEL:
            return fired & (self.suggested >= 0) & (self.suggested != label_id)
        if which in (Which.OVERLAP, Which.CONFLICT):
            mine = self.spoken.get(but or 0)
            like = self._speaking(label_id) - (0 if mine is None else mine)
            unlike = self._speaking(None) - self._speaking(label_id)
            return fired & ((unlike > 0) if which == Which.CONFLICT else (like + unlike > 0))
        return fired

    def others(self, fired: Bool[np.ndarray, " n"], label_id: int, but: int | None) -> list[dict[str, Any]]:
        """The rules that speak of most of the same items."""
        both = {
            rule_id: int((fired & spoken).sum()) for rule_id, spoken in self.spoken.items() if rule_id != (but or 0)
        }
        most = sorted((rule_id for rule_id, count in both.items() if count), key=lambda one: -both[one])[:OTHERS]
        return [
            {
                "rule": rule_id,
                "label": self.rules[rule_id].label_id,
                "says": rulebook.says(self.rules[rule_id]),
                "count": both[rule_id],
            }
            for rule_id in most
        ]

    def _speaking(self, label_id: int | None) -> Any:
        """How many active rules speak of each row for this label; None: for any."""
        if label_id not in self.same:
            mine = [
                spoken for rule_id, spoken in self.spoken.items() if label_id in (None, self.rules[rule_id].label_id)
            ]
            self.same[label_id] = np.asarray(sum(mine, np.zeros(len(self.rows), dtype=np.int64)))
        return self.same[label_id]


def figures(scene: Scene, fired: Bool[np.ndarray, " n"], label_id: int, but: int | None = None) -> dict[str, Any]:
    """A rule's coverage, its precision on answers with a 95 % interval (Wilson 1927), overlaps and conflicts."""
    count = {which.value: int(scene.some(which, fired, label_id, but).sum()) for which in Which}
    share = wilson(count["right"], count["answered"])
    return {
        "looked": len(scene.rows),
        "counts": count,
        "precision": share
        and {"estimate": round(share.estimate, 4), "low": round(share.low, 4), "high": round(share.high, 4)},
        "others": scene.others(fired, label_id, but),
    }


def listed(project: Project) -> dict[str, Any]:
    """All rules that are not deleted, each with its figures over all items."""
    rules, snapshot = rulebook.kept(project), suggestions.latest(project)
    count = project.tally.items
    signed = rulebook.signatures(project, rules)
    reach = votes.reach(project.pk, signed)
    found = votes.read(project.pk, signed, count)
    scene = _scene(project, np.arange(count), snapshot, {rule.pk: rule for rule in rules if rule.active}, found)
    learned = {fact["id"]: fact for fact in (snapshot.facts.get("rules") if snapshot else None) or []}
    silent = np.zeros(count, dtype=bool)
    return {
        "items": count,
        "snapshot": snapshot.number if snapshot else None,
        "weight": snapshot.facts.get("voices", {}).get("rules") if snapshot else None,
        "rules": [
            described(rule)
            | figures(scene, found.get(rule.pk, silent), rule.label_id, rule.pk)
            | {"voted": min(reach.get(rule.pk, 0), count), "learned": _learned(learned.get(rule.pk), signed[rule.pk])}
            for rule in rules
        ],
    }


def described(rule: Rule) -> dict[str, Any]:
    """A rule in plain values."""
    return {
        "id": rule.pk,
        "label": rule.label_id,
        "kind": rule.kind,
        "text": rule.text,
        "column": rule.column,
        "comparison": rule.comparison,
        "item": rule.item_id,
        "row": rule.item.row if rule.item else None,
        "threshold": rule.threshold,
        "active": rule.off_at is None,
        "says": rulebook.says(rule),
        "by": str(rule.created_by),
        "created_at": rule.created_at.isoformat(),
    }


def tried(project: Project, rule: Rule, which: str, limit: int) -> dict[str, Any]:
    """A rule that is not saved, or not as it is now: its figures over what it could be tried on, and some items.

    Raises BadField as `matching.matcher` does.
    """
    rows, fired = _tried(project, rule)
    active = {one.pk: one for one in rulebook.active(project)}
    found = votes.spoken(project.pk, rulebook.signatures(project, list(active.values())), rows)
    scene = _scene(project, rows, suggestions.latest(project), active, found)
    some = scene.some(which, fired, rule.label_id, rule.pk)
    shown = _shown(project, rule, scene, np.flatnonzero(some)[:limit])
    return figures(scene, fired, rule.label_id, rule.pk) | {"items": project.tally.items, "examples": shown}


def behind(project: Project, rule: Rule, which: str, after: int, limit: int) -> dict[str, Any]:
    """The items behind one of a saved rule's figures, by row; `next` is the row to go on behind, None at the end."""
    count = project.tally.items
    rules = {one.pk: one for one in rulebook.active(project)} | {rule.pk: rule}
    found = votes.read(project.pk, rulebook.signatures(project, list(rules.values())), count)
    fired = found.get(rule.pk, np.zeros(count, dtype=bool))
    active = {rule_id: one for rule_id, one in rules.items() if one.active}
    scene = _scene(project, np.arange(count), suggestions.latest(project), active, found)
    some = np.flatnonzero(scene.some(which, fired, rule.label_id, rule.pk))
    place = some[some > after][: limit + 1]
    return {
        "count": len(some),
        "results": _shown(project, rule, scene, place[:limit]),
        "next": int(place[limit - 1]) if len(place) > limit else None,
    }


def proposals(project: Project) -> list[dict[str, Any]]:
    """Words and phrases that give a label away, as rules to be made: the most useful first."""
    items = Item.objects.filter(project=project, label__archived_at=None).order_by("row")
    known = [
        pair
        for status in (Status.ANSWERED, Status.IMPORTED)
        for pair in items.filter(status=status).values_list("text", "label_id", "metadata")[:PROPOSED_FROM]
    ][:PROPOSED_FROM]
    contents = [Content(text, metadata) for text, _label, metadata in known]
    taken: dict[int, list[bool]] = {}
    for rule in rulebook.active(project):
        hits = matching.matcher(rule.pattern).hits(contents).tolist()
        before = taken.get(rule.label_id, [False] * len(hits))
        taken[rule.label_id] = [one or other for one, other in zip(before, hits, strict=True)]
    looked = _even(project.tally.items, PROPOSED_TO)
    texts = (content.text for _row, content in rulebook.contents(project, looked.tolist(), metadata=False))
    pairs = [(text, label_id) for text, label_id, _metadata in known]
    found = phrases.propose(pairs, texts, taken)
    scale = project.tally.items / max(len(looked), 1)
    return [
        {
            "label": phrase.label_id,
            "kind": Rule.Kind.KEYWORD,
            "text": phrase.text,
            "right": phrase.right,
            "answered": phrase.count,
            "low": round(phrase.low, 4),
            "items": round(phrase.found * scale),
        }
        for phrase in found
    ]


def columns(project: Project) -> list[str]:
    """The columns that items have beside their text, by a look at some of them."""
    rows = _even(project.tally.items, 200).tolist()
    found = rulebook.contents(project, rows, metadata=True)
    return sorted({name for _row, content in found for name in content.metadata})


def _learned(fact: dict[str, Any] | None, signed: str) -> dict[str, Any] | None:
    """What the newest snapshot believes of the rule; None where it took no part, or was another then."""
    if fact is None or fact["signature"] != signed:
        return None
    return {"precision": fact["precision"], "own": fact["own"]}


def _scene(
    project: Project,
    rows: Int[np.ndarray, " n"],
    snapshot: Snapshot | None,
    active: dict[int, Rule],
    found: dict[int, Bool[np.ndarray, " n"]],
) -> Scene:
    answers = _answers(project)[rows]
    suggested = np.full(len(rows), -1, dtype=np.int64)
    if snapshot is not None and suggestions.has_arrays(snapshot):
        said = pool.read_predictions(project.pk, snapshot.number).label_id
        inside = rows < len(said)
        suggested[inside] = said[rows[inside]]
        suggested[answers >= 0] = -1
    spoken = {rule_id: fired for rule_id, fired in found.items() if rule_id in active}
    return Scene(rows, answers, suggested, spoken, active)


def _answers(project: Project) -> Int[np.ndarray, " items"]:
    """Label ids by row, -1 where nobody has answered; of very many answers the first, which are evidence enough."""
    label_ids = np.full(project.tally.items, -1, dtype=np.int64)
    for status in (Status.IMPORTED, Status.ANSWERED):
        items = Item.objects.filter(project=project, status=status, row__lt=len(label_ids)).order_by("row")
        pairs = np.array(items.values_list("row", "label_id")[:KNOWN], dtype=np.int64).reshape(-1, 2)
        label_ids[pairs[:, 0]] = pairs[:, 1]
    return label_ids


def _tried(project: Project, rule: Rule) -> tuple[np.ndarray, np.ndarray]:
    """The rows that there was time to look at, ascending, and whether the rule speaks of each."""
    matcher = matching.matcher(rule.pattern)
    rows = _even(project.tally.items, SAMPLE)
    if rule.kind == Rule.Kind.SIMILAR:
        return _compared(project, rule, rows)
    began, looked, hits = time.monotonic(), [rows[:0]], [np.zeros(0, dtype=bool)]
    # Every n-th row at a time: where time runs out, what was looked at still stands for all.
    steps = max(-(-len(rows) // WINDOW), 1)
    for start in range(steps):
        some = rows[start::steps]
        found = dict(rulebook.contents(project, some.tolist(), metadata=rule.kind == Rule.Kind.COLUMN))
        places = np.array(sorted(found), dtype=np.int64)
        looked.append(places)
        hits.append(matcher.hits([found[int(row)] for row in places]))
        if time.monotonic() - began > SECONDS:
            break
    every = np.concatenate(looked)
    order = np.argsort(every)
    return every[order], np.concatenate(hits)[order]


def _compared(project: Project, rule: Rule, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x, vector = rulebook.vectors(project), rulebook.vector_of(project, rule.item)
    if x is None or vector is None:
        raise BadField("item", gettext("This item has not been read by the model yet. Try again in a moment."))
    rows = rows[x.present[rows]]
    return rows, matching.alike(x.values[rows], vector, rule.threshold)


def _even(items: int, most: int) -> Int[np.ndarray, " n"]:
    """All rows of few items, as many evenly spread ones of more."""
    return np.unique(np.linspace(0, max(items - 1, 0), min(items, most)).astype(np.int64))


def _shown(project: Project, rule: Rule, scene: Scene, places: Int[np.ndarray, " n"]) -> list[dict[str, Any]]:
    """The items at these places, each with what was found in it and what others say of it."""
    rows = scene.rows[places]
    items = {item.row: item for item in Item.objects.filter(project=project, row__in=rows.tolist())}
    matcher = matching.matcher(rule.pattern)
    return [
        {
            "item": reviewed.describe_item(items[int(row)]) | _excerpt(items[int(row)].text, matcher),
            "value": items[int(row)].metadata.get(rule.column) if rule.column else None,
            "answer": _or_none(scene.answers[place]),
            "suggested": _or_none(scene.suggested[place]),
            "others": [
                {"rule": rule_id, "label": scene.rules[rule_id].label_id, "says": rulebook.says(scene.rules[rule_id])}
                for rule_id, spoken in scene.spoken.items()
                if spoken[place] and rule_id != (rule.pk or 0)
            ],
        }
        for place, row in zip(places, rows, strict=True)
        if int(row) in items
    ]


def _excerpt(text: str, matcher: matching.Matcher) -> dict[str, Any]:
    """The part of a text around what was found first, and where in that part things were found."""
    spans = matcher.spans(text)
    start = max(spans[0][0] - BEFORE, 0) if spans and spans[0][0] > EXCERPT - BEFORE else 0
    end = min(start + EXCERPT, len(text))
    inside = [[max(a, start) - start, min(b, end) - start] for a, b in spans if a < end and b > start]
    return {"text": text[start:end], "cut": start > 0 or end < len(text), "begins": start, "spans": inside}


def _or_none(label_id: Any) -> int | None:
    return int(label_id) if label_id >= 0 else None
