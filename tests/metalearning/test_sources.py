"""Sources: read from files, compared by content, grouped; and every way in which they are refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from metalearning.sources import (
    SourcesOverlap,
    TaskSource,
    UnusableSource,
    coarser,
    from_texts,
    in_words,
    load,
    refuse_overlap,
    save,
    shared_items,
    split,
    text_keys,
    without,
)
from tests.metalearning.made_sources import made


def encode(texts: Sequence[str]) -> np.ndarray:
    """A vector per text that depends on nothing else."""
    rng = [np.random.default_rng(list(text.encode())) for text in texts]
    x = np.stack([one.standard_normal(8) for one in rng]).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def questions(name: str, *texts: str) -> TaskSource:
    return from_texts(name, texts, ["ask" if text.endswith("?") else "tell" for text in texts], encode)


def test_texts_are_equal_whatever_their_case_and_punctuation() -> None:
    keys = text_keys(["What is my balance?", "what is  my BALANCE", "what is my card"])
    assert keys[0] == keys[1] != keys[2]


def test_overlap_is_refused_and_can_be_taken_out() -> None:
    ours = questions("ours", "Where is it?", "It is here.", "Who?")
    theirs = questions("theirs", "who", "When?")
    assert shared_items(ours, theirs) == 1
    with pytest.raises(SourcesOverlap, match="ours and theirs share 1 items") as refused:
        refuse_overlap([ours], [theirs])
    assert (refused.value.trained_on, refused.value.kept, refused.value.shared) == ("ours", "theirs", 1)
    rest = without(ours, [theirs])
    assert len(rest) == 2
    refuse_overlap([rest], [theirs])


def test_without_texts_equal_vectors_are_equal_items() -> None:
    source = made("a")
    again = replace(source.part(np.arange(5)), name="b", keys=None)
    assert shared_items(source, again) == 5
    assert shared_items(source, made("c", seed=1)) == 0


def test_the_content_hash_ignores_the_order_and_notices_a_label() -> None:
    source = made("a")
    assert source.part(np.arange(len(source))[::-1]).content_hash == source.content_hash
    changed = np.array(source.label_ids)
    changed[0] = (changed[0] + 1) % 6
    assert replace(source, label_ids=changed).content_hash != source.content_hash


def test_a_split_shares_nothing_and_loses_nothing_however_labels_are_grouped() -> None:
    source = made("a")
    coarse = coarser(source, {name: "low" if name[-1] in "01" else "high" for name in source.label_names}, "coarse")
    rest, kept = split(source, 0.25)
    coarse_rest, coarse_kept = split(coarse, 0.25)
    assert len(rest) + len(kept) == len(source)
    assert 0.1 < len(kept) / len(source) < 0.4
    refuse_overlap([rest, coarse_rest], [kept, coarse_kept])


def test_groups_are_named_after_their_labels() -> None:
    source = made("a", labels=4)
    groups = {"label 0": "even", "label 1": "odd", "label 2": "even", "label 3": "odd"}
    coarse = coarser(source, groups, "coarse")
    assert coarse.label_names == ("even", "odd")
    np.testing.assert_array_equal(coarse.label_ids, source.label_ids % 2)
    assert coarse.names is not None
    assert source.names is not None
    expected = source.names[0] + source.names[2]
    np.testing.assert_allclose(coarse.names[0], expected / np.linalg.norm(expected), atol=1e-6)
    with pytest.raises(UnusableSource, match="label 3"):
        coarser(source, {name: group for name, group in groups.items() if name != "label 3"}, "coarse")


def test_files_are_read_and_come_back_as_arrays(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(
        '{"text": "how much?", "label": "AskPrice"}\n\n'
        '{"text": "bye", "label": "say_bye"}\n{"text": "", "label": "x"}\n'
    )
    (tmp_path / "b.csv").write_text('text,label\n"how much?",AskPrice\nbye,say_bye\n')
    first, second = load(tmp_path / "a.jsonl", encode), load(tmp_path / "b.csv", encode)
    assert first.content_hash == second.content_hash
    assert first.label_names == ("AskPrice", "say_bye")
    assert first.names is not None
    np.testing.assert_array_equal(first.names, encode(["ask price", "say bye"]))
    save(first, tmp_path / "c.npz")
    again = load(tmp_path / "c.npz")
    assert again.content_hash == first.content_hash
    np.testing.assert_array_equal(again.x, first.x)


def test_labels_are_put_in_words() -> None:
    assert [in_words(label) for label in ("BookRestaurant", "card_arrival", "oil-change")] == [
        "book restaurant",
        "card arrival",
        "oil change",
    ]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.txt", "text", r"\.jsonl or \.csv"),
        ("a.jsonl", "{", "a.jsonl"),
        ("a.jsonl", '{"sentence": "x"}', "text and label"),
        ("a.csv", "sentence,label\nx,y\n", "text and label"),
        ("a.npz", "no zip", "not a source"),
    ],
)
def test_files_without_texts_and_labels_are_refused(tmp_path: Path, name: str, content: str, reason: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(UnusableSource, match=reason):
        load(tmp_path / name, encode)
    with pytest.raises(UnusableSource):
        load(tmp_path / "absent.jsonl", encode)


def test_parts_that_do_not_belong_together_are_refused() -> None:
    source = made("odd")
    for change, field in (
        ({"label_ids": source.label_ids[:-1]}, "label_ids"),
        ({"label_ids": source.label_ids + 1}, "label_ids"),
        ({"names": source.x[:2]}, "names"),
        ({"keys": source.fingerprints[:3]}, "keys"),
    ):
        with pytest.raises(UnusableSource, match=f"odd: {field}"):
            replace(source, **change)  # type: ignore[arg-type]
