"""Sniffing: what a file is, how it is encoded, and which columns are likely the item, the label and the id."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, BinaryIO

import ijson
import pyarrow as pa
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from labeling.errors import BadFile
from labeling.formats import archive, columns, delimited, encodings, images, jsons, label_studio, parquet, plain, zipped
from labeling.formats.limits import CHUNK
from labeling.formats.rows import Bad, Columns, Given, Sniffed
from labeling.formats.values import DATA_URI

GUESSED = Given()
SHOWN = 20  # rows
LOOKED_AT = 200  # rows
CELL = 300  # characters shown of one cell
FOREIGN = (
    (b"\xd0\xcf\x11\xe0", gettext_lazy("an old Excel or Word file; save the sheet as CSV (UTF-8)")),
    (b"%PDF", gettext_lazy("a PDF; extract its text first")),
    (b"\x1f\x8b", gettext_lazy("a gzip archive; unpack it first")),
    (b"Rar!", gettext_lazy("a RAR archive; make it a zip")),
    (b"7z\xbc\xaf\x27\x1c", gettext_lazy("a 7z archive; make it a zip")),
    (b"SQLite format 3", gettext_lazy("an SQLite database; export the table as CSV")),
)


def sniff(file: BinaryIO, filename: str, given: Given = GUESSED) -> Sniffed:
    """Look into the whole file for its encoding and into its first rows for the rest; raises BadFile or BadField."""
    head = _head(file)
    name = filename.lower()
    if head.startswith(b"PAR1"):
        return _parquet(file)
    if head.startswith((b"PK\3\4", b"PK\5\6")):
        return _zip(file)
    if images.is_image(head) and not name.endswith((".csv", ".txt", ".tsv", ".json", ".jsonl")):
        return _image(filename)
    for magic, what in FOREIGN:
        if head.startswith(magic):
            raise BadFile(_("“%(name)s” is %(what)s.") % {"name": filename, "what": what})
    if images.SVG.match(head) and name.endswith((".svg", ".xml")):
        raise BadFile(_("SVG files can carry scripts; save it as PNG."))
    guess = encodings.guess(file, given.encoding)
    kind = given.format or _kind(file, guess.encoding, name)
    if kind == "json":
        found = _json(file, guess)
    elif kind == "jsonl":
        found = _jsonl(file, guess)
    elif kind == "text":
        found = _text(file, guess)
    else:
        found = _delimited(file, guess, kind, given)
    _warn(found, guess)
    return found


def json_path(file: BinaryIO, encoding: str) -> str:
    """Where in a JSON file the array of records is, as ijson writes paths; "" for the file itself. Raises BadFile."""
    stream = encodings.Utf8Stream(file, encoding)
    opened = ""
    found = False
    try:
        for prefix, event, _value in islice(ijson.parse(stream), 1_000_000):
            # A list of texts counts only where it is the whole file; elsewhere it is some property.
            if found and (event == "start_map" or (event == "string" and not opened)):
                return opened
            found = event == "start_array" and not (opened and prefix.startswith(opened + ".item"))
            opened = prefix if found else opened
    except (ijson.JSONError, UnicodeDecodeError, ValueError) as error:
        raise BadFile(_("The file is not valid JSON: %(error)s.") % {
            "error": (str(error).splitlines() or [""])[0][:200]}) from error  # fmt: skip
    raise BadFile(_("The JSON holds no list of records. With pandas: to_json(orient='records').")) from None


def _is_record(line: str, file: BinaryIO, encoding: str) -> bool:
    """Whether the object that is a file's only line is a record itself, and not wrapped around a list of them."""
    record = json.loads(line)
    if any(is_one(record) for is_one, _unfold in jsons.TOOLS):
        return True
    try:
        json_path(file, encoding)
    except BadFile:
        return any(isinstance(value, str) for value in record.values())
    return False


def _head(file: BinaryIO) -> bytes:
    file.seek(0)
    head = file.read(4096)
    if not head:
        raise BadFile(_("The file is empty."))
    return head


def _kind(file: BinaryIO, encoding: str, name: str) -> str:
    """By what the first lines look like; the name decides only between what they allow."""
    lines = [line.strip() for line in islice(encodings.Lines(file, encoding), 50) if line.strip()]
    if not lines:
        raise BadFile(_("The file holds only blank lines."))
    first = lines[0]
    if name.endswith((".json", ".jsonl", ".ndjson")) or (
        first[0] in "[{" and not name.endswith((".csv", ".tsv", ".tab", ".txt"))
    ):
        complete = [_is_json(line) for line in lines[:2]]
        if first[0] == "{" and all(complete) and (len(lines) > 1 or _is_record(first, file, encoding)):
            return "jsonl"
        return "jsonl" if name.endswith((".jsonl", ".ndjson")) else "json"
    if name.endswith((".tsv", ".tab")):
        return "tsv"
    if name.endswith(".csv"):
        return "csv"
    if name.endswith((".txt", ".text", ".md")):
        return "text"
    delimiter, share = _delimiter(file, encoding)
    if share < 0.9 or len(lines) < 2:
        return "text"
    return "tsv" if delimiter == "\t" else "csv"


def _delimited(file: BinaryIO, guess: encodings.Guess, kind: str, given: Given) -> Sniffed:
    delimiter = given.delimiter or ("\t" if kind == "tsv" else _delimiter(file, guess.encoding)[0])
    lines = encodings.Lines(file, guess.encoding)
    found = [cells for _line, cells in islice(delimited.records(lines, delimiter), LOOKED_AT + 1)]
    ended = len(found) <= LOOKED_AT
    whole = [cells for cells in found if not isinstance(cells, str)]
    if not whole:
        raise BadFile(_("No line of the file can be read as CSV."))
    header = columns.has_header(whole) if given.header is None else given.header
    names = delimited.names(whole[0] if header else [""] * len(whole[0]))
    body = whole[1:] if header else whole
    if delimited.is_exported(names):
        body = [[delimited.as_it_was(cell) for cell in cells] for cells in body]
    records = [dict(zip(names, cells, strict=False)) for cells in body]
    lines_per_row = max(sum(1 + sum(cell.count("\n") for cell in cells) for cells in body) / max(len(body), 1), 1)
    estimate = len(found) - header if ended else round(guess.newlines / lines_per_row) - header
    kind = "tsv" if delimiter == "\t" else "csv"
    return _sniffed(kind, names, records, max(estimate, 0), ended, guess.encoding, delimiter, header)


def _jsonl(file: BinaryIO, guess: encodings.Guess) -> Sniffed:
    found = list(islice(jsons.line_records(encodings.Lines(file, guess.encoding)), LOOKED_AT + 1))
    records, names = _flat([record for _line, record in found])
    ended = len(found) <= LOOKED_AT
    return _sniffed("jsonl", names, records, len(found) if ended else guess.newlines, ended, guess.encoding)


def _json(file: BinaryIO, guess: encodings.Guess) -> Sniffed:
    path = json_path(file, guess.encoding)
    stream = encodings.Utf8Stream(file, guess.encoding)
    found = [record for _line, record in islice(jsons.array_records(stream, path), LOOKED_AT + 1)]
    records, names = _flat(found)
    ended = len(found) <= LOOKED_AT
    length = sum(len(json.dumps(one, ensure_ascii=False, default=str).encode()) + 2 for one in records)
    estimate = len(found) if ended else round(file.seek(0, 2) * len(records) / max(length, 1))
    return _sniffed("json", names, records, estimate, ended, guess.encoding)


def _text(file: BinaryIO, guess: encodings.Guess) -> Sniffed:
    rows = list(islice(plain.read(file, encoding=guess.encoding), LOOKED_AT + 1))
    records = [{plain.COLUMN: getattr(row, "text", None)} for row in rows]
    ended = len(rows) <= LOOKED_AT
    estimate = len(rows) if ended else guess.newlines
    return _sniffed("text", [plain.COLUMN], records, estimate, ended, guess.encoding, header=False)


def _parquet(file: BinaryIO) -> Sniffed:
    opened = parquet.opened(file)
    names = list(opened.schema_arrow.names)
    try:
        values: dict[str, list[Any]] = next(parquet.batches(opened, None, size=SHOWN), {name: [] for name in names})
    except (pa.ArrowException, OSError) as error:
        raise BadFile(_("The file is not readable Parquet: %(error)s.") % {"error": str(error)[:200]}) from error
    records = [dict(zip(names, cells, strict=True)) for cells in zip(*values.values(), strict=True)]
    return _sniffed("parquet", names, records, opened.metadata.num_rows, exact=True)


def _image(filename: str) -> Sniffed:
    return _sniffed("image", [zipped.FILE], [{zipped.FILE: filename}], 1, exact=True, modality="image")


def _zip(file: BinaryIO) -> Sniffed:
    with archive.opened(file) as opened:
        planned = zipped.plan(opened, sniff)
        contents = planned.contents
        refused = len(contents.refused)
        if planned.sniffed is not None and planned.naming:
            found = planned.sniffed
            guess = columns.guess(found.columns, [], label_studio_file=False)
            used = (planned.naming, guess.label, guess.external_id)
            metadata = columns.kept(found.columns, used, label_studio_file=False)
            found.guess = Columns(*used, None, metadata, guess.origin)
            found.modality, found.row_estimate, found.exact = "image", len(contents.files) + refused, True
        elif planned.sniffed is not None:
            found = planned.sniffed
        else:
            classes = contents.classes
            records = [
                {zipped.FILE: path, zipped.FOLDER: folder if (folder := archive.folder_of(path)) in classes else ""}
                for path, _info in contents.files[:LOOKED_AT]
            ]
            count = len(contents.files) + refused
            found = _sniffed("zip", planned.columns, records, count, exact=True, modality="image")
            found.guess = Columns(zipped.FILE, zipped.FOLDER if classes else None)
    found.format = "zip"
    if refused:
        path, bad = contents.refused[0]
        found.warnings.append(_("%(n)d files of the archive will be left out; the first: %(path)s: %(reason)s") % {
            "n": refused, "path": path, "reason": bad.reason})  # fmt: skip
    return found


def _sniffed(
    kind: str,
    names: list[str],
    records: Sequence[Mapping[str, Any]],
    estimate: int,
    exact: bool,
    encoding: str = "",
    delimiter: str = "",
    header: bool = True,
    modality: str = "",
) -> Sniffed:
    guess = columns.guess(names, records, label_studio_file=label_studio.LABELS in names)
    first = next((value for row in records if (value := jsons.cell(row, guess.item)) is not None), None)
    if not modality:
        modality = "image" if isinstance(first, (bytes, Mapping)) or _is_data_uri(first) else "text"
    rows = [[_shown(jsons.cell(record, name)) for name in names] for record in records[:SHOWN]]
    return Sniffed(kind, encoding, delimiter, header, names, rows, guess, modality, estimate, exact)


def _delimiter(file: BinaryIO, encoding: str) -> tuple[str, float]:
    """The delimiter that gives most rows the header's number of cells, and their share; "," where none does."""
    sample = []
    size = 0
    for line in encodings.Lines(file, encoding):
        size += len(line)
        sample.append(line)
        if size > CHUNK or len(sample) > LOOKED_AT:
            break
    rated = []
    for preference, delimiter in enumerate(",\t;|"):
        widths = [len(cells) for _line, cells in delimited.records(sample, delimiter) if not isinstance(cells, str)]
        if widths and widths[0] > 1:
            rated.append((Counter(widths)[widths[0]] / len(widths), -preference, delimiter))
    share, _rank, delimiter = max(rated, default=(0.0, 0, ","))
    return (delimiter, share) if share > 0.5 else (",", 0.0)


def _flat(found: Iterable[Any]) -> tuple[list[Mapping[str, Any]], list[str]]:
    records: list[Mapping[str, Any]] = []
    names: dict[str, None] = {}
    for one in found:
        try:
            record = jsons.flat(one)
        except Bad:
            continue
        records.append(record)
        names.update(dict.fromkeys(jsons.columns_of(record)))
    if not records:
        raise BadFile(_("None of the file's first records is a JSON object."))
    return records, list(names)


def _warn(found: Sniffed, guess: encodings.Guess) -> None:
    if guess.bad_places:
        found.warnings.append(
            _("%(n)d places of the file are not valid %(encoding)s; their rows will be reported and left out.")
            % {"n": guess.bad_places, "encoding": guess.encoding}
        )
    elif not guess.certain:
        found.warnings.append(_("The encoding is a guess (%(encoding)s): look at the first rows.") % {
            "encoding": guess.encoding})  # fmt: skip


def _is_json(line: str) -> bool:
    try:
        return isinstance(json.loads(line), (dict, str))
    except (ValueError, RecursionError):
        return False


def _is_data_uri(value: object) -> bool:
    return isinstance(value, str) and DATA_URI.match(value) is not None


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bytes) or (isinstance(value, Mapping) and "bytes" in value):
        return _("(image)")
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= CELL else text[: CELL - 1] + "…"
