"""CSV and TSV: reading with every broken row named, writing without live formulas."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import BinaryIO

from django.utils.translation import gettext as _

from labeling.formats.encodings import TOO_LONG, Lines
from labeling.formats.limits import MAX_COLUMNS, MAX_LINE, MAX_RECORD_LINES
from labeling.formats.rows import BadRow, Columns, ExportRow, Row
from labeling.formats.values import Assembler

# The csv module keeps this limit per process; its default of 131,072 is too low for long documents.
csv.field_size_limit(MAX_LINE)

EXPORTED = (
    "id",
    "text",
    "image",
    "label",
    "origin",
    "confidence",
    "snapshot",
    "certificate",
    "answers",
    "agreement",
    "consensus",
    "votes",
    "rules",
    "annotator",
    "external_id",
    "labeled_at",
    "seconds",
    "created_at",
    "metadata",
)
"""The columns of every export. A CSV file that has them all is one of ours, and its apostrophes are undone."""
LATER = {"certificate", "answers", "agreement", "consensus", "votes", "rules"}
"""Columns that exports did not have from the first version on."""

# Spreadsheets run a cell that begins so as a formula; the wide forms count in East Asian versions.
LIVE = re.compile("'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")


def is_exported(columns: Iterable[str]) -> bool:
    """Whether a file with these columns was written by `labeling.formats.write`."""
    return set(EXPORTED) - LATER <= set(columns)


def harmless(cell: str) -> str:
    """The cell with an apostrophe before what a spreadsheet would run.

    Cells that begin with apostrophes and then a formula get one more as well, so that `as_it_was` is exact.
    """
    return "'" + cell if LIVE.match(cell) else cell


def as_it_was(cell: str) -> str:
    """Undo `harmless`."""
    return cell[1:] if cell[:1] == "'" and LIVE.match(cell) else cell


class _Feeder:
    """Gives csv.reader its lines and remembers those of the record under way, so that they can be given again."""

    __slots__ = ("back", "held", "line", "size", "source")

    def __init__(self, lines: Iterable[str]) -> None:
        self.source = iter(lines)
        self.back: list[str] = []  # lines to give again, the next one last
        self.held: list[str] = []  # lines of the record under way
        self.size = 0  # characters held
        self.line = 1  # where the record under way begins

    def __iter__(self) -> _Feeder:
        return self

    def __next__(self) -> str:
        line = self.back.pop() if self.back else next(self.source)
        self.held.append(line)
        self.size += len(line)
        if self.size > MAX_LINE or len(self.held) > MAX_RECORD_LINES:
            raise csv.Error("the quoted cell is too long")
        return line

    def keep_first(self) -> str:
        """Count only the first line to the record; the others are given again."""
        first, *others = self.held
        self.back.extend(reversed(others))
        self.held = [first]
        return first

    def done(self) -> None:
        """The record is complete."""
        self.line += len(self.held)
        self.held = []
        self.size = 0


def records(lines: Iterable[str], delimiter: str) -> Iterator[tuple[int, list[str] | str]]:
    """(line, cells) for each record, or (line, what is wrong with it); blank lines are left out.

    A quote that is never closed costs its own line only: the lines after it are read anew. In TSV, where many
    writers do not quote at all, lines that are complete by themselves are taken literally.
    """
    feeder = _Feeder(lines)
    reader = csv.reader(feeder, delimiter=delimiter, strict=True)
    width = 0
    tabs = delimiter == "\t"
    while True:
        cells: list[str] | str
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            first = feeder.keep_first()
            literal = first.rstrip("\r\n").split(delimiter)
            cells = literal if tabs and len(literal) == (width or len(literal)) else _what(error)
        else:
            held = feeder.held
            if tabs and len(held) > 1 and width > 1 and all(one.count("\t") == width - 1 for one in held):
                cells = feeder.keep_first().rstrip("\r\n").split("\t")
        line = feeder.line
        feeder.done()
        if cells:
            width = width or len(cells)
            yield line, cells


def names(cells: list[str]) -> list[str]:
    """Column names from a header's cells: trimmed, unique, none empty."""
    taken: dict[str, int] = {}
    unique = []
    for place, cell in enumerate(cells, 1):
        name = cell.strip() or f"column {place}"  # never translated: who chose it and the worker may differ in language
        taken[name] = taken.get(name, 0) + 1
        unique.append(name if taken[name] == 1 else f"{name} ({taken[name]})")
    return unique


def read(
    file: BinaryIO, *, encoding: str, delimiter: str, columns: Columns, header: bool = True
) -> Iterator[Row | BadRow]:
    """The rows of a CSV or TSV file. Without a header the columns are named by their place: "column 1", ..."""
    lines = Lines(file, encoding)
    found = records(lines, delimiter)
    first = next(found, None)
    if first is None or isinstance(first[1], str) or len(first[1]) > MAX_COLUMNS:
        return
    names_of = names(first[1] if header else [""] * len(first[1]))
    ours = is_exported(names_of)
    width, number = len(names_of), 0
    assemble = Assembler(columns).row
    for line, cells in found if header else chain((first,), found):
        number += 1
        if isinstance(cells, str):
            yield BadRow(number, line, lines.position, "broken_quotes", cells)
            continue
        if len(cells) != width:
            reason = _misfit(cells, width)
            if reason:
                yield BadRow(number, line, lines.position, *reason)
                continue
        if ours:
            cells = [as_it_was(cell) for cell in cells]
        yield assemble(number, line, lines.position, dict(zip(names_of, cells, strict=False)).get)


def write(rows: Iterable[ExportRow], out: BinaryIO, *, image_of: Callable[[ExportRow], str]) -> int:
    """Write CSV (UTF-8 with a mark, which Excel needs; CRLF; formulas made harmless). Returns how many rows."""
    text = io.TextIOWrapper(out, encoding="utf-8-sig", newline="", write_through=False)
    writer = csv.writer(text)
    writer.writerow(EXPORTED)
    count = 0
    for row in rows:
        count += 1
        writer.writerow(
            [
                row.id,
                harmless(row.text or ""),
                harmless(image_of(row)),
                harmless(row.label or ""),
                row.origin,
                "" if row.confidence is None else row.confidence,
                "" if row.snapshot is None else row.snapshot,
                "" if row.certificate is None else row.certificate,
                "" if row.answers is None else row.answers,
                "" if row.agreement is None else row.agreement,
                row.consensus,
                json.dumps(row.votes, ensure_ascii=False) if row.votes else "",
                json.dumps(row.rules, ensure_ascii=False) if row.rules else "",
                harmless(row.annotator),
                harmless(row.external_id or ""),
                row.labeled_at,
                "" if row.seconds is None else row.seconds,
                row.created_at,
                json.dumps(row.metadata, ensure_ascii=False) if row.metadata else "",
            ]
        )
    text.flush()
    text.detach()
    return count


def _misfit(cells: list[str], width: int) -> tuple[str, str] | None:
    """What is wrong with a record of another width; None where only empty cells are over."""
    if cells[0] == TOO_LONG.strip():
        return "too_long", _("The line is longer than %(n)d million characters.") % {"n": MAX_LINE // 1_000_000}
    if len(cells) > width and not any(cells[width:]):
        return None
    if len(cells) > width:
        return "ragged", _(
            "It has %(n)d cells, the header has %(width)d. Put quotes around a text that holds the delimiter."
        ) % {"n": len(cells), "width": width}
    return "ragged", _("It has %(n)d cells, the header has %(width)d.") % {"n": len(cells), "width": width}


def _what(error: csv.Error) -> str:
    message = str(error)
    if "expected after" in message:
        return _("A quote within a quoted cell is not doubled.")
    if "unexpected end" in message or "too long" in message or "field limit" in message:
        return _("A quote is opened here and never closed.")
    if "new-line" in message:
        return _("It holds a lone carriage return outside of quotes.")
    return _("It cannot be read as CSV: %(error)s.") % {"error": message}
