"""Limits: how much of anything a file may hold; what is beyond is refused row by row, with a reason."""

from __future__ import annotations

MAX_TEXT = 1_000_000  # characters of one text
MAX_LABEL = 200  # characters of a label's name
MAX_EXTERNAL_ID = 255  # characters
MAX_NAME = 500  # characters of a file's name
MAX_METADATA = 65_536  # characters of one row's metadata, written as JSON
MAX_DEPTH = 20  # objects within objects
MAX_COLUMNS = 2_000
MAX_VECTOR = 16_384  # numbers in one vector

MAX_LINE = 48 * 1024 * 1024  # characters; an embedded image of MAX_IMAGE_BYTES still fits
MAX_RECORD_LINES = 100_000  # lines that one quoted CSV record may run over

MAX_IMAGE_BYTES = 25 * 1024 * 1024
MAX_PIXELS = 50_000_000  # width x height, before anything is decoded

MAX_MEMBERS = 300_000  # files in one archive
MAX_UNPACKED = 50 * 1024**3  # bytes that all of an archive's files come to
MAX_TABLE = 8 * 1024**3  # bytes of one table inside an archive
MAX_RATIO = 200  # unpacked : packed, looked at from RATIO_FROM on (a blank drawing packs a thousandfold)
RATIO_FROM = 200 * 1024 * 1024  # bytes
MAX_ROW_GROUP = 4 * 1024**3  # bytes of one unpacked Parquet row group

CHUNK = 1 << 18  # bytes read at a time
