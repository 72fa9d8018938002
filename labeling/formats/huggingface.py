"""Hugging Face: a folder, zipped, that `datasets.load_dataset` opens without being told how."""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import IO, Any, BinaryIO

from labeling.formats.packing import member
from labeling.formats.rows import ExportRow

# One folder for all images: several would be taken for classes by `imagefolder`.
IMAGES = "train/images"
CARD = """---
{head}
---

# {title}

{count} items. Columns: `label`; `origin`, who or what gave the label (`person`; `accepted`: suggested by the model
and accepted by a person; `imported`: it came with the file; `suggestion`: the model alone; empty: no label yet);
`confidence`, the model's, in [0, 1]; `snapshot`, the number of the model's version; `certificate`, the number of the
certificate whose set the item belongs to; `annotator`; `metadata`, as JSON.

    from datasets import load_dataset
    data = load_dataset("path/to/this/folder", split="train")
"""


# Declared, for `datasets` tells types by the first rows: a column that is empty there would never hold anything.
TYPES = {
    "label": "string",
    "origin": "string",
    "confidence": "float64",
    "snapshot": "int64",
    "certificate": "int64",
    "answers": "int64",
    "agreement": "float64",
    "consensus": "string",
    "votes": "string",
    "rules": "string",
    "annotator": "string",
    "external_id": "string",
    "id": "int64",
    "labeled_at": "string",
    "seconds": "float64",
    "created_at": "string",
    "metadata": "string",
}
OF_TEXTS = {"text": "string"} | TYPES
OF_IMAGES = {"image": "image", "name": "string"} | TYPES


def write(rows: Iterable[ExportRow], out: BinaryIO, *, title: str = "Labelled items") -> int:
    """Write the zip: train.jsonl for texts; train/metadata.jsonl and train/images/ for images. Returns how many."""
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        count, front = add(rows, archive)
        head = "\n".join(f"{name}: {json.dumps(value)}" for name, value in front.items())
        archive.writestr(member("README.md"), CARD.format(head=head, title=" ".join(title.split()), count=count))
    return count


def add(rows: Iterable[ExportRow], archive: zipfile.ZipFile) -> tuple[int, dict[str, Any]]:
    """Write the data into the archive; returns how many rows, and what README.md must say before its text.

    Without that `datasets` would take types from the first rows, and other files for data.
    """
    rows = iter(rows)
    first = next(rows, None)
    images = first is not None and first.open_image is not None
    everything = chain(() if first is None else (first,), rows)
    if images:
        count = _write_images(everything, archive)
    else:
        with archive.open(member("train.jsonl"), "w", force_zip64=True) as table:
            count = _write_table(_text_records(everything), table)
    types = OF_IMAGES if images else OF_TEXTS
    return count, data_files("train/**" if images else "train.jsonl") | {
        "dataset_info": {"features": [{"name": name, "dtype": dtype} for name, dtype in types.items()]}
    }


def data_files(pattern: str) -> dict[str, Any]:
    """What a folder's README.md says of where its data lies."""
    files = [{"split": "train", "path": pattern}]
    return {"configs": [{"config_name": "default", "data_files": files}]}


def _write_images(rows: Iterable[ExportRow], archive: zipfile.ZipFile) -> int:
    # The table comes after the images, for a zip is written one member after the other; it waits on disk.
    with tempfile.TemporaryFile() as waiting:
        count = _write_table(_image_records(rows, archive), waiting)
        waiting.seek(0)
        with archive.open(member("train/metadata.jsonl"), "w", force_zip64=True) as table:
            shutil.copyfileobj(waiting, table, 1 << 20)
    return count


def _write_table(records: Iterable[dict[str, Any]], table: IO[bytes]) -> int:
    encode = json.JSONEncoder(ensure_ascii=False).encode
    count = 0
    for record in records:
        count += 1
        table.write(encode(record).encode() + b"\n")
    return count


def _text_records(rows: Iterable[ExportRow]) -> Iterator[dict[str, Any]]:
    for row in rows:
        yield {"text": row.text, **_facts(row)}


def _image_records(rows: Iterable[ExportRow], archive: zipfile.ZipFile) -> Iterator[dict[str, Any]]:
    for row in rows:
        if row.open_image is None:
            continue
        extension = row.image_name.rpartition(".")[2].lower() or "png"
        name = f"{row.id:09d}.{extension}"
        # Images are compressed already.
        with row.open_image() as image, archive.open(member(f"{IMAGES}/{name}", zipfile.ZIP_STORED), "w") as copy:
            shutil.copyfileobj(image, copy, 1 << 20)
        yield {"file_name": f"images/{name}", "name": row.image_name, **_facts(row)}


def _facts(row: ExportRow) -> dict[str, Any]:
    # Metadata is a string: Arrow wants one type per column, and no two rows need have the same keys.
    return {
        "label": row.label,
        "origin": row.origin,
        "confidence": row.confidence,
        "snapshot": row.snapshot,
        "certificate": row.certificate,
        "answers": row.answers,
        "agreement": row.agreement,
        "consensus": row.consensus or None,
        "votes": json.dumps(row.votes, ensure_ascii=False) if row.votes else "{}",
        "rules": json.dumps(row.rules, ensure_ascii=False) if row.rules else "[]",
        "annotator": row.annotator,
        "external_id": row.external_id,
        "id": row.id,
        "labeled_at": row.labeled_at or None,
        "seconds": row.seconds,
        "created_at": row.created_at or None,
        "metadata": json.dumps(row.metadata, ensure_ascii=False) if row.metadata else "{}",
    }
