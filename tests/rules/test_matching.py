"""Matching: whole words in spaced scripts, anywhere in unspaced ones, and expressions that cannot run away."""

from __future__ import annotations

import re
import time
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labeling.errors import BadField
from labeling.matching import Content, Pattern, alike, keywords, matcher

SPACED_WORDS = st.text("abcXYZ012", min_size=1, max_size=6)
GAPS = st.sampled_from([" ", "  ", ", ", ".", "-", "\n", "!"])
HAN = st.text("退款卡银行转账", min_size=1, max_size=4)


def speaks(kind: str, text: str, of: str) -> bool:
    return matcher(Pattern(kind, text)).speaks(Content(of))


@settings(deadline=None)
@given(st.lists(st.tuples(SPACED_WORDS, GAPS), max_size=8), SPACED_WORDS)
def test_a_keyword_is_found_exactly_where_it_is_a_word(words: list[tuple[str, str]], wanted: str) -> None:
    text = "".join(word + gap for word, gap in words)
    assert speaks("keyword", wanted, text) == (wanted.lower() in [word.lower() for word, _gap in words])


@settings(deadline=None)
@given(HAN, st.text("退款卡银行转账abc ", max_size=12))
def test_a_keyword_of_an_unspaced_script_is_found_anywhere(wanted: str, text: str) -> None:
    assert speaks("keyword", wanted, text) == (wanted in text)


@settings(deadline=None)
@given(st.lists(SPACED_WORDS | HAN, min_size=1, max_size=4), st.text("abcXYZ012退款卡 ,.", max_size=20))
def test_several_keywords_speak_where_one_of_them_does(wanted: list[str], text: str) -> None:
    assert speaks("keyword", ", ".join(wanted), text) == any(speaks("keyword", word, text) for word in wanted)


@settings(deadline=None)
@given(st.lists(SPACED_WORDS | HAN, min_size=1, max_size=4), st.text("abcXYZ012退款卡 ,.\n", max_size=30))
def test_what_is_marked_is_what_was_looked_for(wanted: list[str], text: str) -> None:
    found = matcher(Pattern("keyword", ", ".join(wanted)))
    spans = found.spans(text)
    assert bool(spans) == found.speaks(Content(text))
    assert all(text[start:end].lower() in {word.lower() for word in wanted} for start, end in spans)
    assert all(before[1] <= behind[0] for before, behind in pairwise(spans))


@settings(deadline=None)
@given(st.text(max_size=40), st.text(max_size=40))
def test_any_text_can_be_a_phrase(wanted: str, text: str) -> None:
    if not wanted.split():
        with pytest.raises(BadField):
            matcher(Pattern("phrase", wanted))
        return
    speaks("phrase", wanted, text)
    assert speaks("phrase", wanted, f"· {wanted} ·")


@pytest.mark.parametrize(
    ("wanted", "text", "found"),
    [
        ("refund", "Where is my REFUND?", True),
        ("refund", "refunds are slow", False),
        ("refund", "prerefund", False),
        ("refund", "refund_status", False),  # one word to programmers
        ("c++", "I like C++!", True),
        ("iphone", "用iPhone拍的", True),  # Han characters on both sides bound it
        ("退款", "我想退款，谢谢", True),
        ("환불", "환불을 받고 싶어요", True),  # with a particle attached
        ("money back", "I want my money\n back", True),
        ("naïve", "so NAÏVE", True),
        ("é", "cafés", False),
    ],
)
def test_words_and_their_edges(wanted: str, text: str, found: bool) -> None:
    assert speaks("keyword", wanted, text) is found


def test_commas_of_both_scripts_part_keywords() -> None:
    assert keywords(" refund,退款，money   back、refund;x ") == ["refund", "退款", "money back", "x"]
    assert not speaks("phrase", "a, b", "b")


def test_half_a_surrogate_pair_breaks_nothing() -> None:
    broken = "a\ud83d b"
    assert speaks("regex", "b", broken)
    assert speaks("keyword", "b", broken)
    with pytest.raises(BadField):
        matcher(Pattern("regex", broken))


@pytest.mark.parametrize(
    "evil", ["(a+)+$", "(a|a)*$", "(a|aa)+$", "(.*a){20}$", "(x+x+)+y", r"(\w+\s?)*$", "(a?){300}a{300}"]
)
def test_no_expression_can_run_away(evil: str) -> None:
    text = "a" * 50_000 + "!" + "x" * 50_000
    # The standard library's engine would take longer than the world is old.
    began = time.process_time()
    found = matcher(Pattern("regex", evil))
    found.speaks(Content(text))
    found.spans(text)
    assert time.process_time() - began < 5


def test_the_standard_engine_would_run_away() -> None:
    """The test above can fail: twenty-two characters are enough there, and each further one doubles the time."""
    began = time.process_time()
    assert re.search("(a+)+$", "a" * 18 + "!") is None
    shorter = time.process_time() - began
    began = time.process_time()
    assert re.search("(a+)+$", "a" * 22 + "!") is None
    assert time.process_time() - began > 4 * shorter


@settings(deadline=None)
@given(st.text(max_size=30), st.text(max_size=60))
def test_an_expression_is_taken_or_refused_and_never_breaks(expression: str, text: str) -> None:
    try:
        found = matcher(Pattern("regex", expression))
    except BadField:
        return
    spans = found.spans(text)
    assert not spans or found.speaks(Content(text))
    assert all(0 <= start < end <= len(text) for start, end in spans)


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("(a", "never closed"),
        ("[a", "never closed"),
        ("a)", "closes nothing"),
        ("*a", "repeats nothing"),
        ("a**", "repeats a repetition"),
        ("[z-a]", "runs backwards"),
        ("a{5000}", "1000 times"),
        ("((a{100}){100}){100}", "1000 times"),
        ("(?=a)", "looks ahead or behind"),
        (r"(a)\1", "no escape"),
        ("a\\", "single backslash"),
        (" ", "Type the regular expression"),
        ("a" * 501, "at most 500"),
    ],
)
def test_a_fault_is_named_with_the_way_out(expression: str, told: str) -> None:
    with pytest.raises(BadField, match=told):
        matcher(Pattern("regex", expression))


@pytest.mark.parametrize(
    ("comparison", "text", "value", "found"),
    [
        ("equals", "Gold ", "gold", True),
        ("equals", "gold", "golden", False),
        ("equals", "", "", True),
        ("contains", "old", "Golden", True),
        ("matches", "^g.ld$", "GOLD", True),
        ("equals", "b", ["a", "B"], True),
        ("lt", "3", 2.5, True),
        ("lt", "3", "3", False),
        ("le", "3", "3", True),
        ("ge", "-1e3", 0, True),
        ("gt", "3", "many", False),
        ("gt", "0", True, False),
        ("gt", "0", float("inf"), False),
        ("equals", "x", None, False),
    ],
)
def test_columns(comparison: str, text: str, value: object, found: bool) -> None:
    pattern = Pattern("column", text, "tier", comparison)
    assert matcher(pattern).speaks(Content("whatever", {"tier": value})) is found
    assert matcher(pattern).spans("whatever") == []


@pytest.mark.parametrize(
    ("pattern", "field"),
    [
        (Pattern("column", "x", "", "equals"), "column"),
        (Pattern("column", "x", "tier", ""), "comparison"),
        (Pattern("column", "x", "tier", "lt"), "text"),
        (Pattern("column", "", "tier", "contains"), "text"),
        (Pattern("column", "(", "tier", "matches"), "text"),
        (Pattern("keyword", " , "), "text"),
        (Pattern("similar", threshold=0.0), "threshold"),
        (Pattern("similar", threshold=1.5), "threshold"),
    ],
)
def test_what_cannot_be_matched_names_its_field(pattern: Pattern, field: str) -> None:
    with pytest.raises(BadField) as refusal:
        matcher(pattern)
    assert list(refusal.value.fields) == [field]


@settings(deadline=None)
@given(st.integers(1, 40), st.floats(-1, 1), st.integers(0, 2**32 - 1))
def test_alike_is_the_plain_cosine(count: int, threshold: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((count, 5)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    plain = np.array([float(row @ x[0]) for row in x])
    near = np.abs(plain - threshold) < 1e-4
    assert ((alike(x, x[0], threshold) == (plain >= threshold)) | near).all()
