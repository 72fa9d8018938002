"""Small files to read, made where they are needed."""

from __future__ import annotations

import io
import zipfile
from typing import Any

from PIL import Image

from labeling import formats


def read_all(content: bytes, name: str, **chosen: Any) -> list[formats.Row | formats.BadRow]:
    """What a person gets who drops this file and changes nothing but what is `chosen`."""
    found = formats.sniff(io.BytesIO(content), name)
    how = {
        "columns": found.guess,
        "encoding": found.encoding,
        "delimiter": found.delimiter,
        "header": found.header,
    } | chosen
    return list(formats.read(io.BytesIO(content), found.format, name=name, **how))


def good(rows: list[formats.Row | formats.BadRow]) -> list[formats.Row]:
    return [row for row in rows if isinstance(row, formats.Row)]


def bad(rows: list[formats.Row | formats.BadRow]) -> list[formats.BadRow]:
    return [row for row in rows if isinstance(row, formats.BadRow)]


def image(kind: str = "PNG", size: tuple[int, int] = (8, 6), color: int = 0, **how: Any) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, (color % 256, color // 256 % 256, 7)).save(out, kind, **how)
    return out.getvalue()


def zipped(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()
