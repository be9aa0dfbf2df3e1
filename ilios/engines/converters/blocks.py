"""Blocks of a document (paragraphs, headings, lists, tables, code) as Markdown."""

import re
from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct

from ilios.engines.converters.inline import Run, escape_line_starts, render
from ilios.engines.converters.markdown import fenced, heading, one_line, quoted, table

MAX_DEPTH = 30
"""Levels of lists and quotes; who builds blocks puts the content of deeper ones into the last."""

_RULE = re.compile(r"^([^\S\n]*)([-_*=+~`#])(?=(?:[ \t]*\2){2,}[ \t]*$)", re.MULTILINE)
"""A line of text that would be a rule, an underline or a fence."""

_HEARTBEAT_EVERY = 1000  # blocks
_TABLE_BREAK = "<br>"
APART = "<!-- -->"
"""Between two items that Markdown would count as one after the other, and are not."""


class Paragraph(Struct, frozen=True):
    """Text in runs; a ``level`` from 1 makes a heading of it."""

    runs: tuple[Run, ...]
    level: int = 0


class Markup(Struct, frozen=True):
    """Markdown as it is: an equation, a picture."""

    text: str


class Table(Struct, frozen=True):
    """A table of texts that are Markdown, its first row as the heading."""

    rows: tuple[tuple[str, ...], ...]


class Code(Struct, frozen=True):
    """Lines of code, or any text whose blanks count."""

    text: str
    language: str = ""


class Rule(Struct, frozen=True):
    """A line across the page."""


class Quote(Struct, frozen=True):
    """A quotation."""

    blocks: "tuple[Block, ...]"


class Item(Struct, frozen=True):
    """An item of a list, with its ``number``, or its ``label`` where that is no number."""

    blocks: "tuple[Block, ...]"
    number: int | None = None
    label: str = ""


class Items(Struct, frozen=True):
    """A list."""

    items: tuple[Item, ...]


Block = Paragraph | Markup | Table | Code | Rule | Quote | Items


def write(blocks: Sequence[Block], heartbeat: Callable[[], None] | None = None) -> str:
    """Return blocks as Markdown; ``heartbeat`` is called now and then."""
    parts = []
    before: Block | None = None
    for number, block in enumerate(blocks):
        if heartbeat is not None and number % _HEARTBEAT_EVERY == 0:
            heartbeat()
        if _is_counted_on(before, block):
            parts.append(APART)
        parts.append("\n".join(_block_lines(block)))
        before = block
    return "\n\n".join(filter(None, parts))


def write_cell(blocks: Sequence[Block]) -> str:
    """Return blocks as the text of a cell of a table, which is one line."""
    return _TABLE_BREAK.join(filter(None, _cell_lines(blocks)))


def paragraph(text: str, level: int = 0) -> Paragraph:
    """Return a paragraph of plain text."""
    return Paragraph((Run(text),), level)


def paragraph_text(runs: Sequence[Run]) -> str:
    """Return runs as a paragraph that Markdown takes for nothing else."""
    text = render(runs).strip()
    return _RULE.sub(r"\1\\\2", escape_line_starts(text))


def _lines(blocks: Sequence[Block], *, tight: bool) -> Iterator[str]:
    """Yield the lines of blocks, with empty ones between the blocks unless ``tight``."""
    first = True
    before: Block | None = None
    for block in blocks:
        empty = True
        for line in _block_lines(block):
            if empty and not first and not tight:
                yield ""
            if empty and _is_counted_on(before, block):
                yield APART
                yield ""
            empty = False
            yield line
        first = first and empty
        before = block


def _block_lines(block: Block) -> Iterator[str]:
    match block:
        case Paragraph(runs, level):
            text = paragraph_text(runs)
            if level and text:
                text = heading(level, text)
            yield from text.splitlines()
        case Markup(text):
            yield from text.splitlines()
        case Table(rows):
            yield from table(rows).splitlines()
        case Code(text, language):
            yield from fenced(text, language).splitlines()
        case Rule():
            yield "* * *"
        case Quote(inner):
            yield from map(quoted, _lines(inner, tight=False))
        case Items(items):
            yield from _item_lines(items)


def _item_lines(items: Sequence[Item]) -> Iterator[str]:
    loose = any(not _is_tight(item) for item in items)
    first = True
    before: int | None = None
    for item in items:
        if not _goes_on(before, item.number):
            yield from ("", APART) if loose else (APART,)
        before = item.number
        mark = "- " if item.number is None else f"{item.number}. "
        indent = " " * len(mark)
        blocks = _labelled(item)
        empty = True
        for line in _lines(blocks, tight=not loose):
            if empty:
                if loose and not first:
                    yield ""
                yield f"{mark}{line}"
            else:
                yield f"{indent}{line}" if line.strip() else ""
            empty = False
        first = first and empty


def _is_counted_on(before: Block | None, block: Block) -> bool:
    """Whether Markdown would give the items of a list other numbers, due to the list before it."""
    return (
        isinstance(before, Items)
        and isinstance(block, Items)
        and not _goes_on(before.items[-1].number, block.items[0].number)
    )


def _goes_on(before: int | None, number: int | None) -> bool:
    """Whether Markdown gives an item its number, after one with the number ``before``."""
    return before is None or number is None or number == before + 1


def _labelled(item: Item) -> "tuple[Block, ...]":
    if not item.label:
        return item.blocks
    label = Run(f"{item.label} ")
    match item.blocks:
        case (Paragraph(runs, 0), *rest):
            return (Paragraph((label, *runs)), *rest)
    return (Paragraph((label,)), *item.blocks)


def _is_tight(item: Item) -> bool:
    """Whether an item is one paragraph and lists below it that need no empty line before them."""
    others = [block for block in item.blocks if not isinstance(block, Items)]
    lists = [block.items[0].number for block in item.blocks if isinstance(block, Items)]
    return (
        len(others) <= 1
        and len(lists) <= 1
        and all(isinstance(block, Paragraph) for block in others)
        and all(number in (None, 1) for number in lists)
    )


def _cell_lines(blocks: Sequence[Block]) -> Iterator[str]:
    for block in blocks:
        match block:
            case Paragraph(runs, level):
                text = one_line(render(runs).replace("  \n", _TABLE_BREAK))
                yield f"**{text}**" if level and text and "**" not in text else text
            case Markup(text):
                yield one_line(text)
            case Table(rows):
                yield from (", ".join(filter(None, map(one_line, row))) for row in rows)
            case Code(text):
                yield from (render((Run(line.strip(), code=True),)) for line in text.splitlines())
            case Quote(inner):
                yield from _cell_lines(inner)
            case Items(items):
                for item in items:
                    mark = "-" if item.number is None else f"{item.number}."
                    lines = list(filter(None, _cell_lines(_labelled(item))))
                    yield from (f"{mark} {line}" for line in lines[:1])
                    yield from lines[1:]
