"""Receiving: an uploaded file is kept, looked into, and handed on to be imported."""

from __future__ import annotations

import posixpath
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, BinaryIO, cast

from django.conf import settings
from django.core.files.base import File
from django.core.files.storage import default_storage
from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext as _

from labeling import dispatch
from labeling.errors import BadField, BadFile, Refused
from labeling.formats import BadRow, Columns, Given, Sniffed, read, sniff
from labeling.models import Job, Label, Project, Upload, User

LABEL_MODES = ("answers", "reference", "ignore")
LOOKED_THROUGH = 200_000  # rows looked through for label names
LOOKED_SECONDS = 3.0
MOST_NAMES = 2_000


class TooLarge(Refused):
    """An upload above the limit of this installation."""

    code = "too_large"
    status = 413

    def __init__(self) -> None:
        most = filesizeformat(settings.ANNOTATOR_MAX_UPLOAD_BYTES)
        super().__init__(_("A file has at most %(most)s here. Split it, or pack it as a zip.") % {"most": most})


@dataclass(frozen=True)
class Choices:
    """How a person wants a file imported; None and "" are guessed from the file.

    `label` and `external_id` may be "-": no such column.
    """

    given: Given
    item: str = ""
    label: str = ""
    external_id: str = ""
    labels: str = ""  # one of LABEL_MODES
    create_labels: bool = True


def keep(*, project: Project, file: File, by: User, now: datetime) -> Upload:
    """Store the file; its content is copied as a stream. Raises TooLarge, or BadFile for an empty one."""
    size = file.size or 0
    if size > settings.ANNOTATOR_MAX_UPLOAD_BYTES:
        raise TooLarge
    if size == 0:
        raise BadFile(_("The file is empty."))
    name = posixpath.basename((file.name or "").replace("\\", "/")).replace("\0", "")[-255:] or "upload"
    # The stored name has nothing of the given one: that may hold anything.
    path = default_storage.save(f"projects/{project.pk}/uploads/{uuid.uuid4().hex}", file)
    return Upload.objects.create(project=project, name=name, path=path, size=size, created_by=by, created_at=now)


def discard(*, upload: Upload) -> None:
    """Forget the file; an import that has read it keeps its items."""
    default_storage.delete(upload.path)
    upload.delete()


def look(upload: Upload, given: Given) -> Sniffed:
    """What the file is and how it would be read. Raises BadFile or BadField."""
    with default_storage.open(upload.path, "rb") as file:
        return sniff(cast(BinaryIO, file.file), upload.name, given)


def names_in(upload: Upload, given: Given, column: str, clock: Callable[[], float] = time.monotonic) -> dict[str, Any]:
    """The label names in the file's first rows, as many as can be read in LOOKED_SECONDS.

    {"labels": [{"name", "count", "known"}], "rows", "bad", "complete"}; most frequent first, `known` where the
    project has the label.
    """
    found = look(upload, given)
    columns = _columns(found, Choices(given, label=column, external_id="-"))
    until = clock() + LOOKED_SECONDS
    counts: Counter[str] = Counter()
    rows = bad = 0
    complete = True
    with default_storage.open(upload.path, "rb") as file:
        source = read(
            cast(BinaryIO, file.file),
            found.format,
            columns=Columns(columns.item, columns.label),
            encoding=found.encoding,
            delimiter=found.delimiter,
            header=found.header,
            name=upload.name,
        )
        for row in islice(source, LOOKED_THROUGH + 1):
            if rows == LOOKED_THROUGH or (rows % 256 == 0 and clock() > until):
                complete = False
                break
            rows += 1
            if isinstance(row, BadRow):
                bad += 1
            elif row.label:
                counts[row.label] += 1
    known = set(Label.objects.filter(project=upload.project_id, name__in=list(counts)).values_list("name", flat=True))
    labels = [{"name": name, "count": n, "known": name in known} for name, n in counts.most_common(MOST_NAMES)]
    return {"labels": labels, "distinct": len(counts), "rows": rows, "bad": bad, "complete": complete}


def begin(*, project: Project, upload: Upload, choices: Choices, by: User) -> Job:
    """Start to import the file, with everything that was not chosen guessed.

    Raises BadFile where it does not suit the project, BadField for a column that the file does not have.
    """
    found = look(upload, choices.given)
    _check_modality(project, found)
    columns = _columns(found, choices)
    mode = choices.labels or "answers"
    if mode not in LABEL_MODES:
        raise BadField("labels", _("Choose one of: %(modes)s.") % {"modes": ", ".join(LABEL_MODES)})
    arguments = {
        "upload": upload.pk,
        "format": found.format,
        "encoding": found.encoding,
        "delimiter": found.delimiter,
        "header": found.header,
        "columns": {"item": columns.item, "label": columns.label, "external_id": columns.external_id},
        "labels": mode if columns.label else "ignore",
        "create_labels": choices.create_labels,
    }
    return dispatch.start(project, Job.Kind.IMPORT, arguments, by=by)


def _check_modality(project: Project, found: Sniffed) -> None:
    if found.modality == project.modality:
        return
    if project.modality == Project.Modality.IMAGE:
        raise BadFile(_("This project labels images, the file holds texts. Drop a zip of images, or an image."))
    raise BadFile(_("This project labels texts, the file holds images. Make a project for images."))


def _columns(found: Sniffed, choices: Choices) -> Columns:
    return Columns(
        _column(found, "item", choices.item or found.guess.item) or found.guess.item,
        _column(found, "label", choices.label or found.guess.label or ""),
        _column(found, "external_id", choices.external_id or found.guess.external_id or ""),
    )


def _column(found: Sniffed, field: str, name: str) -> str | None:
    if name in ("", "-") and name not in found.columns:
        return None
    if name not in found.columns:
        known = ", ".join(found.columns[:20])
        message = _("The file has no column “%(name)s”. It has: %(known)s.")
        raise BadField(field, message % {"name": name, "known": known})
    return name
