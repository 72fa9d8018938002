"""Tasks: the learning loop, as Celery runs it. Find the rows, call the step, start what follows."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

from celery import shared_task
from celery.signals import worker_init, worker_process_init
from django.conf import settings
from django.db import transaction
from django.utils import timezone, translation

from labeling import dispatch, jobs, tunings
from labeling.errors import Cancelled, Refused
from labeling.models import Job, Project

logger = logging.getLogger(__name__)

# The steps of each kind of job: a module's `run`, or what stands behind a colon. Imported when first run: a web process
# that only sends jobs never loads torch.
STEPS = {
    Job.Kind.IMPORT: ("labeling.flow.importing",),
    Job.Kind.EMBED: ("labeling.flow.comparing", "labeling.flow.embedding", "labeling.flow.ruling"),
    Job.Kind.ADAPT: (
        "labeling.flow.judging",
        "labeling.flow.auditing",
        "labeling.flow.adapting",
        "labeling.flow.queueing",
    ),
    Job.Kind.VOTE: ("labeling.flow.ruling",),
    Job.Kind.TUNE: ("labeling.flow.tuning",),
    Job.Kind.ACCEPT: ("labeling.flow.reviewing",),
    Job.Kind.EXPORT: ("labeling.flow.exporting",),
    Job.Kind.COMPARE: ("labeling.flow.adapting:compare",),
    Job.Kind.IMPROVE: ("labeling.flow.improving",),
}
# The loop: what a finished job is followed by. Answers queue an adaptation of their own; now and then one is followed
# by a tuning of the encoder, which the next adaptation hears of.
FOLLOWED_BY = {
    Job.Kind.IMPORT: Job.Kind.EMBED,
    Job.Kind.EMBED: Job.Kind.ADAPT,
    Job.Kind.VOTE: Job.Kind.ADAPT,
    Job.Kind.TUNE: Job.Kind.ADAPT,
}


@shared_task(name=dispatch.TASK)
def run(job_id: int) -> None:
    """Run one job, if nobody else does. May be called twice for the same job: the second finds it claimed."""
    job = jobs.claim(job_id, timezone.now())
    if job is None:
        return
    # In the language of whoever asked; so is what follows it.
    with translation.override(job.language or settings.LANGUAGE_CODE):
        with jobs.heartbeat(job):
            state, error = _attempt(job)
        _finish(job, state, error)


@shared_task
def resend() -> None:
    """Send again the jobs that nobody claimed or whose worker died."""
    dispatch.resend()


@shared_task
def sweep() -> None:
    """Take back leases that ran out."""
    from labeling.flow import queueing

    queueing.sweep(now=timezone.now())


@shared_task
def improve() -> None:
    """Each night: learn from what contributing projects answered since the last time."""
    from labeling.flow import improving

    improving.nightly()


def _attempt(job: Job) -> tuple[str, str]:
    try:
        for step in _steps(job):
            step(job, jobs.Progress(job))
    except Cancelled:
        return Job.State.CANCELLED, ""
    except Refused as refusal:
        return Job.State.FAILED, str(refusal)
    except Exception as error:
        # The one place where any error ends: it is logged whole and shown on the job.
        logger.exception("job %s (%s) failed", job.pk, job.kind)
        return Job.State.FAILED, f"{type(error).__name__}: {error}"
    return Job.State.DONE, ""


def _finish(job: Job, state: str, error: str) -> None:
    with transaction.atomic():
        jobs.end(job, state, error)
        if state != Job.State.FAILED and job.kind in FOLLOWED_BY:
            dispatch.start(job.project, FOLLOWED_BY[Job.Kind(job.kind)])
        if job.kind == Job.Kind.ADAPT and state == Job.State.DONE and (arguments := tunings.due(job.project)):
            dispatch.start(job.project, Job.Kind.TUNE, arguments)
        if job.kind == Job.Kind.ADAPT and _comparing_is_due(job):
            dispatch.start(job.project, Job.Kind.EMBED)  # begins by comparing encoders
        # One that waited for this one to end was turned away when it was sent.
        for waiting in Job.objects.filter(project=job.project, kind=job.kind, state=Job.State.QUEUED):
            transaction.on_commit(partial(dispatch.send, waiting.pk, *dispatch.slowly(job.kind)))


def _comparing_is_due(job: Job) -> bool:
    from labeling.flow import comparing

    return comparing.due(Project.objects.get(pk=job.project_id))


def _steps(job: Job) -> list[Callable[[Job, jobs.Progress], Any]]:
    named = (name.partition(":") for name in STEPS[Job.Kind(job.kind)])
    return [getattr(import_module(module), step or "run") for module, _, step in named]


@worker_init.connect
def _load_steps(**_: Any) -> None:
    """Load every step before the worker forks: its processes share that memory, and no first job waits for it."""
    for steps in STEPS.values():
        for name in steps:
            import_module(name.partition(":")[0])


@worker_process_init.connect
def _use_one_thread(**_: Any) -> None:
    """One thread for each process: two on a busy machine are far slower than one."""
    import torch

    torch.set_num_threads(1)
