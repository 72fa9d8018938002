"""Argilla's JSON: its records as flat ones, of version 2 and of the feedback data sets before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

NOT_SAID = frozenset({"draft", "discarded"})


def is_record(record: Mapping[str, Any]) -> bool:
    """Whether a record is one of Argilla's: what to show under "fields", beside responses or suggestions."""
    fields = record.get("fields")
    return isinstance(fields, Mapping) and ("responses" in record or "suggestions" in record)


def flat(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record as one flat one: its fields, its id, its metadata, and each question's first response.

    A single question's response stands under "label". What the tool's own models suggested is no label.
    """
    row = dict(record["fields"])
    if (own := record.get("external_id") or record.get("id")) is not None:
        row.setdefault("id", own)
    if record.get("metadata"):
        row["metadata"] = record["metadata"]
    said: dict[str, Any] = {}
    for question, value in _responses(record.get("responses")):
        said.setdefault(question, value)
    row |= {"label": None} if not said else {"label": next(iter(said.values()))} if len(said) == 1 else said
    return row


def _responses(given: Any) -> Iterator[tuple[str, Any]]:
    """(question, value) of each response that somebody submitted."""
    if isinstance(given, Mapping):  # version 2: a list of responses for each question
        for question, ones in given.items():
            for one in ones if isinstance(ones, list) else ():
                if isinstance(one, Mapping) and one.get("status") not in NOT_SAID:
                    yield question, one.get("value")
        return
    for one in given if isinstance(given, list) else ():  # before: a list of people, each with all questions
        values = one.get("values") if isinstance(one, Mapping) and one.get("status") not in NOT_SAID else None
        for question, value in values.items() if isinstance(values, Mapping) else ():
            yield question, value.get("value") if isinstance(value, Mapping) else value
