"""Importing: the rows of a file become items, their labels imported answers or hidden references."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from pathlib import PurePosixPath
from typing import Any, BinaryIO

from django.core.files.storage import default_storage
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from labeling import blobs, bulk, formats, standing
from labeling.errors import BadField, BadFile, Cancelled
from labeling.jobs import Progress
from labeling.locking import lock
from labeling.models import Answer, BadRow, Item, Job, Label, Origin, Project, Reference, Status, Tally, Upload

BATCH = 4_000  # rows in one transaction: a fraction of a second, for others wait for the write lock
IMAGE_BATCH = 100  # images, which lie in memory until they are stored
BAD_ROWS_KEPT = 1_000  # of one import, to be looked at; the count is exact
MAX_LABELS = 2_000  # in one project; more means that the wrong column was chosen
HOW = ("answers", "reference", "ignore")
IMAGE_COLUMNS = ("image", "image_type", "width", "height", "name")
IMPORTED = str(Origin.IMPORTED)
NO_IMAGE = ("", "", None, None, "")
ITEM_COLUMNS = (
    "project",
    "row",
    "text",
    *IMAGE_COLUMNS,
    "metadata",
    "external_id",
    "content_hash",
    "created_at",
    "status",
    "label",
)

Read = formats.Row | formats.BadRow


@dataclass(frozen=True)
class Plan:
    """What the job was asked to do; what it was not told is guessed from the file."""

    format: str
    encoding: str
    delimiter: str
    header: bool
    columns: formats.Columns
    labels: str  # one of HOW
    create_labels: bool
    limit: int  # rows; 0: all


@dataclass
class Batch:
    """Rows on their way in, and what there is to say about the others."""

    rows: list[tuple[formats.Row, bytes]] = field(default_factory=list)  # with their content hash
    bad: list[formats.BadRow] = field(default_factory=list)
    existing: int = 0


def run(job: Job, progress: Progress) -> None:
    """Import the upload that the job names, batch by batch.

    `job.result` counts what is done and is written with each batch, so that a second run skips exactly that.
    A row whose content the project has already is counted and changes nothing; an external id that is
    known with other content is a bad row. Raises BadFile for a file that cannot be read at all.
    """
    upload = Upload.objects.filter(project=job.project, pk=job.arguments.get("upload")).first()
    if upload is None:
        raise BadFile(_("The uploaded file is no longer there; upload it again."))
    with _opened(upload) as file:
        plan = plan_of(job.arguments, file, upload.name)
        job.result = _begun(job.result, plan)
        rows = formats.read(
            file,
            plan.format,
            columns=plan.columns,
            encoding=plan.encoding,
            delimiter=plan.delimiter,
            header=plan.header,
            name=upload.name,
        )
        done = job.result["rows"]
        size = BATCH if job.project.modality == Project.Modality.TEXT else IMAGE_BATCH
        for some in _batches(islice(rows, done, plan.limit or None), size):
            _store(job, plan, some, timezone.now())
            progress(some[-1].position, upload.size, "bytes")


def plan_of(arguments: Mapping[str, Any], file: BinaryIO, name: str) -> Plan:
    """The job's arguments, with what they leave open guessed; an empty column name means "none".

    Raises BadField for a column that the file does not have and for an unknown way to treat labels.
    """
    found = formats.sniff(file, name, _given(arguments))
    chosen: Mapping[str, Any] = arguments.get("columns") or {}
    columns = {role: chosen.get(role, getattr(found.guess, role)) or None for role in ("item", "label", "external_id")}
    for role, column in columns.items():
        if column and column not in found.columns:
            raise BadField(role, _("The file has no column “%(name)s”; it has %(known)s.") % {
                "name": column, "known": ", ".join(found.columns[:20])})  # fmt: skip
    used = set(columns.values())
    kept = chosen.get("metadata", [one for one in (*found.guess.metadata, *_unused(found, chosen)) if one not in used])
    how = arguments.get("labels") or "answers"
    if how not in HOW:
        raise BadField("labels", _("Labels can be imported as answers, as a hidden reference, or ignored."))
    return Plan(
        format=found.format,
        encoding=found.encoding,
        delimiter=found.delimiter,
        header=found.header,
        columns=replace(
            found.guess,
            item=columns["item"] or found.guess.item,
            label=columns["label"] if how != "ignore" else None,
            external_id=columns["external_id"],
            vector=None,
            metadata=tuple(dict.fromkeys(kept)),
        ),
        labels=how,
        create_labels=bool(arguments.get("create_labels", True)),
        limit=int(arguments.get("limit") or 0),
    )


def _given(arguments: Mapping[str, Any]) -> formats.Given:
    texts = {name: str(arguments.get(name) or "") for name in ("format", "encoding", "delimiter")}
    return formats.Given(**texts, header=arguments.get("header"))


def _unused(found: formats.Sniffed, chosen: Mapping[str, Any]) -> Iterator[str]:
    """Columns that the guess used for something and the person then did not: they are kept as metadata."""
    for role in ("item", "label", "external_id"):
        guessed = getattr(found.guess, role)
        if role in chosen and guessed and chosen[role] != guessed:
            yield guessed


def _begun(result: Mapping[str, Any], plan: Plan) -> dict[str, Any]:
    counts = {"added": 0, "existing": 0, "bad": 0, "labels_created": 0, "rows": 0, "position": 0}
    return counts | {"format": plan.format, "encoding": plan.encoding} | dict(result)


def _batches(rows: Iterable[Read], size: int) -> Iterator[list[Read]]:
    rows = iter(rows)
    while some := list(islice(rows, size)):
        yield some


def _store(job: Job, plan: Plan, some: Sequence[Read], now: datetime) -> None:
    """Store one batch: its items, labels, bad rows and the job's new counts, all or nothing."""
    project = job.project
    with transaction.atomic():
        # Held from the start: another import must not add the same content between our look and our insert.
        lock(Tally.objects).get(project=project)
        batch = _new_ones(project, some)
        labels, created = _labels(project, plan, batch)
        items = _add(project, batch, labels if plan.labels == "answers" else {}, now)
        named = [row.label for row, _hash in batch.rows]
        given = [(item, labels[name]) for item, name in zip(items, named, strict=True) if name in labels]
        _label(project, plan, given, now)
        result = dict(job.result)
        result["added"] += len(items)
        result["existing"] += batch.existing
        result["labels_created"] += created
        result["rows"] += len(some)
        result["position"] = some[-1].position
        _keep_bad_rows(job, batch.bad, result["bad"])
        result["bad"] += len(batch.bad)
        # The attempt is the fence: a worker that was taken for dead must not go on beside its successor.
        if not Job.objects.filter(pk=job.pk, attempt=job.attempt).update(result=result):
            raise Cancelled
    job.result = result


def _new_ones(project: Project, some: Sequence[Read]) -> Batch:
    """The rows whose content the project does not have yet, each content once."""
    batch = Batch()
    rows: list[tuple[formats.Row, bytes]] = []
    for row in some:
        if isinstance(row, formats.BadRow):
            batch.bad.append(row)
        elif (row.image is not None) != (project.modality == Project.Modality.IMAGE):
            batch.bad.append(_bad(row, "wrong_kind", _wrong_kind(row)))
        else:
            content = row.text if row.image is None else row.image.content
            rows.append((row, formats.content_hash(content or "")))
    known, owners = _known(project, rows)
    for row, content_hash in rows:
        owner = owners.get(row.external_id) if row.external_id is not None else None
        if owner is not None and owner != content_hash:
            reason = _("The external id “%(id)s” belongs to an item with other content.") % {"id": row.external_id}
            batch.bad.append(_bad(row, "conflict", reason, "external_id"))
        elif content_hash in known:
            batch.existing += 1
        else:
            known.add(content_hash)
            if row.external_id is not None:
                owners[row.external_id] = content_hash
            batch.rows.append((row, content_hash))
    return batch


def _known(project: Project, rows: Sequence[tuple[formats.Row, bytes]]) -> tuple[set[bytes], dict[str | None, bytes]]:
    """Which of these contents the project has, and which content has which external id."""
    hashes = [content_hash for _row, content_hash in rows]
    ids = [row.external_id for row, _hash in rows if row.external_id is not None]
    same_content = bulk.select(Item, ("content_hash",), {"project": project.pk}, "content_hash", hashes)
    same_id = bulk.select(Item, ("external_id", "content_hash"), {"project": project.pk}, "external_id", ids)
    return {bytes(one) for (one,) in same_content}, {name: bytes(content) for name, content in same_id}


def _labels(project: Project, plan: Plan, batch: Batch) -> tuple[dict[str | None, int], int]:
    """The labels that the batch's rows name, the new ones made if that is wanted; rows with others become bad rows."""
    names = dict.fromkeys(row.label for row, _hash in batch.rows if row.label is not None)
    if not names:
        return {}, 0
    labels = {label.name: label for label in Label.objects.filter(project=project)}
    missing = [name for name in names if name not in labels]
    room = MAX_LABELS - len(labels)
    position = max((label.position for label in labels.values()), default=-1) + 1
    wanted = missing[: max(room, 0)] if plan.create_labels else []
    new = [Label(project=project, name=name, position=position + place) for place, name in enumerate(wanted)]
    labels |= {label.name: label for label in Label.objects.bulk_create(new)}
    usable = {name: label for name, label in labels.items() if label.archived_at is None}
    if len(usable) < len(labels) or len(wanted) < len(missing):
        good = []
        for row, content_hash in batch.rows:
            if row.label is None or row.label in usable:
                good.append((row, content_hash))
            else:
                reason = _unusable(row.label, archived=row.label in labels, full=plan.create_labels)
                batch.bad.append(_bad(row, "unknown_label", reason, plan.columns.label or ""))
        batch.rows = good
    return {name: label.pk for name, label in usable.items()}, len(new)


def _add(project: Project, batch: Batch, answers: Mapping[str | None, int], now: datetime) -> list[int]:
    """Insert the batch's items; returns their ids in the batch's order. `answers`: the label ids that are imported."""
    if not batch.rows:
        return []
    given = [answers.get(row.label) for row, _hash in batch.rows]
    first = standing.add_items(project.pk, len(given), imported=sum(label is not None for label in given))
    values: list[list[Any]] = []
    for number, ((row, content_hash), label) in enumerate(zip(batch.rows, given, strict=True), first):
        image = _keep_image(project, content_hash, row.image, row.label) if row.image else NO_IMAGE
        stands = Status.OPEN if label is None else Status.IMPORTED
        values.append(
            [
                project.pk,
                number,
                row.text or "",
                *image,
                _metadata(row),
                row.external_id,
                content_hash,
                now,
                stands,
                label,
            ]
        )
    bulk.insert(Item, ITEM_COLUMNS, values)
    added = Item.objects.filter(project=project, row__gte=first, row__lt=first + len(values))
    return list(added.order_by("row").values_list("pk", flat=True))


def _metadata(row: formats.Row) -> dict[str, Any]:
    """What is kept beside the item; a note of ours where its image had to be converted."""
    return row.metadata | {"converted": row.image.note} if row.image and row.image.note else row.metadata


def _keep_image(project: Project, content_hash: bytes, image: formats.Picture, label: str | None) -> tuple[Any, ...]:
    """Put the image's bytes into storage, under a name made of its content: again is no harm.

    A folder that is the label is left out of the name that people see, or it would tell them the answer.
    """
    digest = content_hash.hex()
    path = f"projects/{project.pk}/images/{digest[:2]}/{digest}.{image.extension}"
    if not default_storage.exists(path):
        blobs.write(path, lambda file: file.write(image.content))
    shown = PurePosixPath(image.name)
    name = shown.name if label and shown.parent.name == label else image.name
    return path, image.media_type, image.width, image.height, name[-500:]


def _label(project: Project, plan: Plan, given: Sequence[tuple[int, int]], now: datetime) -> None:
    """Keep the labels that came with new items, as (item id, label id)."""
    if plan.labels == "reference":
        bulk.insert(Reference, ("item", "label"), [[item, label] for item, label in given])
    elif given:
        columns = ("project", "item", "origin", "label", "value", "reason", "created_at")
        bulk.insert(Answer, columns, [[project.pk, item, IMPORTED, label, {}, "", now] for item, label in given])


def _keep_bad_rows(job: Job, bad: Sequence[formats.BadRow], before: int) -> None:
    kept = bad[: max(BAD_ROWS_KEPT - before, 0)]
    rows = [BadRow(job=job, number=one.number, column=one.column[:255], reason=_reason(one)) for one in kept]
    BadRow.objects.bulk_create(rows, ignore_conflicts=True)


def _reason(bad: formats.BadRow) -> str:
    return _("%(reason)s (line %(line)d)") % {"reason": bad.reason, "line": bad.line} if bad.line else bad.reason


def _bad(row: formats.Row, code: str, reason: str, column: str = "") -> formats.BadRow:
    return formats.BadRow(row.number, row.line, row.position, code, reason, column)


def _wrong_kind(row: formats.Row) -> str:
    return (
        _("It is a text; the project holds images.")
        if row.image is None
        else _("It is an image; the project holds texts.")
    )


def _unusable(name: str, *, archived: bool, full: bool) -> str:
    if archived:
        return _("The label “%(name)s” is archived; restore it first.") % {"name": name}
    if full:
        return _("The label “%(name)s” would be one of more than %(limit)d; is this the column of labels?") % {
            "name": name, "limit": MAX_LABELS}  # fmt: skip
    return _("The project has no label “%(name)s”, and new ones were not to be made.") % {"name": name}


@contextmanager
def _opened(upload: Upload) -> Iterator[BinaryIO]:
    """The uploaded file on this machine's disk: reading steps back and forth in it."""
    path = blobs.local(upload.path)
    if path is None:
        raise BadFile(_("The uploaded file is no longer there; upload it again."))
    with open(path, "rb") as file:
        assert isinstance(file, io.BufferedReader)
        yield file
