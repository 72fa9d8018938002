"""Drawings: small images of ink on a ground, by their pixels and the directions of their strokes."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from labeling.encoders.base import Vectors, unit
from labeling.encoders.images import UnreadableImage, decode

logger = logging.getLogger(__name__)
LARGEST = 32  # pixels on the longer side, for an image to be taken for a drawing
COLOURED = 12.0  # mean spread between the channels, of 255, above which an image is no drawing
CANVAS, INK = 28, 24  # pixels: the side of the canvas, and of the image laid on it
BLUR, DIRECTIONS, CELL = 1.2, 6, 4

Canvases = NDArray[np.float32]  # (items, 28, 28), ink in [0, 1]


class Pixels:
    """Small drawings, such as handwritten digits; 490 numbers.

    The ink is moved so that its centre of mass lies in the middle, blurred a little and set beside a coarse
    histogram of stroke directions (Dalal & Triggs 2005), half and half. On plain pixels one character drawn a bit
    further left is another character; bench/README.md has the figures of both.
    """

    name = "pixels"
    dimension = (CANVAS // 2) ** 2 + DIRECTIONS * (CANVAS // CELL) ** 2
    modality = "image"

    def encode(self, items: Sequence[bytes]) -> Vectors:
        """Vectors of the image files, (items, 490)."""
        return self.of(canvases(items))

    def of(self, drawn: Canvases) -> Vectors:
        """Vectors of canvases, (items, 490); zeros for an empty one."""
        return unit(np.hstack([_even(_shade(drawn)), _even(_strokes(drawn))]))

    def encode_names(self, names: Sequence[str]) -> None:
        """None: pixels know no words."""


def canvases(items: Sequence[bytes]) -> Canvases:
    """The ink of the image files, centred; an empty canvas for one that cannot be decoded."""
    drawn = np.zeros((len(items), CANVAS, CANVAS), dtype=np.float32)
    for place, data in enumerate(items):
        try:
            drawn[place] = centred(ink(np.asarray(decode(data).convert("L"))))
        except UnreadableImage as error:
            logger.warning("an image stays without a vector: %s", error)
    return drawn


def is_drawing(data: bytes) -> bool:
    """Whether the image is at most 32 pixels long and wide and hardly coloured."""
    try:
        image = decode(data)
    except UnreadableImage:
        return False
    if max(image.size) > LARGEST:
        return False
    channels = np.asarray(image, dtype=np.float32)
    return bool((channels.max(2) - channels.min(2)).mean() <= COLOURED)


def ink(grey: NDArray[np.uint8]) -> NDArray[np.float32]:
    """How much ink is where, in [0, 1], whether it is dark on light or light on dark. (height, width) both.

    The ground is the median of the image's edge.
    """
    values = grey.astype(np.float32)
    edge = np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])
    strength: NDArray[np.float32] = np.abs(values - np.float32(np.median(edge)))
    return strength / np.float32(max(float(strength.max()), 1.0))


def centred(strength: NDArray[np.float32]) -> NDArray[np.float32]:
    """The ink on a canvas of 28 pixels, 24 of them for the whole image, its centre of mass in the middle.

    Moved by parts of a pixel too: rounding to whole ones cost half a point to a point of accuracy.
    """
    from PIL import Image

    # The margin, because a sample less than a pixel outside the image would be empty and not half of its edge.
    strength = np.pad(_at_most(strength, LARGEST), 2)
    row, column = _centre(strength)
    scale = (max(strength.shape) - 4) / INK
    middle = scale * CANVAS / 2
    # Where on the image each of the canvas's pixels lies; 0.5, since a pixel's middle is half a pixel from its edge.
    lies = (scale, 0, column + 0.5 - middle, 0, scale, row + 0.5 - middle)
    laid = Image.fromarray(strength).transform((CANVAS, CANVAS), Image.Transform.AFFINE, lies, Image.Resampling.BICUBIC)
    return np.asarray(laid, dtype=np.float32).clip(0, 1)


def _at_most(strength: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """The same with no side longer than this, since sampling from far larger pictures would skip whole strokes."""
    from PIL import Image

    longest = max(strength.shape)
    if longest <= side:
        return strength
    height, width = (max(1, round(length * side / longest)) for length in strength.shape)
    return np.asarray(Image.fromarray(strength).resize((width, height), Image.Resampling.BOX), dtype=np.float32)


def _centre(strength: NDArray[np.float32]) -> tuple[float, float]:
    """The ink's centre of mass, (row, column); the image's middle where there is none."""
    total = float(strength.sum())
    if total < 1e-6:
        return (strength.shape[0] - 1) / 2, (strength.shape[1] - 1) / 2
    rows, columns = strength.sum(1), strength.sum(0)
    return float(rows @ np.arange(len(rows)) / total), float(columns @ np.arange(len(columns)) / total)


def _shade(canvases: Canvases) -> NDArray[np.float32]:
    """The blurred ink at every second pixel, (items, 196)."""
    from scipy.ndimage import gaussian_filter

    blurred: NDArray[np.float32] = gaussian_filter(canvases, (0, BLUR, BLUR))
    return blurred[:, ::2, ::2].reshape(len(canvases), (CANVAS // 2) ** 2)


def _strokes(canvases: Canvases) -> NDArray[np.float32]:
    """How much edge runs which of six ways in each of 7 x 7 cells, (items, 294); its root, so that weak edges count."""
    from scipy.ndimage import gaussian_filter

    down, right = np.gradient(canvases, axis=(1, 2))
    strength = np.hypot(down, right)
    # A stroke has no front: directions half a turn apart are one, hence modulo pi.
    turn = (np.arctan2(down, right) % np.pi) / np.pi * DIRECTIONS
    nearest = np.floor(turn).astype(np.int64) % DIRECTIONS
    share = (turn - np.floor(turn)) * strength
    planes = np.zeros((len(canvases), DIRECTIONS, CANVAS, CANVAS), dtype=np.float32)
    for direction in range(DIRECTIONS):
        planes[:, direction] += np.where(nearest == direction, strength - share, 0)
        planes[:, direction] += np.where((nearest + 1) % DIRECTIONS == direction, share, 0)
    blurred = gaussian_filter(planes, (0, 0, CELL, CELL))
    cells = blurred[:, :, CELL // 2 :: CELL, CELL // 2 :: CELL]
    return np.sqrt(unit(cells.reshape(len(canvases), DIRECTIONS * (CANVAS // CELL) ** 2)))


def _even(rows: NDArray[np.float32]) -> Vectors:
    """The rows less each one's mean, at length 1; a row without ink stays zero."""
    return unit(rows - rows.mean(axis=1, keepdims=True))
