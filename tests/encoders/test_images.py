"""Every kind of image file that people have becomes plain pixels; what is no image is refused."""

from __future__ import annotations

import contextlib
import io
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from labeling.encoders.images import UnreadableImage, decode, pixels


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def gradient(mode: str = "RGB", size: tuple[int, int] = (40, 30)) -> Image.Image:
    values = np.add.outer(np.arange(size[1]) * 3, np.arange(size[0]) * 2).astype(np.uint8)
    return Image.fromarray(values).convert(mode)


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        ("RGB", "PNG"), ("L", "PNG"), ("1", "PNG"), ("P", "PNG"), ("RGBA", "PNG"), ("LA", "PNG"),
        ("RGB", "JPEG"), ("L", "JPEG"), ("CMYK", "JPEG"), ("CMYK", "TIFF"), ("LAB", "TIFF"),
        ("RGB", "GIF"), ("RGB", "WEBP"), ("RGBA", "WEBP"), ("RGB", "BMP"), ("YCbCr", "TIFF"),
    ],
)  # fmt: skip
def test_every_mode_becomes_rgb_of_its_size(mode: str, kind: str) -> None:
    image = Image.merge("LAB", [gradient("L")] * 3) if mode == "LAB" else gradient(mode)
    found = decode(saved(image, kind))
    assert (found.mode, found.size) == ("RGB", (40, 30))


def test_a_cmyk_photo_keeps_its_colours() -> None:
    red = Image.new("RGB", (16, 16), (220, 30, 30)).convert("CMYK")
    r, g, b = np.asarray(decode(saved(red, "JPEG", quality=95))).reshape(-1, 3).mean(0)
    assert r > 180
    assert max(g, b) < 80


def test_sixteen_bits_keep_their_shades() -> None:
    wide = Image.fromarray(np.array([[0, 32768, 65535]], dtype=np.uint16))
    assert np.asarray(decode(saved(wide, "PNG")))[0, :, 0].tolist() == [0, 127, 255]


def test_floating_point_samples_are_spread_over_their_range() -> None:
    scan = Image.fromarray(np.array([[-1.0, 0.0, 1.0]], dtype=np.float32))
    assert np.asarray(decode(saved(scan, "TIFF")))[0, :, 0].tolist() == [0, 127, 255]


def test_transparent_is_white() -> None:
    clear = Image.new("RGBA", (2, 1), (0, 0, 0, 0))
    clear.putpixel((1, 0), (0, 0, 0, 255))
    assert np.asarray(decode(saved(clear, "PNG"))).tolist() == [[[255, 255, 255], [0, 0, 0]]]


def test_a_transparent_palette_colour_is_white() -> None:
    image = Image.new("P", (2, 1), 0)
    image.putpalette([10, 20, 30, 200, 0, 0])
    image.putpixel((1, 0), 1)
    assert np.asarray(decode(saved(image, "PNG", transparency=0))).tolist() == [[[255, 255, 255], [200, 0, 0]]]


def test_an_animation_is_its_first_frame() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    found = decode(saved(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert np.asarray(found)[0, 0].tolist() == [255, 0, 0]


def test_a_photo_taken_sideways_is_turned_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn a quarter clockwise
    assert decode(saved(gradient(size=(40, 30)), "JPEG", exif=exif)).size == (30, 40)


def test_one_pixel_and_very_long_images_fill_the_square() -> None:
    for size in [(1, 1), (1, 3000), (3000, 1)]:
        assert pixels(saved(Image.new("RGB", size, "green"), "PNG"), 224).shape == (224, 224, 3)


def test_a_large_jpeg_decoded_small_looks_the_same() -> None:
    big = gradient(size=(1600, 1200)).resize((1600, 1200))
    data = saved(big, "JPEG", quality=95)
    whole = np.asarray(decode(data).resize((224, 224), Image.Resampling.BICUBIC)).astype(int)
    assert np.abs(pixels(data, 224).astype(int) - whole).mean() < 6


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"%PDF-1.4", b"<svg/>", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0"])
def test_what_is_no_image_is_refused(data: bytes) -> None:
    with pytest.raises(UnreadableImage, match="Import it again"):
        decode(data)


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    header = bytearray(saved(Image.new("1", (1, 1)), "PNG"))
    header[16:24] = (60_000).to_bytes(4, "big") * 2
    with pytest.raises(UnreadableImage):
        decode(bytes(header))


WHOLE = [saved(gradient(), kind) for kind in ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP")]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(WHOLE), st.randoms(use_true_random=False), st.integers(0, 6))
def test_damaged_files_are_decoded_or_refused_but_break_nothing(data: bytes, rng: random.Random, hits: int) -> None:
    damaged = bytearray(data[: rng.randrange(1, len(data) + 1)])
    for _ in range(hits):
        damaged[rng.randrange(len(damaged))] = rng.randrange(256)
    with contextlib.suppress(UnreadableImage):
        assert decode(bytes(damaged), at_least=8).mode == "RGB"
