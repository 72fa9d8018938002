"""Dispatch: the only sender of jobs. A job is a row first; its number is sent after the commit."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from celery import current_app
from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import get_language, gettext, override
from kombu.exceptions import OperationalError

from labeling import prepared
from labeling.models import Job, Project, User

logger = logging.getLogger(__name__)
TASK = "labeling.tasks.run"
SILENT_AFTER = timedelta(seconds=20)  # a running job whose worker has not been heard for so long is taken for dead
MOST_ATTEMPTS = 8  # a job whose worker ended so often is given up
COALESCED = (Job.Kind.EMBED, Job.Kind.ADAPT, Job.Kind.VOTE, Job.Kind.TUNE)
SLOW = (Job.Kind.TUNE,)  # minutes, and nobody waits for them: they have workers of their own, so that nothing else does
QUICK_QUEUE, SLOW_QUEUE = "celery", "slow"
SLOW_AGAIN_SECONDS, BEAT_SECONDS = 60, 5  # what waits for a slow worker is sent again less often than the clock beats

_held_back: ContextVar[bool] = ContextVar("held_back", default=False)


def start(project: Project, kind: str, arguments: dict[str, Any] | None = None, by: User | None = None) -> Job:
    """Queue a job, to be sent when the transaction around it commits.

    Embedding, adapting, applying rules and tuning are coalesced: where one is waiting already, that one is returned,
    and what was asked for in between is folded into it.
    """
    if kind in COALESCED and (waiting := _waiting(project, kind)):
        return waiting
    try:
        with transaction.atomic():
            job = Job.objects.create(
                project=project,
                kind=kind,
                arguments=arguments or {},
                created_by=by,
                language=get_language() or "",
                created_at=timezone.now(),
            )
    except IntegrityError:
        # Someone else queued the same between our look and our insert.
        if waiting := _waiting(project, kind):
            return waiting
        raise
    transaction.on_commit(partial(send, job.pk, *slowly(kind)), robust=True)
    return job


@contextmanager
def held_back() -> Iterator[None]:
    """Within the block jobs are queued but not sent: whoever opens it runs the steps himself."""
    token = _held_back.set(True)
    try:
        yield
    finally:
        _held_back.reset(token)


def send(job_id: int, queue: str = QUICK_QUEUE) -> None:
    """Hand a job's number to the broker. Where the broker is away, `resend` does it later."""
    if _held_back.get():
        return
    try:
        current_app.send_task(TASK, args=[job_id], queue=queue)
    except (OperationalError, ConnectionError, OSError) as error:
        logger.warning("job %s could not be sent now (%s); it will be sent again", job_id, error)


def resend() -> int:
    """Send again what nobody claimed, and what a worker that died had claimed. Returns how many."""
    now = timezone.now()
    silent = now - SILENT_AFTER
    _give_up(silent)
    lost = Job.objects.filter(
        Q(state=Job.State.QUEUED, created_at__lt=now - timedelta(seconds=4))
        | Q(state=Job.State.RUNNING, heartbeat_at__lt=silent)
    )
    sent = 0
    for job in lost.order_by("pk").only("pk", "kind", "state", "created_at"):
        age = (now - job.created_at).total_seconds()
        if job.kind in SLOW and job.state == Job.State.QUEUED and age % SLOW_AGAIN_SECONDS >= BEAT_SECONDS:
            continue
        send(job.pk, *slowly(job.kind))
        sent += 1
    return sent


def slowly(kind: str) -> tuple[str, ...]:
    """The queue of a slow kind, as the argument of `send`; nothing for the others."""
    return (SLOW_QUEUE,) if kind in SLOW else ()


def _give_up(silent: datetime) -> None:
    """Fail what has ended its worker again and again: it would do so for ever, and nothing else would get done."""
    hopeless = Job.objects.filter(state=Job.State.RUNNING, heartbeat_at__lt=silent, attempt__gte=MOST_ATTEMPTS)
    for language in list(hopeless.values_list("language", flat=True).distinct()):
        with override(language or settings.LANGUAGE_CODE):
            why = gettext(
                "The worker ended %(count)d times in the middle of this. See its log; there may be too little memory."
            )
        ended = {"state": Job.State.FAILED, "finished_at": timezone.now(), "error": why % {"count": MOST_ATTEMPTS}}
        hopeless.filter(language=language).update(**ended)


def _waiting(project: Project, kind: str) -> Job | None:
    return _queued.first(project=project.pk, kind=kind)


@prepared.rows(project=prepared.ID, kind=prepared.TEXT)
def _queued(project: Any, kind: Any) -> QuerySet[Job]:
    return Job.objects.filter(project=project, kind=kind, state=Job.State.QUEUED).order_by("pk")
