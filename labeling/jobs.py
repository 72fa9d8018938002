"""Jobs: claiming a job, saying how far it is, ending it. A killed worker's job can be claimed again."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial

from django.db import IntegrityError, close_old_connections, connection, connections, transaction
from django.db.models import F, Q
from django.utils import timezone

from labeling import live
from labeling.dispatch import SILENT_AFTER
from labeling.errors import Cancelled
from labeling.models import Job

HEARTBEAT_SECONDS = 4.0
REPORT_SECONDS = 0.4


def claim(job_id: int, now: datetime) -> Job | None:
    """Take the job if nobody works on it, else None.

    Of the coalesced kinds only one runs per project: the waiting one stays waiting until that one has ended.
    """
    free = Q(state=Job.State.QUEUED) | Q(state=Job.State.RUNNING, heartbeat_at__lt=now - SILENT_AFTER)
    try:
        with transaction.atomic():
            taken = Job.objects.filter(free, pk=job_id).update(
                state=Job.State.RUNNING, started_at=now, heartbeat_at=now, attempt=F("attempt") + 1, error=""
            )
    except IntegrityError:
        return None
    return Job.objects.select_related("project", "created_by").get(pk=job_id) if taken else None


class Progress:
    """How far a job is; told to whoever watches, at most every 0.4 s, and the place where a cancel is noticed."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self._told = 0.0

    def __call__(self, done: int, total: int = 0, unit: str = "") -> None:
        """Say that `done` of `total` units are done (total 0: not known). Raises Cancelled if asked to stop."""
        if time.monotonic() - self._told < REPORT_SECONDS:
            return
        self._told = time.monotonic()
        Job.objects.filter(pk=self.job.pk, attempt=self.job.attempt).update(
            done=done, total=total, unit=unit, heartbeat_at=timezone.now()
        )
        live.publish(self.job.project_id, "job", describe(Job.objects.get(pk=self.job.pk)))
        self.check()

    def check(self) -> None:
        """Raise Cancelled if somebody asked the job to stop."""
        if Job.objects.filter(pk=self.job.pk, cancel_requested_at__isnull=False).exists():
            raise Cancelled


@contextmanager
def heartbeat(job: Job) -> Iterator[None]:
    """Keep saying that the job's worker is alive while the block runs, from a thread of its own."""
    ended = threading.Event()
    # A thread has its own connection; with an in-memory test database it would see another database.
    thread = threading.Thread(target=_beat, args=(job.pk, job.attempt, ended), daemon=True)
    if not connection.in_atomic_block:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        if thread.ident is not None:
            thread.join()


def end(job: Job, state: str, error: str = "") -> None:
    """Close the job and, once that is committed, tell whoever watches."""
    mine = Job.objects.filter(pk=job.pk, attempt=job.attempt, state=Job.State.RUNNING)
    if not mine.update(state=state, error=error, finished_at=timezone.now()):
        return  # taken for dead meanwhile, and another worker goes on with it
    if state == Job.State.DONE:
        Job.objects.filter(pk=job.pk, total__gt=0).update(done=F("total"))
    ended = describe(Job.objects.get(pk=job.pk))
    transaction.on_commit(partial(live.publish, job.project_id, "job", ended))


def cancel(job: Job) -> None:
    """Ask the job to stop: at once while it waits, else at its next progress report."""
    now = timezone.now()
    Job.objects.filter(pk=job.pk, state__in=[Job.State.QUEUED, Job.State.RUNNING]).update(cancel_requested_at=now)
    if Job.objects.filter(pk=job.pk, state=Job.State.QUEUED).update(state=Job.State.CANCELLED, finished_at=now):
        live.publish(job.project_id, "job", describe(Job.objects.get(pk=job.pk)))


def describe(job: Job) -> dict[str, object]:
    """The job in plain values, as pages and the API show it."""
    return {
        "id": job.pk,
        "kind": job.kind,
        "state": job.state,
        "done": job.done,
        "total": job.total,
        "unit": job.unit,
        "error": job.error,
        "result": job.result,
        "created_at": job.created_at.isoformat(),
        "finished_at": job.finished_at.isoformat() if job.finished_at else None,
    }


def _beat(job_id: int, attempt: int, ended: threading.Event) -> None:
    while not ended.wait(HEARTBEAT_SECONDS):
        close_old_connections()
        running = Job.objects.filter(pk=job_id, attempt=attempt, state=Job.State.RUNNING)
        running.update(heartbeat_at=timezone.now())
    connections.close_all()
