"""Phrases: words and short phrases that give a label away, found in texts whose label is known. Pure functions.

What counts as a word is what a keyword rule takes for one (labeling/matching.py): a run of letters of a script with
spaces, or in a script without spaces two to four characters that follow one another.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import log1p

from labeling.matching import LONGEST_TEXT, SPACED, UNSPACED
from metalearning.shares import wilson

FEWEST = 3  # known texts with the phrase
LOWEST = 0.4  # lower bound of the precision
ABOVE_CHANCE = 0.3  # how far that bound must lie above the label's share of all known texts; half-way to 1 at most
EACH = 3  # phrases of one label
MOST = 30
COVERED = 0.6  # share of a phrase's texts that better ones of the same label may have already
WORDS = re.compile(rf"{SPACED}+|[{UNSPACED}]+")
UNSPACED_START = re.compile(rf"[{UNSPACED}]")


@dataclass(frozen=True)
class Phrase:
    """A phrase, the label it speaks for, and how often it was right where the label is known."""

    text: str
    label_id: int
    right: int
    count: int
    low: float
    """Lower bound of the precision, in [0, 1] (Wilson 1927)."""
    found: int = 0
    """Texts of the pool, or of the part that was looked at, that have it."""


def phrases(text: str) -> set[str]:
    """The words and phrases of a text, in lower case: single words, and pairs with nothing but space between."""
    return set(_phrases(text[:LONGEST_TEXT].lower()))


def propose(known: Sequence[tuple[str, int]], pool: Iterable[str], taken: Mapping[int, Sequence[bool]]) -> list[Phrase]:
    """Phrases worth a rule, the most useful first: precise on the `known` (text, label id), and frequent in the pool.

    `taken`: by label id, which of the known texts a rule for that label speaks of already.
    """
    having: dict[str, list[int]] = defaultdict(list)
    for place, (text, _label) in enumerate(known):
        for phrase in phrases(text):
            having[phrase].append(place)
    precise = _precise(known, having)
    found = _frequencies(pool, {phrase.text for phrase in precise})
    ordered = sorted((replace(one, found=found[one.text]) for one in precise), key=_usefulness, reverse=True)
    return _chosen(ordered, having, taken)


def _phrases(text: str) -> Iterator[str]:
    before: re.Match[str] | None = None
    for word in WORDS.finditer(text):
        if UNSPACED_START.match(word.group()):
            run = word.group()
            for length in (2, 3, 4):
                yield from (run[start : start + length] for start in range(len(run) - length + 1))
            before = None
            continue
        yield word.group()
        if before is not None and text[before.end() : word.start()].isspace():
            yield f"{before.group()} {word.group()}"
        before = word


def _precise(known: Sequence[tuple[str, int]], having: Mapping[str, list[int]]) -> list[Phrase]:
    size = Counter(label_id for _text, label_id in known)
    found = []
    for text, places in having.items():
        if len(places) < FEWEST or text.isdigit():
            continue
        label_id, right = Counter(known[place][1] for place in places).most_common(1)[0]
        share = wilson(right, len(places))
        base = size[label_id] / len(known)
        if share and share.low >= max(LOWEST, min(base + ABOVE_CHANCE, (1 + base) / 2)):
            found.append(Phrase(text, label_id, right, len(places), share.low))
    return found


def _frequencies(pool: Iterable[str], wanted: set[str]) -> Counter[str]:
    found: Counter[str] = Counter()
    for text in pool if wanted else ():
        found.update(phrases(text) & wanted)
    return found


def _usefulness(phrase: Phrase) -> tuple[float, int, str]:
    """Precise first, then frequent; of two that say the same the shorter."""
    return phrase.low * log1p(phrase.found), -len(phrase.text), phrase.text


def _chosen(
    ordered: list[Phrase], having: Mapping[str, list[int]], taken: Mapping[int, Sequence[bool]]
) -> list[Phrase]:
    chosen: list[Phrase] = []
    covered: dict[int, set[int]] = {
        label_id: {place for place, speaks in enumerate(places) if speaks} for label_id, places in taken.items()
    }
    of_label: Counter[int] = Counter()
    for phrase in ordered:
        places = having[phrase.text]
        seen = covered.setdefault(phrase.label_id, set())
        if of_label[phrase.label_id] == EACH or sum(place in seen for place in places) > COVERED * len(places):
            continue
        seen.update(places)
        of_label[phrase.label_id] += 1
        chosen.append(phrase)
    return chosen[:MOST]
