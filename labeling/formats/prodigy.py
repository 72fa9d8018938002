"""Prodigy's JSON lines: what was accepted or chosen as a label, what was rejected or ignored as none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TASK = "_task_hash"
# What the tool says of its own work; not of the item.
ITS_OWN = frozenset({"answer", "accept", "options", "label", "meta", "config", "score", "priority", "spans", "tokens"})


def is_task(record: Mapping[str, Any]) -> bool:
    """Whether a record is an answered task of Prodigy."""
    return TASK in record and "answer" in record


def flat(record: Mapping[str, Any]) -> dict[str, Any]:
    """The task as one flat record: its data, its "meta" as metadata, and under "label" what was accepted.

    A rejected label is no label, for it says only what the item is not; it is kept under "rejected". Several choices
    stay a list.
    """
    row = {name: value for name, value in record.items() if name not in ITS_OWN and not name.startswith("_")}
    given = record.get("accept") if "options" in record else record.get("label")
    row["label"] = given if record["answer"] == "accept" else None
    about = dict(meta) if isinstance(meta := record.get("meta"), Mapping) else {}
    if record["answer"] == "reject" and given:
        about["rejected"] = given
    if about:
        row["metadata"] = about
    return row
