"""Items of lists as Markdown, nested by their levels and indents."""

import re
from collections.abc import Sequence

from msgspec import Struct

from ilios.engines.converters.blocks import APART
from ilios.engines.converters.docx.blocks import Item

MAX_DEPTH = 12
"""Deeper items are indented like those above them."""

DEEPER_TWIPS = 90
"""An item of another list is below one that begins so much further left."""

_NUMBER = re.compile(r"(\d{1,9})([.)])")


class _Open(Struct, frozen=True):
    item: Item
    width: int
    number: int | None
    sign: str


def write_list(items: Sequence[Item], texts: Sequence[str]) -> str:
    """Return items that follow one another, with their texts."""
    lines: list[str] = []
    above: list[_Open] = []
    text_before = ""
    for item, text in zip(items, texts, strict=True):
        before: _Open | None = None
        while above and not _is_below(item, above[-1].item):
            before = above.pop()
        if len(above) >= MAX_DEPTH:
            before = above.pop()
        indent = " " * sum(one.width for one in above)
        mark, number, sign = marker(item.label)
        if before and number is not None and not _goes_on(before, number, sign):
            lines.append(indent + APART)
        if number not in (None, 1) and not before and above and text_before:
            lines.append("")  # only a list from 1 can interrupt a paragraph (CommonMark, 5.3)
        text_before = text
        first, *more = text.split("\n")
        lines.append(f"{indent}{mark} {first}" if first else f"{indent}{mark}")
        inner = " " * (len(indent) + len(mark) + 1)
        lines += [f"{inner}{line}" for line in more]
        above.append(_Open(item, len(mark.partition(" ")[0]) + 1, number, sign))
    return "\n".join(lines)


def marker(label: str) -> tuple[str, int | None, str]:
    """Return the mark of an item, and its number and sign where Markdown has such numbers.

    Others, such as "a)" and "1.1", stand after the mark of a bullet.
    """
    if not label:
        return "-", None, ""
    number = _NUMBER.fullmatch(label)
    return (label, int(number[1]), number[2]) if number else (f"- {label}", None, "-")


def _goes_on(before: _Open, number: int, sign: str) -> bool:
    """Whether Markdown would count an item as it is, or begins a list by itself."""
    return before.sign != sign or before.number is None or number == before.number + 1


def _is_below(item: Item, other: Item) -> bool:
    if item.list_id == other.list_id or item.indent is None or other.indent is None:
        return item.level > other.level
    return item.indent > other.indent + DEEPER_TWIPS
