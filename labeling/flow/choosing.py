"""Choosing: which checkpoint a project begins with, and which snapshot it goes by."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext as _

from labeling import checkpoints, dispatch, suggestions
from labeling.errors import Conflict
from labeling.models import Checkpoint, Job, Project, Snapshot, User


@transaction.atomic
def choose(*, project: Project, checkpoint: Checkpoint | None) -> Project:
    """Let the project begin with this checkpoint from now on; None: with the one in use. It adapts anew.

    Raises Conflict for one that was refused, or that fits neither the recipe nor the project's encoder.
    """
    _refuse_unfit(checkpoint, project)
    Project.objects.filter(pk=project.pk).update(checkpoint=checkpoint)
    project.checkpoint = checkpoint
    dispatch.start(project, Job.Kind.ADAPT)
    return project


@transaction.atomic
def use(*, checkpoint: Checkpoint, now: datetime) -> Checkpoint:
    """Make this the checkpoint in use; projects without one of their own take it up when they next adapt.

    Going back to an earlier one is the same. Raises Conflict for one that was refused or is of another recipe.
    """
    _refuse_unfit(checkpoint)
    Checkpoint.objects.filter(pk=checkpoint.pk).update(chosen_at=now)
    checkpoint.chosen_at = now
    return checkpoint


@transaction.atomic
def pin(*, project: Project, snapshot: Snapshot | None) -> Project:
    """Go by this earlier snapshot: its suggestions are shown and reviewed, and the queue asks where it is unsure.

    Answers go on counting and newer snapshots are still made, but nobody sees them until the pin is taken away (None).
    Raises Conflict where what the snapshot said is no longer kept.
    """
    if snapshot is not None and not suggestions.has_arrays(snapshot):
        message = _("What snapshot %(number)d said is no longer kept. Choose a newer one.")
        raise Conflict(message % {"number": snapshot.number}, {"snapshot": message % {"number": snapshot.number}})
    Project.objects.filter(pk=project.pk).update(pinned=snapshot)
    project.pinned = snapshot
    # The queue is filled anew behind the adaptation.
    dispatch.start(project, Job.Kind.ADAPT)
    return project


def compare(*, project: Project, first: Checkpoint, second: Checkpoint, by: User) -> Job:
    """Begin to compare two checkpoints on the project's answers so far; the job's result tells how it went out.

    Raises Conflict where both are the same.
    """
    if first.pk == second.pk:
        message = _("Choose two different models to compare.")
        raise Conflict(message, {"second": message})
    return dispatch.start(project, Job.Kind.COMPARE, {"first": first.pk, "second": second.pk}, by=by)


def _refuse_unfit(checkpoint: Checkpoint | None, project: Project | None = None) -> None:
    if checkpoint is None:
        return
    reason = checkpoints.obstacle(checkpoint, project)
    if checkpoint.state != Checkpoint.State.READY:
        reason = _("“%(name)s” was not better than the one before it, so it cannot be used.") % {"name": checkpoint}
    if reason:
        raise Conflict(reason, {"checkpoint": reason})
