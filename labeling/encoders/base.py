"""What an encoder is, and what all encoders share: length-sorted batches, unit vectors, one thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from django.utils.translation import gettext as _
from numpy.typing import NDArray

from labeling.errors import Refused

if TYPE_CHECKING:
    import torch

Vectors = NDArray[np.float32]  # (items, dimension), each row of length 1
States = NDArray[np.float16]  # (tokens, width): what enters an encoder's top layers for one item


class Encoder(Protocol):
    """Turns items into vectors that lie close where the items are alike.

    A text encoder takes `str`, an image encoder the bytes of an image file. Rows come back in the order given,
    float32, of Euclidean length 1; an image that cannot be decoded comes back as a row of zeros.
    """

    name: str
    dimension: int
    modality: str  # "text" or "image"

    def encode(self, items: Sequence[Any]) -> Vectors:
        """Vectors of the items, (items, dimension)."""
        ...

    def encode_names(self, names: Sequence[str]) -> Vectors | None:
        """Vectors of label names in the same space, (names, dimension); None where names have no place in it."""
        ...


@runtime_checkable
class Tunable(Encoder, Protocol):
    """An encoder whose top layers can learn: all below them is read once, and what they get is kept."""

    def read(self, items: Sequence[Any]) -> tuple[Vectors, list[States]]:
        """The items' vectors, and for each what enters the top layers."""
        ...

    def top(self) -> dict[str, torch.Tensor]:
        """The top layers' weights as they were published, float32."""
        ...

    def finish(self, weights: Mapping[str, torch.Tensor], states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Through such weights to vectors: (batch, tokens, width), (batch, tokens) -> (batch, dimension), length 1."""
        ...


class UnknownEncoder(Refused):
    """A name that no encoder has."""

    code = "unknown_encoder"

    def __init__(self, name: str, known: Sequence[str]) -> None:
        message = _("There is no encoder “%(name)s”. Give one of %(known)s.") % {
            "name": name,
            "known": ", ".join([*known, "sentence-transformers:NAME"]),
        }
        super().__init__(message, {"encoder": message})


class EncoderUnavailable(Refused):
    """An encoder that is known but cannot be had on this machine."""

    code = "encoder_unavailable"
    status = 503


def unit(vectors: NDArray[Any]) -> Vectors:
    """The rows at Euclidean length 1, float32. A row of zeros stays one."""
    rows = np.asarray(vectors, dtype=np.float32)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(lengths, 1e-12), dtype=np.float32)


def by_length(
    lengths: Sequence[int], budget: int, encode: Callable[[NDArray[np.int64]], NDArray[Any]], dimension: int
) -> Vectors:
    """Encode in batches of items of like length, so that little is spent on padding; results in the given order.

    `lengths` are in tokens; a batch is as many items as `budget` tokens hold when all are padded to its longest,
    one at least. `encode` gets the items' places in `lengths` and returns one row for each.
    """
    out = np.zeros((len(lengths), dimension), dtype=np.float32)
    order = np.argsort(np.asarray(lengths, dtype=np.int64), kind="stable")
    start = 0
    while start < len(order):
        end = start + 1
        while end < len(order) and (end + 1 - start) * lengths[order[end]] <= budget:
            end += 1
        out[order[start:end]] = encode(order[start:end])
        start = end
    return out


@cache
def torch_here() -> bool:
    """Import torch, once, and keep it to one thread.

    Two threads each in several workers on a busy machine ran at a tenth of the speed of one thread each.
    """
    import torch

    torch.set_num_threads(1)
    return True


@cache
def fast_type() -> torch.dtype:
    """The number type for matrix products: bfloat16 where this processor multiplies it faster, else float32.

    Tried once per process, in some 50 ms: one processor that has the instructions took 0.6 of the time with it, another
    1.7 times as long. Vectors differ by less than float16 storage loses.
    """
    torch_here()
    import torch

    able = torch.cpu.get_capabilities()
    if not (able.get("avx512_bf16") or able.get("amx_bf16")):
        return torch.float32  # emulated
    return min(torch.float32, torch.bfloat16, key=_product_seconds)


def _product_seconds(kind: torch.dtype, tries: int = 5) -> float:
    """How long a product of an encoder's shape takes at best."""
    import torch

    x, weight = torch.ones(256, 384, dtype=kind), torch.ones(1536, 384, dtype=kind)
    taken = []
    for _try in range(tries):
        began = time.perf_counter()
        torch.nn.functional.linear(x, weight)
        taken.append(time.perf_counter() - began)
    return min(taken)
