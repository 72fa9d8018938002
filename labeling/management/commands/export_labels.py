"""export_labels: a project's labels go into a file, from the command line."""

from __future__ import annotations

import json
import os
from argparse import ArgumentParser, BooleanOptionalAction
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from labeling import blobs, exports, formats
from labeling.errors import Refused
from labeling.flow import exporting
from labeling.management.commands import project_named

BY_EXTENSION = {f".{formats.extension(format)}": format for format in formats.WRITABLE}


class Command(BaseCommand):
    """Writes here and now, without a worker; the file is there whole or not at all. Prints one line of JSON."""

    help = "Export a project as CSV, JSON lines, Parquet, a Hugging Face data set (zip) or Label Studio JSON."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("project", help="The project's number or name.")
        parser.add_argument("file", type=Path, help="Where to write to.")
        parser.add_argument("--format", choices=list(formats.WRITABLE), help="By default told by the file's name.")
        parser.add_argument("--origins", nargs="+", choices=[name for name, _title in exports.Origin.CHOICES])
        parser.add_argument("--min-confidence", type=float, default=0.0, help="Of accepted labels and suggestions.")
        parser.add_argument("--pseudonyms", action="store_true", help="annotator-1 instead of names.")
        parser.add_argument("--include-open", action="store_true", help="Items without a label too.")
        parser.add_argument("--include-suggestions", action="store_true", help="What the model suggests for them too.")
        parser.add_argument(
            "--data-card",
            action="store_true",
            help="A zip of the data, a data card (Markdown and HTML) and certificate.json. The format is told by what "
            "stands before .zip (labels.csv.zip), or by --format.",
        )
        parser.add_argument(
            "--embed-images",
            action=BooleanOptionalAction,
            default=None,
            help="Images inside CSV, JSON lines or Label Studio files.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = options["file"]
        named = path.with_suffix("") if options["data_card"] and path.suffix.lower() == ".zip" else path
        format = options["format"] or BY_EXTENSION.get(named.suffix.lower())
        if format is None:
            endings = ", ".join(f"{one}.zip" if options["data_card"] else one for one in BY_EXTENSION)
            raise CommandError(f"Give --format, or a file name that ends with one of {endings}.")
        project = project_named(options["project"])
        names = ("min_confidence", "pseudonyms", "include_open", "include_suggestions", "embed_images", "data_card")
        chosen = {name: options[name] for name in names} | {"format": format}
        if options["origins"]:
            chosen["origins"] = tuple(options["origins"])
        try:
            wanted = exporting.Options.of(chosen)
            count = 0

            def writer(file: Any) -> None:
                nonlocal count
                count = exporting.write(project, wanted, file)

            blobs.write_whole(path, writer)
        except (Refused, OSError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(json.dumps({"rows": count, "size": os.path.getsize(path), "format": format}))
