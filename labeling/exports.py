"""Exports: asking for a file, saying how far it is, and deleting it. labeling/flow/exporting.py writes it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models import QuerySet
from django.utils.text import slugify
from django.utils.translation import gettext_lazy as _

from labeling import dispatch, jobs
from labeling.models import Export, Job, Project, User

ENDED = (Job.State.DONE, Job.State.FAILED, Job.State.CANCELLED)


@dataclass(frozen=True)
class Format:
    """A kind of file, as people choose it."""

    name: str
    title: Any
    extension: str
    content_type: str
    note: Any


FORMATS = {
    format.name: format
    for format in (
        Format("csv", _("CSV"), "csv", "text/csv; charset=utf-8", _("A table for spreadsheets and scripts.")),
        Format(
            "jsonl", _("JSON lines"), "jsonl", "application/x-ndjson", _("One JSON object a line; keeps all values.")
        ),
        Format(
            "parquet", _("Parquet"), "parquet", "application/vnd.apache.parquet", _("Typed columns; small and quick.")
        ),
        Format(
            "huggingface",
            _("Hugging Face data set"),
            "zip",
            "application/zip",
            _("A folder for the datasets library, with images and label names."),
        ),
        Format(
            "label_studio",
            _("Label Studio JSON"),
            "json",
            "application/json",
            _("Tasks with annotations, to import there."),
        ),
    )
}


class Origin:
    """Who or what gave a label, as an export's rows and filters name it."""

    PERSON = "person"
    ACCEPTED = "accepted"
    IMPORTED = "imported"
    CHOICES = (
        (PERSON, _("Answered by a person")),
        (ACCEPTED, _("Suggested by the model and accepted")),
        (IMPORTED, _("Came with the file")),
    )


# What each column of an exported row means, in the file's order; the page shows it.
COLUMNS = (
    ("id", _("The item's number in this application.")),
    ("text", _("The text; empty for images.")),
    ("image", _("The image's file name; empty for texts.")),
    ("label", _("The label's name; empty where the item is still open.")),
    ("origin", _("Who gave the label: person, accepted (the model, accepted by a person), imported, or suggestion.")),
    ("confidence", _("How sure the model was of an accepted or suggested label, 0 to 1; an estimate.")),
    ("snapshot", _("The number of the model that suggested the label.")),
    ("certificate", _("The number of the certificate whose set the item belongs to; empty without one.")),
    ("answers", _("How many people answered it, where several do.")),
    ("agreement", _("The share of their answers that gave the label, 0 to 1.")),
    ("consensus", _("How their answers became the label: dawid_skene, majority, or decision (a reviewer's).")),
    ("votes", _("Each person's answer, by user name or pseudonym, as JSON.")),
    ("rules", _("The rules that spoke for an accepted or suggested label, by number and in words, as a JSON list.")),
    ("annotator", _("Who answered or accepted: the user name, or a pseudonym that is the same within the file.")),
    ("external_id", _("The id that the imported file gave the item.")),
    ("labeled_at", _("When the label was given, in UTC.")),
    ("seconds", _("How long the person looked before answering.")),
    ("created_at", _("When the item was imported, in UTC.")),
    ("metadata", _("The imported file's other columns.")),
)


def of(project: Project) -> QuerySet[Export]:
    """The project's exports, newest first."""
    return Export.objects.filter(project=project).select_related("job", "job__created_by").order_by("-pk")


def request(*, project: Project, by: User | None, options: dict[str, Any], now: datetime) -> Export:
    """Start an export. `options` are the job's arguments, as labeling/flow/exporting.py reads them."""
    extension = "zip" if options.get("data_card") else FORMATS[options["format"]].extension
    name = f"{slugify(project.name) or 'project'}-{now:%Y%m%d-%H%M%S}.{extension}"
    with transaction.atomic():
        job = dispatch.start(project, Job.Kind.EXPORT, options, by=by)
        return Export.objects.create(project=project, job=job, name=name, created_at=now)


def describe(export: Export) -> dict[str, Any]:
    """The export in plain values, as pages and the API show it."""
    return {
        "id": export.pk,
        "name": export.name,
        "size": export.size,
        "ready": is_ready(export),
        "created_at": export.created_at.isoformat(),
        "created_by": str(export.job.created_by) if export.job.created_by else "",
        "options": export.job.arguments,
        "job": jobs.describe(export.job),
    }


def is_ready(export: Export) -> bool:
    """Whether the file can be downloaded."""
    return bool(export.path) and export.job.state == Job.State.DONE


def content_type(export: Export) -> str:
    """The file's media type."""
    if export.job.arguments.get("data_card"):
        return "application/zip"
    known = FORMATS.get(export.job.arguments.get("format", ""))
    return known.content_type if known else "application/octet-stream"


def delete(export: Export) -> bool:
    """Delete an export and its file. One that is still being made is asked to stop instead; then False."""
    if export.job.state not in ENDED:
        jobs.cancel(export.job)
        return False
    with transaction.atomic():
        # The export goes with its job.
        Job.objects.filter(pk=export.job_id).delete()
        if export.path:
            transaction.on_commit(partial(default_storage.delete, export.path))
    return True
