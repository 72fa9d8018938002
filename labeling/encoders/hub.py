"""Any text model of sentence-transformers by its name, fetched over the internet or found in its local cache."""

from __future__ import annotations

import re
from collections.abc import Sequence

from django.utils.translation import gettext as _

from labeling.encoders import names as label_names
from labeling.encoders.base import EncoderUnavailable, UnknownEncoder, Vectors, torch_here, unit

PREFIX = "sentence-transformers:"
# "model" or "owner/model". A path of another shape could name any folder of the server's disk.
NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")


class SentenceTransformersModel:
    """Text, by a model of sentence-transformers; texts longer than its window are cut off there."""

    modality = "text"

    def __init__(self, name: str) -> None:
        model = name.removeprefix(PREFIX)
        if not NAME.fullmatch(model):
            raise UnknownEncoder(name, [])
        self.name = name
        torch_here()
        from sentence_transformers import SentenceTransformer

        try:
            self._model = SentenceTransformer(model, device="cpu")
        except Exception as error:
            # Whatever goes wrong on the way (no network, no such model, wrong files, an old architecture) is raised
            # as one of some twenty classes from six libraries; to the person it is one thing: not to be had.
            raise EncoderUnavailable(
                _(
                    "The model “%(model)s” cannot be loaded: it is not on this machine and could not be fetched"
                    " (%(reason)s). Check the name and the internet connection, or choose minilm or multilingual."
                )
                % {
                    "model": model,
                    "reason": str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__,
                }
            ) from error
        self.dimension = int(self._model.get_embedding_dimension() or self._model.encode(["x"]).shape[1])

    def encode(self, items: Sequence[str]) -> Vectors:
        """Vectors of the texts, (items, dimension)."""
        texts = [text.encode("utf-8", "replace").decode() for text in items]
        if not texts:
            return unit(self._model.encode(["x"])[:0])
        return unit(self._model.encode(texts, batch_size=32, show_progress_bar=False, convert_to_numpy=True))

    def encode_names(self, names: Sequence[str]) -> Vectors:
        """Vectors of the label names, as words, (names, dimension)."""
        return self.encode([label_names.words(name) for name in names])
