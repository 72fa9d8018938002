"""Encodings: guessed from the whole file, and one bad byte costs one row."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labeling import formats
from labeling.formats import encodings
from tests.formats.files import bad, good, read_all

ENGLISH = "text,label\n" + "".join(f"The café number {n} was très bon,good\n" for n in range(40))
CHINESE = "内容,类别\n" + "".join(f"第{n}条：今天天气很好，我们去公园散步吧。,生活\n" for n in range(40))
RUSSIAN = "текст,label\n" + "".join(f"Сегодня хорошая погода и мы гуляем {n},жизнь\n" for n in range(40))
GERMAN = "text;label\n" + "".join(f"Die Tür öffnet sich für größere Gäste {n};Haus\n" for n in range(40))


@pytest.mark.parametrize(
    ("text", "encoding", "guessed"),
    [
        (ENGLISH, "utf-8", "utf-8"),
        (ENGLISH, "utf-8-sig", "utf-8-sig"),
        (ENGLISH, "utf-16", "utf-16"),
        (ENGLISH, "utf-16-le", "utf-16-le"),
        (ENGLISH, "utf-16-be", "utf-16-be"),
        (ENGLISH, "utf-32", "utf-32"),
        (ENGLISH, "latin-1", "cp1252"),
        (GERMAN, "latin-1", "cp1252"),
        (ENGLISH.replace("é", "\x81"), "latin-1", "latin-1"),
        (CHINESE, "utf-8", "utf-8"),
        (CHINESE, "gb18030", "gb18030"),
        (CHINESE, "gbk", "gb18030"),
        (CHINESE, "utf-16", "utf-16"),
        (RUSSIAN, "utf-8", "utf-8"),
        (RUSSIAN, "cp1251", "cp1251"),
    ],
)
def test_the_encoding_is_told_and_the_text_is_right(text: str, encoding: str, guessed: str) -> None:
    content = text.encode(encoding)
    assert formats.sniff(io.BytesIO(content), "a.csv").encoding == guessed
    rows = good(read_all(content, "a.csv"))
    lines = text.splitlines()[1:]
    delimiter = ";" if ";" in text else ","
    assert [(row.text, row.label) for row in rows] == [
        (formats.clean(line.rpartition(delimiter)[0]), line.rpartition(delimiter)[2]) for line in lines
    ]


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.txt", "a.jsonl", "a.json"])
def test_a_bad_byte_deep_in_the_file_is_one_bad_row(name: str) -> None:
    rows = [f"número {n}" for n in range(20_000)]
    written = {
        "a.csv": "text\n" + "\n".join(rows),
        "a.tsv": "text\tid\n" + "\n".join(f"{row}\tx{n}" for n, row in enumerate(rows)),
        "a.txt": "\n".join(rows),
        "a.jsonl": "\n".join(f'{{"text": "{row}"}}' for row in rows),
        "a.json": "[" + ",".join(f'{{"text": "{row}"}}' for row in rows) + "]",
    }[name]
    content = written.encode().replace("número 17777".encode(), b"n\xfamero 17777")
    found = formats.sniff(io.BytesIO(content), name)
    assert found.encoding == "utf-8"
    assert "1 places" in found.warnings[0]
    read = read_all(content, name)
    assert [(row.number, row.code) for row in bad(read)] == [(17_778, "bad_bytes")]
    assert [row.text for row in good(read)] == rows[:17_777] + rows[17_778:]


def test_a_forced_encoding_is_used_and_an_unknown_one_refused() -> None:
    content = "text\nŠkoda\n".encode("cp1250")
    assert [row.text for row in good(read_all(content, "a.csv", encoding="cp1250"))] == ["Škoda"]
    with pytest.raises(formats.BadField, match="rot13"):
        read_all(content, "a.csv", encoding="rot13")


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\n\ufdd0\ufdd1\ufeff"), max_size=9)),
    st.sampled_from(["utf-8", "utf-16", "utf-16-le", "utf-32", "gb18030"]),
    st.integers(1, 7),
)
def test_lines_are_those_of_the_text_wherever_chunks_end(lines: list[str], encoding: str, chunk: int) -> None:
    text = "".join(line + "\n" for line in lines)
    if lines and "\r" in text:
        text = text.replace("\r", "")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encodings, "CHUNK", chunk)
        assert "".join(encodings.Lines(io.BytesIO(text.encode(encoding)), encoding)) == text


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_crash_a_reader(content: bytes) -> None:
    for name in ("a.csv", "a.tsv", "a.txt", "a.jsonl", "a.json", "a", "a.zip", "a.parquet", "a.png"):
        try:
            rows = read_all(content, name)
        except formats.BadFile:
            continue
        for row in good(rows):
            assert row.text is None or row.text.encode()


def test_old_mac_line_ends() -> None:
    rows = good(read_all(b"text,label\rone,a\rtwo,b\r", "a.csv"))
    assert [(row.text, row.label) for row in rows] == [("one", "a"), ("two", "b")]


def test_a_line_without_end_is_refused_and_the_rest_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encodings, "MAX_LINE", 1_000)
    monkeypatch.setattr(encodings, "CHUNK", 300)
    for name, head, row in (("a.csv", "text\n", "ok"), ("a.jsonl", "", '{"text": "ok"}'), ("a.txt", "", "ok")):
        content = (head + row + "\n" + "x" * 5_000 + "\n" + row + "\n").encode()
        rows = read_all(content, name)
        assert [row.number for row in good(rows)] == [1, 3], name
        assert [row.number for row in bad(rows)] == [2], name
