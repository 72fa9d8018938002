"""import_vectors: vectors made elsewhere take the place of an encoder's, from the command line."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from labeling import dispatch
from labeling.errors import Refused
from labeling.flow import embedding
from labeling.formats import vectors
from labeling.management.commands import project_named
from labeling.models import Job


class Command(BaseCommand):
    """Stores the vectors here and now; what the model makes of them is left to the workers.

    Prints what was done as one line of JSON. May be run again, also for some of the items only.
    """

    help = (
        "Use vectors of your own for a project's items: a .npy file in the order of the items, or a .npz file with"
        " the arrays vectors and external_ids (or rows, 0 first)."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("project", help="The project's number or name.")
        parser.add_argument("file", type=Path)

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = options["file"]
        if not path.is_file():
            raise CommandError(f"There is no file {path}.")
        project = project_named(options["project"])
        try:
            brought = vectors.read(path)
            rows = embedding.rows_for(project, len(brought.vectors), brought.rows, brought.external_ids)
            embedding.bring(project=project, rows=rows, vectors=brought.vectors)
        except Refused as refusal:
            raise CommandError(f"{path.name}: {refusal}") from refusal
        dispatch.start(project, Job.Kind.EMBED)
        done = {"project": project.pk, "vectors": len(rows), "items": embedding.embedded(project)}
        self.stdout.write(json.dumps(done))
