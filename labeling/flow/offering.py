"""Offering: the labels that items can get, as people add, rename, describe and archive them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Max
from django.utils.translation import gettext as _

from labeling import dispatch
from labeling.errors import BadField, Conflict
from labeling.locking import lock
from labeling.models import Acceptance, Answer, Item, Job, Label, Mark, Project, Reference, Rule, Snapshot

MOST_LABELS = 2_000
# Keys that the labelling page uses itself unless the person has remapped them.
TAKEN_KEYS = frozenset("fz/? ")


@dataclass(frozen=True)
class NewLabel:
    """A label to be made."""

    name: str
    description: str = ""
    hotkey: str = ""
    color: str = ""  # "#rrggbb", or empty: the page chooses


def parse(text: str) -> list[NewLabel]:
    """Read labels written one a line, each "name" or "name: description"; empty lines are passed over.

    Raises BadField with the line's number for a name that comes twice or is too long.
    """
    labels: dict[str, NewLabel] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        name, _colon, description = line.partition(": ")
        name = name.strip().removesuffix(":")
        if not name:
            continue
        if name in labels:
            message = _("Line %(number)s: “%(name)s” is there already.")
            raise BadField("labels", message % {"number": number, "name": name})
        if len(name) > 200:
            raise BadField("labels", _("Line %(number)s: a name has at most 200 characters.") % {"number": number})
        labels[name] = NewLabel(name, description.strip())
    return list(labels.values())


@transaction.atomic
def add(*, project: Project, labels: Iterable[NewLabel]) -> list[Label]:
    """Add labels after the ones that are there. Raises BadField, or Conflict where a name or key is taken."""
    new = list(labels)
    # The lock makes two people who add at once take different positions.
    lock(Project.objects).get(pk=project.pk)
    taken = list(Label.objects.filter(project=project))
    if len(taken) + len(new) > MOST_LABELS:
        raise BadField("labels", _("A project has at most %(most)s labels.") % {"most": MOST_LABELS})
    position = _next_position(project)
    made: list[Label] = []
    for offset, given in enumerate(new):
        label = Label(project=project, position=position + offset)
        _set(label, asdict(given))
        _refuse_taken(label, taken + made)
        made.append(label)
    Label.objects.bulk_create(made)
    if made:
        _learn_anew(project)
    return made


@transaction.atomic
def change(*, label: Label, values: Mapping[str, Any], now: datetime) -> Label:
    """Rename, describe, give a key or colour, archive or bring back; answers that gave the label keep it.

    `values`: any of name, description, hotkey, color and archived (bool). Raises BadField, or Conflict where
    a name or key is taken.
    """
    before = (label.name, label.description, label.archived_at)
    _set(label, values)
    if "archived" in values:
        label.archived_at = (label.archived_at or now) if values["archived"] else None
    _refuse_taken(label, list(Label.objects.filter(project=label.project_id).exclude(pk=label.pk)))
    try:
        with transaction.atomic():
            label.save()
    except IntegrityError:
        raise _name_taken(label.name) from None
    if (label.name, label.description, label.archived_at) != before:
        _learn_anew(label.project)
    return label


@transaction.atomic
def remove(*, label: Label, now: datetime) -> bool:
    """Delete the label if nothing ever used it, else archive it. Returns whether it was deleted."""
    if _is_used(label):
        change(label=label, values={"archived": True}, now=now)
        return False
    label.delete()
    return True


def _set(label: Label, values: Mapping[str, Any]) -> None:
    if "name" in values:
        label.name = _name(values["name"])
    if "description" in values:
        label.description = values["description"].strip()
    if "hotkey" in values:
        label.hotkey = _hotkey(values["hotkey"])
    if "color" in values:
        label.color = _color(values["color"])


def _name(value: str) -> str:
    name = value.strip()
    if not 0 < len(name) <= 200 or any(ord(character) < 32 for character in name):
        raise BadField("name", _("Give the label a name of 1 to 200 characters, on one line."))
    return name


def _hotkey(value: str) -> str:
    key = value.strip().lower()
    if not key:
        return ""
    if len(key) != 1 or not key.isalnum():
        raise BadField("hotkey", _("A key is one letter or digit."))
    if key in TAKEN_KEYS:
        message = _("“%(key)s” does something else on the labelling page. Choose another.")
        raise BadField("hotkey", message % {"key": key.upper()})
    return key


def _color(value: str) -> str:
    color = value.strip().lower()
    if color and not re.fullmatch(r"#[0-9a-f]{6}", color):
        raise BadField("color", _("Give a colour like #2f5bd7."))
    return color


def _refuse_taken(label: Label, others: Iterable[Label]) -> None:
    for other in others:
        if other.name == label.name:
            raise _name_taken(label.name)
        in_use = label.hotkey and not label.archived_at and not other.archived_at
        if in_use and other.hotkey == label.hotkey:
            message = _("The key “%(key)s” belongs to “%(name)s”. Choose another.")
            message %= {"key": label.hotkey, "name": other.name}
            raise Conflict(message, {"hotkey": message})


def _name_taken(name: str) -> Conflict:
    message = _("There is a label “%(name)s” already.") % {"name": name}
    return Conflict(message, {"name": message})


def _next_position(project: Project) -> int:
    last = Label.objects.filter(project=project).aggregate(last=Max("position"))["last"]
    return 0 if last is None else last + 1


def _is_used(label: Label) -> bool:
    """Whether a row names the label, or a prediction may: then its position must not be given to another."""
    by_rows = (
        Rule.objects.filter(label=label),
        Answer.objects.filter(label=label),
        Answer.objects.filter(suggested=label),
        Item.objects.filter(label=label),
        Acceptance.objects.filter(label=label),
        Reference.objects.filter(label=label),
        Mark.objects.filter(label=label),
        Snapshot.objects.filter(project=label.project_id),
        Job.objects.filter(project=label.project_id, state__in=[Job.State.QUEUED, Job.State.RUNNING]),
    )
    return any(rows.exists() for rows in by_rows)


def _learn_anew(project: Project) -> None:
    """Names and descriptions are what the model knows a label by before it has answers."""
    if Item.objects.filter(project=project).exists():
        dispatch.start(project, Job.Kind.ADAPT)
