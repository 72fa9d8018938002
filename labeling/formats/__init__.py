"""Formats: files to plain rows and back, as streams; knows no database.

sniffed = sniff(path, "mails.csv")             # format, encoding, columns, first rows, guesses
for row in read(path, sniffed.format, encoding=sniffed.encoding, delimiter=sniffed.delimiter,
                columns=sniffed.guess, header=sniffed.header):
    ...                                        # Row, or BadRow with its number and reason
write("jsonl", export_rows, out)
"""

from __future__ import annotations

import base64
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

from django.utils.translation import gettext as _

from labeling.errors import BadField, BadFile
from labeling.formats import delimited, encodings, huggingface, jsons, label_studio, limits, parquet, plain, zipped
from labeling.formats.images import look
from labeling.formats.packing import member
from labeling.formats.rows import SUGGESTION, Bad, BadRow, Columns, ExportRow, Given, Picture, Row, Sniffed
from labeling.formats.sniffing import json_path
from labeling.formats.sniffing import sniff as sniff_file
from labeling.formats.values import clean, content_hash

__all__ = [
    "READABLE",
    "SUGGESTION",
    "WRITABLE",
    "Bad",
    "BadField",
    "BadFile",
    "BadRow",
    "Columns",
    "ExportRow",
    "Given",
    "Picture",
    "Row",
    "Sniffed",
    "clean",
    "content_hash",
    "extension",
    "look",
    "pack",
    "packed_name",
    "read",
    "sniff",
    "write",
]

READABLE = ("csv", "tsv", "jsonl", "json", "parquet", "text", "zip", "image")
WRITABLE = {"csv": "csv", "jsonl": "jsonl", "parquet": "parquet", "huggingface": "zip", "label_studio": "json"}
"""Formats that can be written, with their files' extensions."""
EMBEDDED = frozenset({"label_studio"})  # formats that are of no use for images without the images
MEDIA = {"jpg": "jpeg", "tif": "tiff"}

Source = str | os.PathLike[str] | BinaryIO


def sniff(source: Source, filename: str = "", given: Given | None = None) -> Sniffed:
    """What the file is and how it would be read. `filename` helps where the content leaves a choice.

    `given` takes the place of what would be guessed. Raises BadFile, or BadField for something given.
    """
    with _opened(source) as file:
        return sniff_file(file, filename or str(getattr(source, "name", source)), given or Given())


def read(
    source: Source,
    format: str,
    *,
    columns: Columns,
    encoding: str = "",
    delimiter: str = "",
    header: bool = True,
    name: str = "",
) -> Iterator[Row | BadRow]:
    """The file's rows in order, as a stream; `source` must be seekable.

    An empty `encoding` or `delimiter` is guessed anew. `name` is the file's, for single images. A bad row never
    stops the rest; a file that cannot be read at all raises BadFile at the first step.
    """
    with _opened(source) as file:
        if format == "parquet":
            yield from parquet.read(file, columns=columns)
        elif format == "zip":
            yield from zipped.read(file, columns=columns, sniff=sniff_file, read_table=_table)
        elif format == "image":
            yield _single(file, name)
        else:
            encoding = encodings.known(encoding) if encoding else encodings.guess(file).encoding
            yield from _text_rows(file, format, encoding, delimiter, columns, header)


def write(
    format: str,
    rows: Iterable[ExportRow],
    out: BinaryIO,
    *,
    embed_images: bool | None = None,
    title: str = "Labelled items",
) -> int:
    """Write the rows to `out` in one pass, in flat memory; returns how many there were.

    Parquet and Hugging Face hold the images themselves. CSV and JSON lines name them, unless `embed_images`;
    Label Studio's JSON embeds them as data: addresses, unless told not to.
    """
    embed = format in EMBEDDED if embed_images is None else embed_images
    image_of = _embedded if embed else _named
    if format == "csv":
        return delimited.write(rows, out, image_of=image_of)
    if format == "jsonl":
        return jsons.write_lines(rows, out, image_of=image_of)
    if format == "label_studio":
        return label_studio.write(rows, out, image_of=image_of)
    if format == "parquet":
        return parquet.write(rows, out)
    if format == "huggingface":
        return huggingface.write(rows, out, title=title)
    raise BadField("format", _("The format “%(name)s” cannot be written; it can be one of %(known)s.") % {
        "name": format, "known": ", ".join(WRITABLE)})  # fmt: skip


def pack(
    format: str, rows: Iterable[ExportRow], archive: zipfile.ZipFile, *, embed_images: bool | None = None
) -> tuple[int, dict[str, Any]]:
    """Write the rows into an open archive; returns how many, and what a Hugging Face card says before its text."""
    if format == "huggingface":
        return huggingface.add(rows, archive)
    name = packed_name(format)
    if format == "parquet":
        # Compressed already; and its writer asks where it is, which a member of an archive cannot tell.
        with tempfile.TemporaryFile() as waiting:
            count = write(format, rows, cast(BinaryIO, waiting))
            waiting.seek(0)
            with archive.open(member(name, zipfile.ZIP_STORED), "w", force_zip64=True) as data:
                shutil.copyfileobj(waiting, data, 1 << 20)
    else:
        with archive.open(member(name), "w", force_zip64=True) as data:
            count = write(format, rows, cast(BinaryIO, data), embed_images=embed_images)
    return count, {} if format == "label_studio" else huggingface.data_files(name)


def packed_name(format: str) -> str:
    """What the data is called in an archive with its card."""
    return "train" if format == "huggingface" else f"labels.{extension(format)}"


def extension(format: str) -> str:
    """The file extension, without a dot, of an export in this format."""
    return WRITABLE[format]


def _text_rows(
    file: BinaryIO, format: str, encoding: str, delimiter: str, columns: Columns, header: bool
) -> Iterator[Row | BadRow]:
    if format in ("csv", "tsv"):
        delimiter = delimiter or ("\t" if format == "tsv" else sniff_file(file, "a.csv").delimiter)
        if len(delimiter) != 1 or delimiter in '"\r\n':
            raise BadField("delimiter", _("The delimiter must be one character, and no quote or line end."))
        return delimited.read(file, encoding=encoding, delimiter=delimiter, columns=columns, header=header)
    if format == "jsonl":
        return jsons.read_lines(file, encoding=encoding, columns=columns)
    if format == "json":
        return jsons.read_array(file, encoding=encoding, columns=columns, path=json_path(file, encoding))
    if format == "text":
        return plain.read(file, encoding=encoding)
    raise BadField("format", _("The format “%(name)s” cannot be read; it can be one of %(known)s.") % {
        "name": format, "known": ", ".join(READABLE)})  # fmt: skip


def _table(file: BinaryIO, sniffed: Sniffed, columns: Columns) -> Iterator[Row | BadRow]:
    if sniffed.format == "parquet":
        return parquet.read(file, columns=columns)
    return _text_rows(file, sniffed.format, sniffed.encoding, sniffed.delimiter, columns, sniffed.header)


def _single(file: BinaryIO, name: str) -> Row | BadRow:
    file.seek(0)
    content = file.read(limits.MAX_IMAGE_BYTES + 1)
    try:
        return Row(1, 0, len(content), None, look(content, name), None, None, {})
    except Bad as bad:
        return BadRow(1, 0, len(content), bad.code, bad.reason, "file")


def _named(row: ExportRow) -> str:
    return row.image_name


def _embedded(row: ExportRow) -> str:
    if row.open_image is None:
        return ""
    kind = row.image_name.rpartition(".")[2].lower() or "png"
    with row.open_image() as file:
        return f"data:image/{MEDIA.get(kind, kind)};base64,{base64.b64encode(file.read()).decode()}"


@contextmanager
def _opened(source: Source) -> Iterator[BinaryIO]:
    if isinstance(source, (str, os.PathLike)):
        with open(source, "rb") as file:
            yield file
    else:
        source.seek(0)
        yield source
