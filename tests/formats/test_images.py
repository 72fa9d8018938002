"""Images and archives: what is dangerous or broken is refused by row, the rest is kept byte for byte."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib

import pytest
from PIL import Image

from labeling import formats
from labeling.formats import limits
from labeling.formats.rows import Bad, Columns
from tests.formats.files import bad, good, image, read_all, zipped


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "BMP"])
def test_allowed_types_are_kept_as_they_are(kind: str) -> None:
    content = image(kind)
    row = good(read_all(content, "wrong-name.txt.png"))[0]
    assert row.image is not None
    assert row.image.content == content
    assert (row.image.media_type, row.image.width, row.image.height) == (f"image/{kind.lower()}", 8, 6)


def test_tiff_becomes_png_with_its_pixels_upright() -> None:
    source = Image.new("RGB", (4, 2), "red")
    source.putpixel((0, 0), (0, 0, 255))
    out = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    source.save(out, "TIFF", exif=exif)
    picture = formats.look(out.getvalue(), "a.tiff")
    assert (picture.media_type, picture.width, picture.height) == ("image/png", 2, 4)
    assert picture.note
    assert Image.open(io.BytesIO(picture.content)).getpixel((1, 0)) == (0, 0, 255)


def test_an_orientation_is_kept() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    content = image("JPEG", exif=exif)
    assert formats.look(content, "a.jpg").content == content


@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
def test_of_a_moving_image_the_first_picture_is_kept(kind: str) -> None:
    frames = [Image.new("RGB", (5, 5), color) for color in ("red", "blue")]
    out = io.BytesIO()
    frames[0].save(out, kind, save_all=True, append_images=frames[1:], lossless=True)
    picture = formats.look(out.getvalue(), "a")
    assert picture.media_type == "image/png"
    assert Image.open(io.BytesIO(picture.content)).convert("RGB").getpixel((2, 2)) == (255, 0, 0)


def bomb_png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "not_an_image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", "svg"),
        (b"<?xml version='1.0'?><svg/>", "svg"),
        (b"<html><script>alert(1)</script>", "not_an_image"),
        (b"%PDF-1.4", "not_an_image"),
        (image("PPM"), "not_an_image"),
        (image("PNG")[:-30], "broken_image"),
        (image("JPEG", size=(300, 300))[:-300], "broken_image"),
        (bomb_png(50_000, 50_000), "too_large"),
        (bomb_png(1_000_000, 60), "too_large"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 40, "broken_image"),
    ],
)
def test_what_is_no_whole_image_is_refused(content: bytes, code: str) -> None:
    with pytest.raises(Bad) as refused:
        formats.look(content, "a.png")
    assert refused.value.code in (code, "not_an_image" if code == "broken_image" else code)


def test_an_image_of_too_many_bytes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_IMAGE_BYTES", 100)
    with pytest.raises(Bad, match="larger than"):
        formats.look(image("BMP"), "a.bmp")
    rows = read_all(zipped({"a.bmp": image("BMP"), "b.png": image("PNG")}), "a.zip")
    assert [row.code for row in bad(rows)] == ["too_large"]
    assert len(good(rows)) == 1


def test_folders_are_labels_and_leftovers_are_left_out() -> None:
    members = {
        "set/cats/1.png": image(color=1),
        "set/cats/.DS_Store": b"x",
        "set/dogs/2.png": image(color=2),
        "set/top.png": image(color=3),
        "__MACOSX/set/cats/._1.png": b"x",
        "set/Thumbs.db": b"x",
        "README.md": b"x",
        "set/dogs/notes.docx": b"x",
    }
    found = formats.sniff(io.BytesIO(zipped(members)), "a.zip")
    assert (found.modality, found.columns, found.guess) == ("image", ["file", "folder"], Columns("file", "folder"))
    rows = read_all(zipped(members), "a.zip")
    assert [(row.image.name, row.label) for row in good(rows) if row.image] == [
        ("set/cats/1.png", "cats"),
        ("set/dogs/2.png", "dogs"),
        ("set/top.png", "set"),
    ]
    assert [(row.number, row.code) for row in bad(rows)] == [(4, "not_an_image")]
    assert "set/dogs/notes.docx" in bad(rows)[0].reason


def test_train_and_test_are_no_classes() -> None:
    found = formats.sniff(io.BytesIO(zipped({"train/a.png": image(), "test/b.png": image(color=1)})), "a.zip")
    assert found.guess.label is None
    deep = zipped({f"{split}/{kind}/{split}.png": image() for split in ("train", "test") for kind in ("cat", "dog")})
    assert {row.label for row in good(read_all(deep, "a.zip"))} == {"cat", "dog"}


def test_dangerous_members_are_refused_one_by_one() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in ("../../up.png", "/etc/absolute.png", "C:/x.png", "..\\back.png", "inner.zip", "a/../b.png"):
            archive.writestr(name, image())
        link = zipfile.ZipInfo("link.png")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("disguised.png", zipped({"x.png": image()}))
        archive.writestr("page.png", b"<html><script>alert(1)</script>")
        archive.writestr("vector.svg", b"<svg/>")
        archive.writestr("fine.png", image())
    rows = read_all(out.getvalue(), "a.zip")
    assert sorted(row.code for row in bad(rows)) == sorted(
        ["unsafe_path"] * 5 + ["nested_archive"] * 2 + ["symlink", "not_an_image", "svg"]
    )
    assert [row.image.name for row in good(rows) if row.image] == ["fine.png"]
    assert [row.number for row in rows] == list(range(1, 12))
    assert "10 files" in formats.sniff(out, "a.zip").warnings[0] or "7 files" in formats.sniff(out, "a.zip").warnings[0]


def test_encrypted_members_are_refused() -> None:
    content = bytearray(zipped({"a.png": image(), "b.png": image(color=1)}))
    for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        at = content.index(signature)
        content[at + offset] |= 1
    rows = read_all(bytes(content), "a.zip")
    assert [row.code for row in bad(rows)] == ["encrypted"]
    assert len(good(rows)) == 1


def test_a_member_that_lies_about_its_size_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_IMAGE_BYTES", 2_000)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", b"\0" * 1_000_000)
    content = out.getvalue().replace(struct.pack("<I", 1_000_000), struct.pack("<I", 1_000))
    assert [row.code for row in bad(read_all(content, "a.zip"))] in (["broken_image"], ["too_large"], ["not_an_image"])


def test_bombs_are_refused_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RATIO_FROM", 1_000_000)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", b"\0" * 5_000_000)
    with pytest.raises(formats.BadFile, match="zip bomb"):
        read_all(out.getvalue(), "a.zip")
    monkeypatch.setattr(limits, "MAX_MEMBERS", 3)
    with pytest.raises(formats.BadFile, match="4 files"):
        read_all(zipped({f"{n}.png": b"" for n in range(4)}), "a.zip")


def test_overlapping_members_are_refused() -> None:
    content = zipped({"a.png": image(size=(90, 90))})
    directory = content.index(b"PK\1\2")
    end = content.index(b"PK\5\6")
    entry = content[directory:end]
    many = 50
    tail = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, many, many, len(entry) * many, directory, 0)
    bomb = content[:directory] + entry * many + tail
    assert len(zipfile.ZipFile(io.BytesIO(bomb)).infolist()) == many
    inflated = bytearray(bomb)
    # One more byte per member than lies in the file: what a quoted-overlap bomb's directory says.
    big = struct.pack("<L", len(bomb))
    for n in range(many):
        at = directory + n * len(entry) + 20
        inflated[at : at + 4] = big
    with pytest.raises(formats.BadFile, match="overlap"):
        read_all(bytes(inflated), "a.zip")


def test_names_in_chinese_from_windows_and_macs() -> None:
    for encoding in ("gb18030", "utf-8"):
        raw = "猫咪/一.png".encode(encoding)
        ascii_name = "x" * len(raw)
        members = {ascii_name: image(), "dogs/2.png": image(color=5)}
        content = zipped(members).replace(ascii_name.encode(), raw)
        rows = good(read_all(content, "a.zip"))
        assert [(row.image.name, row.label) for row in rows if row.image] == [
            ("猫咪/一.png", "猫咪"),
            ("dogs/2.png", "dogs"),
        ]


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl"])
def test_a_table_beside_the_images_gives_their_columns(name: str) -> None:
    records = [
        {"file_name": "images/a.png", "label": "x", "id": "1", "note": "n"},
        {"file_name": "images/none.png", "label": "x", "id": "2", "note": ""},
        {"file_name": "images/bad.png", "label": "x", "id": "3", "note": ""},
    ]
    table = "\n".join(json.dumps(record) for record in records)
    if name.endswith("csv"):
        table = "\n".join([",".join(records[0])] + [",".join(record.values()) for record in records])
    members = {
        f"set/{name}": table.encode(),
        "set/images/a.png": image(),
        "set/images/bad.png": b"?",
        "set/images/unnamed.png": image(color=3),
    }
    rows = read_all(zipped(members), "a.zip")
    assert [(r.image.name, r.label, r.external_id, r.metadata) for r in good(rows) if r.image] == [
        ("set/images/a.png", "x", "1", {"note": "n"}),
        ("set/images/unnamed.png", None, None, {}),
    ]
    assert [(row.number, row.code) for row in bad(rows)] == [(2, "no_image"), (3, "not_an_image")]


def test_a_zipped_table_is_read_as_the_table() -> None:
    rows = read_all(zipped({"data/train.csv": b"text,label\na,x\nb,y\n", "README.md": b""}), "a.zip")
    assert [(row.text, row.label) for row in good(rows)] == [("a", "x"), ("b", "y")]


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({}, "nothing to import"),
        ({"xl/workbook.xml": b"", "[Content_Types].xml": b""}, "Excel"),
        ({"a.csv": b"text\na\n", "b.csv": b"text\nb\n"}, "one by one"),
    ],
)
def test_archives_with_nothing_to_choose_are_refused(members: dict[str, bytes], says: str) -> None:
    with pytest.raises(formats.BadFile, match=says):
        read_all(zipped(members), "a.zip")


def test_a_truncated_archive_is_refused() -> None:
    with pytest.raises(formats.BadFile, match="broken"):
        read_all(zipped({"a.png": image()})[:-30], "a.zip")
