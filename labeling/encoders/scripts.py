"""Scripts and languages: is a sample of texts mostly Latin script, and is it English?"""

from __future__ import annotations

import re
from collections.abc import Iterable

# An ideograph says about as much as a short word does; a letter of an alphabet about a fifth of that.
IDEOGRAPH_WEIGHT = 3
WORD = re.compile(r"[^\W\d_]+")

ENGLISH_WORDS = """
the of and to is that it for was with as are this be from at have not you your my what how i when can do they which
she would there their will has been were who why where does about could should don a an in on so we he no me
"""
# Of the languages most often written in Latin script: German, Spanish, Portuguese, French, Italian, Dutch, Swedish,
# Danish and Norwegian, Polish, Turkish, Indonesian and Malay, Vietnamese; each with its most frequent little words.
OTHER_WORDS = """
der das und ist nicht ein eine ich zu mit auf für sie wie dem im von wir wird kann mein wo
el los las y que un una por para del su como lo más está mi qué cómo cuando una es
um uma não em dos é ao meu minha você quando fazer foi mais pelo das
le les et une est dans pour qui sur pas avec du au ce je vous il mon comment quand des
il di che è gli non una della nel sono mi dei alla
het een van dat niet op te zijn voor met aan ik mijn hoe ook maar
och att det är på av inte jag till med ett hur som
og er ikke jeg det på til af som hvordan
się nie że jest jak co moje czy dla od
bir ve bu için ne çok nasıl ile
yang ini itu dengan untuk tidak saya dari bagaimana apa
và là của tôi không có được cho một này như thế nào làm
"""
ENGLISH = frozenset(ENGLISH_WORDS.split())
OTHERS = frozenset(OTHER_WORDS.split()) - ENGLISH


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
