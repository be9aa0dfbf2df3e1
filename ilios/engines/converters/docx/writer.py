"""Blocks as Markdown."""

import re
from collections.abc import Iterable, Sequence
from itertools import groupby

from msgspec import structs

from actors.engines import Unconvertible
from ilios.engines.converters import markdown
from ilios.engines.converters.docx.anchors import Anchors
from ilios.engines.converters.docx.blocks import (
    Block,
    Code,
    Display,
    Heading,
    Item,
    Paragraph,
    Row,
    Table,
)
from ilios.engines.converters.docx.lists import write_list
from ilios.engines.converters.docx.source import Source
from ilios.engines.converters.grid import MAX_SPAN, Grid, GridFull
from ilios.engines.converters.inline import Run, render, safe_link
from ilios.engines.converters.list_levels import followed
from ilios.engines.page_limits import MAX_LINK
from schemas.results import PageHeading, PageTable

TWIPS_PER_CHARACTER = 120
"""The width of a character of code: 10 points of a font whose letters are 0.6 em wide."""

HARD_BREAK = "  \n"
MAX_INDENT = 40  # characters of a line of code
MAX_GRID = 1_000_000
"""Cells of a table, those between and behind its own included; further rows are left out."""

_BLANKS = re.compile(r"[ \t]{2,}|\t")
_BREAK = re.compile(r" ?\n ?")
_LINE_START = re.compile(r"^(#{1,6}(?=\s|$)|>|~~~|[-=](?=[-= \t]*$)|\+(?=\s))", re.MULTILINE)
"""What begins a heading, a quote, a block of code or a rule. Typed bullets and numbers stay."""


class Writer:
    """Writes blocks of one document; collects its headings, tables and links."""

    def __init__(self, source: Source, anchors: Anchors, max_bytes: int) -> None:
        self._source = source
        self._anchors = anchors
        self._left = max_bytes
        self.headings: list[PageHeading] = []
        self.tables: list[PageTable] = []
        self.links: dict[str, None] = {}

    def write(self, blocks: Sequence[Block]) -> str:
        """Return blocks as Markdown."""
        pieces: list[str] = []
        for kind, group in groupby(blocks, key=_kind):
            together = list(group)
            match kind:
                case "item":
                    text = self._list([one for one in together if isinstance(one, Item)])
                    pieces.append(followed(pieces[-1:], text, typed=False))
                case "code":
                    pieces.append(_fence([one for one in together if isinstance(one, Code)]))
                case "quote":
                    inner = "\n\n".join(self._block(one) for one in together)
                    pieces.append(markdown.quoted(inner))
                case _:
                    for one in together:
                        if text := self._block(one):
                            pieces.append(followed(pieces[-1:], text, typed=True))
            self._source.tick()
        return "\n\n".join(filter(None, pieces))

    def lines(self, blocks: Sequence[Block]) -> str:
        """Return the text of a header or footer, a line for each paragraph or row."""
        found = (line for block in blocks for line in self._cell_lines(block, " "))
        return "\n".join(filter(None, found))

    def _block(self, block: Block) -> str:
        match block:
            case Heading():
                self.headings.append(PageHeading(block.level, _plain(block.runs)))
                return markdown.heading(block.level, self._text(block.runs))
            case Paragraph():
                return self._lines(block.runs)
            case Display():
                return block.markdown
            case Table():
                return self._table(block)
        return ""

    def _lines(self, runs: Sequence[Run]) -> str:
        """Return text of which no line begins a heading, a quote or a rule."""
        return _LINE_START.sub(r"\\\1", self._text(runs))

    def _text(self, runs: Sequence[Run]) -> str:
        shown = [self._resolved(run) for run in runs]
        text = _BLANKS.sub(" ", render(_trimmed(shown)))
        return _BREAK.sub("\n", text).strip().replace("\n", HARD_BREAK)

    def _resolved(self, run: Run) -> Run:
        if not run.link:
            return run
        link = self._anchors.address(run.link)
        if link and not link.startswith("#"):
            address = safe_link(link)
            if not address or len(address) > MAX_LINK:
                address = ""
                self._source.leave_out("links_left_out", run.link.partition(":")[0])
            else:
                self.links[address] = None
            link = address
        return run if link == run.link else structs.replace(run, link=link)

    def _list(self, items: Sequence[Item]) -> str:
        return write_list(items, [self._lines(item.runs) for item in items])

    def _table(self, table: Table) -> str:
        grid = Grid(self._source.reading.merged_cells)
        width = 0
        for count, row in enumerate(table.rows, 1):
            self._source.tick()
            width = max(width, _width(row))
            if count * width > MAX_GRID or not self._fill(grid, row):
                self._source.leave_out("content_left_out", "rows of a table that is too large")
                break
        rows = grid.rows()
        self._left -= sum(len(cell) for row in rows for cell in row)
        if self._left < 0:
            raise Unconvertible("too_large", "The tables become more text than is allowed.")
        if not any(any(row) for row in rows):
            return ""
        text = markdown.table(rows)
        self.tables.append(PageTable(f"table-0-{len(self.tables)}", text, "markdown"))
        return text

    def _fill(self, grid: Grid, row: Row) -> bool:
        """Add a row to the grid; False when it is full."""
        grid.add_row()
        if row.before:
            grid.skip(row.before)
        try:
            for cell in row.cells:
                text = self._cell(cell.blocks)
                if cell.merge == "continue":
                    grid.extend_down(cell.columns, text)
                else:
                    grid.add(text, cell.columns)
        except GridFull:
            return False
        return True

    def _cell(self, blocks: Sequence[Block]) -> str:
        found = (line for block in blocks for line in self._cell_lines(block, ", "))
        return "<br>".join(filter(None, found))

    def _cell_lines(self, block: Block, between: str) -> Iterable[str]:
        """Yield the lines that a block has in a cell; ``between`` stands between cells of it."""
        match block:
            case Item():
                mark = "-" if not block.label else block.label
                yield f"{mark} {self._line(block.runs)}".rstrip()
            case Code():
                lines = (line.rstrip() for line in block.text.split("\n"))
                yield from (f"``{line}``" if "`" in line else f"`{line}`" for line in lines if line)
            case Display():
                yield markdown.one_line(block.markdown.replace("$$", "$"))
            case Table():
                for row in block.rows:
                    cells = (self._cell(cell.blocks) for cell in row.cells)
                    yield between.join(filter(None, cells))
            case _:
                yield self._line(block.runs)

    def _line(self, runs: Sequence[Run]) -> str:
        lines = (line.strip() for line in self._text(runs).split("\n"))
        return "<br>".join(filter(None, lines))


def _kind(block: Block) -> str:
    match block:
        case Item():
            return "item"
        case Code():
            return "code"
        case Paragraph(quote=True):
            return "quote"
    return ""


def _width(row: Row) -> int:
    return row.before + sum(min(cell.columns, MAX_SPAN) for cell in row.cells)


def _plain(runs: Sequence[Run]) -> str:
    return markdown.one_line("".join(run.text for run in runs if not run.markup or "$" in run.text))


def _trimmed(runs: Sequence[Run]) -> list[Run]:
    """Return runs without blanks and line breaks at either end of the paragraph."""
    shown = list(runs)
    while shown and not shown[0].markup and not shown[0].text.strip():
        shown.pop(0)
    while shown and not shown[-1].markup and not shown[-1].text.strip():
        shown.pop()
    if shown and not shown[0].markup:
        shown[0] = structs.replace(shown[0], text=shown[0].text.lstrip())
    if shown and not shown[-1].markup:
        shown[-1] = structs.replace(shown[-1], text=shown[-1].text.rstrip())
    return shown


def _fence(blocks: Sequence[Code]) -> str:
    """Return code in a fence, without blank lines at either end of it."""
    full = [place for place, block in enumerate(blocks) if block.text.strip()]
    if not full:
        return ""
    blocks = blocks[full[0] : full[-1] + 1]
    least = min(block.indent for block in blocks if block.text.strip())
    lines: list[str] = []
    for block in blocks:
        further = min(max(block.indent - least, 0) // TWIPS_PER_CHARACTER, MAX_INDENT)
        lines += [
            (" " * further + line.replace("\t", "    ")).rstrip() for line in block.text.split("\n")
        ]
    return markdown.fenced("\n".join(lines))
