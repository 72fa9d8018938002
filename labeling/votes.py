"""Votes: which items each rule speaks of, as bits in the order of the items' rows, in file storage beside the pool.

    projects/7/rules/000012-9f2c51d0aa34b6ee-0000010000.npy   rule 12 as it is now, on the first 10,000 rows

A name carries the signature of the pattern, so that the votes of a changed rule are never taken for its own, and how
many rows they cover: items only ever come behind, so votes on a prefix stay true and a killed job goes on behind it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import asdict
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Int

from labeling import blobs
from labeling.models import Rule

NAME = re.compile(r"(\d{6,})-([0-9a-f]{16})-(\d{10})\.npy")


def signature(rule: Rule, encoder: str = "") -> str:
    """What decides whom the rule speaks of, in 16 characters. Its label is not part of it."""
    parts = asdict(rule.pattern) | {"item": rule.item_id, "encoder": encoder if rule.kind == Rule.Kind.SIMILAR else ""}
    return hashlib.blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=8).hexdigest()


def write(project_id: int, rule_id: int, signed: str, fired: Bool[np.ndarray, " rows"]) -> None:
    """Store a rule's votes on the project's first rows, in place of those on fewer. Harmless to repeat."""
    folder = _folder(project_id)
    bits = np.packbits(fired, bitorder="little")
    name = f"{rule_id:06d}-{signed}-{len(fired):010d}.npy"
    blobs.write(f"{folder}/{name}", lambda file: np.save(file, bits))
    for other in blobs.names(folder):
        match = NAME.fullmatch(other)
        # A longer one is of a job that saw more items than we did.
        shorter = match and match[2] == signed and int(match[3]) < len(fired)
        if match and int(match[1]) == rule_id and (shorter or match[2] != signed):
            blobs.delete(f"{folder}/{other}")
    blobs.sweep(folder)


def reach(project_id: int, wanted: Mapping[int, str]) -> dict[int, int]:
    """How many rows each rule has voted on; by rule id, for those of `wanted` ids and signatures that have at all."""
    return {rule_id: rows for rule_id, (rows, _name) in _stored(project_id, wanted).items()}


def read(project_id: int, wanted: Mapping[int, str], count: int) -> dict[int, Bool[np.ndarray, " rows"]]:
    """Each rule's votes on the first `count` rows, by rule id; false behind what it has voted on. Rules without votes
    are absent."""
    found: dict[int, np.ndarray] = {}
    for rule_id, (rows, name) in _stored(project_id, wanted).items():
        bits = _bits(project_id, name)
        if bits is not None:
            fired = np.zeros(count, dtype=bool)
            known = min(rows, count)
            fired[:known] = np.unpackbits(bits, count=rows, bitorder="little")[:known].view(bool)
            found[rule_id] = fired
    return found


def spoken(
    project_id: int, wanted: Mapping[int, str], rows: Int[np.ndarray, " n"]
) -> dict[int, Bool[np.ndarray, " n"]]:
    """Each rule's votes on these rows alone, by rule id: looking up a few takes no more than they do."""
    found: dict[int, np.ndarray] = {}
    for rule_id, (known, name) in _stored(project_id, wanted).items():
        bits = _bits(project_id, name)
        if bits is not None:
            inside = rows < known
            place = np.where(inside, rows, 0)
            found[rule_id] = inside & (bits[place >> 3] >> (place & 7) & 1).astype(bool) if known else inside
    return found


def delete_all_but(project_id: int, kept: Collection[int]) -> None:
    """Remove the votes of rules that are gone for good."""
    folder = _folder(project_id)
    for name in blobs.names(folder):
        match = NAME.fullmatch(name)
        if match and int(match[1]) not in kept:
            blobs.delete(f"{folder}/{name}")


def _folder(project_id: int) -> str:
    return f"projects/{project_id}/rules"


def _stored(project_id: int, wanted: Mapping[int, str]) -> dict[int, tuple[int, str]]:
    """(rows, file name) by rule id: the longest, where a shorter one has not been removed yet."""
    found: dict[int, tuple[int, str]] = {}
    for name in blobs.names(_folder(project_id)) if wanted else ():
        match = NAME.fullmatch(name)
        if match and wanted.get(int(match[1])) == match[2]:
            found[int(match[1])] = max(found.get(int(match[1]), (0, "")), (int(match[3]), name))
    return found


def _bits(project_id: int, name: str) -> np.ndarray | None:
    path = blobs.local(f"{_folder(project_id)}/{name}")
    try:
        return None if path is None else _load(str(path))
    except FileNotFoundError:
        return None  # a longer one took its place between our two looks; the next look finds it


@lru_cache(maxsize=256)
def _load(path: str) -> np.ndarray:
    """A file's bits: written once, so that what was read stays true. 125 KB for a million items."""
    return np.load(path)
