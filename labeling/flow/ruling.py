"""Ruling: rules that people make, change, switch off and delete, and the votes that follow from them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from django.db import transaction
from django.utils.translation import gettext as _
from jaxtyping import Bool

from labeling import dispatch, matching, rulebook, votes
from labeling.errors import BadField, Conflict, UnknownLabel
from labeling.locking import lock
from labeling.matching import Content
from labeling.models import Item, Job, Label, Project, Rule, Tally, User

MOST_RULES = 200  # of one project
WINDOW = 20_000  # rows read at once
SAVE_SECONDS = 10.0  # at most so much work is lost when a worker is killed
EXPORTED = ("kind", "text", "column", "comparison", "threshold")
FORMAT = "annotator rules 1"

Progress = Callable[..., object]


def run(job: Job, progress: Progress) -> None:
    """Let every active rule vote on every item. May be run again: votes that are there are not made anew."""
    project = job.project
    vote(project, progress)
    votes.delete_all_but(project.pk, set(Rule.objects.filter(project=project).values_list("pk", flat=True)))


def vote(project: Project, progress: Progress = lambda *told: None) -> None:
    """Bring the votes of the active rules up to date. What is done is stored every ten seconds, and on a cancel.

    Rules that compare with an item wait behind the first item without a vector.
    """
    rules = rulebook.active(project)
    count = Tally.objects.get(project=project).items
    if not rules or not count:
        return
    _compare(project, [rule for rule in rules if rule.kind == Rule.Kind.SIMILAR], count)
    ballots = _read(project, [rule for rule in rules if rule.kind != Rule.Kind.SIMILAR], count)
    _count_votes(project, [ballot for ballot in ballots if ballot.reach < count], progress)


def make(*, project: Project, by: User, values: Mapping[str, Any], now: datetime) -> Rule:
    """A new rule. `values`: label (a row), kind, and what that needs of text, column, comparison, item, threshold.

    Raises BadField, which names the field at fault and the way out, or Conflict where there is such a rule already.
    """
    rule = Rule(project=project, created_by=by, created_at=now)
    with transaction.atomic():
        # The lock keeps the same rule from being made twice at once.
        lock(Project.objects).get(pk=project.pk)
        if Rule.objects.filter(project=project, deleted_at=None).count() >= MOST_RULES:
            raise BadField("text", _("A project has at most %(most)s rules. Delete some.") % {"most": MOST_RULES})
        fill(rule, values)
        _refuse_twin(rule)
        rule.save()
        _vote_anew(project)
    return rule


def change(*, rule: Rule, values: Mapping[str, Any], now: datetime) -> Rule:
    """Change what a rule looks for or speaks for, or switch it on or off by `active`. Raises as `make` does."""
    with transaction.atomic():
        locked = lock(Rule.objects).filter(pk=rule.pk, deleted_at=None).first()
        if locked is None:
            raise Conflict(_("This rule has been deleted meanwhile."))
        if any(name != "active" for name in values):
            before = {name: getattr(locked, name) for name in ("label", "kind", *EXPORTED[1:], "item")}
            fill(locked, before | dict(values))
            _refuse_twin(locked)
        if "active" in values:
            locked.off_at = None if values["active"] else (locked.off_at or now)
        locked.save()
        _vote_anew(locked.project)
    return locked


@transaction.atomic
def delete(*, rule: Rule, now: datetime) -> None:
    """Delete the rule; `restore` brings it back."""
    Rule.objects.filter(pk=rule.pk, deleted_at=None).update(deleted_at=now)
    _vote_anew(rule.project)


@transaction.atomic
def restore(*, rule: Rule) -> Rule:
    """Take a deletion back."""
    _refuse_twin(rule)
    Rule.objects.filter(pk=rule.pk).update(deleted_at=None)
    _vote_anew(rule.project)
    rule.refresh_from_db()
    return rule


def carried(project: Project) -> dict[str, Any]:
    """The project's rules as another project can take them: labels by name, items by their text."""
    return {"format": FORMAT, "rules": [_carried(rule) for rule in rulebook.kept(project)]}


@dataclass(frozen=True)
class Taken:
    """What came of a file of rules."""

    made: list[Rule]
    known: int
    """Rules that the project had already."""
    left: list[str]
    """Why each of the others was left out."""


def take(*, project: Project, by: User, file: Any, now: datetime) -> Taken:
    """Make the rules of a file that `carried` wrote; those that do not fit this project are left out, each with why.

    Raises BadField for a file of another shape.
    """
    rules = file.get("rules") if isinstance(file, Mapping) else None
    if not isinstance(rules, list) or len(rules) > MOST_RULES:
        message = _("This is no file of rules: it must hold a list “rules” of at most %(most)s.")
        raise BadField("rules", message % {"most": MOST_RULES})
    made: list[Rule] = []
    left: list[str] = []
    known = 0
    labels = {label.name: label for label in Label.objects.filter(project=project, archived_at=None)}
    for number, given in enumerate(rules, start=1):
        try:
            values = _values(project, given, labels)
            rule = make(project=project, by=by, values=values, now=now)
        except Conflict:
            known += 1
        except (BadField, UnknownLabel) as refusal:
            left.append(_("Rule %(number)s: %(why)s") % {"number": number, "why": refusal})
        else:
            if given.get("active") is False:
                rule = change(rule=rule, values={"active": False}, now=now)
            made.append(rule)
    return Taken(made, known, left)


def fill(rule: Rule, values: Mapping[str, Any]) -> None:
    """Set what the rule's kind needs and empty the rest, without saving. Raises BadField for what cannot be matched."""
    rule.label, rule.kind = values["label"], values["kind"]
    of_column, similar = rule.kind == Rule.Kind.COLUMN, rule.kind == Rule.Kind.SIMILAR
    rule.text = "" if similar else str(values.get("text") or "").strip()
    rule.column = str(values.get("column") or "").strip() if of_column else ""
    rule.comparison = values.get("comparison") or "" if of_column else ""
    rule.item = values.get("item") if similar else None
    rule.threshold = float(values.get("threshold") or 0) if similar else 0.0
    if similar and rule.item is None:
        raise BadField("item", _("Choose the item that the others are like."))
    if "\0" in rule.text + rule.column:
        raise BadField("text", _("This is no text: it holds a null character."))
    matching.matcher(rule.pattern)


def _refuse_twin(rule: Rule) -> None:
    same = {name: getattr(rule, name) for name in (*EXPORTED, "item", "label")}
    twins = Rule.objects.filter(project=rule.project, deleted_at=None, **same).exclude(pk=rule.pk)
    if twins.exists():
        raise Conflict(_("There is this rule already."))


def _vote_anew(project: Project) -> None:
    if Item.objects.filter(project=project).exists():
        dispatch.start(project, Job.Kind.VOTE)


def _carried(rule: Rule) -> dict[str, Any]:
    told: dict[str, Any] = {"label": rule.label.name, "active": rule.off_at is None}
    told |= {name: value for name in EXPORTED if (value := getattr(rule, name))}
    if rule.item is not None:
        told["item"] = {"external_id": rule.item.external_id, "text": rule.item.text, "name": rule.item.name}
    return told


def _values(project: Project, given: Any, labels: Mapping[str, Label]) -> dict[str, Any]:
    """A carried rule in this project's rows. Raises BadField or UnknownLabel."""
    if not isinstance(given, Mapping) or given.get("kind") not in Rule.Kind.values:
        raise BadField("kind", _("It has no kind of rule that is known here."))
    label = labels.get(str(given.get("label")))
    if label is None:
        raise UnknownLabel(given.get("label"), known=labels)
    comparison = given.get("comparison", "")
    if comparison and comparison not in Rule.Comparison.values:
        raise BadField("comparison", _("Choose how the column is compared."))
    threshold = given.get("threshold", 0)
    if isinstance(threshold, bool) or not isinstance(threshold, int | float):
        raise BadField("threshold", _("Give the lowest similarity as a number above 0 and up to 1, like 0.6."))
    texts = {name: given.get(name, "") for name in ("text", "column")}
    if not all(isinstance(text, str) for text in texts.values()) or len(texts["column"]) > 255:
        raise BadField("text", _("Its texts are no texts."))
    return {
        "label": label,
        "kind": given["kind"],
        **texts,
        "comparison": comparison,
        "item": _twin_of(project, given.get("item")),
        "threshold": threshold,
    }


def _twin_of(project: Project, given: Any) -> Item | None:
    """This project's item with the same external id, text or file name."""
    if not isinstance(given, Mapping):
        return None
    items = Item.objects.filter(project=project)
    for field in ("external_id", "text", "name"):
        value = given.get(field)
        if isinstance(value, str) and value and (found := items.filter(**{field: value}).first()):
            return found
    return None


@dataclass
class _Ballot:
    """One rule's votes while they are counted: `reach` rows are done."""

    rule: Rule
    signed: str
    fired: Bool[np.ndarray, " items"]
    reach: int


def _read(project: Project, rules: Sequence[Rule], count: int) -> list[_Ballot]:
    """The rules' votes so far."""
    wanted = rulebook.signatures(project, rules)
    reach = votes.reach(project.pk, wanted)
    before = votes.read(project.pk, wanted, count)
    return [
        _Ballot(rule, wanted[rule.pk], before[rule.pk], min(reach[rule.pk], count))
        if rule.pk in before
        else _Ballot(rule, wanted[rule.pk], np.zeros(count, dtype=bool), 0)
        for rule in rules
    ]


def _compare(project: Project, rules: Sequence[Rule], count: int) -> None:
    """Let the rules that compare vectors vote: one product with all of them each, stored at once."""
    ballots = _read(project, rules, count)
    x = rulebook.vectors(project) if rules else None
    for ballot in ballots:
        vector = rulebook.vector_of(project, ballot.rule.item)
        if x is None or vector is None:
            continue
        known = count if x.present.all() else int(np.argmin(x.present[:count]))
        if ballot.reach < known:
            fired = np.zeros(known, dtype=bool)
            fired[: ballot.reach] = ballot.fired[: ballot.reach]
            fired[ballot.reach :] = matching.alike(x.values[ballot.reach : known], vector, ballot.rule.threshold)
            votes.write(project.pk, ballot.rule.pk, ballot.signed, fired)


def _count_votes(project: Project, ballots: Sequence[_Ballot], progress: Progress) -> None:
    """Go through the items once, from the first that any of these rules has not voted on."""
    if not ballots:
        return
    count, start = len(ballots[0].fired), min(ballot.reach for ballot in ballots)
    columns = any(ballot.rule.kind == Rule.Kind.COLUMN for ballot in ballots)
    saved_at = time.monotonic()
    try:
        while start < count:
            end = min(start + WINDOW, count)
            items = _window(project, start, end, columns)
            for ballot in ballots:
                first = max(ballot.reach, start)
                if first < end:
                    speaks = matching.matcher(ballot.rule.pattern)
                    ballot.fired[first:end] = speaks.hits(items[first - start :])
                    ballot.reach = end
            start = end
            if time.monotonic() - saved_at > SAVE_SECONDS:
                _save(project, ballots)
                saved_at = time.monotonic()
            progress(start, count, "items")
    finally:
        _save(project, ballots)


def _window(project: Project, start: int, end: int, columns: bool) -> list[Content]:
    """What rules can see of the items in these rows, by row; nothing where a row is missing."""
    fields = ("row", "text", "metadata") if columns else ("row", "text")
    found = Item.objects.filter(project=project, row__gte=start, row__lt=end).order_by("row").values_list(*fields)
    items = [Content("")] * (end - start)
    for row, text, *more in found.iterator(chunk_size=WINDOW):
        items[row - start] = Content(text, more[0] if more else {})
    return items


def _save(project: Project, ballots: Sequence[_Ballot]) -> None:
    for ballot in ballots:
        if ballot.reach:
            votes.write(project.pk, ballot.rule.pk, ballot.signed, ballot.fired[: ballot.reach])
