"""Certified data: exported rows compared with the certificates that they claim, from the files alone."""

import csv
import io
import json
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any

from metalearning.certificate import refused_errors
from metalearning.certificate_record import Certified, RecordDoesNotHold, recompute

LIVE = re.compile("'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")  # how cells begin that exports put an apostrophe before
LONGEST_CELL = 1 << 28  # characters
ACCEPTED = "accepted"  # the origin of a row whose label is the suggestion itself
TABLES = (".csv", ".json", ".jsonl", ".ndjson", ".parquet")  # what is read of folders and zips; cards, images are not


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


@dataclass(frozen=True)
class Source:
    """A file that may hold certificates or data: on disk, or a member of a zip."""

    name: str
    content: Path | zipfile.Path

    def open(self) -> IO[bytes]:
        """Its bytes; seekable."""
        return self.content.open("rb")

    @property
    def suffix(self) -> str:
        """What its own name ends with, in lower case, with the dot; `name` may be that of its zip."""
        return PurePosixPath(self.content.name).suffix.lower()


def verify(paths: Sequence[Path]) -> list[str]:
    """Recompute every certificate among the files and compare the data among them; one line for each that holds.

    A folder or a zip stands for the tables and certificates in it: an export as it was downloaded, or unpacked.
    Raises RecordDoesNotHold for the first thing that does not, and where there is no certificate at all.
    """
    with ExitStack() as opened:
        sources = [source for path in paths for source in _sources(path, opened)]
        records: list[Mapping[str, Any]] = []
        data: list[Source] = []
        for source in sources:
            found = _records(source)
            if found is None:
                data.append(source)
            else:
                records += found
        if not records:
            looked = ", ".join(source.name for source in sources) or "nothing to read"
            raise RecordDoesNotHold(
                f"none of the files is a certificate ({looked}). An export that was made with its data card holds "
                "certificate.json once a certificate of its project is decided"
            )
        certified = _recomputed(records)
        lines = [_said(one) for one in certified.values()]
        for source in data:
            lines += [f"{source.name}: {line}" for line in compare(read(source), certified)]
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


def read(source: Source) -> Iterator[Row]:
    """The rows of an exported file of any format that the application writes. Raises RecordDoesNotHold."""
    try:
        yield from map(_row, _table(source))
    except KeyError as error:
        raise RecordDoesNotHold(f"{source.name} can't be read as an export: it has no column {error}") from error
    except (
        ValueError,
        TypeError,
        AttributeError,
        IndexError,
        OSError,
        csv.Error,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise RecordDoesNotHold(f"{source.name} can't be read as an export: {error}") from error


def _sources(path: Path, opened: ExitStack) -> list[Source]:
    """The files that a path stands for, by name. A zip stays open until `opened` is closed."""
    if path.is_dir():
        # Not a zip in the folder: it is most likely what the rest was unpacked from.
        found = [one for one in sorted(path.rglob("*")) if one.is_file() and _counts(one.relative_to(path).as_posix())]
        return [Source(one.relative_to(path).as_posix(), one) for one in found]
    if not path.exists():
        raise RecordDoesNotHold(f"there is no file {path}")
    if path.suffix.lower() != ".zip":
        return [Source(path.name, path)]
    try:
        archive = opened.enter_context(zipfile.ZipFile(path))
        broken = archive.testzip()
    except zlib.error as error:
        raise RecordDoesNotHold(f"{path.name} is damaged: {error}. Download it again") from error
    except (zipfile.BadZipFile, OSError) as error:
        raise RecordDoesNotHold(f"{path.name} is no zip that can be read: {error}") from error
    if broken:
        raise RecordDoesNotHold(f"{path.name} is damaged: {broken} is not what was packed. Download it again")
    names = [name for name in archive.namelist() if _counts(name)]
    alone = len(names) == 1
    return [Source(path.name if alone else name, zipfile.Path(archive, name)) for name in names]


def _counts(name: str) -> bool:
    """Whether a file of a folder or zip is looked at; not what operating systems leave beside files."""
    parts = PurePosixPath(name).parts
    return name.lower().endswith(TABLES) and not any(part.startswith((".", "__MACOSX")) for part in parts)


def _recomputed(records: Sequence[Mapping[str, Any]]) -> dict[int, Certified]:
    """What each record says, by its number."""
    certified: dict[int, Certified] = {}
    for record in records:
        one = recompute(record)
        if one.number in certified:
            raise RecordDoesNotHold(f"certificate {one.number} is there twice")
        certified[one.number] = one
    return certified


def _said(one: Certified) -> str:
    evidence, claim = one.evidence, one.claim
    if evidence.state != "passed":
        return f"certificate {one.number} holds: {evidence.state}, nothing is certified, {evidence.audits} audits"
    most = refused_errors(evidence.accepted, claim.eps) - 1
    return (
        f"certificate {one.number} holds: passed, at most {claim.eps:.1%} ({most}) of {evidence.accepted} labels are "
        f"wrong, with a confidence of {1 - claim.delta:.4g}, from {evidence.audits} audits"
    ) + _of_people(one)


def _of_people(one: Certified) -> str:
    if one.human is None:
        return "; how often the auditors err themselves is not known"
    told, how = one.human, {"gold": "gold items", "doubles": "audits that two people answered"}
    return (
        f"; the auditors err on {told.error.value:.1%} ({told.error.low:.1%} to {told.error.high:.1%}, from "
        f"{how[told.source]}), so at most {told.most_wrong:.1%} are wrong if their mistakes are counted, with a "
        f"confidence of {told.confidence:.4g}"
    )


def _compared(number: int, found: Found, one: Certified) -> str:
    missing = len(one.labels) - found.rows
    told = f"certificate {number}: {found.rows} of its {len(one.labels)} items, {found.as_suggested} as suggested"
    return told + (f" ({missing} are not in this file: the bound is on all of them)" if missing else "")


def _records(source: Source) -> list[Mapping[str, Any]] | None:
    """The certificates in a file; None for one that holds data."""
    if source.suffix != ".json":
        return None
    content = _json(source)
    if isinstance(content, dict) and isinstance(content.get("certificates"), list):
        return list(content["certificates"])
    return [content] if isinstance(content, dict) and "items_sha256" in content else None


def _json(source: Source) -> Any:
    try:
        with source.open() as file:
            return json.load(file)
    except (ValueError, RecursionError) as error:
        raise RecordDoesNotHold(f"{source.name} is no JSON: {error}") from error


def _table(source: Source) -> Iterator[Mapping[str, Any]]:
    if source.suffix == ".json":
        yield from map(_task, _json(source))
        return
    with source.open() as file:
        if source.suffix == ".parquet":
            yield from _parquet(file)
        elif source.suffix in (".jsonl", ".ndjson"):
            yield from map(json.loads, io.TextIOWrapper(file, encoding="utf-8"))
        else:
            csv.field_size_limit(max(csv.field_size_limit(), LONGEST_CELL))  # the module's 131,072 is a long document
            for found in csv.DictReader(io.TextIOWrapper(file, encoding="utf-8-sig", newline="")):
                yield found | {"label": _plain(found["label"])}


def _parquet(file: IO[bytes]) -> Iterator[Mapping[str, Any]]:
    from pyarrow import parquet

    found = parquet.ParquetFile(file)
    columns = [name for name in ("id", "label", "origin", "certificate") if name in found.schema_arrow.names]
    for batch in found.iter_batches(columns=columns):
        yield from batch.to_pylist()


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
