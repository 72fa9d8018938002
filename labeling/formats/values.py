"""Values: from what a cell holds to a text, a label, an id, a vector; what cannot be used says why."""

from __future__ import annotations

import base64
import binascii
import datetime
import decimal
import json
import math
import re
from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Any

import numpy as np
from django.utils.translation import gettext as _
from numpy.typing import NDArray

from labeling.formats import limits
from labeling.formats.encodings import BAD_BYTE
from labeling.formats.images import look
from labeling.formats.rows import SUGGESTION, Bad, BadRow, Columns, Picture, Row

# Control characters but tab, LF and CR; they do nothing good in a page, and PostgreSQL takes no NUL.
CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f]")
UNUSABLE = re.compile("[\ud800-\udfff\ufdd0\ufdd1]")
DATA_URI = re.compile("data:image/[a-z0-9.+-]+;base64,")
METADATA = "metadata"


def content_hash(content: str | bytes) -> bytes:
    """16 bytes that tell contents apart (BLAKE2b). A text and an image with the same bytes differ."""
    if isinstance(content, str):
        return blake2b(content.encode(), digest_size=16).digest()
    return blake2b(content, digest_size=16, person=b"image").digest()


def clean(text: str, column: str = "") -> str:
    """The text as it is, with control characters made visible (U+2400 and on) instead of active.

    Raises Bad for halves of surrogate pairs and for bytes that could not be decoded.
    """
    if text.isprintable():
        return text
    if broken := UNUSABLE.search(text):
        if broken.group() == BAD_BYTE:
            raise Bad("bad_bytes", _("It holds bytes that are not valid in the file's encoding."), column)
        raise Bad("bad_bytes", _("It holds half of a character (a lone surrogate)."), column)
    return CONTROL.sub(_picture_of, text)


def as_item(value: Any, column: str) -> tuple[str | None, Picture | None]:
    """A text, or an image given as bytes, as {"bytes", "path"} or as a data: address."""
    if type(value) is str:
        if DATA_URI.match(value):
            return None, look(_from_data_uri(value, column), "")
        return as_text(value, column), None
    if isinstance(value, Mapping) and "bytes" in value:
        if not isinstance(value["bytes"], bytes):
            raise Bad("no_image", _("The image's bytes are not in the file, only its path."), column)
        return None, look(value["bytes"], str(value.get("path") or ""))
    if isinstance(value, bytes):
        return None, look(value, "")
    return as_text(value, column), None


def as_text(value: Any, column: str) -> str:
    """A text that is not empty, as it is."""
    text = clean(value if type(value) is str else _plain_text(value, column), column)
    if not text or text.isspace():
        raise Bad("empty", _("The text is empty."), column)
    if len(text) > limits.MAX_TEXT:
        raise Bad("too_long", _("The text has %(n)d characters; %(limit)d are allowed.") % {
            "n": len(text), "limit": limits.MAX_TEXT}, column)  # fmt: skip
    return text


def as_label(value: Any, column: str) -> str | None:
    """A label's name without outer blanks; None where there is none. A list must hold one at most."""
    if isinstance(value, list):
        if len(value) > 1:
            raise Bad("several_labels", _("The row has %(n)d labels; one is possible.") % {"n": len(value)}, column)
        value = value[0] if value else None
    return _short(value, column, limits.MAX_LABEL)


def as_external_id(value: Any, column: str) -> str | None:
    """The id that the file gives the row, without outer blanks; None where there is none."""
    return _short(value, column, limits.MAX_EXTERNAL_ID)


def as_vector(value: Any, column: str) -> NDArray[np.float32] | None:
    """Finite numbers, from a list or from its JSON in a cell."""
    if isinstance(value, str):
        try:
            value = json.loads(value) if value.strip() else None
        except (ValueError, RecursionError):
            raise Bad("bad_vector", _("The vector is not a JSON list of numbers."), column) from None
    if value is None:
        return None
    try:
        vector = np.asarray(value, dtype=np.float32)
    except (ValueError, TypeError, OverflowError):
        raise Bad("bad_vector", _("The vector is not a list of numbers."), column) from None
    if vector.ndim != 1 or not 0 < vector.size <= limits.MAX_VECTOR or not np.isfinite(vector).all():
        raise Bad("bad_vector", _("The vector is not a flat list of finite numbers."), column)
    return vector


def as_metadata(values: Mapping[str, Any]) -> dict[str, Any]:
    """The kept columns as JSON can hold them, empty ones left out; an object in "metadata" is merged in."""
    kept: dict[str, Any] = {}
    length = 0
    for name, value in values.items():
        if value is None or value == "":
            continue
        plain = _plain(value, name)
        length += len(name) + (len(plain) if type(plain) is str else len(json.dumps(plain, ensure_ascii=False)))
        if name == METADATA and isinstance(inner := _object(plain), dict):
            kept.update(_plain(inner, name))
        else:
            kept[clean(name)] = plain
    if length > limits.MAX_METADATA:
        raise Bad("too_long", _("The row's other columns hold more than %(limit)d characters.") % {
            "limit": limits.MAX_METADATA}, METADATA)  # fmt: skip
    return kept


class Assembler:
    """Makes rows of cells by the chosen columns."""

    def __init__(self, columns: Columns) -> None:
        self.columns = columns
        self._dimension = 0

    def row(self, number: int, line: int, position: int, get: Callable[[str], Any]) -> Row | BadRow:
        """The row whose cells `get` gives by column name, or why it cannot be used."""
        wanted = self.columns
        try:
            text, image = as_item(get(wanted.item), wanted.item)
            label = self._label(get)
            external_id = as_external_id(get(wanted.external_id), wanted.external_id) if wanted.external_id else None
            metadata = as_metadata({name: get(name) for name in wanted.metadata}) if wanted.metadata else {}
            vector = self._vector(get(wanted.vector), wanted.vector) if wanted.vector else None
        except Bad as bad:
            return BadRow(number, line, position, bad.code, bad.reason, bad.column)
        return Row(number, line, position, text, image, label, external_id, metadata, vector)

    def _label(self, get: Callable[[str], Any]) -> str | None:
        wanted = self.columns
        if not wanted.label or (wanted.origin and get(wanted.origin) == SUGGESTION):
            return None
        return as_label(get(wanted.label), wanted.label)

    def _vector(self, value: Any, column: str) -> NDArray[np.float32]:
        vector = as_vector(value, column)
        if vector is None:
            raise Bad("bad_vector", _("The row has no vector."), column)
        self._dimension = self._dimension or vector.size
        if vector.size != self._dimension:
            raise Bad("bad_vector", _("The vector has %(n)d numbers, the first one has %(first)d.") % {
                "n": vector.size, "first": self._dimension}, column)  # fmt: skip
        return vector


def _picture_of(found: re.Match[str]) -> str:
    code = ord(found.group())
    if code < 0x20:
        return chr(0x2400 + code)
    return "\u2421" if code == 0x7F else "\ufffd"


def _short(value: Any, column: str, limit: int) -> str | None:
    if value is None:
        return None
    text = clean(value if type(value) is str else _plain_text(value, column), column).strip()
    if len(text) > limit:
        raise Bad("too_long", _("It has %(n)d characters; %(limit)d are allowed.") % {
            "n": len(text), "limit": limit}, column)  # fmt: skip
    return text or None


def _plain_text(value: Any, column: str) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and math.isnan(value):
        return ""
    if isinstance(value, (int, float, decimal.Decimal)):
        return str(value)
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    raise Bad("not_text", _("It holds a list or an object where one value is expected."), column)


def _plain(value: Any, column: str, depth: int = 0) -> Any:
    """The value as JSON of any database can hold it: clean texts, finite numbers, text keys."""
    if type(value) is str:
        return clean(value, column)
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, (float, decimal.Decimal)):
        return float(value) if math.isfinite(value) else None
    if depth >= limits.MAX_DEPTH:
        raise Bad("too_deep", _("It holds objects within objects, too deep."), column)
    if isinstance(value, Mapping):
        return {clean(str(key), column): _plain(one, column, depth + 1) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one, column, depth + 1) for one in value]
    if isinstance(value, bytes):
        raise Bad("not_text", _("It holds bytes; leave this column out."), column)
    return clean(_plain_text(value, column), column)


def _object(value: Any) -> Any:
    if type(value) is not str:
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _from_data_uri(address: str, column: str) -> bytes:
    body = address.partition(",")[2]
    if len(body) > limits.MAX_IMAGE_BYTES * 4 // 3 + 4:
        raise Bad("too_large", _("The image is larger than %(limit)d MB.") % {
            "limit": limits.MAX_IMAGE_BYTES >> 20}, column)  # fmt: skip
    try:
        return base64.b64decode(body, validate=True)
    except binascii.Error:
        raise Bad("no_image", _("The image's base64 is broken."), column) from None
