"""Certified data: exported rows compared with the certificates that they claim, from the files alone."""

import csv
import json
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metalearning.certificate import refused_errors
from metalearning.certificate_record import Certified, RecordDoesNotHold, recompute

LIVE = re.compile("'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")  # how cells begin that exports put an apostrophe before
ACCEPTED = "accepted"  # the origin of a row whose label is the suggestion itself


@dataclass(frozen=True)
class Row:
    """What matters of an exported row; certificate 0: none."""

    item: str
    label: str
    origin: str
    certificate: int


@dataclass
class Found:
    """What was found of one certificate's items in the data."""

    rows: int = 0
    as_suggested: int = 0
    items: set[str] = field(default_factory=set)


def verify(paths: Sequence[Path]) -> list[str]:
    """Recompute every certificate among the files and compare the data among them; one line for each that holds.

    Raises RecordDoesNotHold for the first thing that does not, and where there is no certificate at all.
    """
    records: list[Mapping[str, Any]] = []
    data: list[Path] = []
    for path in paths:
        found = _records(path)
        if found is None:
            data.append(path)
        else:
            records += found
    if not records:
        raise RecordDoesNotHold("none of the files is a certificate")
    certified = {}
    for record in records:
        one = recompute(record)
        if one.number in certified:
            raise RecordDoesNotHold(f"certificate {one.number} is there twice")
        certified[one.number] = one
    lines = [_said(one) for one in certified.values()]
    for path in data:
        lines += [f"{path.name}: {line}" for line in compare(read(path), certified)]
    return lines


def compare(rows: Iterable[Row], certified: Mapping[int, Certified]) -> list[str]:
    """Check the rows that name a certificate against it; what was found of each, in words.

    A row may only name a certificate that is there and whose set its item belongs to, once; a label that the model gave
    must be the one that was frozen. Labels that people gave in such a set may differ: they replaced a suggestion.
    Raises RecordDoesNotHold.
    """
    found = {number: Found() for number in certified}
    for row in rows:
        if not row.certificate:
            continue
        one = certified.get(row.certificate)
        if one is None:
            raise RecordDoesNotHold(
                f"item {row.item} names certificate {row.certificate}, which is not among the files"
            )
        if row.item not in one.labels:
            raise RecordDoesNotHold(f"item {row.item} is not in the set of certificate {row.certificate}")
        seen = found[row.certificate]
        if row.item in seen.items:
            raise RecordDoesNotHold(f"item {row.item} is there twice")
        if row.origin == ACCEPTED and row.label != one.labels[row.item]:
            raise RecordDoesNotHold(
                f"item {row.item} has the label “{row.label}”, but “{one.labels[row.item]}” was certified"
            )
        seen.items.add(row.item)
        seen.rows += 1
        seen.as_suggested += row.label == one.labels[row.item]
    return [_compared(number, found[number], one) for number, one in certified.items() if one.labels]


def read(path: Path) -> Iterator[Row]:
    """The rows of an exported file of any format that the application writes. Raises RecordDoesNotHold."""
    try:
        yield from map(_row, _tables(path))
    except (KeyError, ValueError, TypeError, zipfile.BadZipFile) as error:
        raise RecordDoesNotHold(f"{path.name} can't be read as an export: {error!r}") from error


def _said(one: Certified) -> str:
    evidence, claim = one.evidence, one.claim
    if evidence.state != "passed":
        return f"certificate {one.number} holds: {evidence.state}, nothing is certified, {evidence.audits} audits"
    most = refused_errors(evidence.accepted, claim.eps) - 1
    return (
        f"certificate {one.number} holds: passed, at most {claim.eps:.1%} ({most}) of {evidence.accepted} labels are "
        f"wrong, with a confidence of {1 - claim.delta:.4g}, from {evidence.audits} audits"
    )


def _compared(number: int, found: Found, one: Certified) -> str:
    missing = len(one.labels) - found.rows
    told = f"certificate {number}: {found.rows} of its {len(one.labels)} items, {found.as_suggested} as suggested"
    return told + (f" ({missing} are not in this file: the bound is on all of them)" if missing else "")


def _records(path: Path) -> list[Mapping[str, Any]] | None:
    """The certificates in a file; None for one that holds data."""
    if path.suffix.lower() != ".json":
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RecordDoesNotHold(f"{path.name} is no JSON: {error}") from error
    if isinstance(content, dict) and isinstance(content.get("certificates"), list):
        return list(content["certificates"])
    return [content] if isinstance(content, dict) and "items_sha256" in content else None


def _tables(path: Path) -> Iterator[Mapping[str, Any]]:
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        from pyarrow import parquet

        file = parquet.ParquetFile(path)
        columns = [name for name in ("id", "label", "origin", "certificate") if name in file.schema_arrow.names]
        for batch in file.iter_batches(columns=columns):
            yield from batch.to_pylist()
    elif suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            [table] = [name for name in archive.namelist() if name.endswith(".jsonl")]
            with archive.open(table) as lines:
                yield from map(json.loads, lines)
    elif suffix == ".json":
        for task in json.loads(path.read_text(encoding="utf-8")):
            yield _task(task)
    elif suffix in (".jsonl", ".ndjson"):
        with path.open(encoding="utf-8") as lines:
            yield from map(json.loads, lines)
    else:
        with open(path, encoding="utf-8-sig", newline="") as lines:
            for found in csv.DictReader(lines):
                yield found | {"label": _plain(found["label"])}


def _task(task: Mapping[str, Any]) -> Mapping[str, Any]:
    """A Label Studio task as a row."""
    results = [result for given in task["annotations"] for result in given["result"]]
    label = results[0]["value"]["choices"][0] if results else None
    return {"id": task["id"], "label": label, **{name: task["meta"].get(name) for name in ("origin", "certificate")}}


def _row(found: Mapping[str, Any]) -> Row:
    number = found.get("certificate")
    return Row(str(found["id"]), str(found.get("label") or ""), found.get("origin") or "", int(number) if number else 0)


def _plain(label: str) -> str:
    """A CSV cell without the apostrophe that keeps spreadsheets from running it as a formula."""
    return label[1:] if label[:1] == "'" and LIVE.match(label) else label
