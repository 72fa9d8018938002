"""BERT: the transformer under both text encoders (Devlin et al. 2019), with mean pooling (Reimers & Gurevych 2019).

Written out here because loading a model through its libraries takes seven seconds, and reading its weights a quarter
of one; and because what adapts an encoder needs its layers one by one.

Weights are tensors by the published names, "encoder.layer.0.attention.self.query.weight" and so on; those of matrix
products in `fast_type()`, the others in float32.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from labeling.encoders import names as label_names
from labeling.encoders.base import States, Vectors, by_length, fast_type, unit

if TYPE_CHECKING:
    import torch

    Weights = Mapping[str, torch.Tensor]
    Take = Callable[[torch.Tensor, torch.Tensor], object]  # hidden states and mask, on their way to the top layers
    Look = Callable[[torch.Tensor], torch.Tensor]  # token ids (batch, tokens) -> word vectors (batch, tokens, width)

HEADS, EPSILON = 12, 1e-12
WIDTH = 384
BATCH_TOKENS = 1024  # all of a batch's work then stays in the processor's cache
TOP = 2  # layers that learn in a project
KEPT_TOKENS = 64  # of a text, whose states are kept: 48 KB at most


class Bert(ABC):
    """A text encoder on this network: what is the same for both, whatever their tokens and weights."""

    name: str
    dimension = WIDTH
    modality = "text"
    _weights: Weights

    @abstractmethod
    def _cut(self, items: Sequence[str]) -> list[list[list[int]]]:
        """Each text's windows of token ids, one at least."""

    @abstractmethod
    def _look(self, ids: torch.Tensor) -> torch.Tensor:
        """Word vectors, (batch, tokens, 384), of token ids, (batch, tokens)."""

    @abstractmethod
    def top(self) -> dict[str, torch.Tensor]:
        """The weights of the top layers as they were published, float32: where adapting an encoder begins."""

    def encode(self, items: Sequence[str]) -> Vectors:
        """Vectors of the texts, (items, 384)."""
        return encode(self._weights, self._look, self._cut(items))

    def encode_names(self, names: Sequence[str]) -> Vectors:
        """Vectors of the label names, as words, (names, 384)."""
        return self.encode([label_names.words(name) for name in names])

    def read(self, items: Sequence[str]) -> tuple[Vectors, list[States]]:
        """The texts' vectors and what enters the top layers on the way to them."""
        cut = self._cut(items)
        states: list[States] = [np.zeros((0, WIDTH), dtype=np.float16) for _ in cut]
        vectors = encode(self._weights, self._look, cut, states)
        return vectors, states

    def finish(self, weights: Weights, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """From what enters the top layers, (batch, tokens, 384), through these weights of them to (batch, 384)."""
        import torch

        numbers = sorted({int(name.split(".")[2]) for name in weights if name.startswith("encoder.layer.")})
        # What learns is kept in float32; its products are taken in the faster type.
        fast = fast_type()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=fast == torch.bfloat16):
            for number in numbers:
                states = layer(weights, number, states, mask)
        return torch.nn.functional.normalize(pool(states, mask), dim=1)


def encode(
    weights: Weights, look: Look, texts: Sequence[Sequence[Sequence[int]]], states: list[States] | None = None
) -> Vectors:
    """Vectors of texts, (texts, 384), from each one's windows of token ids.

    A text's vector is the mean of its windows' vectors, at length 1. Into `states` go the hidden states of each text's
    first window that enter the top layers, for its first 64 tokens.
    """
    windows = [window for text in texts for window in text]
    owner = np.repeat(np.arange(len(texts)), [len(text) for text in texts])
    first = np.concatenate([[True], owner[1:] != owner[:-1]]) if len(owner) else np.zeros(0, dtype=bool)

    def take(places: NDArray[np.int64], hidden: torch.Tensor, mask: torch.Tensor) -> None:
        half = hidden[:, :KEPT_TOKENS].half().numpy()
        lengths = mask[:, :KEPT_TOKENS].sum(1).tolist()
        for row, place in enumerate(places):
            if states is not None and first[place]:
                states[owner[place]] = half[row, : lengths[row]].copy()

    def batch(places: NDArray[np.int64]) -> Vectors:
        taking = None if states is None else partial(take, places)
        return _encode_batch(weights, look, [windows[place] for place in places], taking)

    vectors = by_length([len(window) for window in windows], BATCH_TOKENS, batch, WIDTH)
    sums = np.zeros((len(texts), WIDTH), dtype=np.float32)
    np.add.at(sums, owner, vectors)
    return unit(sums)


def cut(ids: Sequence[int], size: int, most: int, begin: int, end: int) -> list[list[int]]:
    """The tokens in at most so many windows of this size, each between `begin` and `end`; one for no tokens at all."""
    starts = range(0, max(len(ids), 1), size)[:most]
    return [[begin, *ids[start : start + size], end] for start in starts]


def layer_count(weights: Weights) -> int:
    """How many layers the network has."""
    number = 0
    while f"encoder.layer.{number}.output.dense.weight" in weights:
        number += 1
    return number


def of_top(weights: Weights) -> list[str]:
    """The names of the top layers' weights."""
    layers = layer_count(weights)
    tops = tuple(f"encoder.layer.{number}." for number in range(layers - TOP, layers))
    return [name for name in weights if name.startswith(tops)]


def _encode_batch(weights: Weights, look: Look, windows: Sequence[Sequence[int]], take: Take | None) -> Vectors:
    import torch

    longest = max(map(len, windows))
    ids = torch.zeros(len(windows), longest, dtype=torch.long)
    mask = torch.zeros(len(windows), longest, dtype=torch.bool)
    for row, window in enumerate(windows):
        ids[row, : len(window)] = torch.tensor(window)
        mask[row, : len(window)] = True
    with torch.inference_mode():
        return unit(pool(forward(weights, look(ids), mask, take), mask).numpy())


def forward(weights: Weights, words: torch.Tensor, mask: torch.Tensor, take: Take | None = None) -> torch.Tensor:
    """Hidden states of the last layer, (batch, tokens, 384), float32.

    words: the word vectors, (batch, tokens, 384); mask: (batch, tokens), false where there is only padding. `take` is
    shown what enters the top layers.
    """
    hidden = embed(weights, words)
    layers = layer_count(weights)
    for number in range(layers):
        if take is not None and number == layers - TOP:
            take(hidden, mask)
        hidden = layer(weights, number, hidden, mask)
    return hidden


def embed(weights: Weights, words: torch.Tensor) -> torch.Tensor:
    """What enters the first layer, (batch, tokens, 384): word, place and kind of segment, added and normed."""
    hidden = words + weights["embeddings.position_embeddings.weight"][: words.shape[1]]
    return _norm(weights, "embeddings.LayerNorm", hidden + weights["embeddings.token_type_embeddings.weight"][0])


def layer(weights: Weights, number: int, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """One transformer layer: (batch, tokens, 384) -> the same shape. `mask` is false where there is only padding."""
    from torch.nn import functional as F

    at = f"encoder.layer.{number}"
    batch, tokens, _ = hidden.shape
    query, key, value = (
        _linear(weights, f"{at}.attention.self.{part}", hidden).view(batch, tokens, HEADS, -1).transpose(1, 2)
        for part in ("query", "key", "value")
    )  # (batch, heads, tokens, 32)
    seen = F.scaled_dot_product_attention(query, key, value, attn_mask=mask[:, None, None, :])
    seen = seen.transpose(1, 2).reshape(batch, tokens, -1)
    hidden = _norm(
        weights, f"{at}.attention.output.LayerNorm", hidden + _linear(weights, f"{at}.attention.output.dense", seen)
    )
    inner = F.gelu(_linear(weights, f"{at}.intermediate.dense", hidden))
    return _norm(weights, f"{at}.output.LayerNorm", hidden + _linear(weights, f"{at}.output.dense", inner))


def pool(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The mean over a text's tokens: (batch, tokens, 384), (batch, tokens) -> (batch, 384)."""
    real = mask[..., None].to(hidden.dtype)
    return (hidden * real).sum(1) / real.sum(1)


def _linear(weights: Weights, name: str, x: torch.Tensor) -> torch.Tensor:
    from torch.nn import functional as F

    weight = weights[f"{name}.weight"]
    return F.linear(x.to(weight.dtype), weight, weights[f"{name}.bias"])


def _norm(weights: Weights, name: str, x: torch.Tensor) -> torch.Tensor:
    """Layer norm, in its weights' float32: the sums that it normalises lose too much in bfloat16."""
    from torch.nn import functional as F

    weight = weights[f"{name}.weight"]
    return F.layer_norm(x.to(weight.dtype), x.shape[-1:], weight, weights[f"{name}.bias"], EPSILON)
