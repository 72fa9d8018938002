"""JSON and JSON lines: one record a line, or one array of records, read as a stream."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, BinaryIO

import ijson
from django.utils.translation import gettext as _

from labeling.formats import argilla, label_studio, prodigy
from labeling.formats.encodings import BAD_BYTE, TOO_LONG, Lines, Utf8Stream
from labeling.formats.limits import MAX_LINE
from labeling.formats.rows import Bad, BadRow, Columns, ExportRow, Row
from labeling.formats.values import Assembler

TEXT = "text"  # the column's name where a record is a bare text
# Other tools' records: how they are known, and how they are unfolded.
TOOLS: tuple[tuple[Callable[[Mapping[str, Any]], bool], Callable[[Mapping[str, Any]], dict[str, Any]]], ...] = (
    (label_studio.is_task, label_studio.flat),
    (prodigy.is_task, prodigy.flat),
    (argilla.is_record, argilla.flat),
)


def flat(record: Any) -> Mapping[str, Any]:
    """The record as columns: one of another tool unfolded, a bare text under "text"."""
    if isinstance(record, str):
        return {TEXT: record}
    if not isinstance(record, Mapping):
        raise Bad("not_a_record", _("It is not a JSON object."))
    unfold = next((unfold for is_one, unfold in TOOLS if is_one(record)), None)
    return unfold(record) if unfold else record


def cell(record: Mapping[str, Any], name: str) -> Any:
    """The value of a column; a dot steps into an object. None where it is absent."""
    if name in record:
        return record[name]
    first, dot, others = name.partition(".")
    inner = record.get(first) if dot else None
    return cell(inner, others) if isinstance(inner, Mapping) else None


def columns_of(record: Mapping[str, Any]) -> Iterator[str]:
    """The names of the columns that a record has, objects unfolded by one step."""
    for name, value in record.items():
        if isinstance(value, Mapping) and name != "metadata" and value and "bytes" not in value:
            yield from (f"{name}.{inner}" for inner in value)
        else:
            yield name


def line_records(lines: Lines) -> Iterator[tuple[int, Any]]:
    """(line, record or Bad) for each line that is not blank."""
    for line, text in enumerate(lines, 1):
        if not text.isspace() and text:
            yield line, _parsed(text)


def array_records(stream: Utf8Stream, path: str) -> Iterator[tuple[int, Any]]:
    """(0, record) for each element of the array at ijson's `path`; at a syntax error (0, Bad) and the end."""
    try:
        # Without use_float, which takes a whole number of more than 64 bits for the end of the file.
        for record in ijson.items(_Guarded(stream), f"{path}.item" if path else "item"):
            stream.since = 0
            yield 0, record
    except (ijson.JSONError, UnicodeDecodeError, RecursionError, ValueError) as error:
        yield 0, Bad("broken_json", _("The file is broken here, and nothing after it can be read: %(error)s.") % {
            "error": str(error).splitlines()[0][:200]})  # fmt: skip


def read_lines(file: BinaryIO, *, encoding: str, columns: Columns) -> Iterator[Row | BadRow]:
    """The rows of a JSON lines file."""
    lines = Lines(file, encoding)
    return _rows(line_records(lines), lines, columns)


def read_array(file: BinaryIO, *, encoding: str, columns: Columns, path: str) -> Iterator[Row | BadRow]:
    """The rows of a JSON file whose records are the array at `path` ("" where it is the whole file)."""
    stream = Utf8Stream(file, encoding)
    return _rows(array_records(stream, path), stream, columns)


def write_lines(rows: Iterable[ExportRow], out: BinaryIO, *, image_of: Callable[[ExportRow], str]) -> int:
    """Write one JSON object a line, UTF-8; metadata stays an object. Returns how many."""
    encode = json.JSONEncoder(ensure_ascii=False).encode
    count = 0
    for row in rows:
        count += 1
        out.write(encode(record(row, image_of(row))).encode() + b"\n")
    return count


def record(row: ExportRow, image: str) -> dict[str, Any]:
    """The row as a record with the columns of every export."""
    return {
        "id": row.id,
        "text": row.text,
        "image": image or None,
        "label": row.label,
        "origin": row.origin,
        "confidence": row.confidence,
        "snapshot": row.snapshot,
        "certificate": row.certificate,
        "answers": row.answers,
        "agreement": row.agreement,
        "consensus": row.consensus or None,
        "votes": row.votes,
        "rules": row.rules,
        "annotator": row.annotator,
        "external_id": row.external_id,
        "labeled_at": row.labeled_at or None,
        "seconds": row.seconds,
        "created_at": row.created_at or None,
        "metadata": row.metadata,
    }


class _Guarded:
    """A stream that refuses to feed one record without end into memory."""

    def __init__(self, stream: Utf8Stream) -> None:
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes; raises ValueError where the record under way is too long."""
        if self._stream.since > 2 * MAX_LINE:
            raise ValueError(_("one record is longer than %(n)d MB") % {"n": 2 * MAX_LINE >> 20})
        return self._stream.read(size)


def _rows(found: Iterator[tuple[int, Any]], source: Lines | Utf8Stream, columns: Columns) -> Iterator[Row | BadRow]:
    assemble = Assembler(columns).row
    for number, (line, value) in enumerate(found, 1):
        try:
            if isinstance(value, Bad):
                raise value
            row = flat(value)
        except Bad as bad:
            yield BadRow(number, line, source.position, bad.code, bad.reason, bad.column)
            continue
        yield assemble(number, line, source.position, partial(cell, row))


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        return Bad("too_deep", _("It holds objects within objects, too deep."))
    except ValueError as error:
        if text == TOO_LONG:
            return Bad(
                "too_long", _("The line is longer than %(n)d million characters.") % {"n": MAX_LINE // 1_000_000}
            )
        if BAD_BYTE in text:
            return Bad("bad_bytes", _("It holds bytes that are not valid in the file's encoding."))
        return Bad("broken_json", _("It is not valid JSON: %(error)s.") % {"error": error})
