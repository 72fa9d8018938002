"""Founding: a project begins, changes its settings, and ends."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from django.core.files.storage import default_storage
from django.db import models, router, transaction
from django.utils.translation import gettext as _

from labeling import dispatch, encoders, jobs
from labeling.errors import BadField, Conflict
from labeling.models import (
    Acceptance,
    Answer,
    Ask,
    Audit,
    BadRow,
    Batch,
    Candidate,
    Certificate,
    Comment,
    Export,
    Gold,
    Invitation,
    Item,
    Job,
    Label,
    Lease,
    Mark,
    Member,
    Project,
    Reference,
    Role,
    Skills,
    Snapshot,
    Tally,
    Upload,
    User,
)

SETTINGS = (
    "name",
    "description",
    "guidelines",
    "show_suggestions",
    "goal_accuracy",
    "lease_seconds",
    "random_share",
    "overlap",
    "overlap_mode",
    "overlap_share",
    "sure_enough",
    "consensus",
    "visibility",
    "gold_share",
    "gold_threshold",
    "gold_pause",
    "training_items",
    "tunes",
    "encoder",
    "contributes",
    "reuses",
)
LEASE_SECONDS = (30, 24 * 60 * 60)  # shortest and longest
MOST_OVERLAP = 15  # answers to one item
MOST_TRAINING = 200  # items
WEIGHED_BY = {"overlap", "overlap_mode", "overlap_share", "sure_enough", "consensus"}  # what standings hang on
DELETED_AT_ONCE = 20_000  # rows in one transaction, so that nobody waits long for the write lock

# Children before their parents. Django's own cascade would load every row, and stops at the protected ones.
_ROWS: tuple[tuple[type[models.Model], str], ...] = (
    (Acceptance, "project"),
    (Batch, "project"),
    (Audit, "certificate__project"),
    (Certificate, "project"),
    (Ask, "project"),
    (Answer, "project"),
    (Mark, "project"),
    (Lease, "project"),
    (Candidate, "project"),
    (Comment, "project"),
    (Gold, "project"),
    (Skills, "project"),
    (Reference, "item__project"),
    (Item, "project"),
    (Snapshot, "project"),
    (BadRow, "job__project"),
    (Export, "project"),
    (Job, "project"),
    (Upload, "project"),
    (Invitation, "project"),
    (Label, "project"),
    (Tally, "project"),
)


@transaction.atomic
def found(*, creator: User, name: str, modality: str, **settings: Any) -> Project:
    """Begin a project; its creator becomes its admin. `settings` are any of SETTINGS.

    Raises BadField for a value that cannot be used.
    """
    values = {**settings, "name": name}
    if modality not in Project.Modality.values:
        raise BadField("modality", _("Choose text or images."))
    _check(values, modality)
    project = Project.objects.create(modality=modality, created_by=creator, **_clean(values))
    Tally.objects.create(project=project)
    Member.objects.create(project=project, user=creator, role=Role.ADMIN)
    return project


@transaction.atomic
def change(*, project: Project, settings: Mapping[str, Any]) -> Project:
    """Change settings; another encoder embeds all items anew, another random share fills the queue anew.

    Another overlap or consensus says anew where the items stand that people have answered.

    Raises BadField for a value that cannot be used.
    """
    _check(settings, project.modality)
    clean = _clean(settings)
    if not clean.get("encoder", "named") and not project.encoder_fixed:
        del clean["encoder"]  # chosen by the data, as it was
    changed = {name: value for name, value in clean.items() if getattr(project, name) != value}
    if not changed:
        return project
    for name, value in changed.items():
        setattr(project, name, value)
    project.save(update_fields=list(changed))
    if Item.objects.filter(project=project).exists():
        if "encoder" in changed:
            dispatch.start(project, Job.Kind.EMBED)
        elif ({"random_share", "reuses", "tunes"} | WEIGHED_BY) & set(changed):
            dispatch.start(project, Job.Kind.ADAPT)
    return project


def finish(*, project: Project, finished: bool, now: datetime, contributes: bool | None = None) -> Project:
    """Say that the project is finished, or goes on after all, and whether other projects may learn from its answers.

    Nothing else changes: a finished project can still be labelled, reviewed and exported.
    """
    project.finished_at = (project.finished_at or now) if finished else None
    if contributes is not None:
        project.contributes = contributes
    project.save(update_fields=["finished_at", "contributes"])
    return project


def dissolve(*, project: Project, by: User, name: str) -> None:
    """Delete the project with all its rows and files; `name` must be typed exactly.

    The others lose sight of it first, then the rows go slice by slice; where it is interrupted, `by` still
    sees what is left and can go on. Raises Conflict where the name is not the project's.
    """
    if name != project.name:
        raise Conflict(_("Type the project's name exactly to delete it."), {"name": _("This is another name.")})
    Member.objects.filter(project=project).exclude(user=by).delete()
    for job in Job.objects.filter(project=project, state__in=[Job.State.QUEUED, Job.State.RUNNING]):
        jobs.cancel(job)
    Project.objects.filter(pk=project.pk).update(pinned=None, contributes=False)
    for model, path in _ROWS:
        _delete_slices(model, {path: project.pk})
    with transaction.atomic():
        # What a worker wrote while we deleted goes here, with the project itself.
        for model, path in _ROWS:
            _delete(model._default_manager.filter(**{path: project.pk}))
        Member.objects.filter(project=project).delete()
        _delete(Project.objects.filter(pk=project.pk))
    _delete_files(f"projects/{project.pk}")


def _check(values: Mapping[str, Any], modality: str) -> None:
    unknown = set(values) - set(SETTINGS)
    if unknown:
        raise TypeError(f"these are no settings of a project: {sorted(unknown)}")
    if "name" in values and not 0 < len(str(values["name"]).strip()) <= 200:
        raise BadField("name", _("Give the project a name of at most 200 characters."))
    _within(values, "goal_accuracy", 0.5, 1, _("Give an accuracy from 0.5 to 1."))
    _within(values, "random_share", 0, 1, _("Give a share from 0 to 1."))
    low, high = LEASE_SECONDS
    message = _("Give between %(low)s and %(high)s seconds.") % {"low": low, "high": high}
    _within(values, "lease_seconds", low, high, message)
    _check_overlap(values)
    if values.get("encoder", "").strip():
        encoders.check(values["encoder"].strip(), modality)


def _check_overlap(values: Mapping[str, Any]) -> None:
    whole = _("Give a whole number from %(low)s to %(high)s.")
    _within(values, "overlap", 1, MOST_OVERLAP, whole % {"low": 1, "high": MOST_OVERLAP})
    _within(values, "training_items", 0, MOST_TRAINING, whole % {"low": 0, "high": MOST_TRAINING})
    _within(values, "overlap_share", 0, 1, _("Give a share from 0 to 1."))
    _within(values, "sure_enough", 0.5, 0.999, _("Give a probability from 0.5 to 0.999."))
    _within(values, "gold_share", 0, 0.5, _("Give a share from 0 to 0.5."))
    _within(values, "gold_threshold", 0, 1, _("Give an accuracy from 0 to 1."))
    for name, known in (
        ("overlap_mode", Project.Overlap),
        ("consensus", Project.Consensus),
        ("visibility", Project.Visibility),
    ):
        if name in values and values[name] not in known.values:
            raise BadField(name, _("Choose one of %(known)s.") % {"known": ", ".join(known.values)})


def _within(values: Mapping[str, Any], name: str, low: float, high: float, message: str) -> None:
    if name in values and not (math.isfinite(values[name]) and low <= values[name] <= high):
        raise BadField(name, message)


def _clean(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values as they are stored. Who names an encoder fixes it."""
    clean = {name: value.strip() if isinstance(value, str) else value for name, value in values.items()}
    return clean | {"encoder_fixed": bool(clean["encoder"])} if "encoder" in clean else clean


def _delete_slices(model: type[models.Model], where: Mapping[str, int]) -> None:
    while some := list(model._default_manager.filter(**where).values_list("pk", flat=True)[:DELETED_AT_ONCE]):
        with transaction.atomic():
            for ids in _portions(some):
                _delete(model._default_manager.filter(pk__in=ids))


def _portions(ids: list[int], size: int = 5_000) -> Iterable[list[int]]:
    return (ids[start : start + size] for start in range(0, len(ids), size))


def _delete(rows: models.QuerySet[Any]) -> None:
    # Not .delete(): that collects every row and its relatives in memory first.
    rows._raw_delete(router.db_for_write(rows.model))


def _delete_files(folder: str) -> None:
    try:
        folders, files = default_storage.listdir(folder)
    except FileNotFoundError:
        return
    for name in files:
        default_storage.delete(f"{folder}/{name}")
    for name in folders:
        _delete_files(f"{folder}/{name}")
    default_storage.delete(folder)
