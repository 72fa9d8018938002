"""Job: work done in the background. The truth about it is here; the broker only carries its number."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Job(models.Model):
    """One piece of background work.

    `arguments` is what it was asked; `result` what it has done so far, written in the same transaction as the
    work itself so that a second run goes on where the first was killed.
    """

    class Kind(models.TextChoices):
        """What a job does; labeling/tasks.py has one step for each."""

        IMPORT = "import", _("Import")
        EMBED = "embed", _("Embed")
        ADAPT = "adapt", _("Adapt")
        VOTE = "vote", _("Apply rules")
        TUNE = "tune", _("Tune the encoder")
        ACCEPT = "accept", _("Accept")
        EXPORT = "export", _("Export")
        COMPARE = "compare", _("Compare")
        IMPROVE = "improve", _("Improve")

    class State(models.TextChoices):
        """Where it stands."""

        QUEUED = "queued", _("Waiting")
        RUNNING = "running", _("Running")
        DONE = "done", _("Done")
        FAILED = "failed", _("Failed")
        CANCELLED = "cancelled", _("Cancelled")

    project = models.ForeignKey("Project", models.CASCADE, related_name="jobs")
    kind = models.CharField(max_length=16, choices=Kind.choices)
    state = models.CharField(max_length=16, choices=State.choices, default=State.QUEUED)
    arguments = models.JSONField(default=dict)
    result = models.JSONField(default=dict)
    done = models.PositiveBigIntegerField(default=0)
    total = models.PositiveBigIntegerField(default=0)  # 0: not known yet
    unit = models.CharField(max_length=16, blank=True)  # rows, bytes, items
    error = models.TextField(blank=True)  # for people; says the way out
    attempt = models.PositiveIntegerField(default=0)
    cancel_requested_at = models.DateTimeField(null=True)
    created_by = models.ForeignKey("User", models.SET_NULL, null=True)
    language = models.CharField(max_length=16, blank=True, default="", db_default="")  # its messages are in it
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    heartbeat_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["state", "heartbeat_at"], name="jobs_to_send_again"),
            models.Index(fields=["project", "-id"], name="jobs_of_project"),
        ]
        constraints = [
            # Coalescing: at most one waiting and one running of these, per project.
            models.UniqueConstraint(
                fields=["project", "kind", "state"],
                condition=models.Q(kind__in=["embed", "adapt", "vote", "tune"], state__in=["queued", "running"]),
                name="one_waiting_and_one_running",
            ),
            # On the whole server: each would train on all contributing projects.
            models.UniqueConstraint(
                fields=["kind", "state"],
                condition=models.Q(kind="improve", state__in=["queued", "running"]),
                name="one_improvement_at_a_time",
            ),
        ]


class Upload(models.Model):
    """A file that somebody uploaded, before and after it is imported."""

    project = models.ForeignKey("Project", models.CASCADE, related_name="uploads")
    name = models.CharField(max_length=255)
    path = models.CharField(max_length=255)  # in file storage
    size = models.PositiveBigIntegerField()  # bytes
    created_by = models.ForeignKey("User", models.PROTECT)
    created_at = models.DateTimeField()


class BadRow(models.Model):
    """A row that an import left out, and why."""

    job = models.ForeignKey(Job, models.CASCADE, related_name="bad_rows")
    number = models.PositiveBigIntegerField()  # 1 first, as a person counts
    column = models.CharField(max_length=255, blank=True)
    reason = models.TextField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["job", "number", "column"], name="bad_row_once")]


class Export(models.Model):
    """An exported file; `job` makes it."""

    project = models.ForeignKey("Project", models.CASCADE, related_name="exports")
    job = models.OneToOneField(Job, models.CASCADE, related_name="export")
    name = models.CharField(max_length=255)
    path = models.CharField(max_length=255, blank=True)  # in file storage, once it is done
    size = models.PositiveBigIntegerField(default=0)  # bytes
    created_at = models.DateTimeField()
