"""Tables: CSV, TSV, JSON, JSON lines and Parquet as they come from other tools, broken ones among them."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from labeling import formats
from labeling.formats import delimited, limits
from labeling.formats.rows import Columns
from tests.formats.files import bad, good, image, read_all


def facts(rows: list[Any]) -> list[tuple[int, int, Any]]:
    """(number, line, text or why not)"""
    return [(row.number, row.line, row.code if isinstance(row, formats.BadRow) else row.text) for row in rows]


def test_broken_rows_are_named_and_the_rest_gets_in() -> None:
    content = b"""text,label
"two
lines",x
three,cells,here
short
"open,q
ok,y
"in "quote",r
 ,blank
last,

"a ""quote"" and , comma",z
extra,x,,
"""
    rows = read_all(content, "a.csv")
    assert facts(rows) == [
        (1, 2, "two\nlines"),
        (2, 4, "ragged"),
        (3, 5, "ragged"),
        (4, 6, "broken_quotes"),
        (5, 7, "ok"),
        (6, 8, "broken_quotes"),
        (7, 9, "empty"),
        (8, 10, "last"),
        (9, 12, 'a "quote" and , comma'),
        (10, 13, "extra"),
    ]
    assert [row.label for row in good(rows)] == ["x", "y", None, "z", "x"]
    assert "3 cells, the header has 2" in bad(rows)[0].reason
    assert bad(rows)[4].column == "text"


def test_a_quote_open_to_the_end_costs_one_row() -> None:
    content = b'text,label\n"open,x\n' + b"fine,y\n" * 5_000
    rows = read_all(content, "a.csv")
    assert len(good(rows)) == 5_000
    assert [row.line for row in bad(rows)] == [2]


def test_a_huge_quoted_cell_costs_one_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "MAX_LINE", 10_000)
    content = b'text,label\n"open,x\n' + b"fine,y\n" * 5_000 + b'"closed",z\n'
    rows = read_all(content, "a.csv")
    assert len(good(rows)) == 5_001
    assert [row.line for row in bad(rows)] == [2]


def test_a_text_beyond_the_limit_is_refused() -> None:
    content = b"text\n" + b"x" * (limits.MAX_TEXT + 1) + b"\n" + b"y" * limits.MAX_TEXT + b"\n"
    assert [row.code for row in bad(read_all(content, "a.csv"))] == ["too_long"]


def test_tsv_without_quoting_is_taken_literally() -> None:
    content = 'id\tsentence\n1\t"unbalanced\n2\tinch 5" wide\n3\t"the end" he said\n4\t"quoted\nlines"\n5\tx\n'
    rows = good(read_all(content.encode(), "a.tsv"))
    assert [(row.external_id, row.text) for row in rows[:3]] == [
        ("1", '"unbalanced'),
        ("2", 'inch 5" wide'),
        ("3", '"the end" he said'),
    ]
    assert [(row.external_id, row.text) for row in rows[3:]] == [("4", "quoted\nlines"), ("5", "x")]


def test_control_characters_are_made_visible_and_nothing_else_changes() -> None:
    rows = good(read_all("text\na\x00b\x1b[31m\x7f\u200e\u202ee\u0301 <script>\n".encode(), "a.csv"))
    assert rows[0].text == "a␀b␛[31m␡\u200e\u202ee\u0301 <script>"


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(delimiter: str) -> None:
    content = f"id{delimiter}text{delimiter}label\n1{delimiter}Hello, you; there{delimiter}x\n"
    content = content if delimiter != "," else 'id,text,label\n1,"Hello, you; there",x\n'
    if delimiter == ";":
        content = 'id;text;label\n1;"Hello, you; there";x\n'
    found = formats.sniff(io.BytesIO(content.encode()), "a.csv")
    assert (found.delimiter, found.columns) == (delimiter, ["id", "text", "label"])
    assert [row.text for row in good(read_all(content.encode(), "a.csv"))] == ["Hello, you; there"]


def test_without_a_header_the_first_row_is_a_row() -> None:
    content = b"1,I want my card back,card\n2,Where is my money,money\n"
    found = formats.sniff(io.BytesIO(content), "a.csv")
    assert not found.header
    assert found.columns == ["column 1", "column 2", "column 3"]
    assert found.guess.item == "column 2"
    assert [row.text for row in good(read_all(content, "a.csv"))] == ["I want my card back", "Where is my money"]


def test_doubled_and_empty_header_names_stay_apart() -> None:
    found = formats.sniff(io.BytesIO(b"text,,text\na,b,c\n"), "a.csv")
    assert found.columns == ["text", "column 2", "text (2)"]
    rows = read_all(b"text,,text\na,b,c\n", "a.csv", columns=Columns("text (2)", "column 2", metadata=("text",)))
    assert (good(rows)[0].text, good(rows)[0].label, good(rows)[0].metadata) == ("c", "b", {"text": "a"})


def test_columns_guessed_by_name_and_the_rest_kept_as_metadata() -> None:
    found = formats.sniff(io.BytesIO(b"source,uid,category,message\nweb,7,x,hello\n"), "a.csv")
    assert found.guess == Columns("message", "category", "uid", None, ("source",))
    rows = good(read_all(b"source,uid,category,message\nweb,7,x,hello\n", "a.csv"))
    assert (rows[0].external_id, rows[0].label, rows[0].metadata) == ("7", "x", {"source": "web"})


def test_json_lines_with_broken_lines() -> None:
    lines = [
        '{"text": "a", "label": "x"}', "", '{"text": ', "[1]", '{"text": "half \\ud83d"}', '{"label": "x"}', '"bare"',
        '{"text": {"a": 1}}', '{"text": "b", "label": {"a": 1}}', '{"text": "c", "label": true}', "[" * 100_000,
        '{"text": 5, "label": 1.0}', '{"text": "nul \\u0000"}',
    ]  # fmt: skip
    rows = read_all("\n".join(lines).encode(), "a.jsonl")
    assert facts(rows) == [
        (1, 1, "a"),
        (2, 3, "broken_json"),
        (3, 4, "not_a_record"),
        (4, 5, "bad_bytes"),
        (5, 6, "empty"),
        (6, 7, "bare"),
        (7, 8, "not_text"),
        (8, 9, "not_text"),
        (9, 10, "c"),
        (10, 11, "too_deep"),
        (11, 12, "5"),
        (12, 13, "nul ␀"),
    ]
    assert [row.label for row in good(rows)] == ["x", None, "true", "1.0", None]


def test_doccano_lines() -> None:
    content = b"""{"id": 1, "text": "a", "label": ["x"]}
{"id": 2, "text": "b", "label": []}
{"id": 3, "text": "c", "label": ["x", "y"]}
"""
    rows = read_all(content, "a.jsonl")
    assert [(row.external_id, row.label) for row in good(rows)] == [("1", "x"), ("2", None)]
    assert [(row.number, row.code, row.column) for row in bad(rows)] == [(3, "several_labels", "label")]


def test_label_studio_tasks() -> None:
    result = [{"from_name": "s", "to_name": "t", "type": "choices", "value": {"choices": ["x"]}}]
    tasks = [
        {"id": 9, "data": {"text": "a", "source": "web"}, "annotations": [{"result": result}]},
        {"id": 10, "data": {"text": "b"}, "annotations": [{"was_cancelled": True, "result": result}]},
        {"id": 11, "data": {"text": "c"}, "annotations": []},
    ]
    rows = good(read_all(json.dumps(tasks, indent=1).encode(), "tasks.json"))
    assert [(row.text, row.label, row.external_id) for row in rows] == [
        ("a", "x", "9"),
        ("b", None, "10"),
        ("c", None, "11"),
    ]
    assert rows[0].metadata == {"source": "web"}


def test_prodigy_lines() -> None:
    """A rejected label says only what the item is not; it must not come in as its label."""
    hashes = {"_input_hash": 1, "_task_hash": 2, "_session_id": "s"}
    tasks = [
        {"text": "a", "label": "x", "answer": "accept", "meta": {"source": "web"}, "spans": [], **hashes},
        {"text": "b", "label": "x", "answer": "reject", **hashes},
        {"text": "c", "label": "x", "answer": "ignore", **hashes},
        {"text": "d", "options": [{"id": "x"}, {"id": "y"}], "accept": ["y"], "answer": "accept", **hashes},
        {"text": "e", "options": [{"id": "x"}, {"id": "y"}], "accept": ["x", "y"], "answer": "accept", **hashes},
    ]
    rows = read_all("\n".join(map(json.dumps, tasks)).encode(), "tasks.jsonl")
    assert [(row.text, row.label, row.metadata) for row in good(rows)] == [
        ("a", "x", {"source": "web"}),
        ("b", None, {"rejected": "x"}),
        ("c", None, {}),
        ("d", "y", {}),
    ]
    assert [(row.number, row.code) for row in bad(rows)] == [(5, "several_labels")]


def test_argilla_records() -> None:
    def one(text: str, responses: Any, **more: Any) -> dict[str, Any]:
        return {"id": f"id-{text}", "fields": {"text": text}, "responses": responses, "suggestions": {}, **more}

    records = [
        one(
            "a", {"label": [{"value": "x", "user_id": "u"}, {"value": "y", "user_id": "v"}]}, metadata={"source": "web"}
        ),
        one("b", {"label": [{"value": "x", "status": "draft"}]}),
        one("c", {}),
        one("d", [{"values": {"label": {"value": "y"}}, "status": "submitted"}], external_id="mine"),
        one("e", [{"values": {"label": {"value": "y"}}, "status": "discarded"}]),
    ]
    rows = good(read_all(json.dumps(records).encode(), "records.json"))
    assert [(row.text, row.label, row.external_id, row.metadata) for row in rows] == [
        ("a", "x", "id-a", {"source": "web"}),
        ("b", None, "id-b", {}),
        ("c", None, "id-c", {}),
        ("d", "y", "mine", {}),
        ("e", None, "id-e", {}),
    ]
    assert good(read_all(json.dumps(records[0]).encode(), "records.jsonl"))[0].label == "x"


@pytest.mark.parametrize(
    "whole",
    [
        [{"text": "a"}, {"text": "b"}],
        ["a", "b"],
        {"version": 2, "tags": ["t"], "data": [{"text": "a"}, {"text": "b"}]},
        {"nlu": {"common": {"examples": [{"text": "a"}, {"text": "b"}]}}},
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_json_arrays_wherever_they_are(whole: Any, indent: int | None) -> None:
    rows = read_all(json.dumps(whole, indent=indent).encode(), "a.json")
    assert [row.text for row in good(rows)] == ["a", "b"]


def test_nested_objects_are_columns_by_dots() -> None:
    content = b'[{"body": {"en": "hello", "n": 1}, "by": {"name": "A"}}]'
    found = formats.sniff(io.BytesIO(content), "a.json")
    assert found.columns == ["body.en", "body.n", "by.name"]
    rows = good(read_all(content, "a.json", columns=Columns("body.en", "by.name", metadata=("body.n",))))
    assert (rows[0].text, rows[0].label, rows[0].metadata) == ("hello", "A", {"body.n": 1})


def test_json_numbers_of_any_size_are_read() -> None:
    content = (
        b'[{"text": "a", "label": 1.0, "m": [123456789012345678901234567890, 0.5, 1e400]}, {"text": "b", "m": -1}]'
    )
    rows = good(read_all(content, "a.json"))
    assert [(row.text, row.label) for row in rows] == [("a", "1.0"), ("b", None)]
    assert rows[0].metadata == {"m": [123456789012345678901234567890, 0.5, None]}
    assert [type(one) for one in rows[0].metadata["m"]] == [int, float, type(None)]


def test_json_broken_in_the_middle_keeps_what_came_before() -> None:
    rows = read_all(b'[{"text": "a"}, {"text": "b"}, {"text" "c"}]', "a.json")
    assert [row.text for row in good(rows)] == ["a", "b"]
    assert [row.code for row in bad(rows)] == ["broken_json"]


@pytest.mark.parametrize("content", [b'{"a": {"0": "x"}, "b": {"0": "y"}}\n', b"[]", b'{"a": [1, 2]}', b"[1, 2"])
def test_json_without_records_is_refused(content: bytes) -> None:
    with pytest.raises(formats.BadFile):
        read_all(content + b"\n" + b" ", "pandas.json")


def parquet(table: pa.Table, **how: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, **how)
    return out.getvalue()


def test_parquet_from_hugging_face_with_class_names_and_images() -> None:
    about = {
        "info": {"features": {"label": {"names": ["no", "yes"], "_type": "ClassLabel"}, "image": {"_type": "Image"}}}
    }
    table = pa.table(
        {
            "image": [
                {"bytes": image(), "path": "a.png"},
                {"bytes": b"nothing", "path": "b.png"},
                {"bytes": None, "path": "c"},
            ],
            "label": [1, 0, 0],
        }
    ).replace_schema_metadata({"huggingface": json.dumps(about)})
    found = formats.sniff(io.BytesIO(parquet(table)), "a.parquet")
    assert (found.modality, found.guess.item, found.row_estimate, found.exact) == ("image", "image", 3, True)
    rows = read_all(parquet(table), "a.parquet")
    assert [(row.label, row.image.name if row.image else None) for row in good(rows)] == [("yes", "a.png")]
    assert [(row.number, row.code) for row in bad(rows)] == [(2, "not_an_image"), (3, "no_image")]


def test_parquet_types_become_texts_and_plain_metadata() -> None:
    table = pa.table(
        {
            "text": pa.array(["a", None, "c"]).dictionary_encode(),
            "id": [10, 11, 12],
            "when": pa.array([0, 1, 2], pa.timestamp("s")),
            "score": [0.5, float("nan"), float("inf")],
            "tags": [["x"], [], None],
        }
    )
    rows = read_all(parquet(table), "a.parquet")
    assert [(row.text, row.external_id) for row in good(rows)] == [("a", "10"), ("c", "12")]
    assert good(rows)[0].metadata == {"when": "1970-01-01T00:00:00", "score": 0.5, "tags": ["x"]}
    assert [row.number for row in bad(rows)] == [2]


def test_a_broken_row_group_costs_its_own_rows() -> None:
    content = bytearray(parquet(pa.table({"text": [f"text {n}" for n in range(300)]}), row_group_size=100,
                                compression="none", use_dictionary=False))  # fmt: skip
    start = content.index(b"text 150")
    content[start - 50 : start + 50] = b"\xff" * 100
    rows = read_all(bytes(content), "a.parquet", columns=Columns("text"))
    assert {row.text for row in good(rows)} >= {"text 0", "text 99", "text 200", "text 299"}
    assert [(row.number, row.code) for row in bad(rows)][:1] == [(101, "broken")]
    assert good(rows)[-1].number == 300


def test_vectors_are_checked_row_by_row() -> None:
    content = b"""{"text": "a", "vector": [1, 2]}
{"text": "b", "vector": [1, 2, 3]}
{"text": "c", "vector": [1, "x"]}
{"text": "d"}
{"text": "e", "vector": [3, 4.5]}
"""
    rows = read_all(content, "a.jsonl")
    assert [row.text for row in good(rows)] == ["a", "e"]
    vector = good(rows)[1].vector
    assert vector is not None
    assert vector.dtype == np.float32
    assert vector.tolist() == [3.0, 4.5]
    assert [row.code for row in bad(rows)] == ["bad_vector"] * 3
    csv_rows = read_all(b'text,embedding\na,"[0.5, 1]"\nb,x\n', "a.csv")
    assert good(csv_rows)[0].vector is not None
    assert [row.code for row in bad(csv_rows)] == ["bad_vector"]


def test_metadata_has_limits() -> None:
    deep: Any = "x"
    for _ in range(limits.MAX_DEPTH + 5):
        deep = {"a": deep}
    records = [
        {"text": "a", "m": deep},
        {"text": "b", "m": "x" * limits.MAX_METADATA},
        {"text": "c", "m": {"k\0": "v\0"}},
    ]
    content = "\n".join(json.dumps(record) for record in records).encode()
    rows = read_all(content, "a.jsonl", columns=Columns("text", metadata=("m",)))
    assert [row.code for row in bad(rows)] == ["too_deep", "too_long"]
    assert good(rows)[0].metadata == {"m": {"k␀": "v␀"}}


def test_a_plain_text_file_is_one_item_a_line() -> None:
    rows = read_all(b"one, two\r\n\r\n  \nthree\n", "a.txt")
    assert [(row.number, row.line, row.text) for row in good(rows)] == [(1, 1, "one, two"), (2, 4, "three")]


@pytest.mark.parametrize(
    ("content", "name", "says"),
    [
        (b"", "a.csv", "empty"),
        (b"\n \n", "a.csv", "blank"),
        (b"%PDF-1.4 ...", "a.csv", "PDF"),
        (b"\x1f\x8b\x08", "a.csv.gz", "gzip"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "a.xls", "Excel"),
        (b"PAR1 broken PAR1", "a.parquet", "Parquet"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "a.svg", "SVG"),
    ],
)
def test_files_of_other_kinds_are_refused_with_a_way_out(content: bytes, name: str, says: str) -> None:
    with pytest.raises(formats.BadFile, match=says):
        formats.sniff(io.BytesIO(content), name)


def test_positions_grow_to_the_size_of_the_file() -> None:
    content = b"text\n" + b"some words here\n" * 60_000
    positions = [row.position for row in read_all(content, "a.csv")]
    assert positions == sorted(positions)
    assert len(set(positions)) > 2
    assert positions[-1] == len(content)


def test_content_hashes_tell_contents_apart() -> None:
    hashes = {formats.content_hash(one) for one in ("a", "b", "é", "e\u0301", b"a", b"b")}
    assert len(hashes) == 6
    assert {len(one) for one in hashes} == {16}
