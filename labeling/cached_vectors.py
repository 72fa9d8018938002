"""Cached vectors: the chunks of one pool laid end to end in local files, to be mapped into memory as one array."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypedDict

import numpy as np
from jaxtyping import Bool, Float

from labeling.blobs import write_whole

Load = Callable[[str], "np.ndarray | None"]
STATE = "state.json"


class State(TypedDict):
    """Which files are the current ones, and what is in them."""

    generation: int
    dimension: int
    chunks: dict[str, str]  # stored name by chunk number


class CachedVectors:
    """One pool's local files: the vectors, a byte for each row that says whether it is there, and from which chunks.

    Rows are only ever added in place. Where a row that was there changes, the files are copied under the next
    generation's name first, so that what somebody has mapped never changes under them.
    """

    def __init__(self, folder: Path, dimension: int, chunk_rows: int) -> None:
        self.folder = folder
        self.dimension = dimension
        self.chunk_rows = chunk_rows

    def read(
        self, chunks: Mapping[int, str], load: Load, item_count: int
    ) -> tuple[Float[np.ndarray, "items dim"], Bool[np.ndarray, " items"]]:
        """The vectors as a read-only memory map, and which rows are there, after fetching what is new in storage.

        `chunks` are the stored chunks' names by number; `load` gives a chunk's rows, or None where it is damaged.
        """
        with self._lock(fcntl.LOCK_SH):
            state = self._state()
            if self._is_current(state, chunks, item_count):
                return self._map(state["generation"], item_count)
        with self._lock(fcntl.LOCK_EX):
            state = self._state()
            if not self._is_current(state, chunks, item_count):
                state = self._bring_up_to_date(state, chunks, load, item_count)
            return self._map(state["generation"], item_count)

    def _map(
        self, generation: int, item_count: int
    ) -> tuple[Float[np.ndarray, "items dim"], Bool[np.ndarray, " items"]]:
        values, present = self._files(generation)
        shape = (item_count, self.dimension)
        return (
            np.memmap(values, dtype=np.float16, mode="r", shape=shape),
            np.fromfile(present, dtype=np.uint8, count=item_count).astype(bool),
        )

    def _bring_up_to_date(self, state: State, chunks: Mapping[int, str], load: Load, item_count: int) -> State:
        known, generation = dict(state["chunks"]), state["generation"]
        if set(known) - {str(chunk) for chunk in chunks}:
            known, generation = {}, self._next(generation, copy=False)
        stale = [chunk for chunk, name in sorted(chunks.items()) if known.get(str(chunk)) != name]
        fresh = {chunk: load(chunks[chunk]) for chunk in stale}
        usable = {chunk: self._usable(rows) for chunk, rows in fresh.items()}
        if any(self._differs(generation, chunk, rows) for chunk, rows in usable.items()):
            generation = self._next(generation, copy=True)
        self._write(generation, usable, item_count)
        known |= {str(chunk): chunks[chunk] for chunk in stale if fresh[chunk] is usable[chunk]}
        new: State = {"generation": generation, "dimension": self.dimension, "chunks": known}
        write_whole(self.folder / STATE, lambda file: file.write(json.dumps(new).encode()))
        if generation != state["generation"]:
            for path in self._files(state["generation"]):
                path.unlink(missing_ok=True)
        return new

    def _usable(self, rows: np.ndarray | None) -> np.ndarray:
        """The chunk's rows; all absent for a damaged chunk, or one of another dimension."""
        if rows is None or rows.shape[1] != self.dimension:
            return np.full((self.chunk_rows, self.dimension), np.nan, dtype=np.float16)
        return rows

    def _write(self, generation: int, fresh: Mapping[int, np.ndarray], item_count: int) -> None:
        """Write the chunks' rows to their places, and only then that they are there."""
        values, present = self._files(generation)
        width = self.dimension * 2
        values.touch()
        present.touch()
        with open(values, "r+b") as value_file, open(present, "r+b") as present_file:
            for file, size in ((value_file, item_count * width), (present_file, item_count)):
                if os.fstat(file.fileno()).st_size < size:
                    file.truncate(size)
            for chunk, rows in fresh.items():
                there = _there(rows)
                start = chunk * self.chunk_rows
                os.pwrite(
                    value_file.fileno(), np.where(there[:, None], rows, 0).astype(np.float16).tobytes(), start * width
                )
                os.pwrite(present_file.fileno(), there.astype(np.uint8).tobytes(), start)
            os.fsync(value_file.fileno())
            os.fsync(present_file.fileno())

    def _differs(self, generation: int, chunk: int, rows: np.ndarray) -> bool:
        """Whether a row of this chunk that is there already would change or go."""
        values, present = self._files(generation)
        if not present.exists():
            return False
        start = chunk * self.chunk_rows
        was_there = np.fromfile(present, dtype=np.uint8, count=self.chunk_rows, offset=start).astype(bool)
        count = min(len(rows), len(was_there))
        if was_there[count:].any():
            return True
        old = np.fromfile(
            values, dtype=np.float16, count=count * self.dimension, offset=start * self.dimension * 2
        ).reshape(count, self.dimension)
        return not np.array_equal(old[was_there[:count]], rows[:count][was_there[:count]])

    def _next(self, generation: int, copy: bool) -> int:
        """Begin the next generation, with what this one has or with nothing."""
        for old, new in zip(self._files(generation), self._files(generation + 1), strict=True):
            new.unlink(missing_ok=True)
            if copy:
                shutil.copyfile(old, new)
        return generation + 1

    def _is_current(self, state: State, chunks: Mapping[int, str], item_count: int) -> bool:
        known = state["chunks"]
        if len(known) != len(chunks) or any(known.get(str(chunk)) != name for chunk, name in chunks.items()):
            return False
        values, present = self._files(state["generation"])
        try:
            return values.stat().st_size >= item_count * self.dimension * 2 and present.stat().st_size >= item_count
        except FileNotFoundError:
            return False

    def _state(self) -> State:
        try:
            state: State = json.loads((self.folder / STATE).read_bytes())
        except FileNotFoundError:
            return {"generation": 0, "dimension": self.dimension, "chunks": {}}
        if state["dimension"] != self.dimension or not all(path.exists() for path in self._files(state["generation"])):
            return {"generation": state["generation"] + 1, "dimension": self.dimension, "chunks": {}}
        return state

    def _files(self, generation: int) -> tuple[Path, Path]:
        return self.folder / f"{generation}.vectors", self.folder / f"{generation}.present"

    @contextmanager
    def _lock(self, kind: int) -> Iterator[None]:
        """Many processes may map the files, one alone may change them; a lock ends with the process that holds it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / "lock", "ab") as file:
            fcntl.flock(file, kind)
            yield


def _there(rows: Float[np.ndarray, "rows dim"]) -> Bool[np.ndarray, " rows"]:
    """Which rows are vectors: NaN stands for an absent one."""
    absent: np.ndarray = np.isnan(rows).any(axis=1)
    return ~absent
