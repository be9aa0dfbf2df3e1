"""Vertical text: columns from right to left, each from top to bottom."""

import itertools
from collections.abc import Sequence
from statistics import median

from .items import Item

SAME_COLUMN = 0.5
"""Distance of the middles of two items of a column, in their size."""

SHORT_COLUMN = 1.5
"""Free space below a column, in the size of its text, that ends a paragraph."""

PARAGRAPH_PITCH = 1.6


def read_vertical(items: Sequence[Item]) -> list[str]:
    """Return the paragraphs of vertical text."""
    columns: list[list[Item]] = []
    for item in sorted(items, key=lambda item: -(item.left + item.right)):
        if columns and _middle(columns[-1][0]) - _middle(item) < SAME_COLUMN * item.size:
            columns[-1].append(item)
        else:
            columns.append([item])
    for column in columns:
        column.sort(key=lambda item: item.top)
    bottom = max((item.bottom for item in items), default=0.0)
    pitches = [_middle(one[0]) - _middle(other[0]) for one, other in itertools.pairwise(columns)]
    usual = median(pitches) if pitches else 0.0
    paragraphs: list[str] = []
    above: list[Item] | None = None
    for column in columns:
        text = _column_text(column)
        continued = (
            above is not None
            and bottom - above[-1].bottom < SHORT_COLUMN * above[-1].size
            and _middle(above[0]) - _middle(column[0]) < PARAGRAPH_PITCH * usual
            and abs(above[0].size - column[0].size) < 0.1 * column[0].size
        )
        if continued:
            paragraphs[-1] += text
        else:
            paragraphs.append(text)
        above = column
    return paragraphs


def _middle(item: Item) -> float:
    return (item.left + item.right) / 2


def _column_text(column: list[Item]) -> str:
    text = column[0].text.strip()
    for above, item in itertools.pairwise(column):
        latin = text[-1:].isascii() and item.text[:1].isascii()
        gap = item.top - above.bottom > (0.2 if latin else 1.0) * item.size
        text += (" " if gap else "") + item.text.strip()
    return text
