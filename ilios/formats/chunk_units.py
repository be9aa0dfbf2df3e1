"""Units of a page's Markdown for retrieval: what no chunk divides, of a size that fits into one."""

import re
from collections.abc import Iterator

from msgspec import Struct, structs

from ilios.formats.blocks import Block, Kind, blocks
from ilios.formats.sizes import count_bytes, split_text

_ROW_END = re.compile(r"</tr>", re.IGNORECASE)
_FENCE_SIGN = re.compile(r"[ \t]*(?:`{3,}|~{3,})")


class Unit(Struct, frozen=True):
    """A unit from ``start`` to ``end`` of a page's Markdown.

    A chunk that begins with it begins with ``opening``: the header of its table, or the first line
    of its code block. One that ends with it ends with ``closing``. ``level`` is that of a heading.
    """

    start: int
    end: int
    opening: str = ""
    closing: str = ""
    level: int = 0


def units(text: str, size: int) -> Iterator[Unit]:
    """Yield the units of a page, in order, each of at most ``size`` bytes unless it is one word."""
    for block in blocks(text):
        if block.kind is Kind.HEADING:
            yield from _heading(text, block, size)
        elif count_bytes(text[block.start : block.end]) <= size:
            yield Unit(block.start, block.end)
        elif block.kind is Kind.TABLE:
            yield from _table(text, block, size)
        elif block.kind is Kind.FENCE:
            yield from _fence(text, block, size)
        elif block.kind is Kind.HTML_TABLE:
            yield from _html_table(text, block, size)
        else:
            yield from _words(text, block.start, block.end, size)


def _heading(text: str, block: Block, size: int) -> Iterator[Unit]:
    level = block.level
    for start, end in split_text(text, block.start, block.end, size):
        yield Unit(start, end, level=level)
        level = 0


def _words(text: str, start: int, end: int, size: int) -> Iterator[Unit]:
    for first, last in split_text(text, start, end, size):
        yield Unit(first, last)


def _table(text: str, block: Block, size: int) -> Iterator[Unit]:
    opening = text[block.start : block.head] + "\n"
    if count_bytes(opening) > size // 2:
        opening = ""  # it would leave too little of each chunk
    rows = _lines(text, block.head + 1, block.end)
    yield from _with_first_line(text, block, rows, Unit(block.start, block.head, opening), size)


def _fence(text: str, block: Block, size: int) -> Iterator[Unit]:
    first_line = text[block.start : block.head]
    sign = _FENCE_SIGN.match(first_line)
    assert sign is not None
    opening, closing = first_line + "\n", "\n" + sign[0]
    if count_bytes(opening + closing) > size // 2:
        opening = closing = ""
    last_line = text.rfind("\n", block.start, block.end) + 1
    is_closed = not text[last_line : block.end].strip().strip(sign[0].strip()[0])
    end_of_code = last_line - 1 if is_closed and last_line > block.head + 1 else block.end
    head = Unit(block.start, block.head, opening, closing)
    lines = _lines(text, block.head + 1, end_of_code)
    yield from _with_first_line(text, block, lines, head, size)


def _with_first_line(
    text: str, block: Block, lines: Iterator[tuple[int, int]], head: Unit, size: int
) -> Iterator[Unit]:
    """Yield the lines of a block as units, the first one with the head if both fit together."""
    pending: tuple[int, int] | None = None
    is_first = True
    for line in lines:
        if pending is not None:
            yield from _line_units(text, head, pending, size, is_first=is_first)
            is_first = False
        pending = line
    closed = structs.replace(head, closing="")
    if pending is None:
        yield from _bounded(text, Unit(block.start, block.end), size)
    else:
        yield from _line_units(text, closed, (pending[0], block.end), size, is_first=is_first)


def _line_units(
    text: str, head: Unit, line: tuple[int, int], size: int, *, is_first: bool
) -> Iterator[Unit]:
    unit = Unit(*line, head.opening, head.closing)
    if is_first:
        whole = Unit(head.start, line[1], closing=head.closing)
        if count_bytes(text[whole.start : whole.end] + whole.closing) <= size:
            yield whole
            return
        yield from _bounded(text, structs.replace(head, opening=""), size)
    yield from _bounded(text, unit, size)


def _html_table(text: str, block: Block, size: int) -> Iterator[Unit]:
    start = block.start
    for row in _ROW_END.finditer(text, block.start, block.end):
        yield from _bounded(text, Unit(start, row.end()), size)
        start = row.end()
    yield from _words(text, start, block.end, size)


def _bounded(text: str, unit: Unit, size: int) -> Iterator[Unit]:
    """Yield a unit, or its parts if it does not fit with what stands around it."""
    room = size - count_bytes(unit.opening + unit.closing)
    if count_bytes(text[unit.start : unit.end]) <= room:
        yield unit
        return
    for first, last in split_text(text, unit.start, unit.end, room):
        yield Unit(first, last, unit.opening, unit.closing)


def _lines(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    while start < end:
        last = text.find("\n", start, end)
        last = end if last < 0 else last
        yield start, last
        start = last + 1
