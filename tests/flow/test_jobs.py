"""Jobs: claimed once, claimed again after a worker's death, and given up when they kill every worker."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from labeling import dispatch, jobs
from labeling.errors import Cancelled
from labeling.models import Job, Project
from tests import make

pytestmark = pytest.mark.django_db


@pytest.fixture
def project() -> Project:
    return make.project(labels=["yes"], texts=["one"])


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers that were handed to the broker."""
    numbers: list[int] = []
    monkeypatch.setattr(dispatch, "send", numbers.append)
    return numbers


def queued(project: Project, kind: str = Job.Kind.EXPORT) -> Job:
    return Job.objects.create(project=project, kind=kind, created_at=timezone.now())


def fall_silent(job: Job) -> None:
    Job.objects.filter(pk=job.pk).update(heartbeat_at=timezone.now() - dispatch.SILENT_AFTER - timedelta(seconds=1))


def test_a_job_is_claimed_once(project: Project) -> None:
    job = queued(project)
    assert jobs.claim(job.pk, timezone.now()) is not None
    assert jobs.claim(job.pk, timezone.now()) is None


def test_a_silent_workers_job_is_sent_and_claimed_again(project: Project, sent: list[int]) -> None:
    job = queued(project)
    jobs.claim(job.pk, timezone.now())
    dispatch.resend()
    assert sent == []
    fall_silent(job)
    dispatch.resend()
    assert sent == [job.pk]
    again = jobs.claim(job.pk, timezone.now())
    assert again is not None
    assert again.attempt == 2


def test_a_worker_taken_for_dead_cannot_end_its_successors_job(project: Project) -> None:
    job = queued(project)
    first = jobs.claim(job.pk, timezone.now())
    fall_silent(job)
    second = jobs.claim(job.pk, timezone.now())
    assert first is not None
    assert second is not None
    jobs.end(first, Job.State.CANCELLED)
    job.refresh_from_db()
    assert job.state == Job.State.RUNNING
    jobs.end(second, Job.State.DONE)
    job.refresh_from_db()
    assert job.state == Job.State.DONE


def test_a_job_that_kills_every_worker_is_given_up_with_the_reason(project: Project, sent: list[int]) -> None:
    job = queued(project)
    for _ in range(dispatch.MOST_ATTEMPTS):
        assert jobs.claim(job.pk, timezone.now()) is not None
        fall_silent(job)
    dispatch.resend()
    job.refresh_from_db()
    assert (job.state, sent) == (Job.State.FAILED, [])
    assert "memory" in job.error


def test_one_adaptation_runs_at_a_time_and_the_next_waits(project: Project) -> None:
    first = dispatch.start(project, Job.Kind.ADAPT)
    assert dispatch.start(project, Job.Kind.ADAPT).pk == first.pk
    assert jobs.claim(first.pk, timezone.now()) is not None
    second = dispatch.start(project, Job.Kind.ADAPT)
    assert second.pk != first.pk
    assert jobs.claim(second.pk, timezone.now()) is None
    second.refresh_from_db()
    assert second.state == Job.State.QUEUED


def test_a_cancel_is_noticed_at_the_next_report(project: Project) -> None:
    claimed = jobs.claim(queued(project).pk, timezone.now())
    assert claimed is not None
    jobs.cancel(claimed)
    with pytest.raises(Cancelled):
        jobs.Progress(claimed)(1, 2, "rows")


def test_a_waiting_job_is_cancelled_at_once(project: Project) -> None:
    job = queued(project)
    jobs.cancel(job)
    assert jobs.claim(job.pk, timezone.now()) is None
    job.refresh_from_db()
    assert job.state == Job.State.CANCELLED


def test_held_back_jobs_are_queued_but_not_sent(project: Project, django_capture_on_commit_callbacks: object) -> None:
    with dispatch.held_back():
        job = dispatch.start(project, Job.Kind.EXPORT)
    job.refresh_from_db()
    assert job.state == Job.State.QUEUED
