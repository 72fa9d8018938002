"""Images: looked into before they are kept; the type comes from the content, never from the name."""

from __future__ import annotations

import io
import re
import warnings

from django.utils.translation import gettext as _
from PIL import Image, ImageOps, UnidentifiedImageError

from labeling.formats import limits
from labeling.formats.rows import Bad, Picture

ALLOWED = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF")
EXTENSIONS = {"PNG": "png", "JPEG": "jpg", "GIF": "gif", "WEBP": "webp", "BMP": "bmp"}
AS_PNG = frozenset({"1", "L", "LA", "P", "RGB", "RGBA", "I;16", "I"})
SVG = re.compile(rb"^\s*(<\?xml|<!--|<!doctype\s+svg|<svg)", re.IGNORECASE)
DRAFT = 64  # pixels: a JPEG is decoded this small where it only has to prove that it is whole


def is_image(head: bytes) -> bool:
    """Whether a file that begins so claims to be an image of an allowed type."""
    return (
        head.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"BM", b"II*\0", b"MM\0*"))
        or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")
    )  # fmt: skip


def look(content: bytes, name: str) -> Picture:
    """Decode the image once to prove it whole, and tell its type and size in pixels.

    The bytes are kept as they are, EXIF orientation and all; whoever computes with the pixels applies it as
    browsers do. Only what browsers cannot show is made a PNG: TIFF, and of a moving GIF or WebP the first
    picture, so that the person and the model see the same; `note` says so. Raises Bad.
    """
    if len(content) > limits.MAX_IMAGE_BYTES:
        raise Bad("too_large", _("The image is larger than %(limit)d MB.") % {"limit": limits.MAX_IMAGE_BYTES >> 20})
    if SVG.match(content[:256]) or name.lower().endswith((".svg", ".svgz")):
        raise Bad("svg", _("SVG files can carry scripts; save it as PNG."))
    try:
        # Pillow warns of large images before its own limit; ours is checked right after opening.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content), formats=ALLOWED) as image:
                return _picture(image, content, name)
    except Image.DecompressionBombError:
        raise _too_many_pixels() from None
    except UnidentifiedImageError:
        raise Bad("not_an_image", _("It is not a PNG, JPEG, GIF, WebP, BMP or TIFF image.")) from None
    except Bad:
        raise
    except Exception as error:
        # Pillow's decoders raise whatever comes up on broken bytes: OSError, SyntaxError, struct.error, ...
        raise Bad("broken_image", _("The image is broken (%(error)s).") % {"error": str(error)[:200]}) from error


def _picture(image: Image.Image, content: bytes, name: str) -> Picture:
    width, height = image.size
    kind = image.format or ""
    if width * height > limits.MAX_PIXELS or width < 1 or height < 1:
        raise _too_many_pixels()
    moving = kind in ("GIF", "WEBP") and getattr(image, "is_animated", False)
    if kind == "TIFF" or moving:
        return _as_png(image, name, _("first picture, as PNG") if moving else _("TIFF, as PNG"))
    if kind == "JPEG":
        image.draft("L", (DRAFT, DRAFT))
    image.load()
    # Pillow calls a JPEG with a second picture behind the first one (some cameras) MPO; it is not asked for.
    return Picture(content, f"image/{kind.lower()}", EXTENSIONS[kind], width, height, name)


def _as_png(image: Image.Image, name: str, note: str) -> Picture:
    image.load()
    if image.mode == "F":
        raise Bad("float_image", _("Its pixels are floating point numbers; save it with 8 or 16 bits."))
    # A TIFF's EXIF describes the TIFF's own strips, so its orientation is applied here instead of kept.
    still = ImageOps.exif_transpose(image)
    still = still if still.mode in AS_PNG else still.convert("RGB")
    out = io.BytesIO()
    still.save(out, "PNG", icc_profile=image.info.get("icc_profile"))
    return Picture(out.getvalue(), "image/png", "png", still.width, still.height, name, note)


def _too_many_pixels() -> Bad:
    return Bad("too_large", _("The image has more than %(limit)d million pixels.") % {
        "limit": limits.MAX_PIXELS // 1_000_000})  # fmt: skip
