"""A process of its own that accepts thousands of suggestions, or answers among them.

`python -m tests.flow.accepting WHAT`, where WHAT is one of the functions below.

Prints a line of JSON for each step, so that whoever started it knows when to strike.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import timedelta

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "annotator.settings")

import django

django.setup()

from django.core.management import call_command
from django.utils import timezone

from labeling import jobs, standing, tasks
from labeling.flow import answering, reviewing
from labeling.models import Acceptance, Batch, Item, Job, Project, Status
from tests import factories, make

ITEMS = 2000
EACH = 20  # every so-manieth item is answered by a person
reviewing.IN_REQUEST, reviewing.CHUNK = 500, 100  # so that fewer items already take many chunks


class Loud(jobs.Progress):
    """Tells of every chunk, on standard output too."""

    def __call__(self, done: int, total: int = 0, unit: str = "") -> None:
        self._told = 0.0
        super().__call__(done, total, unit)
        say({"done": done, "total": total})


def say(what: object) -> None:
    """One line, at once."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def begin() -> None:
    """A new database with a project whose every suggestion is to be accepted by a job."""
    call_command("migrate", verbosity=0, interactive=False)
    project = factories.project(ITEMS)
    snapshot = factories.snapshot(project, [0.9] * ITEMS)
    choice = reviewing.Choice(snapshot, 0.5)
    _batch, job = reviewing.accept(project=project, reviewer=make.user(), choice=choice, now=timezone.now())
    say(job.pk if job else None)


def run() -> None:
    """Run the job, whoever is said to work on it: as when the one who did has been silent for long."""
    Job.objects.filter(heartbeat_at__isnull=False).update(heartbeat_at=timezone.now() - timedelta(minutes=9))
    tasks.jobs.Progress = Loud  # type: ignore[misc]
    tasks.run(Job.objects.get(kind=Job.Kind.ACCEPT).pk)


def answer() -> None:
    """Answer every so-manieth item, from the last to the first."""
    project, anna = Project.objects.get(), make.user("anna")
    label = factories.label(project, 2)
    for item in Item.objects.filter(row__in=range(0, ITEMS, EACH)).order_by("-row"):
        answering.submit(project=project, item=item, author=anna, label=label, now=timezone.now())
        say(item.row)


def tell() -> None:
    """What there is now."""
    project = Project.objects.select_related("tally").get()
    answered = Item.objects.filter(status=Status.ANSWERED)
    say(
        {
            "tally": {name: getattr(project.tally, name) for name in ("open", "answered", "imported", "accepted")},
            "counted": standing.counted(project),
            "accepted": Acceptance.objects.filter(withdrawn_at=None).count(),
            "batch": Batch.objects.get().count,
            "answered": sorted(answered.values_list("row", flat=True)),
            "labels": sorted(set(answered.values_list("label__name", flat=True))),
            "job": Job.objects.get(kind=Job.Kind.ACCEPT).state,
        }
    )


if __name__ == "__main__":
    {"begin": begin, "run": run, "answer": answer, "tell": tell}[sys.argv[1]]()
