"""Encoders: what turns texts and images into vectors; which one suits a project, and loading it once.

Importing this package loads no model and no torch: the web process never needs either.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import cast

from labeling.encoders.base import Encoder, EncoderUnavailable, Tunable, UnknownEncoder, Vectors, unit
from labeling.encoders.hub import PREFIX

__all__ = [
    "IMPORTED",
    "KNOWN",
    "SAMPLE",
    "Encoder",
    "EncoderUnavailable",
    "Tunable",
    "UnknownEncoder",
    "Vectors",
    "check",
    "choose",
    "get",
    "is_tunable",
    "tunable",
    "unit",
]

IMPORTED = "imported"  # no encoder: the user brought the vectors
KNOWN = {
    "minilm": "text",
    "multilingual": "text",
    "efficientnet-lite0": "image",
    "pixels": "image",
    "conv4": "image",
    IMPORTED: "",
}
TUNABLE = ("minilm", "multilingual")  # their layers are ours to run one by one
SAMPLE = 200  # items are enough to choose by
MOSTLY = 0.8  # the share of Latin script in a sample above which it is "mostly Latin", and of drawings likewise

_loaded: dict[str, Encoder] = {}
_loading = threading.Lock()


def choose(sample: Sequence[str] | Sequence[bytes], modality: str) -> str:
    """The name of the encoder that suits items like these.

    Texts (modality "text"): minilm for English, multilingual for other languages and scripts. Image files
    (modality "image"): conv4 for drawings of at most 32 pixels, efficientnet-lite0 for all else. There a project
    begins; its answers may speak for another one later (labeling/flow/comparing.py).
    """
    if modality == "text":
        from labeling.encoders.scripts import latin_share, looks_english

        texts = [item for item in sample if isinstance(item, str)]
        return "minilm" if latin_share(texts) >= MOSTLY and looks_english(texts) else "multilingual"
    from labeling.encoders.drawings import is_drawing

    drawings = [is_drawing(item) for item in sample if isinstance(item, bytes)]
    return "conv4" if drawings and sum(drawings) >= MOSTLY * len(drawings) else "efficientnet-lite0"


def check(name: str, modality: str) -> None:
    """Raise UnknownEncoder unless `name` is an encoder for items of this modality. Loads nothing."""
    if name.startswith(PREFIX) and len(name) > len(PREFIX) and modality == "text":
        return
    if KNOWN.get(name) not in ("", modality):
        raise UnknownEncoder(name, [known for known, kind in KNOWN.items() if kind in ("", modality)])


def get(name: str) -> Encoder:
    """The encoder of this name, loaded once per process.

    Raises UnknownEncoder, or EncoderUnavailable where it can't be had.
    """
    with _loading:
        if name not in _loaded:
            _loaded[name] = _load(name)
        return _loaded[name]


def is_tunable(name: str) -> bool:
    """Whether this encoder's top layers can learn in a project. Loads nothing."""
    return name in TUNABLE


def tunable(name: str) -> Tunable:
    """The encoder of this name, one whose top layers can learn. Raises UnknownEncoder for another."""
    if not is_tunable(name):
        raise UnknownEncoder(name, TUNABLE)
    return cast("Tunable", get(name))


def _load(name: str) -> Encoder:
    # Imported here, so that a worker that encodes Chinese never loads the network for photos.
    if name == "minilm":
        from labeling.encoders.minilm import MiniLM

        return MiniLM()
    if name == "multilingual":
        from labeling.encoders.multilingual import Multilingual

        return Multilingual()
    if name == "efficientnet-lite0":
        from labeling.encoders.efficientnet import EfficientNetLite0

        return EfficientNetLite0()
    if name == "pixels":
        from labeling.encoders.drawings import Pixels

        return Pixels()
    if name == "conv4":
        from labeling.encoders.conv4 import Conv4

        return Conv4()
    if name == IMPORTED:
        from labeling.encoders.imported import Imported

        return Imported()
    if name.startswith(PREFIX):
        from labeling.encoders.hub import SentenceTransformersModel

        return SentenceTransformersModel(name)
    raise UnknownEncoder(name, list(KNOWN))
