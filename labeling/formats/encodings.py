"""Encodings: which one a text file is in, and its lines, decoded so that one bad byte costs one row."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from charset_normalizer import from_bytes
from django.utils.translation import gettext as _

from labeling.errors import BadField
from labeling.formats.limits import CHUNK, MAX_LINE

BAD_BYTE = "\ufdd0"  # a noncharacter, never used in honest text: stands where bytes could not be decoded
TOO_LONG = "\ufdd1\n"  # stands for a line longer than MAX_LINE
MARK = "labeling.mark"
BOMS = (
    # UTF-32 first: its little-endian mark begins with that of UTF-16.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
ASCII_ABOVE = frozenset(["utf-8", "utf-8-sig", "latin-1", "cp1252", "gb18030"])  # ASCII bytes mean ASCII, always
HIGH = bytes(range(0x80, 0x100))
HOPELESS = 10_000  # broken places
SAMPLE = 1 << 18  # bytes looked at to tell the older encodings apart
# What the helper may propose for letters that are neither Latin nor simplified Chinese.
# fmt: off
OTHERS = frozenset([
    "big5", "big5hkscs", "cp932", "shift-jis", "euc-jp", "euc-kr", "cp949", "cp1250", "cp1251", "cp1253", "cp1255",
    "cp1256", "cp874", "koi8-r",
])
KNOWN = OTHERS | {
    "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "gb18030", "latin-1", "cp1252",
}
# fmt: on


def _mark(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return BAD_BYTE, error.end


codecs.register_error(MARK, _mark)


@dataclass(frozen=True, slots=True)
class Guess:
    """An encoding, how many places of the file are not valid in it, and how many lines it has."""

    encoding: str
    bad_places: int
    newlines: int
    certain: bool  # a byte order mark, or valid throughout in an encoding that random bytes are not valid in


def guess(file: BinaryIO, given: str = "") -> Guess:
    """Guess from the whole file, in chunks; leaves the file at its start. The same bytes give the same guess.

    `given` is an encoding that a person chose: then only its bad places are counted. Raises BadField.
    """
    if given:
        return Guess(known(given), *_scan(file, known(given))[:2], certain=True)
    file.seek(0)
    head = file.read(SAMPLE)
    marked = next((name for bom, name in BOMS if head.startswith(bom)), None) or _wide(head)
    if marked:
        return Guess(marked, *_scan(file, marked)[:2], certain=True)
    bad, newlines, beyond_ascii = _scan(file, "utf-8", HOPELESS)
    # A few broken places among many good ones are damage, not another encoding: elsewhere than in UTF-8,
    # letters beyond ASCII are hardly ever valid UTF-8.
    if bad == 0 or beyond_ascii > 2 * bad:
        return Guess("utf-8", bad, newlines, certain=bad == 0)
    older = _older(_high_sample(file))
    bad, newlines, _beyond = _scan(file, older)
    return Guess(older, bad, newlines, certain=False)


def _wide(head: bytes) -> str | None:
    """UTF-16 without a mark: every second byte of Latin text, spaces and line ends is zero."""
    some = head[:4096]
    if len(some) < 4:
        return None
    even, odd = some[0::2].count(0) / len(some[0::2]), some[1::2].count(0) / len(some[1::2])
    if odd > 0.3 and even < 0.05:
        return "utf-16-le"
    return "utf-16-be" if even > 0.3 and odd < 0.05 else None


def _scan(file: BinaryIO, encoding: str, hopeless: int = 0) -> tuple[int, int, int]:
    """Places that do not decode, line ends, and (for UTF-8) characters beyond ASCII, of the whole file.

    Gives up where more than `hopeless` places do not decode and those that do are not many more.
    """
    decoder = codecs.getincrementaldecoder(encoding)(MARK)
    bad = newlines = beyond_ascii = 0
    file.seek(0)
    while True:
        chunk = file.read(CHUNK)
        if chunk and encoding in ASCII_ABOVE and chunk.isascii() and not decoder.getstate()[0]:
            # Most of most files; a hundred times faster than decoding.
            newlines += chunk.count(b"\n")
            continue
        text = decoder.decode(chunk, not chunk)
        newlines += text.count("\n")
        bad += text.count(BAD_BYTE)
        beyond_ascii += len(text) - len(chunk.translate(None, HIGH))
        if not chunk or (hopeless and bad > hopeless and beyond_ascii < 3 * bad):
            file.seek(0)
            return bad, newlines, beyond_ascii - bad


def _high_sample(file: BinaryIO) -> bytes:
    """The first SAMPLE bytes of those stretches that hold anything beyond ASCII."""
    sample = b""
    file.seek(0)
    while len(sample) < SAMPLE and (chunk := file.read(CHUNK)):
        if not chunk.isascii():
            sample += chunk
    return sample


def _older(sample: bytes) -> str:
    """GB18030, a Latin one or another, for bytes that are not UTF-8."""
    lead, pairs, high = 0, 0, 0
    at = 0
    while at < len(sample):
        byte = sample[at]
        following = sample[at + 1] if at + 1 < len(sample) else 0
        if byte < 0x80:
            at += 1
        elif 0x81 <= byte <= 0xFE and (following >= 0xA1 or 0x40 <= following <= 0x7E):
            high, at = high + 1, at + 2
            pairs += following >= 0xA1
            lead += following >= 0xA1 and (0xB0 <= byte <= 0xD7 or 0xA1 <= byte <= 0xA3)
        else:
            high, at = high + 1, at + 1
    # The 3,755 commonest characters and their punctuation lie in these rows; accented Latin letters seldom
    # come two by two, and other two-byte encodings use second bytes below 0xA1 as well.
    if high and lead / high > 0.75 and pairs / high > 0.85:
        return "gb18030"
    letters = sum(1 for byte in sample if byte >= 0x80 or chr(byte).isalpha())
    if sum(byte >= 0x80 for byte in sample) > 0.3 * letters:
        best = from_bytes(sample[: 1 << 16], cp_isolation=sorted(OTHERS)).best()
        if best is not None and (name := best.encoding.replace("_", "-")) in OTHERS:
            return name
    return "cp1252" if not any(byte in b"\x81\x8d\x8f\x90\x9d" for byte in sample) else "latin-1"


def known(encoding: str) -> str:
    """The encoding's name as we write it; raises BadField for one that we do not read."""
    try:
        name = codecs.lookup(encoding).name.replace("_", "-")
    except LookupError:
        name = ""
    name = {"iso8859-1": "latin-1"}.get(name, name)
    if name not in KNOWN:
        raise BadField("encoding", _("The encoding “%(name)s” is not known.") % {"name": encoding})
    return name


def _marked(encoding: str) -> str:
    """The same encoding, without a byte order mark in what it decodes to."""
    return "utf-8-sig" if encoding == "utf-8" else encoding


class Lines:
    """The decoded lines of a file, each with its line end.

    Lines end at LF or CRLF alone (or CR, in a file that has no LF): a U+2028 or a lone CR belongs to a text.
    Bytes that do not decode become BAD_BYTE; a line longer than MAX_LINE becomes TOO_LONG.
    """

    def __init__(self, file: BinaryIO, encoding: str) -> None:
        self.position = 0  # bytes read so far
        self._file = file
        self._encoding = _marked(encoding)

    def __iter__(self) -> Iterator[str]:
        self._file.seek(0)
        decoder = codecs.getincrementaldecoder(self._encoding)(MARK)
        chunk = self._file.read(CHUNK)
        # Decoded on its own to see whether lines end the way they did on old Macs.
        head = codecs.getincrementaldecoder(self._encoding)("replace").decode(chunk)
        old_mac = "\r" in head[:-1] and "\n" not in head
        rest, skipping = "", False
        while chunk:
            self.position += len(chunk)
            text = decoder.decode(chunk)
            text = text.replace("\r", "\n") if old_mac else text
            cut = text.rfind("\n") + 1
            if cut and skipping:
                yield TOO_LONG
                start = text.find("\n") + 1
                block, rest, skipping = text[start:cut], text[cut:], False
                yield from io.StringIO(block, newline="\n")
            elif cut:
                block, rest = rest + text[:cut], text[cut:]
                # StringIO splits at LF only and in C; str.splitlines would also split at U+2028 and others.
                yield from io.StringIO(block, newline="\n")
            elif not skipping:
                rest += text
            if len(rest) > MAX_LINE:
                rest, skipping = "", True
            chunk = self._file.read(CHUNK)
        rest += decoder.decode(b"", True)
        if skipping:
            yield TOO_LONG
        elif rest:
            yield rest


class Utf8Stream:
    """A file in any encoding, read as UTF-8 without a byte order mark; what does not decode becomes BAD_BYTE.

    It has `read` alone, for ijson prefers `readinto` where a file has it.
    """

    def __init__(self, file: BinaryIO, encoding: str) -> None:
        file.seek(0)
        self.position = 0  # bytes of the original read so far
        self.since = 0  # bytes read since somebody set this to 0
        self._file = file
        self._decoder = codecs.getincrementaldecoder(_marked(encoding))(MARK)
        self._ready = b""
        self._ended = False

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes; b"" at the end."""
        while not self._ended and (size < 0 or len(self._ready) < size):
            chunk = self._file.read(CHUNK if size < 0 else min(CHUNK, max(size, 4096)))
            self._ended = not chunk
            self.position += len(chunk)
            self.since += len(chunk)
            self._ready += self._decoder.decode(chunk, self._ended).encode("utf-8", "replace")
        size = len(self._ready) if size < 0 else size
        given, self._ready = self._ready[:size], self._ready[size:]
        return given
