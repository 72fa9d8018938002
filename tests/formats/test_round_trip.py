"""What is written in any format reads back equal: the law that makes an export an import."""

from __future__ import annotations

import io
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labeling import formats
from labeling.formats.delimited import LIVE, as_it_was, harmless
from labeling.formats.values import DATA_URI
from tests.formats.files import image

NASTY = st.sampled_from(
    [
        "=1+1", "+1", "-1", "@x", "\tx", "\rx", "\nx", "'=x", "''=x", "'x", "＝1",
        '"', '""', '"a', 'a"b', ",", ";", "a,b", "a\nb", "a\r\nb", "a\rb", "\\", "\\n", " x ",
        "漢字かな交じり", "שלום עולם", "\u202eabc\u202c", "👩\u200d👩\u200d👧 family", "\u2028", "\u0085", "\ufeffx",
        "é", "e\u0301", "null", "NaN", "1", "1.0", "true", "{}", "[]", '{"a": 1}', "[1]", "data:image/png;base64",
    ]
)  # fmt: skip
# Unassigned characters, halves of pairs, controls and images written as texts never get past an import, so no export
# holds them.
CHARACTERS = st.characters(exclude_categories=("Cs", "Cc", "Cn"), include_characters="\t\n\r")
TEXTS = st.one_of(NASTY, st.text(CHARACTERS, max_size=30), st.lists(NASTY, max_size=4).map("".join)).filter(
    lambda text: text and not text.isspace() and not DATA_URI.match(text)
)
SHORT = TEXTS.map(str.strip).filter(bool)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)
ORIGINS = st.sampled_from(["person", "accepted", "imported"])


@st.composite
def export_rows(draw: st.DrawFn, pictures: bool) -> list[formats.ExportRow]:
    """Up to eight rows, all texts or all images."""
    rows = []
    for number in range(draw(st.integers(1, 8))):
        label = draw(st.none() | SHORT)
        rows.append(
            formats.ExportRow(
                id=number + 1,
                text=None if pictures else draw(TEXTS),
                open_image=partial(io.BytesIO, image(color=draw(st.integers(0, 65_000)))) if pictures else None,
                image_name=f"{number}.png" if pictures else "",
                label=label,
                origin=draw(ORIGINS) if label else "",
                confidence=draw(st.none() | st.floats(0, 1)),
                snapshot=draw(st.none() | st.integers(1, 99)),
                annotator=draw(st.sampled_from(["", "annotator 1", "=cmd|' /C calc'!A0"])),
                external_id=draw(st.none() | SHORT),
                created_at="2026-11-20T10:00:00+00:00",
                labeled_at="2026-11-21T10:00:00+00:00" if label else "",
                metadata=draw(st.dictionaries(TEXTS, VALUES, max_size=3)),
            )
        )
    return rows


def back(format: str, rows: list[formats.ExportRow], **how: Any) -> list[formats.Row | formats.BadRow]:
    """The rows after writing them, looking into the file and reading it as guessed."""
    out = io.BytesIO()
    assert formats.write(format, rows, out, **how) == len(rows)
    found = formats.sniff(out, f"export.{formats.extension(format)}")
    assert found.row_estimate == len(rows)
    return list(
        formats.read(
            out,
            found.format,
            columns=found.guess,
            encoding=found.encoding,
            delimiter=found.delimiter,
            header=found.header,
        )
    )


def meant(row: formats.ExportRow) -> tuple[Any, ...]:
    content = row.open_image().read() if row.open_image else None
    return row.text, content, row.label, row.external_id, row.metadata


def got(row: formats.Row | formats.BadRow) -> tuple[Any, ...]:
    assert isinstance(row, formats.Row), row
    return row.text, row.image.content if row.image else None, row.label, row.external_id, row.metadata


LAW = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize("format", sorted(formats.WRITABLE))
@LAW
@given(rows=export_rows(pictures=False))
def test_texts_come_back_equal(format: str, rows: list[formats.ExportRow]) -> None:
    assert [got(row) for row in back(format, rows)] == [meant(row) for row in rows]


@pytest.mark.parametrize("format", sorted(formats.WRITABLE))
@settings(LAW, max_examples=25)
@given(rows=export_rows(pictures=True))
def test_images_come_back_equal(format: str, rows: list[formats.ExportRow]) -> None:
    how = {"embed_images": True} if format in ("csv", "jsonl") else {}
    assert [got(row) for row in back(format, rows, **how)] == [meant(row) for row in rows]


@given(TEXTS)
def test_no_cell_is_live_and_each_is_undone(text: str) -> None:
    assert harmless(text)[0] not in "=+-@\t\r\n＝＋－＠"
    assert as_it_was(harmless(text)) == text


@given(st.text("'=a", max_size=8))
def test_apostrophes_are_told_apart(text: str) -> None:
    assert as_it_was(harmless(text)) == text
    assert (harmless(text) != text) == bool(LIVE.match(text))


@pytest.mark.parametrize("format", sorted(formats.WRITABLE))
def test_nothing_to_write_is_still_a_file(format: str) -> None:
    out = io.BytesIO()
    assert formats.write(format, [], out) == 0
    assert out.getvalue() or format == "jsonl"  # which has no frame around its rows


def test_the_same_rows_give_the_same_bytes() -> None:
    rows = [formats.ExportRow(1, text="a", label="x", metadata={"k": [1, "ü"]})]
    for format in formats.WRITABLE:
        first, second = io.BytesIO(), io.BytesIO()
        formats.write(format, rows, first)
        formats.write(format, rows, second)
        assert first.getvalue() == second.getvalue(), format


def test_csv_opens_in_a_spreadsheet_without_running() -> None:
    out = io.BytesIO()
    formats.write("csv", [formats.ExportRow(1, text='=HYPERLINK("http://x")', label="-1", annotator="@a")], out)
    assert out.getvalue().startswith(b"\xef\xbb\xbfid,text,")
    assert b'"\'=HYPERLINK(""http://x"")",,\'-1,' in out.getvalue()


def test_another_files_apostrophes_stay() -> None:
    found = formats.sniff(io.BytesIO(b"text,label\n'=1,x\n"), "a.csv")
    rows = list(formats.read(io.BytesIO(b"text,label\n'=1,x\n"), "csv", columns=found.guess))
    assert [row.text for row in rows if isinstance(row, formats.Row)] == ["'=1"]


def test_an_unknown_format_is_refused_with_the_known_ones() -> None:
    with pytest.raises(formats.BadField, match=r"xlsx.*csv, jsonl"):
        formats.write("xlsx", [], io.BytesIO())
