"""Parquet: read and written in batches; images as Hugging Face keeps them, {"bytes", "path"}."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
from django.utils.translation import gettext as _

from labeling.errors import BadFile
from labeling.formats.delimited import EXPORTED
from labeling.formats.limits import MAX_ROW_GROUP
from labeling.formats.rows import BadRow, Columns, ExportRow, Row
from labeling.formats.values import Assembler

BATCH = 1_000  # rows read at a time
GROUP_ROWS = 10_000  # rows written as one row group
GROUP_BYTES = 64 * 1024 * 1024  # of images in one row group
HUGGING_FACE = b"huggingface"
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
TYPES = {
    "id": pa.int64(),
    "image": IMAGE,
    "confidence": pa.float64(),
    "seconds": pa.float64(),
    "snapshot": pa.int64(),
    "certificate": pa.int64(),
    "answers": pa.int64(),
    "agreement": pa.float64(),
}


def opened(file: BinaryIO) -> pq.ParquetFile:
    """The file, if it can be read in bounded memory; raises BadFile."""
    try:
        found = pq.ParquetFile(file, pre_buffer=False)
        groups = [found.metadata.row_group(n) for n in range(found.metadata.num_row_groups)]
        largest = max((group.total_byte_size for group in groups), default=0)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise BadFile(_("The file is not readable Parquet: %(error)s.") % {"error": str(error)[:200]}) from error
    if largest > MAX_ROW_GROUP:
        raise BadFile(
            _("One row group of the file unpacks to %(n)d GB; write it with smaller row groups.") % {"n": largest >> 30}
        )
    return found


def names_of(found: pq.ParquetFile) -> dict[str, list[str]]:
    """The names behind integer labels, by column, where Hugging Face `datasets` wrote the file."""
    try:
        features = json.loads((found.schema_arrow.metadata or {})[HUGGING_FACE])["info"]["features"]
        return {name: one["names"] for name, one in features.items() if one.get("_type") == "ClassLabel"}
    except (KeyError, ValueError, TypeError, AttributeError):
        return {}


def batches(found: pq.ParquetFile, columns: list[str] | None, size: int = BATCH) -> Iterator[dict[str, list[Any]]]:
    """Column values of `size` rows at most; classes by name. A broken row group raises when it is reached."""
    classes = names_of(found)
    for batch in found.iter_batches(size, columns=columns):
        yield _plain(batch, classes)


def read(file: BinaryIO, *, columns: Columns) -> Iterator[Row | BadRow]:
    """The rows. Of a row group that is broken the remaining rows are one bad row."""
    found = opened(file)
    size = file.seek(0, 2)
    wanted = {columns.item, columns.label, columns.external_id, columns.vector, columns.origin, *columns.metadata}
    present = [name for name in found.schema_arrow.names if name in wanted]
    classes = names_of(found)
    assemble = Assembler(columns).row
    total = max(found.metadata.num_rows, 1)
    number = group_end = 0
    for group in range(found.metadata.num_row_groups):
        group_end += found.metadata.row_group(group).num_rows
        try:
            for batch in found.iter_batches(BATCH, row_groups=[group], columns=present):
                values = _plain(batch, classes)
                for cells in zip(*(values[name] for name in present), strict=True):
                    number += 1
                    yield assemble(number, 0, size * number // total, dict(zip(present, cells, strict=True)).get)
        except (pa.ArrowException, OSError) as error:
            reason = _("Rows %(first)d to %(last)d cannot be read: %(error)s.") % {
                "first": number + 1, "last": group_end, "error": str(error)[:200]}  # fmt: skip
            yield BadRow(number + 1, 0, size * group_end // total, "broken", reason)
            number = group_end


def write(rows: Iterable[ExportRow], out: BinaryIO) -> int:
    """Write Parquet, zstd, that `datasets.load_dataset("parquet", ...)` opens with images decoded."""
    writer: pq.ParquetWriter | None = None
    count = 0
    for group in _groups(rows):
        if writer is None:
            writer = pq.ParquetWriter(out, _schema(group[0].open_image is not None), compression="zstd")
        writer.write_batch(_batch(group, writer.schema))
        count += len(group)
    writer = writer or pq.ParquetWriter(out, _schema(images=False), compression="zstd")
    writer.close()
    return count


def _groups(rows: Iterable[ExportRow]) -> Iterator[list[ExportRow]]:
    group: list[ExportRow] = []
    limit = GROUP_ROWS
    for row in rows:
        # Images are opened while the group is written: at most so many lie in memory at once.
        limit = GROUP_ROWS if row.open_image is None else 500
        group.append(row)
        if len(group) >= limit:
            yield group
            group = []
    if group:
        yield group


def _schema(images: bool) -> pa.Schema:
    names = [name for name in EXPORTED if name != "image" or images]
    fields = [pa.field(name, TYPES.get(name, pa.string())) for name in names]
    if not images:
        return pa.schema(fields)
    dtypes = {pa.int64(): "int64", pa.float64(): "float64", pa.string(): "string"}
    features: dict[str, Any] = {
        name: {"dtype": dtypes[TYPES.get(name, pa.string())], "_type": "Value"} for name in names if name != "image"
    }
    features["image"] = {"_type": "Image"}
    about = json.dumps({"info": {"features": features}}).encode()
    return pa.schema(fields, metadata={HUGGING_FACE: about})


def _batch(group: list[ExportRow], schema: pa.Schema) -> pa.RecordBatch:
    columns = []
    for name in schema.names:
        if name == "image":
            values: list[Any] = [_image(row) for row in group]
        elif name in ("metadata", "votes", "rules"):
            objects = [getattr(row, name) for row in group]
            values = [json.dumps(one, ensure_ascii=False) if one else None for one in objects]
        else:
            values = [getattr(row, name) for row in group]
        columns.append(pa.array(values, schema.field(name).type))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _image(row: ExportRow) -> dict[str, Any] | None:
    if row.open_image is None:
        return None
    with row.open_image() as file:
        return {"bytes": file.read(), "path": row.image_name}


def _plain(batch: pa.RecordBatch, classes: dict[str, list[str]]) -> dict[str, list[Any]]:
    values: dict[str, list[Any]] = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        plain = column.to_pylist()
        if name in classes:
            known = classes[name]
            plain = [known[n] if isinstance(n, int) and 0 <= n < len(known) else None for n in plain]
        values[name] = plain
    return values
