"""Conv-4: drawings, by a small network that learned from alphabets how drawings of one character differ."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from labeling.encoders.base import Vectors, torch_here, unit
from labeling.encoders.drawings import Canvases, Pixels, canvases

WEIGHTS = Path(__file__).with_name("conv4.safetensors")  # conv4.md is its card
BATCH = 256


class Conv4:
    """Small drawings, such as characters and signs; 554 numbers: 64 learned ones, and those of `pixels` beside them.

    The network was meta-trained from pixels on Omniglot by prototypical networks (Snell et al. 2017). Its batch norms
    use the moments of its training drawings, so that a vector does not depend on what was encoded with it. Half and
    half with the pixels it is better than either; bench/README.md has the figures.
    """

    name = "conv4"
    learned = 64
    dimension = learned + Pixels.dimension
    modality = "image"

    def __init__(self) -> None:
        torch_here()
        from metalearning.checkpoint import load

        params = load(WEIGHTS).params
        self._centre = params.pop("centre")
        self._statistics = [(params.pop(f"mean.{block}"), params.pop(f"variance.{block}")) for block in range(4)]
        self._params = params
        self._pixels = Pixels()

    def encode(self, items: Sequence[bytes]) -> Vectors:
        """Vectors of the image files, (items, 554)."""
        drawn = canvases(items)
        plain = self._pixels.of(drawn)
        learned = np.zeros((len(drawn), self.learned), dtype=np.float32)
        for at in range(0, len(drawn), BATCH):
            learned[at : at + BATCH] = self._learned(drawn[at : at + BATCH])
        learned[~plain.any(axis=1)] = 0  # no ink, or no image
        return unit(np.hstack([unit(learned), plain]))

    def encode_names(self, names: Sequence[str]) -> None:
        """None: drawings know no words."""

    def _learned(self, drawn: Canvases) -> Vectors:
        import torch

        from metalearning.networks import conv4

        with torch.inference_mode():
            features = conv4(self._params, torch.from_numpy(drawn).unsqueeze(1), self._statistics)
            return np.asarray((features - self._centre).numpy(), dtype=np.float32)
