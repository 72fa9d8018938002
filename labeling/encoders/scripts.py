"""Scripts and languages: is a sample of texts mostly Latin script, and is it English?"""

from __future__ import annotations

import re
from collections.abc import Iterable

# An ideograph says about as much as a short word does; a letter of an alphabet about a fifth of that.
IDEOGRAPH_WEIGHT = 3
WORD = re.compile(r"[^\W\d_]+")

ENGLISH = frozenset(
    "the of and to is that it for was with as are this be from at have not you your my what how i when can do"
    " they which she would there their will has been were who why where does about could should don it's me".split()
)
# Frequent little words of the languages most often written in Latin script, less those that English has too.
OTHERS = frozenset(
    (
        "der die das und ist nicht ein eine ich zu mit auf für sie wie den dem im von es wir wird kann mein wo"  # German
        " el los las y que en un una por con para es del se no su como lo más está mi qué cómo cuando"  # Spanish
        " os e um uma não em do da dos das com é ao meu minha você quando fazer foi mais pelo"  # Portuguese
        " le les et des une est dans pour que qui sur pas avec du au ce je vous il mon ma comment quand"  # French
        " il di che è gli per non una della nel sono mi come ho dei alla"  # Italian
        " het een en van dat niet op te zijn voor met aan ik mijn hoe kan ook maar"  # Dutch
        " och att det som är på av inte jag den till med ett har min hur"  # Swedish
        " og er ikke jeg det på til af med som hvordan min"  # Danish, Norwegian
        " w i na się nie że z jest jak co moje czy dla od"  # Polish
        " bir ve bu için ne çok da mi nasıl ile ben"  # Turkish
        " yang dan di ini itu dengan untuk tidak saya dari bagaimana apa"  # Indonesian, Malay
        " và là của tôi không có được cho một này như thế nào làm"  # Vietnamese
    ).split()
) - (ENGLISH | {"i", "no", "a", "on", "an", "in", "so", "we", "he", "die", "do", "da", "me", "per", "min", "den"})


def latin_share(texts: Iterable[str]) -> float:
    """The share of Latin script in what the texts say, in [0, 1]; 1 where they have no letters at all."""
    latin = other = 0
    for text in texts:
        for letter in text:
            if not letter.isalpha():
                continue
            if _is_latin(ord(letter)):
                latin += 1
            else:
                other += IDEOGRAPH_WEIGHT if _is_ideograph(ord(letter)) else 1
    return latin / (latin + other) if latin + other else 1.0


def looks_english(texts: Iterable[str]) -> bool:
    """Whether English's little words outnumber those of other languages in Latin script; true if there are none."""
    english = others = 0
    for text in texts:
        for word in WORD.findall(text.lower()):
            english += word in ENGLISH
            others += word in OTHERS
    return english >= others


def _is_latin(code: int) -> bool:
    return code < 0x250 or 0x1E00 <= code < 0x1F00 or 0x2C60 <= code < 0x2C80 or 0xFF21 <= code <= 0xFF5A


def _is_ideograph(code: int) -> bool:
    return 0x3040 <= code < 0xA000 or 0xAC00 <= code < 0xD7B0 or 0xF900 <= code < 0xFB00 or 0x20000 <= code < 0x32000
