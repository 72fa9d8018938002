"""Documents: headings, paragraphs, tables and quotes as one tree, written as Markdown or as an HTML page of its own.

Every text is taken literally: whatever a label's name or a guideline holds, neither file runs it, links it or breaks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

MARKS = re.compile(r"([\\`*_\[\]<>|~&$])")
LINE_MARKS = re.compile(r"^(\s*\d+)([.)])(?=\s|$)|^(\s*)([#=+-])", re.MULTILINE)
# Nothing is fetched and nothing runs, whatever got in; as a header this would not travel with the file.
POLICY = "default-src 'none'; style-src 'unsafe-inline'"
SHORT = 12  # rows of a table that is printed on one page
STYLE = """
:root { color-scheme: light dark; --paper: #fbfaf8; --sunken: #f3f1ed; --line: #cfc9bf; --ink: #1d1b18;
  --soft: #57534c; --accent: #2f5bd7 }
@media (prefers-color-scheme: dark) {
  :root { --paper: #161513; --sunken: #24221f; --line: #4a463f; --ink: #f1eee9; --soft: #bdb7ac; --accent: #8aa8ff }
}
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 56rem; padding: 2rem 1rem 4rem; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, "Segoe UI", Roboto, "Noto Sans", "Noto Sans CJK SC", "PingFang SC", sans-serif;
  overflow-wrap: anywhere }
h1 { font-size: 1.75rem; line-height: 1.25; margin: 0 0 1rem }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .5rem; padding-top: 1rem; border-top: 1px solid var(--line) }
p, ul, pre, blockquote { margin: .5rem 0 }
ul { padding-left: 1.25rem }
.scroll { overflow-x: auto; margin: .75rem 0 }
.scroll:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; overflow-wrap: normal }
th, td { text-align: start; vertical-align: top; padding: .4rem .75rem .4rem 0; border-bottom: 1px solid var(--line) }
th { color: var(--soft); font-weight: 600; font-size: .875rem }
td { overflow-wrap: break-word; min-width: 4rem; max-width: 32rem }
code, pre { font: .9em/1.5 ui-monospace, "SF Mono", "Cascadia Mono", "DejaVu Sans Mono", monospace }
pre, blockquote { background: var(--sunken); border-radius: 6px; padding: .75rem 1rem; white-space: pre-wrap }
@media print {
  :root { --paper: #fff; --sunken: #f3f1ed; --line: #bbb; --ink: #000; --soft: #333; color-scheme: light }
  @page { margin: 18mm 16mm }
  body { max-width: none; padding: 0; font-size: 10pt }
  h2 { margin-top: 1.5rem } th, td { padding-block: .25rem } .scroll { overflow: visible }
  h1, h2, h2 + p { break-after: avoid }
  p, li, tr, blockquote, pre, .short { break-inside: avoid } pre { break-before: avoid }
  thead { display: table-header-group }
}
""".strip()


class Code(str):
    """A cell or paragraph that is code of ours: a field's name, a command."""

    __slots__ = ()


@dataclass(frozen=True)
class Table:
    """Rows of cells under their heads."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Points:
    """A list of sentences."""

    texts: Sequence[str]


@dataclass(frozen=True)
class Quote:
    """What somebody wrote, with its line ends."""

    text: str


Block = str | Table | Points | Quote


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it."""

    heading: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Document:
    """A title, what stands below it, and the sections."""

    title: str
    blocks: Sequence[Block]
    sections: Sequence[Section]


def markdown(document: Document, front: Mapping[str, Any] | None = None) -> str:
    """The document as Markdown; `front` is written before it as YAML, one line a value."""
    head = [f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in (front or {}).items()]
    parts = ["\n".join(["---", *head, "---"])] if head else []
    parts += [f"# {_line(document.title)}", *map(_markdown, document.blocks)]
    for section in document.sections:
        parts += [f"## {_line(section.heading)}", *map(_markdown, section.blocks)]
    return "\n\n".join(parts) + "\n"


def html(document: Document) -> str:
    """The document as a page that needs no other file, readable in light and dark and on paper."""
    parts = [f"<h1>{_text(document.title)}</h1>", *(part for one in document.blocks for part in _html(one, "Facts"))]
    for section in document.sections:
        parts.append(f"<h2>{_text(section.heading)}</h2>")
        parts += [part for one in section.blocks for part in _html(one, section.heading)]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(document.title)}</title>\n<style>\n{STYLE}\n</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(parts)
        + "\n</main>\n</body>\n</html>\n"
    )


def _markdown(block: Block) -> str:
    if isinstance(block, Table):
        lines = [block.head, ["---"] * len(block.head), *block.rows]
        cells = [[one if one == "---" else _line(one) for one in line] for line in lines]
        return "\n".join(f"| {' | '.join(line)} |" for line in cells)
    if isinstance(block, Points):
        return "\n".join(f"- {_line(text)}" for text in block.texts)
    if isinstance(block, Quote):
        return "\n".join(f"> {_literal(line)}".rstrip() for line in block.text.splitlines() or [""])
    return f"```bash\n{block}\n```" if isinstance(block, Code) else _literal(block)


def _line(text: str) -> str:
    """On one line, for a heading, a cell or a point."""
    return f"`{text}`" if isinstance(text, Code) else _literal(" ".join(text.split()))


def _literal(text: str) -> str:
    escaped = MARKS.sub(r"\\\1", text)
    return LINE_MARKS.sub(lambda found: f"{found[1] or found[3] or ''}\\{found[2] or found[4]}", escaped)


def _html(block: Block, about: str) -> Iterator[str]:
    if isinstance(block, Table):
        # Focusable, for a table wider than the screen must scroll by keyboard too.
        kept = " short" if len(block.rows) <= SHORT else ""
        yield f'<div class="scroll{kept}" tabindex="0" role="region" aria-label="{_text(about)}"><table>'
        heads = "".join(f'<th scope="col">{_text(one)}</th>' for one in block.head)
        yield f"<thead><tr>{heads}</tr></thead><tbody>" if any(block.head) else "<tbody>"
        for row in block.rows:
            cells = "".join(f'<td dir="auto">{_cell(one)}</td>' for one in row)
            yield f"<tr>{cells}</tr>"
        yield "</tbody></table></div>"
    elif isinstance(block, Points):
        yield f"<ul>{''.join(f'<li>{_text(text)}</li>' for text in block.texts)}</ul>"
    elif isinstance(block, Quote):
        yield f'<blockquote dir="auto">{_text(block.text)}</blockquote>'
    elif isinstance(block, Code):
        yield f"<pre><code>{_text(block)}</code></pre>"
    else:
        yield f"<p>{_text(block)}</p>"


def _cell(text: str) -> str:
    return f"<code>{_text(text)}</code>" if isinstance(text, Code) else _text(text)


def _text(text: str) -> str:
    return escape(str(text))
