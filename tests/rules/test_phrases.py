"""Phrases: what is proposed is precise, frequent and new; what counts as a word is what a rule finds."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from labeling.matching import Content, Pattern, matcher
from labeling.phrases import phrases, propose

TEXTS = st.text("abX1 退款卡,.\n", max_size=20)


@settings(deadline=None)
@given(TEXTS)
def test_a_phrase_of_a_text_is_found_in_it_by_a_rule(text: str) -> None:
    for phrase in phrases(text):
        assert matcher(Pattern("keyword", phrase)).speaks(Content(text)), phrase


@settings(deadline=None)
@given(TEXTS, st.text("abx1", min_size=1, max_size=2))
def test_a_word_that_a_rule_finds_is_among_the_phrases(text: str, word: str) -> None:
    assert (word in phrases(text)) == matcher(Pattern("keyword", word)).speaks(Content(text))


KNOWN = [
    *[(f"{'please' if n % 2 else 'kindly'} refund order{n}", 1) for n in range(8)],
    *[(f"where is my card {n}", 2) for n in range(8)],
    *[(f"please help me {n}", 3) for n in range(8)],
    *[(f"我要退款 {n}", 4) for n in range(8)],
]


def test_proposes_what_gives_a_label_away_and_says_how_often() -> None:
    found = {phrase.text: phrase for phrase in propose(KNOWN, [text for text, _ in KNOWN] * 3, {})}
    assert found["refund"].label_id == 1
    assert (found["refund"].right, found["refund"].count, found["refund"].found) == (8, 8, 24)
    assert 0.6 < found["refund"].low < 0.7
    assert "please" not in found  # of two labels
    assert any("退款" in text and phrase.label_id == 4 for text, phrase in found.items())
    assert sum(phrase.label_id == 2 for phrase in found.values()) <= 3


def test_what_a_rule_says_already_is_not_proposed() -> None:
    taken = {1: ["refund" in text for text, _label in KNOWN]}
    assert all(phrase.label_id != 1 for phrase in propose(KNOWN, [], taken))


def test_little_or_mixed_evidence_proposes_nothing() -> None:
    assert propose(KNOWN[:2], [], {}) == []
    assert propose([], [], {}) == []
    mixed = [("coin toss", n % 2) for n in range(40)]
    assert propose(mixed, [], {}) == []
