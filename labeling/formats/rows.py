"""Rows: the plain values that files are read into and written from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray


@dataclass(slots=True)
class Picture:
    """An image that has been looked into. `content` is the file as it was given, unless `note` says otherwise."""

    content: bytes
    media_type: str  # by content: image/png, image/jpeg, image/gif, image/webp or image/bmp
    extension: str  # without a dot
    width: int  # pixels, as stored: an EXIF orientation is kept in `content`, not applied
    height: int
    name: str = ""  # the file's name, with folders
    note: str = ""  # what was changed so that browsers can show it


@dataclass(slots=True)
class Row:
    """One item of a file: either `text` or `image`.

    `number` counts data rows from 1, the header excluded; `line` is the physical line where the row begins
    (0 where a format has no lines); `position` is how many bytes of the file have been read by now.
    """

    number: int
    line: int
    position: int
    text: str | None
    image: Picture | None
    label: str | None
    external_id: str | None
    metadata: dict[str, Any]
    vector: NDArray[np.float32] | None = None


@dataclass(slots=True)
class BadRow:
    """A row that cannot be used, and why; the rows after it are still read."""

    number: int
    line: int
    position: int
    code: str  # for programs: empty, too_long, bad_bytes, ...
    reason: str  # for people
    column: str = ""


SUGGESTION = "suggestion"
"""The origin of a label that only the model gave."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns of a file hold what. In JSON a dot steps into an object: "data.text"."""

    item: str
    label: str | None = None
    external_id: str | None = None
    vector: str | None = None
    metadata: tuple[str, ...] = ()  # columns to keep beside the item; one named "metadata" is merged in
    origin: str | None = None  # in our own exports: who gave the label; one that only the model gave is not taken


@dataclass(frozen=True, slots=True)
class Given:
    """What a person said of a file before it is looked into; empty: guessed. Binary formats tell for themselves."""

    format: str = ""  # csv, tsv, jsonl, json or text
    encoding: str = ""
    delimiter: str = ""
    header: bool | None = None


@dataclass(slots=True)
class Sniffed:
    """What a look into a file tells; the person may correct `encoding`, `delimiter`, `header` and `guess`."""

    format: str  # csv, tsv, jsonl, json, parquet, text, zip or image
    encoding: str  # "" for binary formats
    delimiter: str  # "" where there is none
    header: bool  # whether the first line names the columns
    columns: list[str]
    first_rows: list[list[str]]  # at most 20, cells in the order of `columns`, shortened for showing
    guess: Columns
    modality: str  # "text" or "image"
    row_estimate: int
    exact: bool  # whether row_estimate is a count
    warnings: list[str] = field(default_factory=list)


@dataclass(slots=True)
class ExportRow:
    """One labelled (or open) item on its way into a file."""

    id: int
    text: str | None = None
    open_image: Callable[[], BinaryIO] | None = None  # called once, when the row is written
    image_name: str = ""  # with an extension that tells the type
    label: str | None = None
    origin: str = ""  # "person", "accepted", "imported", "suggestion" or "" (open)
    confidence: float | None = None  # in [0, 1]
    snapshot: int | None = None
    certificate: int | None = None  # the number of the certificate whose set the item belongs to
    answers: int | None = None  # how many people answered it; None where one answer an item is wanted
    agreement: float | None = None  # share of these answers that gave the label, in [0, 1]
    consensus: str = ""  # "dawid_skene", "majority" or "decision"
    votes: dict[str, str] = field(default_factory=dict)  # each person's answer, by name or pseudonym
    rules: list[str] = field(default_factory=list)  # of an accepted label or suggestion: those that spoke for it
    annotator: str = ""
    external_id: str | None = None
    created_at: str = ""  # ISO 8601
    labeled_at: str = ""  # ISO 8601
    seconds: float | None = None  # from shown to answered
    metadata: dict[str, Any] = field(default_factory=dict)


class Bad(Exception):
    """Raised while one row is read; becomes its BadRow."""

    def __init__(self, code: str, reason: str, column: str = "") -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.column = column
