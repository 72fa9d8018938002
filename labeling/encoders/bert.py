"""BERT: the transformer under both text encoders (Devlin et al. 2019), with mean pooling (Reimers & Gurevych 2019).

Written out here because loading a model through its libraries takes seven seconds, and reading its weights a quarter
of one; and because what adapts an encoder needs its layers one by one.

Weights are tensors by the published names, "encoder.layer.0.attention.self.query.weight" and so on; those of matrix
products in `fast_type()`, the others in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from labeling.encoders.base import Vectors, by_length, unit

if TYPE_CHECKING:
    import torch

    Weights = Mapping[str, torch.Tensor]
    Look = Callable[[torch.Tensor], torch.Tensor]  # token ids (batch, tokens) -> word vectors (batch, tokens, width)

HEADS, EPSILON = 12, 1e-12
WIDTH = 384
BATCH_TOKENS = 1024  # all of a batch's work then stays in the processor's cache


def encode(weights: Weights, look: Look, windows: Sequence[Sequence[int]], owner: Sequence[int], count: int) -> Vectors:
    """Vectors of `count` texts, (count, 384), from their windows of token ids; window w is of text owner[w].

    A text's vector is the mean of its windows' vectors, at length 1.
    """

    def batch(places: NDArray[np.int64]) -> Vectors:
        return _encode_batch(weights, look, [windows[place] for place in places])

    vectors = by_length([len(window) for window in windows], BATCH_TOKENS, batch, WIDTH)
    sums = np.zeros((count, WIDTH), dtype=np.float32)
    np.add.at(sums, owner, vectors)
    return unit(sums)


def cut(ids: Sequence[int], size: int, most: int, begin: int, end: int) -> list[list[int]]:
    """The tokens in at most so many windows of this size, each between `begin` and `end`; one for no tokens at all."""
    starts = range(0, max(len(ids), 1), size)[:most]
    return [[begin, *ids[start : start + size], end] for start in starts]


def _encode_batch(weights: Weights, look: Look, windows: Sequence[Sequence[int]]) -> Vectors:
    import torch

    longest = max(map(len, windows))
    ids = torch.zeros(len(windows), longest, dtype=torch.long)
    mask = torch.zeros(len(windows), longest, dtype=torch.bool)
    for row, window in enumerate(windows):
        ids[row, : len(window)] = torch.tensor(window)
        mask[row, : len(window)] = True
    with torch.inference_mode():
        return unit(pool(forward(weights, look(ids), mask), mask).numpy())


def forward(weights: Weights, words: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Hidden states of the last layer, (batch, tokens, 384), float32.

    words: the word vectors, (batch, tokens, 384); mask: (batch, tokens), false where there is only padding.
    """
    hidden = embed(weights, words)
    number = 0
    while f"encoder.layer.{number}.output.dense.weight" in weights:
        hidden = layer(weights, number, hidden, mask)
        number += 1
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
    """Layer norm, always in float32: the sums that it normalises lose too much in bfloat16."""
    from torch.nn import functional as F

    return F.layer_norm(x.float(), x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"], EPSILON)
