"""Columns: which of a file's columns are likely the item, the label and the id, and whether a line names them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from labeling.formats.delimited import EXPORTED
from labeling.formats.jsons import cell
from labeling.formats.rows import Columns

# Common names, likeliest first.
# fmt: off
ITEM = (
    "text", "sentence", "content", "message", "question", "query", "utterance", "review", "comment", "tweet",
    "document", "doc", "body", "headline", "title", "prompt", "input", "image", "file_name", "filename", "file",
    "文本", "内容", "正文", "句子", "标题", "问题", "评论", "text_a", "sentence1",
)
LABEL = (
    "label", "labels", "annotations", "class", "category", "target", "intent", "sentiment", "tag", "topic",
    "label_text", "label_name", "folder", "y", "标签", "类别", "分类", "类型", "情感", "意图",
)
EXTERNAL_ID = (
    "external_id", "id", "uid", "uuid", "guid", "key", "doc_id", "text_id", "sample_id", "example_id", "编号", "序号",
)
VECTOR = ("embedding", "vector", "embeddings", "vectors")
# fmt: on
# What an export of ours says about a label; it is about the old project and not kept as metadata.
OURS = frozenset(EXPORTED) | {"file_name", "name", "id", "annotations"}
SIGNED = frozenset({"id", "origin", "annotator", "labeled_at"})


def guess(names: list[str], records: Sequence[Mapping[str, Any]], *, label_studio_file: bool) -> Columns:
    """By common names; the item is else the column with the longest texts among those that are not empty."""
    label = _named(names, LABEL)
    external_id = _named(names, EXTERNAL_ID)
    vector = _named(names, VECTOR)
    free = [name for name in names if name not in (label, external_id, vector)]
    filled = [name for name in free if any(cell(row, name) for row in records)] or free or names
    item = _named(filled, ITEM) or max(filled, key=lambda name: _mean_length(records, name))
    metadata = kept(names, (item, label, external_id, vector), label_studio_file)
    return Columns(item, label, external_id, vector, metadata, origin_of(names))


def origin_of(names: Iterable[str]) -> str | None:
    """The column that tells who gave a label, in our own exports; elsewhere that word may mean anything."""
    return "origin" if set(names) >= SIGNED else None


def kept(names: list[str], used: Iterable[str | None], label_studio_file: bool) -> tuple[str, ...]:
    """The columns to keep as metadata: all that are not used, but none of an export's own remarks."""
    used = set(used)
    ours = set(names) >= SIGNED or label_studio_file
    return tuple(name for name in names if name not in used and not (ours and name in OURS and name != "metadata"))


def _named(names: Iterable[str], wanted: Sequence[str]) -> str | None:
    """The column whose name (or the last part of it) comes first among those wanted."""
    ranks = {word: rank for rank, word in enumerate(wanted)}
    rated = [(ranks[last], name) for name in names if (last := name.lower().rpartition(".")[2]) in ranks]
    return min(rated)[1] if rated else None


def has_header(rows: list[list[str]]) -> bool:
    """Whether the first row names columns: it has a common name, or short, distinct, wordy cells unlike the others."""
    first = [cell.strip() for cell in rows[0]]
    if any(cell.lower() in {*ITEM, *LABEL, *EXTERNAL_ID} for cell in first):
        return True
    if len(rows) == 1 or len(set(first)) < len(first) or any(not cell or len(cell) > 40 for cell in first):
        return False
    if any(cell.replace(".", "").replace("-", "").isdigit() for cell in first):
        return False
    return len(first) > 1 and not any(cell in {row[place] for row in rows[1:] if len(row) > place}
                                      for place, cell in enumerate(first))  # fmt: skip


def _mean_length(records: Sequence[Mapping[str, Any]], name: str) -> float:
    lengths = [len(value) for row in records if isinstance(value := cell(row, name), str)]
    return sum(lengths) / max(len(lengths), 1)
