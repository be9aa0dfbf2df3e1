"""Blocks of a column: headings, paragraphs, list items, code and tables."""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, pairwise
from statistics import median
from typing import Literal

import msgspec
from msgspec import Struct

from . import lists, open_tables
from .fonts import Fonts
from .headings import CAPTION, is_heading
from .initials import beside_initials
from .items import Item
from .lines import (
    Line,
    append_text,
    first_fits,
    is_divided,
    is_rtl,
    linked_text,
    make_lines,
    spaced,
)
from .margins import INDENT, MAX_INDENT, is_hanging, is_loose
from .strokes import Rule
from .tables import Table

PARAGRAPH_PITCH = 1.3
"""Distance of two lines, by the usual one, from which a paragraph begins."""

EMPTY_LINE = 0.8
"""Space above a line of code, in the size of its font, where a line is empty."""

MAX_SPACES = 80
WIDE_PITCH = 2.0
"""Distance of two lines of a paragraph, in the size of the font, where lines stand far apart."""

SHORT_LINE = 0.75
"""A line that fills less of the column ends a paragraph if a sentence ends with it."""

LETTER_LINES = 3
"""So many lines begin with a letter that is a bullet."""

BROKEN_LINE = 0.6
"""A line that fills less of the column is broken on purpose."""

_SENTENCE_END = re.compile(r"[.!?:;\u3002\uff01\uff1f\u061f][\"'\u201d\u2019)\]]*$")


class Block(Struct):
    """A block of the page in Markdown, without its indentation and marks."""

    kind: Literal["paragraph", "heading", "item", "code", "quote", "table", "figure"]
    text: str
    level: int = 0
    size: float = 0.0
    table: Table | None = None


class Column(Struct):
    """The extent of a column and the usual distance of its lines."""

    left: float
    right: float
    pitch: float
    hanging: bool = False
    loose: bool = False


def read_column(
    items: Sequence[Item],
    fonts: Fonts,
    table: Table | None = None,
    rules: Sequence[Rule] = (),
) -> Iterator[Block]:
    """Yield the blocks of a column from top to bottom; ``table`` stands below them.

    ``rules`` are the horizontal ones of the page.
    """
    yield from _numbered(_column_blocks(items, fonts, table, rules))


def _column_blocks(
    items: Sequence[Item], fonts: Fonts, table: Table | None, rules: Sequence[Rule]
) -> Iterator[Block]:
    lines = beside_initials(make_lines(items))
    if not lines:
        return
    if is_rtl(line.text for line in lines):
        fonts = msgspec.structs.replace(fonts, rtl=True)
    contents = open_tables.find_contents(lines)
    found = contents or open_tables.find(lines, code=not fonts.monospaced, rules=rules)
    place = 0
    for one in found:
        yield from _text_blocks(lines[place : one.start], fonts, lines[one.start])
        yield Block("table", "", table=one.table)
        place = one.stop
    below = (
        Line(table.left, table.top, table.right, table.bottom, fonts.body, []) if table else None
    )
    yield from _text_blocks(lines[place:], fonts, below)


def _numbered(blocks: Iterable[Block]) -> Iterator[Block]:
    """Yield the blocks; headings with consecutive numbers and no text between them are a list."""
    for _, group in groupby(enumerate(blocks), key=_number_key):
        run = [block for _, block in group]
        for block in run:
            yield msgspec.structs.replace(block, kind="item") if len(run) > 1 else block


def _number_key(placed: tuple[int, Block]) -> tuple[float, int]:
    """Return the same key for headings of one size whose numbers follow their places."""
    place, block = placed
    match = lists.COUNT.match(block.text) if block.kind == "heading" else None
    return (block.size, int(match[1]) - place) if match else (0.0, -place - 1000)


def _text_blocks(lines: Sequence[Line], fonts: Fonts, below: Line | None = None) -> Iterator[Block]:
    """Yield the blocks of lines without tables; ``below`` is the first line of a table below."""
    if not lines:
        return
    lines = _with_letter_bullets(lines)
    if fonts.rtl:
        lines = [
            msgspec.structs.replace(line, left=-line.right, right=-line.left) for line in lines
        ]
    pitches = [below.middle - above.middle for above, below in pairwise(lines)]
    column = Column(
        min(line.left for line in lines),
        max(line.right for line in lines),
        _usual_pitch(pitches, fonts),
        is_hanging(lines),
        is_loose(lines),
    )
    place = 0
    while place < len(lines):
        stop = place
        while stop < len(lines) and lines[stop].monospaced and not fonts.monospaced:
            stop += 1
        if stop - place > 1:
            yield Block("code", _code(lines[place:stop]))
            place = stop
            continue
        stop = place + 1
        while stop < len(lines) and not (
            lines[stop].monospaced
            and not fonts.monospaced
            and stop + 1 < len(lines)
            and lines[stop + 1].monospaced
        ):
            stop += 1
        after = lines[stop] if stop < len(lines) else below
        yield from _paragraphs(lines[place:stop], after, column, fonts)
        place = stop


def _with_letter_bullets(lines: Sequence[Line]) -> Sequence[Line]:
    """Return the lines; those that begin with the letter of a symbol font have a bullet.

    The letter is no word of its own: the same one stands apart at the same place on several lines.
    """
    found: dict[tuple[str, int], list[int]] = {}
    for at, line in enumerate(lines):
        first = line.items[0]
        if len(first.text) == 1 and first.text.isalpha() and len(line.items) > 1:
            found.setdefault((first.text, round(first.left / 2)), []).append(at)
    bullets = {at for group in found.values() if len(group) >= LETTER_LINES for at in group}
    if not bullets:
        return lines
    return [
        msgspec.structs.replace(line, text=f"\u2022 {line.text}") if at in bullets else line
        for at, line in enumerate(lines)
    ]


def _usual_pitch(pitches: list[float], fonts: Fonts) -> float:
    usual = [pitch for pitch in pitches if 0 < pitch < 2.2 * fonts.body]
    return median(usual) if usual else 1.3 * fonts.body


def _code(lines: Sequence[Line]) -> str:
    """Return lines of code with their indentation and the spaces within."""
    left = min(line.left for line in lines)
    width = max(median([_char_width(item) for line in lines for item in line.items]), 0.1)
    texts: list[str] = []
    for at, line in enumerate(lines):
        if at and line.top - lines[at - 1].bottom > EMPTY_LINE * line.size:
            texts.append("")
        text = " " * _spaces(line.left - left, width) + line.items[0].text.strip()
        for one, other in pairwise(line.items):
            if spaced(one, other):
                text += " " * max(_spaces(other.left - one.right, width), 1)
            text += other.text.strip()
        texts.append(text)
    return "\n".join(texts)


def _spaces(gap: float, width: float) -> int:
    return min(max(round(gap / width), 0), MAX_SPACES)


def _char_width(item: Item) -> float:
    return (item.right - item.left) / max(len(item.text), 1)


def _paragraphs(
    lines: Sequence[Line], below: Line | None, column: Column, fonts: Fonts
) -> Iterator[Block]:
    depths = lists.Depths()
    group: list[Line] = []
    for at, line in enumerate(lines):
        if group and _begins(group, line, column, fonts):
            yield from _block(group, line, column, fonts, depths)
            group = []
        group.append(line)
        if at + 1 == len(lines):
            yield from _block(group, below, column, fonts, depths)


def _begins(group: list[Line], line: Line, column: Column, fonts: Fonts) -> bool:
    """Whether a line begins another block than the lines before it."""
    above = group[-1]
    size = max(line.size, above.size)
    usual = max(column.pitch, 1.25 * size) if size >= fonts.heading else column.pitch
    if is_divided(above.text, line.text) and line.middle - above.middle < WIDE_PITCH * usual:
        return False
    return (
        _is_apart(above, line, usual, column)
        or (fonts.differ(line.size, above.size) and len(line.text) > 2)
        or (line.bold != above.bold and not fonts.bold and _changes(group, line, column))
        or (line.italic != above.italic and not fonts.italic and _ends_italics(above, line, column))
        or _ends_paragraph(above, column)
        or (bool(lists.marker(line.text)) and _begins_item(group, line, column))
        or _begins_reference(group[0], line)
        or (bool(lists.OUTLINE.match(line.text)) and first_fits(above, line, column.right))
        or (size < fonts.heading and _is_indented(group, line, column))
        or bool(CAPTION.match(line.text) and _SENTENCE_END.search(above.text))
    )


def _is_apart(above: Line, line: Line, usual: float, column: Column) -> bool:
    """Whether the space between two lines is that between paragraphs."""
    pitch = line.middle - above.middle
    if pitch <= PARAGRAPH_PITCH * usual + 1:
        return False
    # A full line in the midst of a sentence goes on where the lines stand far apart.
    return (
        pitch > WIDE_PITCH * line.size
        or bool(_SENTENCE_END.search(above.text))
        or first_fits(above, line, column.right)
    )


def _changes(group: list[Line], line: Line, column: Column) -> bool:
    """Whether lines in bold, or those after them, are a block of their own and not running on."""
    if lists.marker(group[0].text) and line.left > group[0].left + INDENT * line.size:
        return False
    above = group[-1]
    return first_fits(above, line, column.right) or bool(_SENTENCE_END.search(above.text))


def _ends_italics(above: Line, line: Line, column: Column) -> bool:
    """Whether italics begin or end between two lines of which the first is short."""
    if is_divided(above.text, line.text):
        return False
    short = above.right - column.left < SHORT_LINE * (column.right - column.left)
    return short and first_fits(above, line, column.right)


def _ends_paragraph(line: Line, column: Column) -> bool:
    short = line.right - column.left < SHORT_LINE * (column.right - column.left)
    return short and bool(_SENTENCE_END.search(line.text))


def _is_indented(group: list[Line], line: Line, column: Column) -> bool:
    """Whether a line is indented as the first of a paragraph, or ends a hanging indentation."""
    above = group[-1]
    step = INDENT * line.size
    base = min(one.left for one in group[:3])
    if column.hanging:
        return line.left < column.left + step < above.left or (
            len(group) == 1
            and abs(line.left - above.left) < step
            and above.left < column.left + step
        )
    if line.left > base + step and above.left < line.left - step:
        # The further lines of a list item or of a reference are indented, too.
        first = group[0].text
        return (
            not (lists.marker(first) or lists.LABEL.match(first))
            and line.left < base + MAX_INDENT * line.size
        )
    return len(group) > 1 and line.left < above.left - step


def _begins_item(group: list[Line], line: Line, column: Column) -> bool:
    """Whether a line with a mark is an item: a number may also stand there by chance."""
    if lists.BULLET.match(line.text) and line.text[0] not in "o*-\u2013\u2014":
        return True
    above = group[-1]
    if lists.marker(group[0].text):
        return line.left <= group[0].left + 0.5 * line.size or line.left > above.left
    return bool(_SENTENCE_END.search(above.text)) or (
        above.right - column.left < 0.9 * (column.right - column.left)
    )


def _begins_reference(first: Line, line: Line) -> bool:
    """Whether two lines have the labels of references at the same place."""
    return (
        abs(line.left - first.left) < INDENT * line.size
        and bool(lists.LABEL.match(line.text))
        and bool(lists.LABEL.match(first.text))
    )


def _block(
    group: list[Line], below: Line | None, column: Column, fonts: Fonts, depths: lists.Depths
) -> Iterator[Block]:
    if is_heading(group, below, column.right, fonts):
        depths.reset()
        yield Block("heading", _joined(group, None), size=max(line.size for line in group))
        return
    text = _joined(group, column)
    if lists.marker(group[0].text):
        yield Block("item", text, depths.depth(group[0].left, group[0].size))
        return
    depths.reset()
    yield Block("paragraph", text)


def _joined(group: list[Line], column: Column | None) -> str:
    """Return the text of lines; a break made on purpose stays one where the column is given."""
    text = linked_text(group[0].items)
    item = bool(lists.marker(group[0].text))
    for above, line in pairwise(group):
        more = linked_text(line.items)
        if column is not None and not item and _is_broken(above, line, column):
            text = f"{text}\n{more}"
        else:
            text = append_text(text, more)
    return text


def _is_broken(above: Line, line: Line, column: Column) -> bool:
    if is_divided(above.text, line.text):
        return False
    short = above.right - column.left < BROKEN_LINE * (column.right - column.left)
    return (short or column.loose) and first_fits(above, line, column.right)
