"""import_items: a file's rows become items of a project, from the command line."""

from __future__ import annotations

import csv
import json
from argparse import ArgumentParser, BooleanOptionalAction
from pathlib import Path
from typing import Any

from celery import current_app
from django.core.files.base import File
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from labeling import dispatch, formats
from labeling.errors import Refused
from labeling.flow import founding, receiving
from labeling.management.commands import project_named, user_named
from labeling.models import BadRow, Job, Project, User


class Command(BaseCommand):
    """Imports here and now, without a worker; the embedding that follows is left to the workers.

    Prints what was done as one line of JSON. What is left out is guessed from the file, as on the import page.
    Interrupted, it may be started again: nothing comes in twice.
    """

    help = "Import a CSV, TSV, JSONL, JSON, Parquet or text file, or a zip of images, into a project."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("project", help="The project's number or name.")
        parser.add_argument("file", type=Path)
        parser.add_argument("--create", action="store_true", help="Make the project if there is none of this name.")
        parser.add_argument("--user", default="", help="Who imports; by default the project's owner.")
        parser.add_argument("--item", default="", help="The column of the text or image.")
        parser.add_argument("--label", default="", help="The column of the label; - for none.")
        parser.add_argument("--external-id", default="", help="The column of your own ids; - for none.")
        parser.add_argument("--labels", choices=receiving.LABEL_MODES, default="answers")
        parser.add_argument("--create-labels", action=BooleanOptionalAction, default=True)
        parser.add_argument("--format", default="", choices=["", "csv", "tsv", "jsonl", "json", "text"])
        parser.add_argument("--encoding", default="")
        parser.add_argument("--delimiter", default="")
        parser.add_argument("--header", action=BooleanOptionalAction, default=None)
        parser.add_argument("--bad-rows", type=Path, help="Write the rows that were left out to this CSV file.")

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = options["file"]
        if not path.is_file():
            raise CommandError(f"There is no file {path}.")
        try:
            job = _begin(path, options)
        except Refused as refusal:
            raise CommandError(f"{path.name}: {refusal}") from refusal
        current_app.loader.import_default_modules()
        current_app.tasks[dispatch.TASK](job.pk)
        job.refresh_from_db()
        if options["bad_rows"]:
            _write_bad_rows(job, options["bad_rows"])
        if job.state != Job.State.DONE:
            raise CommandError(f"{path.name}: {job.error or job.get_state_display()}")
        self.stdout.write(json.dumps({"project": job.project_id, "job": job.pk} | job.result))


def _begin(path: Path, options: dict[str, Any]) -> Job:
    given = formats.Given(options["format"], options["encoding"], options["delimiter"], options["header"])
    project = _project(path, given, options)
    by = user_named(options["user"], project.created_by)
    choices = receiving.Choices(
        given, **{name: options[name] for name in ("item", "label", "external_id", "labels", "create_labels")}
    )
    with path.open("rb") as file:
        upload = receiving.keep(project=project, file=File(file, name=path.name), by=by, now=timezone.now())
    # Held back: this process runs the job itself.
    with dispatch.held_back():
        return receiving.begin(project=project, upload=upload, choices=choices, by=by)


def _project(path: Path, given: formats.Given, options: dict[str, Any]) -> Project:
    name = options["project"]
    if options["create"] and not Project.objects.filter(name=name).exists():
        creator = user_named(options["user"], User.objects.filter(is_superuser=True).order_by("pk").first())
        return founding.found(creator=creator, name=name, modality=formats.sniff(path, path.name, given).modality)
    return project_named(name)


def _write_bad_rows(job: Job, path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["row", "column", "reason"])
        rows = BadRow.objects.filter(job=job).order_by("number")
        writer.writerows(rows.values_list("number", "column", "reason").iterator())
