"""HTML of a page, in pieces each made with a bounded amount of work.

Parsing takes longer than its share for long texts of brackets and emphasis; so a parser gets no
more than ``MAX_PIECE`` characters, and a longer block without a place to cut is shown as it is.
Tables, which may have any number of rows, are rendered row by row.
"""

import re
from collections.abc import Iterator
from html import escape
from itertools import islice

from ilios.formats import blocks
from ilios.formats.blocks import Block, Kind
from ilios.formats.declaration import Page
from ilios.formats.parsing import PageParser, html_table, without_indentation

PIECE = 16 * 1024
"""Characters of a piece: it ends at the next block that is in no list."""
MAX_PIECE = 32 * 1024
"""Characters of a piece at most."""
MAX_BLOCKS = 100_000
"""Blocks of a page that are parsed, which takes seconds; what follows is shown as it is."""
MAX_DEFINITIONS = 1000  # of links on a page
ROWS = 200  # of a table in a piece

_MARKUP = re.compile(r"[\\`*\[\]<]|(?<!\w)_|_(?!\w)|&[#\w]+;|~~|\$.*\$", re.DOTALL)


def fragments(page: Page) -> Iterator[str]:
    """Yield the HTML of a page, which together is whole and sanitised."""
    text = without_indentation(page.markdown)
    parser = PageParser(page.number, has_anchors="](#" in text)
    for label, url in islice(blocks.definitions(text), MAX_DEFINITIONS):
        parser.define(label, url)
    pending: list[Block] = []
    number = 0
    for number, block in enumerate(blocks.blocks(text)):
        if pending and _is_full(pending, block):
            yield _piece(text, pending, parser if number <= MAX_BLOCKS else None)
            pending = []
        match block.kind:
            case Kind.DEFINITION:
                pass
            case Kind.TABLE:
                yield from _table(text, block, parser)
            case Kind.HTML_TABLE:
                yield html_table(text[block.start : block.end]) + "\n"
            case _:
                pending.append(block)
    if pending:
        yield _piece(text, pending, parser if number <= MAX_BLOCKS else None)


def _is_full(pending: list[Block], block: Block) -> bool:
    if block.kind in (Kind.TABLE, Kind.HTML_TABLE, Kind.DEFINITION):
        return True
    start = pending[0].start
    return (block.is_apart and block.start - start >= PIECE) or block.end - start > MAX_PIECE


def _piece(text: str, pending: list[Block], parser: PageParser | None) -> str:
    block = pending[0]
    markdown = text[block.start : pending[-1].end]
    if parser is not None and len(markdown) <= MAX_PIECE:
        return parser.text(markdown)
    if block.kind is Kind.FENCE:
        _, _, code = markdown.partition("\n")
        lines, _, last = code.rpartition("\n")
        is_closed = bool(last.strip()) and not last.strip().strip("`~")
        return f"<pre><code>{escape(lines if is_closed else code)}\n</code></pre>\n"
    return f"<pre>{escape(markdown)}</pre>\n"


def _table(text: str, block: Block, parser: PageParser) -> Iterator[str]:
    header, _, delimiter = text[block.start : block.head].partition("\n")
    styles = [_alignment(cell) for cell in blocks.cells(delimiter)]
    yield f"<table>\n<thead>\n{_row(header, 'th', styles, parser)}</thead>\n"
    rows: list[str] = []
    size, start, is_open = 0, block.head + 1, False
    while start < block.end:
        end = text.find("\n", start, block.end)
        end = block.end if end < 0 else end
        rows.append(_row(text[start:end], "td", styles, parser))
        size += end - start
        start = end + 1
        if len(rows) == ROWS or size > MAX_PIECE:
            yield ("" if is_open else "<tbody>\n") + "".join(rows)
            rows, size, is_open = [], 0, True
    body = ("" if is_open or not rows else "<tbody>\n") + "".join(rows)
    yield f"{body}{'</tbody>' if is_open or rows else ''}\n</table>\n"


def _row(line: str, tag: str, styles: list[str], parser: PageParser) -> str:
    made = []
    for number, cell in enumerate(blocks.cells(line)):
        style = styles[number] if number < len(styles) else ""
        made.append(f"<{tag}{style}>{_cell(cell, parser)}</{tag}>")
    return f"<tr>{''.join(made)}</tr>\n"


def _cell(cell: str, parser: PageParser) -> str:
    if len(cell) > MAX_PIECE or not _MARKUP.search(cell):
        return escape(cell, quote=False)
    return parser.inline(cell)


def _alignment(cell: str) -> str:
    match cell.startswith(":"), cell.endswith(":"):
        case True, True:
            return ' class="center"'
        case False, True:
            return ' class="right"'
        case _:
            return ""
