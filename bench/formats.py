"""Formats: what reading and writing cost, in CPU seconds and memory. By hand: `python bench/formats.py [--rows N]`.

Each measurement runs in a process of its own, so that its peak of memory is its own.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from django.conf import settings

if not settings.configured:
    settings.configure(USE_I18N=False)

from labeling import formats

EXTENSIONS = {"csv": "csv", "jsonl": "jsonl", "parquet": "parquet", "huggingface": "zip", "label_studio": "json"}
WORDS = [f"word{n}" for n in range(3_000)]


def rows(count: int) -> Iterator[formats.ExportRow]:
    """Rows of about twelve words, one of 77 labels and an id."""
    chance = random.Random(0)
    for number in range(count):
        yield formats.ExportRow(
            id=number,
            text=f"{' '.join(chance.choices(WORDS, k=12))} {number}",
            label=f"label {number % 77}",
            origin="person",
            annotator="anna",
            external_id=str(number),
            created_at="2026-01-01T00:00:00+00:00",
            labeled_at="2026-01-02T00:00:00+00:00",
        )


def megabytes() -> float:
    """The most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(what: str, format: str, path: Path, count: int) -> dict[str, Any]:
    """One measurement, in this process."""
    before, began = megabytes(), time.process_time()
    if what == "write":
        with path.open("wb") as out:
            done = formats.write(format, rows(count), out)
    elif what == "rows":
        done = sum(1 for _ in rows(count))
    else:
        found = formats.sniff(path, path.name)
        read = formats.read(path, found.format, columns=found.guess, encoding=found.encoding,
                            delimiter=found.delimiter, header=found.header)  # fmt: skip
        done = sum(isinstance(row, formats.Row) for row in read)
    return {
        "what": what,
        "format": format,
        "rows": done,
        "cpu_seconds": round(time.process_time() - began, 2),
        "memory_before_mb": round(before),
        "memory_peak_mb": round(megabytes()),
        "file_mb": round(path.stat().st_size / 2**20, 1) if path.exists() else 0,
    }


def apart(*words: str) -> dict[str, Any]:
    """One measurement, in a process of its own."""
    done = subprocess.run([sys.executable, __file__, "--one", *words], capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def main() -> None:
    """Every format at three sizes: memory that grows with the rows shows between the last two."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--formats", nargs="*", default=list(EXTENSIONS))
    parser.add_argument("--one", nargs=4)
    given = parser.parse_args()
    if given.one:
        what, format, path, count = given.one
        print(json.dumps(measure(what, format, Path(path), int(count))))
        return
    with tempfile.TemporaryDirectory() as folder:
        for count in (10_000, 100_000, given.rows):
            print(json.dumps(apart("rows", "", str(Path(folder) / "none"), str(count))), flush=True)
            for format in given.formats:
                path = Path(folder) / f"{count}.{EXTENSIONS[format]}"
                for what in ("write", "read"):
                    print(json.dumps(apart(what, format, str(path), str(count))), flush=True)
                path.unlink()


if __name__ == "__main__":
    main()
