"""Zip: an archive's images as rows, with labels from folders or a table; or the one table that it holds."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import BinaryIO

from django.utils.translation import gettext as _

from labeling.errors import BadFile
from labeling.formats import archive
from labeling.formats.rows import Bad, BadRow, Columns, Row, Sniffed
from labeling.formats.values import Assembler

FILE, FOLDER = "file", "folder"
# Columns of a table beside images that say which image a row is about ("file_name": Hugging Face's imagefolder).
NAMING = ("file_name", "filename", "file", "image", "image_path", "path", "img")

Sniff = Callable[[BinaryIO, str], Sniffed]
Read = Callable[[BinaryIO, Sniffed, Columns], Iterator[Row | BadRow]]


@dataclass(slots=True)
class Plan:
    """How an archive is read: its contents, and the table that tells of the images or is the data itself."""

    contents: archive.Contents
    table: tuple[str, zipfile.ZipInfo] | None
    sniffed: Sniffed | None  # of the table
    naming: str = ""  # the table's column that names images; "" where the table is the data

    @property
    def columns(self) -> list[str]:
        """The columns to choose from."""
        return self.sniffed.columns if self.sniffed else [FILE, FOLDER]


def plan(opened: zipfile.ZipFile, sniff: Sniff) -> Plan:
    """Look into the archive and its table, if it has one; raises BadFile where there is nothing to import."""
    contents = archive.contents(opened)
    if not contents.files and not contents.tables and not contents.refused:
        raise BadFile(_("The archive holds nothing to import."))
    if contents.files:
        for path, info in contents.tables:
            if not path.lower().endswith((".txt", ".json")):
                with archive.unpacked(opened, info) as table:
                    sniffed = sniff(table, path)
                naming = next((name for name in NAMING if name in sniffed.columns), "")
                if naming:
                    return Plan(contents, (path, info), sniffed, naming)
        return Plan(contents, None, None)
    if len(contents.tables) > 1:
        names = ", ".join(path for path, _info in contents.tables[:5])
        raise BadFile(_("The archive holds several tables (%(names)s); import them one by one.") % {"names": names})
    for path, info in contents.tables:
        with archive.unpacked(opened, info) as table:
            return Plan(contents, (path, info), sniff(table, path))
    return Plan(contents, None, None)


def read(file: BinaryIO, *, columns: Columns, sniff: Sniff, read_table: Read) -> Iterator[Row | BadRow]:
    """The rows of an archive; members that are refused come first, as bad rows with their path as the column."""
    with archive.opened(file) as opened:
        planned = plan(opened, sniff)
        number = 0
        for path, bad in planned.contents.refused:
            number += 1
            yield BadRow(number, 0, 0, bad.code, f"{path}: {bad.reason}", FILE)
        if planned.table is None:
            yield from _by_folder(opened, planned, columns, number)
            return
        with archive.unpacked(opened, planned.table[1]) as table:
            assert planned.sniffed is not None  # a planned table has been looked into
            rows = read_table(table, planned.sniffed, columns)
            if planned.naming and columns.item == planned.naming:
                yield from _by_table(opened, planned, rows, number)
            else:
                scale = planned.table[1].compress_size / max(planned.table[1].file_size, 1)
                for row in rows:
                    row.position = int(row.position * scale)
                    yield row


def _by_folder(opened: zipfile.ZipFile, planned: Plan, columns: Columns, number: int) -> Iterator[Row | BadRow]:
    classes = planned.contents.classes
    assemble = Assembler(columns).row
    position = 0
    for path, info in planned.contents.files:
        number += 1
        position += info.compress_size
        folder = archive.folder_of(path)
        cells = {FILE: path, FOLDER: folder if folder in classes else None}
        row = assemble(number, 0, position, cells.get)
        yield _with_picture(opened, row, path, info)


def _by_table(
    opened: zipfile.ZipFile, planned: Plan, rows: Iterator[Row | BadRow], number: int
) -> Iterator[Row | BadRow]:
    assert planned.table is not None
    folder = PurePosixPath(planned.table[0]).parent
    by_path = dict(planned.contents.files)
    named: set[str] = set()
    position = planned.table[1].compress_size
    for row in rows:
        number += 1
        row = replace(row, number=number, position=position)
        if isinstance(row, BadRow) or row.text is None:
            yield row
            continue
        path = next((path for path in (str(folder / row.text), row.text) if path in by_path), None)
        if path is None:
            reason = _("The archive has no image “%(name)s”.") % {"name": row.text[:200]}
            yield BadRow(number, row.line, position, "no_image", reason, planned.naming)
            continue
        named.add(path)
        position += by_path[path].compress_size
        row.position = position
        yield _with_picture(opened, row, path, by_path[path])
    for path, info in planned.contents.files:
        if path not in named:
            number += 1
            position += info.compress_size
            yield _with_picture(opened, Row(number, 0, position, path, None, None, None, {}), path, info)


def _with_picture(opened: zipfile.ZipFile, row: Row | BadRow, path: str, info: zipfile.ZipInfo) -> Row | BadRow:
    if isinstance(row, BadRow):
        return row
    try:
        row.image = archive.picture_of(opened, path, info)
    except Bad as bad:
        return BadRow(row.number, row.line, row.position, bad.code, f"{path}: {bad.reason}", FILE)
    row.text = None
    return row
