"""Pool: where a project's vectors and a snapshot's predictions lie, as arrays in the order of the items' rows.

    projects/7/vectors/minilm/000002-1808-9f2c….npy   rows 8192 to 9999, float16; a chunk has up to 4,096
    projects/7/graphs/minilm/000010000-51d0….npz      who lies next to whom, over 10,000 items
    projects/7/snapshots/00000012.predictions.npy     what snapshot 12 says of each row
    projects/7/snapshots/00000012.ranking.json        whom to ask next
    projects/7/snapshots/00000012.held_out.npz        what models that had not seen them said of the answers
    projects/7/snapshots/00000012.model.npz           what it takes to predict again
    projects/7/certificates/00000003-5f….npz          what certificate 3 froze, surest first

Vectors are read as one memory map, assembled in the local cache folder from the chunks.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import IO, Any, NamedTuple, TypeVar
from urllib.parse import quote

import numpy as np
from django.utils.translation import gettext as _
from jaxtyping import Bool, Float, Int

from labeling import blobs
from labeling.cached_vectors import CachedVectors
from labeling.errors import Refused

logger = logging.getLogger(__name__)
CHUNK = 4096  # rows
CHUNK_NAME = re.compile(r"(\d{6,})-(\d{4})-([0-9a-f]{16})\.npy")
SNAPSHOT_NAME = re.compile(r"(\d{8,})\..*")
ATTEMPTS = 5
HEAD_BYTES = 256  # of an .npy file, more than tell its shape
T = TypeVar("T")
LARGEST_SMALL = np.iinfo(np.int16).max


class NotKept(Refused):
    """A snapshot whose arrays are no longer there."""

    code = "not_kept"
    status = 409

    def __init__(self, number: int) -> None:
        message = _("Snapshot %(number)s is no longer kept. Load the page again to see the newest one.")
        super().__init__(message % {"number": number})


class Vectors(NamedTuple):
    """The vectors of a project's items by row; where `present` is false the row is zeros."""

    values: Float[np.ndarray, "items dim"]
    """float16, length 1 each; a read-only memory map. Cast block by block, not as a whole."""
    present: Bool[np.ndarray, " items"]


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a snapshot says of each row; all arrays have one entry per item."""

    label_id: Int[np.ndarray, " items"]
    """-1 where the snapshot says nothing."""
    confidence: Float[np.ndarray, " items"]
    """float16 in [0, 1]."""
    runner_up: Int[np.ndarray, " items"]
    """The second label's id; -1 where there is none."""
    margin: Float[np.ndarray, " items"]
    """float16 in [0, 1]: confidence less the runner-up's."""

    def __len__(self) -> int:
        return len(self.label_id)


# Vectors


def rows_of(chunk: int, item_count: int) -> range:
    """The rows that a chunk holds in a project of so many items."""
    return range(chunk * CHUNK, min((chunk + 1) * CHUNK, item_count))


def write_chunk(project_id: int, encoder: str, chunk: int, vectors: Float[np.ndarray, "rows dim"]) -> None:
    """Store a chunk's vectors, its first row first; a row of NaN is absent. Writing the same again changes nothing.

    A chunk at the project's end may be short, and is written anew when items have been added.
    """
    if not 0 < len(vectors) <= CHUNK:
        raise ValueError(f"a chunk has 1 to {CHUNK} rows, not {len(vectors)}")
    content = io.BytesIO()
    np.save(content, np.ascontiguousarray(vectors, dtype=np.float16))
    data = content.getbuffer()
    digest = hashlib.blake2b(data, digest_size=8).hexdigest()
    folder = _vector_folder(project_id, encoder)
    name = f"{chunk:06d}-{len(vectors):04d}-{digest}.npy"
    blobs.write(f"{folder}/{name}", lambda file: file.write(data))
    # The new one is whole before the old one goes: who lists the folder in between finds both and takes the longer.
    for other in blobs.names(folder):
        # A longer one is of a job that saw more items than we did.
        if other != name and _chunk_number(other) == chunk and _length(other) <= len(vectors):
            blobs.delete(f"{folder}/{other}")
    blobs.sweep(folder)


def read_chunk(project_id: int, encoder: str, chunk: int) -> Float[np.ndarray, "rows dim"] | None:
    """A chunk's vectors as they were written, float16, NaN where absent; None where there is no whole chunk."""
    folder = _vector_folder(project_id, encoder)

    def read() -> np.ndarray | None:
        name = _newest_chunks(folder).get(chunk)
        return None if name is None else _load_chunk(folder, name)

    return _steadily(read)


def vectors(project_id: int, encoder: str, dimension: int, item_count: int) -> Vectors:
    """The vectors of the project's first `item_count` items, and which of them are there.

    What was mapped stays as it was when more chunks come; call again to see those.
    """
    if item_count == 0:
        return Vectors(np.zeros((0, dimension), dtype=np.float16), np.zeros(0, dtype=bool))
    folder = _vector_folder(project_id, encoder)
    cache = CachedVectors(blobs.cached_path(folder), dimension, CHUNK)
    load = partial(_load_chunk, folder)
    return Vectors(*_steadily(lambda: cache.read(_newest_chunks(folder), load, item_count)))


def missing_rows(project_id: int, encoder: str, dimension: int, item_count: int) -> Int[np.ndarray, " rows"]:
    """The rows, ascending, that have no vector yet."""
    return np.flatnonzero(~vectors(project_id, encoder, dimension, item_count).present)


def stored_dimension(project_id: int, encoder: str) -> int | None:
    """How many numbers a stored vector has; None where none is stored."""
    folder = _vector_folder(project_id, encoder)
    for name in _newest_chunks(folder).values():
        # Asked at every adaptation: the file's head is enough.
        head = io.BytesIO(blobs.read(f"{folder}/{name}", HEAD_BYTES) or b"")
        with suppress(ValueError):
            np.lib.format.read_magic(head)
            return int(np.lib.format.read_array_header_1_0(head)[0][1])
    return None


def delete_vectors(project_id: int, encoder: str) -> None:
    """Remove all vectors that this encoder made, and the graph drawn on them."""
    blobs.delete_folder(_vector_folder(project_id, encoder))
    blobs.delete_folder(_graph_folder(project_id, encoder))


# Predictions


def write_predictions(project_id: int, number: int, predictions: Predictions) -> None:
    """Store what a snapshot says of each row: eight bytes an item where label ids are below 32,768, else twelve."""
    highest = max(int(ids.max(initial=-1)) for ids in (predictions.label_id, predictions.runner_up))
    whole = np.int16 if highest <= LARGEST_SMALL else np.int32
    table = np.empty(
        len(predictions),
        dtype=[("label_id", whole), ("runner_up", whole), ("confidence", np.float16), ("margin", np.float16)],
    )
    for field in table.dtype.names or ():
        table[field] = getattr(predictions, field)
    blobs.write(_snapshot(project_id, number, "predictions.npy"), lambda file: np.save(file, table))


def read_predictions(project_id: int, number: int) -> Predictions:
    """What a snapshot says of each row, as read-only memory maps: looking up one row reads one page of the file.

    Raises NotKept.
    """
    path = blobs.local(_snapshot(project_id, number, "predictions.npy"))
    if path is None:
        raise NotKept(number)
    try:
        table = np.load(path, mmap_mode="r")
    except (ValueError, EOFError) as error:
        # An empty pool's table has no bytes to map.
        table = np.load(path)
        if len(table):
            raise ValueError(f"{path} is damaged: {error}") from error
    return Predictions(table["label_id"], table["confidence"], table["runner_up"], table["margin"])


def has_predictions(project_id: int, number: int) -> bool:
    """Whether the snapshot's predictions are still kept."""
    return blobs.exists(_snapshot(project_id, number, "predictions.npy"))


def write_ranking(project_id: int, number: int, asked: Sequence[Mapping[str, Any]]) -> None:
    """Store whom a snapshot wants asked, first asked first: plain values, as JSON has them."""
    text = json.dumps(list(asked), separators=(",", ":"), ensure_ascii=False).encode()
    blobs.write(_snapshot(project_id, number, "ranking.json"), lambda file: file.write(text))


def read_ranking(project_id: int, number: int) -> list[dict[str, Any]]:
    """Whom a snapshot wants asked, as it was written. Raises NotKept."""
    data = blobs.read(_snapshot(project_id, number, "ranking.json"))
    if data is None:
        raise NotKept(number)
    ranking: list[dict[str, Any]] = json.loads(data)
    return ranking


def write_held_out(project_id: int, number: int, arrays: Mapping[str, np.ndarray]) -> None:
    """Store what models that had not seen them said of the answers, as named arrays of equal length."""
    blobs.write(_snapshot(project_id, number, "held_out.npz"), lambda file: _save_arrays(file, arrays))


def read_held_out(project_id: int, number: int) -> dict[str, np.ndarray] | None:
    """What `write_held_out` stored; None where there were too few answers, or where it is no longer kept."""
    path = blobs.local(_snapshot(project_id, number, "held_out.npz"))
    return None if path is None else _load_arrays(path)


def write_model(project_id: int, number: int, arrays: Mapping[str, np.ndarray]) -> None:
    """Store what it takes to predict again, as named arrays."""
    blobs.write(_snapshot(project_id, number, "model.npz"), lambda file: _save_arrays(file, arrays))


def read_model(project_id: int, number: int) -> dict[str, np.ndarray] | None:
    """A snapshot's model, as it was written; None where it is no longer kept."""
    path = blobs.local(_snapshot(project_id, number, "model.npz"))
    return None if path is None else _load_arrays(path)


def delete_old_snapshots(project_id: int, keep: int, besides: Collection[int] = ()) -> list[int]:
    """Remove the arrays of all but the newest `keep` snapshots and those in `besides`; returns the removed numbers."""
    folder = _snapshot_folder(project_id)
    by_number: dict[int, list[str]] = {}
    for name in blobs.names(folder):
        if match := SNAPSHOT_NAME.fullmatch(name):
            by_number.setdefault(int(match[1]), []).append(name)
    newest = sorted(by_number)[max(0, len(by_number) - keep) :]
    removed = [number for number in sorted(by_number) if number not in newest and number not in besides]
    for number in removed:
        for name in by_number[number]:
            blobs.delete(f"{folder}/{name}")
    return removed


# Certificates


def write_frozen(project_id: int, number: int, seed: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Store what a certificate froze, as named arrays of one entry per candidate, surest first. Written once.

    The name has the seed in it: a start that failed leaves nothing that the next of the same number would read.
    """
    blobs.write(_certificate(project_id, number, seed), lambda file: _save_arrays(file, arrays))


def read_frozen(project_id: int, number: int, seed: str) -> dict[str, np.ndarray]:
    """What a certificate froze, as it was written. Raises FileNotFoundError where the storage has lost it."""
    path = blobs.local(_certificate(project_id, number, seed))
    if path is None:
        raise FileNotFoundError(_certificate(project_id, number, seed))
    return _load_arrays(path)


# The neighbour graph


def write_graph(project_id: int, encoder: str, item_count: int, arrays: Mapping[str, np.ndarray]) -> None:
    """Store the graph over the project's first `item_count` items, in place of the one before."""
    content = io.BytesIO()
    _save_arrays(content, arrays)
    folder = _graph_folder(project_id, encoder)
    name = f"{item_count:09d}-{hashlib.blake2b(content.getbuffer(), digest_size=8).hexdigest()}.npz"
    blobs.write(f"{folder}/{name}", lambda file: file.write(content.getbuffer()))
    for other in blobs.names(folder):
        if other != name:
            blobs.delete(f"{folder}/{other}")


def read_graph(project_id: int, encoder: str, item_count: int) -> dict[str, np.ndarray] | None:
    """The graph over exactly so many items; None where it has not been drawn."""
    folder = _graph_folder(project_id, encoder)
    for name in blobs.names(folder):
        if name.startswith(f"{item_count:09d}-") and (path := blobs.local(f"{folder}/{name}")) is not None:
            return _load_arrays(path)
    return None


def delete_project(project_id: int) -> None:
    """Remove every array of a project."""
    for folder in ("vectors", "graphs", "snapshots", "names", "rules", "states", "tunings", "certificates"):
        blobs.delete_folder(f"projects/{project_id}/{folder}")


def safe(encoder: str) -> str:
    """An encoder's name as the name of a folder: "sentence-transformers:BAAI/bge-m3" has a slash."""
    return quote(encoder, safe="").replace("%", "~")


def _vector_folder(project_id: int, encoder: str) -> str:
    return f"projects/{project_id}/vectors/{safe(encoder)}"


def _graph_folder(project_id: int, encoder: str) -> str:
    return f"projects/{project_id}/graphs/{safe(encoder)}"


def _snapshot_folder(project_id: int) -> str:
    return f"projects/{project_id}/snapshots"


def _snapshot(project_id: int, number: int, what: str) -> str:
    return f"{_snapshot_folder(project_id)}/{number:08d}.{what}"


def _certificate(project_id: int, number: int, seed: str) -> str:
    return f"projects/{project_id}/certificates/{number:08d}-{seed}.npz"


def _chunk_number(name: str) -> int | None:
    match = CHUNK_NAME.fullmatch(name)
    return int(match[1]) if match else None


def _length(name: str) -> int:
    match = CHUNK_NAME.fullmatch(name)
    return int(match[2]) if match else 0


def _newest_chunks(folder: str) -> dict[int, str]:
    """The file of each stored chunk, by the chunk's number: the longest, where an old one has not been removed yet."""
    newest: dict[int, str] = {}
    for name in blobs.names(folder):  # sorted: of the same chunk the longest comes last
        if (chunk := _chunk_number(name)) is not None:
            newest[chunk] = name
    return newest


def _load_chunk(folder: str, name: str) -> Float[np.ndarray, "rows dim"] | None:
    """A chunk's array; None for a file that is not whole, whose rows will then be embedded again.

    Raises FileNotFoundError for one that is gone.
    """
    data = blobs.read(f"{folder}/{name}")
    if data is None:
        raise FileNotFoundError(f"{folder}/{name}")
    if not name.endswith(f"-{hashlib.blake2b(data, digest_size=8).hexdigest()}.npy"):
        logger.warning("%s/%s is damaged; its items will be embedded again", folder, name)
        return None
    chunk: np.ndarray = np.load(io.BytesIO(data))
    return chunk


def _steadily(read: Callable[[], T]) -> T:
    """What `read` gives; read again where a chunk was written anew between its listing and its reading."""
    for _attempt in range(ATTEMPTS):
        with suppress(FileNotFoundError):
            return read()
    return read()


def _save_arrays(file: IO[bytes], arrays: Mapping[str, np.ndarray]) -> None:
    np.savez(file, allow_pickle=False, **arrays)


def _load_arrays(path: Any) -> dict[str, np.ndarray]:
    with np.load(path) as stored:
        return {name: stored[name] for name in stored.files}
