"""Matching: which texts, columns and vectors a rule's pattern speaks of. Pure functions; knows no rows of ours.

Keywords and phrases are whole words, in any case. Scripts that put no spaces between words (Chinese, Japanese, Thai,
and Korean with its attached particles) have no word boundaries: there a keyword is found anywhere.

Regular expressions are people's own, so they run in RE2, whose time grows with the text and never explodes
(Cox, "Regular expression matching can be simple and fast", 2007).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import re2
from django.utils.translation import gettext as _
from jaxtyping import Bool, Float

from labeling.errors import BadField

KEYWORD, PHRASE, REGEX, COLUMN, SIMILAR = "keyword", "phrase", "regex", "column", "similar"
EQUALS, CONTAINS, MATCHES = "equals", "contains", "matches"
NUMBERS: dict[str, Callable[[float, float], bool]] = {
    "lt": lambda value, limit: value < limit,
    "le": lambda value, limit: value <= limit,
    "ge": lambda value, limit: value >= limit,
    "gt": lambda value, limit: value > limit,
}
LONGEST_PATTERN = 500  # characters
LONGEST_TEXT = 100_000  # characters of a text that are looked at
MOST_MEMORY = 1 << 20  # bytes that RE2 may spend on one pattern: refuses those whose machine would be huge
BLOCK = 8192  # vectors cast to float32 at a time

# Scripts without spaces between words: Thai to Myanmar, Hangul, Khmer, radicals to Yi's neighbours, Han, kana.
UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3031-\u303c"
    "\u3041-\u30ff\u3130-\u318f\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\uff66-\uff9f"
    "\U00020000-\U000323af"
)
SPACED = rf"[^\W{UNSPACED}]"  # a letter or digit of a script with spaces
BETWEEN = re.compile(r"[,，、;；\n]+")  # keywords


class Content(NamedTuple):
    """What a rule can see of an item, its vector aside."""

    text: str
    metadata: Mapping[str, Any] = {}


@dataclass(frozen=True)
class Pattern:
    """What a rule looks for. `text` may name several keywords, one of which is enough: "refund, money back"."""

    kind: str
    text: str = ""
    column: str = ""
    comparison: str = ""
    threshold: float = 0.0  # lowest cosine to the item that `similar` compares with, in (0, 1]


@dataclass(frozen=True)
class Matcher:
    """A pattern made ready: `speaks` of one item, `spans` where in its text."""

    speaks: Callable[[Content], bool]
    spans: Callable[[str], list[tuple[int, int]]]
    """Starts and ends in characters, in order, not overlapping; none where the rule does not look at the text."""

    def hits(self, items: Sequence[Content]) -> Bool[np.ndarray, " items"]:
        """Which of the items it speaks of."""
        return np.fromiter((self.speaks(item) for item in items), dtype=bool, count=len(items))


def matcher(pattern: Pattern) -> Matcher:
    """The pattern made ready, from memory where it was made ready lately.

    Raises BadField, which names the field at fault and the way out. `similar` looks at vectors: see `alike`.
    """
    return _matcher(pattern)


def alike(
    x: Float[np.ndarray, "items dim"], vector: Float[np.ndarray, " dim"], threshold: float
) -> Bool[np.ndarray, " items"]:
    """Which items' vectors, of length 1 each, have a cosine of at least `threshold` to this one."""
    found = np.zeros(len(x), dtype=bool)
    wanted = np.asarray(vector, dtype=np.float32)
    for start in range(0, len(x), BLOCK):
        block = np.asarray(x[start : start + BLOCK], dtype=np.float32)
        found[start : start + BLOCK] = block @ wanted >= np.float32(threshold)
    return found


def keywords(text: str) -> list[str]:
    """The keywords that a text names, in order, each once."""
    return list(dict.fromkeys(word for part in BETWEEN.split(text) if (word := " ".join(part.split()))))


@lru_cache(maxsize=512)
def _matcher(pattern: Pattern) -> Matcher:
    if len(pattern.text) > LONGEST_PATTERN:
        raise BadField("text", _("A pattern has at most %(most)s characters.") % {"most": LONGEST_PATTERN})
    if pattern.kind == SIMILAR:
        return _similar(pattern)
    if pattern.kind == COLUMN:
        return _of_column(pattern)
    if pattern.kind == REGEX:
        return _of_expression(pattern.text)
    wanted = keywords(pattern.text) if pattern.kind == KEYWORD else [" ".join(pattern.text.split())]
    return _of_words([word for word in wanted if word])


def _of_words(wanted: list[str]) -> Matcher:
    if not wanted:
        raise BadField("text", _("Type the word that the rule looks for."))
    # Longest first, so that what is marked in the text is as long as can be.
    found = re.compile("|".join(map(_whole, sorted(wanted, key=len, reverse=True))), re.IGNORECASE)
    starts = [word.split()[0].lower() for word in wanted]
    plain = all(word.isascii() for word in wanted)

    def speaks(item: Content) -> bool:
        text = item.text[:LONGEST_TEXT]
        if plain and text.isascii():
            # Most texts hold none of the words at all: looking for that first makes a rule five times as quick.
            lower = text.lower()
            if not any(start in lower for start in starts):
                return False
        return found.search(text) is not None

    return Matcher(speaks, lambda text: [match.span() for match in found.finditer(text[:LONGEST_TEXT])])


def _whole(words: str) -> str:
    """An expression for these words with nothing of a spaced script's word before or behind; any space between."""
    inner = r"\s+".join(map(re.escape, words.split()))
    before = rf"(?<!{SPACED})" if re.match(SPACED, words) else ""
    behind = rf"(?!{SPACED})" if re.match(SPACED, words[-1]) else ""
    return f"{before}{inner}{behind}"


def _of_expression(text: str) -> Matcher:
    found = _compiled(text)
    return Matcher(
        lambda item: found.search(_bytes(item.text)) is not None,
        lambda text: [match.span() for match in found.finditer(text[:LONGEST_TEXT]) if match.end() > match.start()],
    )


def _bytes(text: str) -> bytes:
    """RE2 reads UTF-8; a text with half a surrogate pair is searched without it."""
    return text[:LONGEST_TEXT].encode("utf-8", "ignore")


def _compiled(text: str) -> Any:
    if not text.strip():
        raise BadField("text", _("Type the regular expression that the rule looks for."))
    options = re2.Options()
    options.log_errors = False
    options.case_sensitive = False
    options.max_mem = MOST_MEMORY
    try:
        return re2.compile(text, options)
    except re2.error as error:
        raw = error.args[0] if error.args else ""
        raise BadField("text", _fault(raw.decode() if isinstance(raw, bytes) else str(raw))) from None
    except UnicodeEncodeError:
        raise BadField("text", _("This is no text: it holds half a character.")) from None


def _fault(said: str) -> str:
    """What is wrong with a regular expression, and the way out. `said` is RE2's own word."""
    what, _colon, where = said.partition(": ")
    told = {
        "missing )": _("A bracket “(” is never closed. Close it, or write “\\(” for the character itself."),
        "unexpected )": _("A bracket “)” closes nothing. Open it, or write “\\)” for the character itself."),
        "missing ]": _("A bracket “[” is never closed. Close it, or write “\\[” for the character itself."),
        "no argument for repetition operator": _(
            "“%(where)s” repeats nothing. Put something before it, or write a backslash before it for the character."
        ),
        "bad repetition operator": _("“%(where)s” repeats a repetition. Leave one of them out."),
        "invalid repetition size": _("“%(where)s” repeats too often; 1000 times is the most, nested ones multiplied."),
        "invalid character class range": _("“%(where)s” runs backwards. Turn the range round."),
        "trailing \\": _("It ends in a single backslash. Write “\\\\” for the character itself."),
        "invalid perl operator": _(
            "“%(where)s” looks ahead or behind, which takes time without bound and is not offered. "
            "Write what is looked for itself, or make two rules."
        ),
        "invalid escape sequence": _(
            "“%(where)s” is no escape here. References back to a group take time without bound and are not offered."
        ),
        "pattern too large - compile failed": _("It is too large once its repetitions are written out. Shorten them."),
    }.get(what)
    if told is None:
        return _("The regular expression cannot be read: %(fault)s.") % {"fault": said}
    return told % {"where": where} if "%(where)s" in told else told


def _similar(pattern: Pattern) -> Matcher:
    if not 0 < pattern.threshold <= 1:
        raise BadField("threshold", _("Give the lowest similarity as a number above 0 and up to 1, like 0.6."))
    return Matcher(lambda item: False, lambda text: [])


def _of_column(pattern: Pattern) -> Matcher:
    if not pattern.column:
        raise BadField("column", _("Choose the column that the rule looks at."))
    speaks = _of_value(pattern)

    def looks(item: Content) -> bool:
        value = item.metadata.get(pattern.column)
        return any(map(speaks, value)) if isinstance(value, list) else value is not None and speaks(value)

    return Matcher(looks, lambda text: [])


def _of_value(pattern: Pattern) -> Callable[[Any], bool]:
    if compare := NUMBERS.get(pattern.comparison):
        limit = _number(pattern.text)
        if limit is None:
            raise BadField("text", _("Type a number to compare with, like 3.5."))
        return lambda value: (number := _number(value)) is not None and compare(number, limit)
    if pattern.comparison == MATCHES:
        found = _compiled(pattern.text)
        return lambda value: found.search(_bytes(str(value))) is not None
    wanted = pattern.text.strip().casefold()
    if pattern.comparison == EQUALS:
        return lambda value: str(value).strip().casefold() == wanted
    if pattern.comparison == CONTAINS:
        if not wanted:
            raise BadField("text", _("Type what the column must contain."))
        return lambda value: wanted in str(value).casefold()
    raise BadField("comparison", _("Choose how the column is compared."))


def _number(value: Any) -> float | None:
    """The value as a finite number; None for anything else, also for true and false."""
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if np.isfinite(number) else None
