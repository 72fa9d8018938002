"""Images: the bytes of any image file as plain pixels."""

from __future__ import annotations

import io
import struct
import warnings
from typing import TYPE_CHECKING

import numpy as np
from django.utils.translation import gettext as _
from numpy.typing import NDArray

from labeling.errors import Refused

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PIXELS = 100_000_000
WIDE_MODES = ("I;16", "I;16B", "I;16L", "I;16N", "I", "F")


class UnreadableImage(Refused):
    """Bytes that are no image, or one cut short."""

    code = "unreadable_image"

    def __init__(self, reason: object) -> None:
        super().__init__(
            _("The image cannot be read (%(reason)s). Import it again from a whole file.") % {"reason": reason}
        )


def decode(data: bytes, at_least: int = 0) -> Image:
    """The image's first frame, upright, in RGB; what is transparent is white.

    A JPEG may come smaller than it is, though no side below `at_least` pixels, since it decodes faster so
    (0: as it is). Raises UnreadableImage.
    """
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of large images from a limit below ours, and of odd EXIF
            with Image.open(io.BytesIO(data)) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise UnreadableImage(f"{image.width}x{image.height}")
                if at_least:
                    image.draft("RGB", (at_least, at_least))
                return _rgb(ImageOps.exif_transpose(image))
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, KeyError, TypeError, struct.error) as error:
        raise UnreadableImage(error) from error
    except (Image.DecompressionBombError, MemoryError, OverflowError) as error:
        raise UnreadableImage(error) from error


def pixels(data: bytes, side: int) -> NDArray[np.uint8]:
    """The whole image squeezed into a square of `side` pixels, (side, side, 3). Raises UnreadableImage."""
    from PIL.Image import Resampling

    return np.asarray(decode(data, at_least=side).resize((side, side), Resampling.BICUBIC))


def _rgb(image: Image) -> Image:
    from PIL import Image as pillow

    if image.mode in WIDE_MODES:
        return pillow.fromarray(_eight_bits(np.asarray(image), image.mode)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        clear = image.convert("RGBA")
        return pillow.alpha_composite(pillow.new("RGBA", clear.size, "white"), clear).convert("RGB")
    return image.convert("RGB")


def _eight_bits(values: NDArray[np.generic], mode: str) -> NDArray[np.uint8]:
    """Wide samples as bytes: 16-bit ones by their full range, others, whose range no one says, by their own."""
    wide = np.nan_to_num(values.astype(np.float64))
    low, high = (0.0, 65535.0) if mode.startswith("I;16") else (wide.min(), wide.max())
    return np.asarray((wide - low) * (255 / max(high - low, 1e-9))).clip(0, 255).astype(np.uint8)
