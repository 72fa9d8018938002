"""A process of its own that imports or exports, to be killed: `python -m tests.flow.crashing WHAT ...`.

Prints a line for each batch, so that whoever started it knows when to strike.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import timedelta

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "annotator.settings")

import django

django.setup()

from django.core.files.base import ContentFile
from django.core.management import call_command
from django.utils import timezone

from labeling import blobs, dispatch, formats, jobs, tasks, votes
from labeling.flow import exporting, founding, importing, receiving, ruling
from labeling.models import Answer, Export, Item, Job, Project, Rule, User


class Loud(jobs.Progress):
    """Tells of every batch, on standard output too."""

    def __call__(self, done: int, total: int = 0, unit: str = "") -> None:
        self._told = 0.0
        super().__call__(done, total, unit)
        say({"done": done, "total": total})


def say(what: object) -> None:
    """One line of JSON, at once."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def begin(rows: int, imports: int) -> None:
    """A new database with a project and import jobs of the same file."""
    call_command("migrate", verbosity=0, interactive=False)
    owner = User.objects.create_superuser("owner")
    project = founding.found(creator=owner, name="p", modality="text")
    content = "id,text,label\n" + "".join(f"{n},text number {n},label {n % 7}\n" for n in range(rows))
    for _ in range(imports):
        file = ContentFile(content.encode(), name="a.csv")
        upload = receiving.keep(project=project, file=file, by=owner, now=timezone.now())
        choices = receiving.Choices(formats.Given())
        say(receiving.begin(project=project, upload=upload, choices=choices, by=owner).pk)


def export() -> None:
    """Begin and run an export of everything."""
    project = Project.objects.get()
    job = Job.objects.create(
        project=project, kind=Job.Kind.EXPORT, arguments={"format": "jsonl"}, created_at=timezone.now()
    )
    Export.objects.create(project=project, job=job, name="a.jsonl", created_at=timezone.now())
    say(job.pk)
    run(job.pk)


def run(job_id: int) -> None:
    """Run the job, whoever is said to work on it: as when the one who did has been silent for long."""
    Job.objects.filter(pk=job_id, heartbeat_at__isnull=False).update(heartbeat_at=timezone.now() - timedelta(minutes=9))
    tasks.jobs.Progress = Loud  # type: ignore[misc]
    tasks.run(job_id)
    job = Job.objects.get(pk=job_id)
    say({"state": job.state, "error": job.error, "result": job.result, "kept": kept()})


def rule() -> None:
    """A rule, and the job in which it votes; no embedding, which comes before elsewhere."""
    project = Project.objects.get()
    values = {"label": project.labels.first(), "kind": "regex", "text": "[05]$"}
    ruling.make(project=project, by=User.objects.get(), values=values, now=timezone.now())
    say(Job.objects.get(kind=Job.Kind.VOTE).pk)


def voted() -> None:
    """How many rows the rule has voted on, and on which it spoke."""
    rule, count = Rule.objects.get(), Item.objects.count()
    signed = {rule.pk: votes.signature(rule)}
    fired = votes.read(rule.project_id, signed, count)[rule.pk].nonzero()[0]
    texts = Item.objects.filter(row__in=fired.tolist()).values_list("text", flat=True)
    files = len(blobs.names(f"projects/{rule.project_id}/rules"))
    say(
        {
            "reach": votes.reach(rule.project_id, signed)[rule.pk],
            "ends": sorted({t[-1] for t in texts}),
            "n": len(fired),
            "files": files,
        }
    )


def kept() -> dict[str, object]:
    """What there is now."""
    rows = list(Item.objects.order_by("row").values_list("row", flat=True))
    export = Export.objects.exclude(path="").first()
    return {
        "items": len(rows),
        "dense": rows == list(range(len(rows))),
        "texts": Item.objects.values("text").distinct().count(),
        "answers": Answer.objects.count(),
        "tally": next(iter(Project.objects.values_list("tally__items", "tally__imported"))),
        "exported": export.size if export else 0,
    }


if __name__ == "__main__":
    importing.BATCH = 100
    exporting.BATCH = 100
    ruling.WINDOW, ruling.SAVE_SECONDS = 100, 0.0
    with dispatch.held_back():
        {"begin": begin, "export": export, "run": run, "rule": rule, "voted": voted}[sys.argv[1]](
            *map(int, sys.argv[2:])
        )
