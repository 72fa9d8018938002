"""Plain text: every line an item."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from labeling.formats.encodings import Lines
from labeling.formats.rows import BadRow, Columns, Row
from labeling.formats.values import Assembler

COLUMN = "text"


def read(file: BinaryIO, *, encoding: str) -> Iterator[Row | BadRow]:
    """The lines that are not blank, without their line ends."""
    lines = Lines(file, encoding)
    assemble = Assembler(Columns(COLUMN)).row
    number = 0
    for line, text in enumerate(lines, 1):
        text = text.removesuffix("\n").removesuffix("\r")
        if text and not text.isspace():
            number += 1
            yield assemble(number, line, lines.position, {COLUMN: text}.get)
