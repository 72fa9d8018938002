"""Label Studio's JSON: its tasks as flat records, and our rows as its tasks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, BinaryIO

from labeling.formats.rows import ExportRow

LABELS = "annotations"
NAMES = frozenset({"choices", "labels", "taxonomy", "rectanglelabels", "hypertextlabels", "paragraphlabels"})


def is_task(record: Mapping[str, Any]) -> bool:
    """Whether a record is a task of Label Studio: what to show under "data", beside ids and annotations."""
    data = record.get("data")
    return isinstance(data, Mapping) and "text" not in record and any(isinstance(one, str) for one in data.values())


def flat(record: Mapping[str, Any]) -> dict[str, Any]:
    """The task as one flat record: its data, its id, and under "annotations" the choices of the first annotation.

    An annotation that was skipped ("was_cancelled") counts for nothing. Later annotations are other people's
    second opinions; the first one is what Label Studio's own CSV export gives too.
    """
    row = dict(record["data"])
    if "id" in record:
        row.setdefault("id", record["id"])
    given = record.get("annotations") or record.get("completions") or []
    counted = [one for one in given if isinstance(one, Mapping) and not one.get("was_cancelled")]
    row[LABELS] = _choices(counted[0]) if counted else None
    return row


def write(rows: Iterable[ExportRow], out: BinaryIO, *, image_of: Callable[[ExportRow], str]) -> int:
    """Write a JSON array of tasks, one a line. A suggestion that nobody accepted is a prediction, no annotation.

    The matching configuration has <Choices name="label" toName="text"> (or "image"). Who answered is kept under
    "meta": Label Studio refuses a "completed_by" that is not one of its own users.
    """
    encode = json.JSONEncoder(ensure_ascii=False, separators=(", ", ": ")).encode
    count = 0
    out.write(b"[")
    for row in rows:
        out.write((",\n" if count else "\n").encode() + encode(_task(row, image_of(row))).encode())
        count += 1
    out.write(b"\n]\n")
    return count


def _task(row: ExportRow, image: str) -> dict[str, Any]:
    shown = "text" if row.open_image is None else "image"
    data: dict[str, Any] = {shown: row.text if row.open_image is None else image}
    if row.image_name:
        data["name"] = row.image_name
    # Written even where there is none, lest the task's own id be taken for it when the file is read again.
    data["external_id"] = row.external_id
    if row.metadata:
        data["metadata"] = row.metadata
    task: dict[str, Any] = {"id": row.id, "data": data, "annotations": [], "predictions": []}
    if row.label is not None:
        result = [
            {"from_name": "label", "to_name": shown, "type": "choices", "value": {"choices": [row.label]}},
        ]
        if row.origin == "suggestion":
            task["predictions"].append(
                {"model_version": f"snapshot {row.snapshot}", "score": row.confidence, "result": result}
            )
        else:
            task["annotations"].append({"result": result, "was_cancelled": False, "created_at": row.labeled_at})
    task["meta"] = {
        "origin": row.origin,
        "confidence": row.confidence,
        "snapshot": row.snapshot,
        "certificate": row.certificate,
        "rules": row.rules,
        "annotator": row.annotator,
        "labeled_at": row.labeled_at,
        "seconds": row.seconds,
        "created_at": row.created_at,
    }
    return task


def _choices(annotation: Mapping[str, Any]) -> list[str] | None:
    """The names given by the annotation's first result that gives any."""
    for result in annotation.get("result") or []:
        value = result.get("value") if isinstance(result, Mapping) else None
        if isinstance(value, Mapping):
            for kind in NAMES & set(value):
                return list(value[kind])
    return None
