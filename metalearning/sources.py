"""Sources: labelled data to draw labelling tasks from: items as vectors, their labels, the labels' names."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from metalearning.vectors import Rows

Encode = Callable[[Sequence[str]], Float[np.ndarray, "texts dim"]]
"""From texts to L2-normalised float32 vectors."""
Keys = Shaped[np.ndarray, " items"]
"""A fingerprint of each item's content: equal items have equal keys, wherever they come from."""
FEWEST = 2
"""Sources without which none can be kept out while another is trained on."""


class UnusableSource(ValueError):
    """A source whose parts don't belong together, or a file without texts and labels."""


class SourcesOverlap(ValueError):
    """What was to be kept from training lies in it."""

    def __init__(self, trained_on: str, kept: str, shared: int) -> None:
        self.trained_on, self.kept, self.shared = trained_on, kept, shared
        super().__init__(
            f"{trained_on} and {kept} share {shared} items, and one of them is to be kept from training: "
            f"take them out first with `without`, or leave one of the two away."
        )


@dataclass(frozen=True, eq=False)
class TaskSource:
    """A labelled file or a finished project: whatever has vectors, labels and label names.

    `x`: L2-normalised. `label_ids` in [0, len(label_names)). `names`: the embedded label names, a zero row for a label
    without one; None where items and names have no common encoder. `keys`: see `fingerprints`; of the vectors if None.
    """

    name: str
    x: Float[np.ndarray, "items dim"]
    label_ids: Rows
    label_names: tuple[str, ...]
    names: Float[np.ndarray, "labels dim"] | None = None
    keys: Keys | None = None
    encoder: str = ""
    licence: str = ""

    def __post_init__(self) -> None:
        items, labels = len(self.x), len(self.label_names)
        if len(self.label_ids) != items:
            raise UnusableSource(f"{self.name}: label_ids has {len(self.label_ids)} entries for {items} items in x.")
        if items and not (self.label_ids.min() >= 0 and self.label_ids.max() < labels):
            raise UnusableSource(f"{self.name}: label_ids must lie in [0, {labels}), the number of label_names.")
        if self.names is not None and self.names.shape != (labels, self.x.shape[1]):
            raise UnusableSource(
                f"{self.name}: names has the shape {self.names.shape} instead of {(labels, self.x.shape[1])}."
            )
        if self.keys is not None and len(self.keys) != items:
            raise UnusableSource(f"{self.name}: keys has {len(self.keys)} entries for {items} items in x.")

    def __len__(self) -> int:
        return len(self.x)

    @cached_property
    def fingerprints(self) -> Keys:
        """Each item's key; where none were given, a hash of the vector in half precision."""
        return vector_keys(self.x) if self.keys is None else np.asarray(self.keys)

    @cached_property
    def rows_by_label(self) -> list[Rows]:
        """The rows of each label, ascending."""
        order = np.argsort(self.label_ids, kind="stable")
        return np.split(order, np.searchsorted(self.label_ids[order], np.arange(1, len(self.label_names))))

    @property
    def content_hash(self) -> str:
        """SHA-256 over items and labels in any order: equal for the same labelled data, however it is sorted."""
        digest = hashlib.sha256("\n".join(self.label_names).encode())
        pairs = sorted(zip(map(str, self.fingerprints), self.label_ids.tolist(), strict=True))
        digest.update(json.dumps(pairs).encode())
        return digest.hexdigest()

    def part(self, rows: Rows, name: str | None = None) -> TaskSource:
        """The source with these items only; labels keep their ids."""
        return replace(
            self,
            name=name or self.name,
            x=self.x[rows],
            label_ids=self.label_ids[rows],
            keys=self.fingerprints[rows],
        )

    def card(self) -> dict[str, object]:
        """What a checkpoint tells of the data it was trained on."""
        return {
            "name": self.name,
            "items": len(self),
            "labels": len(self.label_names),
            "licence": self.licence,
            "content": self.content_hash,
        }


def text_keys(texts: Sequence[str]) -> Keys:
    """A key for each text; case, punctuation and spaces make no difference."""
    return np.array([_digest(" ".join(re.findall(r"\w+", text.lower())).encode()) for text in texts], dtype="U16")


def vector_keys(x: Float[np.ndarray, "items dim"]) -> Keys:
    """A key for each vector, of its half-precision numbers."""
    return np.array([_digest(row.tobytes()) for row in np.asarray(x, dtype=np.float16)], dtype="U16")


def shared_items(first: TaskSource, second: TaskSource) -> int:
    """How many different items lie in both."""
    return len(np.intersect1d(first.fingerprints, second.fingerprints))


def refuse_overlap(training: Sequence[TaskSource], kept: Sequence[TaskSource]) -> None:
    """Raise `SourcesOverlap` if any item that is to be kept from training occurs in a source of it."""
    for source in training:
        for other in kept:
            if shared := shared_items(source, other):
                raise SourcesOverlap(source.name, other.name, shared)


def without(source: TaskSource, kept: Sequence[TaskSource]) -> TaskSource:
    """The source without the items that occur in any of `kept`."""
    shared = np.zeros(len(source), dtype=bool)
    for other in kept:
        shared |= np.isin(source.fingerprints, other.fingerprints)
    return source.part(np.flatnonzero(~shared))


def split(source: TaskSource, share: float) -> tuple[TaskSource, TaskSource]:
    """All but about `share` of the items, and these. Which is decided by an item's key alone, so that the same item
    falls on the same side in every source that has it."""
    place = np.array([int(_digest(str(key).encode())[:8], 16) for key in source.fingerprints], dtype=np.int64)
    aside = place < share * 16**8
    return source.part(np.flatnonzero(~aside)), source.part(np.flatnonzero(aside))


def coarser(source: TaskSource, group_of: Mapping[str, str], name: str, encode: Encode | None = None) -> TaskSource:
    """The same items under the labels' groups; names are embedded by `encode`, else the mean of their labels'.

    Raises `UnusableSource` naming a label that `group_of` leaves out.
    """
    missing = [label for label in source.label_names if label not in group_of]
    if missing:
        raise UnusableSource(f"{name}: group_of says nothing of the label {missing[0]!r}.")
    groups = tuple(sorted({group_of[label] for label in source.label_names}))
    group_ids = np.array([groups.index(group_of[label]) for label in source.label_names], dtype=np.intp)
    names = None
    if encode is not None:
        names = encode([in_words(group) for group in groups])
    elif source.names is not None:
        names = grouped_names(source.names, group_ids, len(groups))
    return replace(source, name=name, label_ids=group_ids[source.label_ids], label_names=groups, names=names)


def grouped_names(
    names: Float[np.ndarray, "labels dim"], group_ids: Rows, group_count: int
) -> Float[np.ndarray, "groups dim"]:
    """A name for each group of labels: the direction of the sum of their names, zero where none has one."""
    summed = np.zeros((group_count, names.shape[1]), dtype=np.float32)
    np.add.at(summed, group_ids, names)
    return np.asarray(summed / np.maximum(np.linalg.norm(summed, axis=1, keepdims=True), 1e-8), dtype=np.float32)


def in_words(label: str) -> str:
    """A label as people would say it: `BookRestaurant` and `book_restaurant` are both "book restaurant"."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", label).replace("_", " ").replace("-", " ").strip().lower()


def read_labelled(path: Path) -> tuple[list[str], list[str]]:
    """Texts and labels of a .jsonl or .csv file with the fields "text" and "label"; rows without either are skipped.

    Raises `UnusableSource` for another kind of file, a line that can't be read, or when nothing is left.
    """
    if path.suffix not in (".jsonl", ".csv"):
        raise UnusableSource(f"{path}: give a .jsonl or .csv file with the fields text and label.")
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = (
                list(csv.DictReader(file))
                if path.suffix == ".csv"
                else [json.loads(line) for line in file if line.strip()]
            )
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, csv.Error) as error:
        raise UnusableSource(f"{path}: {error}") from error
    usable = [row for row in rows if isinstance(row, dict) and row.get("text") and row.get("label") not in (None, "")]
    if not usable:
        raise UnusableSource(f"{path}: no row has both fields, text and label.")
    return [str(row["text"]) for row in usable], [str(row["label"]) for row in usable]


def from_texts(
    name: str,
    texts: Sequence[str],
    labels: Sequence[str],
    encode: Encode,
    *,
    encode_names: Callable[[Sequence[str]], Float[np.ndarray, "texts dim"] | None] | None = None,
    encoder: str = "",
    licence: str = "",
) -> TaskSource:
    """A source from texts and their labels, in the words that people use for them.

    `encode_names` is for encoders that read a name otherwise than a text; it may say None, for no names at all.
    """
    label_names = tuple(sorted(set(labels)))
    place = {label: number for number, label in enumerate(label_names)}
    return TaskSource(
        name=name,
        x=encode(texts),
        label_ids=np.array([place[label] for label in labels], dtype=np.intp),
        label_names=label_names,
        names=(encode_names or encode)([in_words(label) for label in label_names]),
        keys=text_keys(texts),
        encoder=encoder,
        licence=licence,
    )


def load(path: Path, encode: Encode | None = None, *, encoder: str = "", licence: str = "") -> TaskSource:
    """A source from a file: .jsonl and .csv are encoded by `encode`, .npz holds what `save` wrote."""
    if path.suffix == ".npz":
        return _from_arrays(path)
    if encode is None:
        raise UnusableSource(f"{path}: texts need an encoder; give one, or an .npz of vectors.")
    return from_texts(path.stem, *read_labelled(path), encode, encoder=encoder, licence=licence)


def save(source: TaskSource, path: Path) -> None:
    """Write a source so that `load` reads it without an encoder."""
    arrays: dict[str, Any] = {"x": source.x, "label_ids": source.label_ids, "keys": source.fingerprints}
    if source.names is not None:
        arrays["names"] = source.names
    facts = {"name": source.name, "encoder": source.encoder, "licence": source.licence, "labels": source.label_names}
    np.savez(path, facts=np.array(json.dumps(facts)), **arrays)


def _from_arrays(path: Path) -> TaskSource:
    try:
        with np.load(path, allow_pickle=False) as stored:
            facts = json.loads(str(stored["facts"]))
            return TaskSource(
                name=facts["name"],
                x=stored["x"],
                label_ids=stored["label_ids"],
                label_names=tuple(facts["labels"]),
                names=stored.get("names"),
                keys=stored["keys"],
                encoder=facts["encoder"],
                licence=facts["licence"],
            )
    except (OSError, KeyError, ValueError) as error:
        raise UnusableSource(f"{path}: not a source written by `save` ({error}).") from error


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
