"""Vertical text: columns from right to left, each from top to bottom."""

import itertools
import re
from collections.abc import Iterable, Sequence
from statistics import median

from msgspec.structs import replace

from .items import Item, PageItems

SAME_COLUMN = 0.5
"""Distance of the middles of two items of a column, in their size."""

SHORT_COLUMN = 1.5
"""Free space below a column, in the size of its text, that ends a paragraph."""

PARAGRAPH_PITCH = 1.6

TIER_GAP, TIER_COLUMNS = 1.0, 3
"""White between two tiers of columns, in the size of the text, and the columns of each."""

LEAST_SIGNS = 4
STACKED_SHARE = 0.6
"""A page with so many signs that are items of their own, of which this share stand close below
another and not as close beside one, is written vertically."""

SIGN_PITCH = 1.7
"""Distance of two signs one below the other, in their size."""

_SIGN = re.compile("[\u3000-\u9fff\uac00-\ud7a3\uf900-\ufaff\uff01-\uff60]")


def with_stacked(page: PageItems) -> PageItems:
    """Return a page on which signs that stand below one another, each an item, are vertical."""
    signs = {
        id(item): item
        for item in page.items
        if not item.vertical and _SIGN.fullmatch(item.text.strip())
    }
    if len(signs) < LEAST_SIGNS:
        return page
    pairs = [
        pair
        for column in _columns(list(signs.values()))
        for pair in itertools.pairwise(column)
        if _height(pair[1]) - _height(pair[0]) < SIGN_PITCH * pair[0].size
    ]
    if not pairs:
        return page
    pitch = median([_height(below) - _height(above) for above, below in pairs])
    stacked = {id(item) for pair in pairs for item in pair}
    if len(stacked - _close_beside(signs.values(), pitch)) < STACKED_SHARE * len(signs):
        return page
    items = [replace(item, vertical=True) if id(item) in signs else item for item in page.items]
    return replace(page, items=tuple(items))


def _columns(items: Sequence[Item]) -> list[list[Item]]:
    """Return the items in columns from right to left, each from top to bottom."""
    columns: list[list[Item]] = []
    for item in sorted(items, key=lambda item: -(item.left + item.right)):
        if columns and _middle(columns[-1][0]) - _middle(item) < SAME_COLUMN * item.size:
            columns[-1].append(item)
        else:
            columns.append([item])
    for column in columns:
        column.sort(key=lambda item: item.top)
    return columns


def _close_beside(items: Iterable[Item], pitch: float) -> set[int]:
    """Return the identities of the items that stand as close beside another as ``pitch``."""
    found: set[int] = set()
    ordered = sorted(items, key=lambda item: (round(_height(item) / item.size), item.left))
    for one, other in itertools.pairwise(ordered):
        level = abs(_height(one) - _height(other)) < SAME_COLUMN * one.size
        if level and 0 <= _middle(other) - _middle(one) <= pitch:
            found.update((id(one), id(other)))
    return found


def read_vertical(items: Sequence[Item]) -> list[str]:
    """Return the paragraphs of vertical text, tier by tier."""
    return [text for tier in _tiers(items) for text in _paragraphs(tier)]


def _tiers(items: Sequence[Item]) -> list[list[Item]]:
    """Return the items above and below white that goes across all columns, from top to bottom."""
    tiers: list[list[Item]] = []
    bottom = float("-inf")
    for item in sorted(items, key=lambda item: item.top):
        if not tiers or item.top - bottom > TIER_GAP * item.size:
            tiers.append([])
        tiers[-1].append(item)
        bottom = max(bottom, item.bottom)
    several = [len(_columns(tier)) >= TIER_COLUMNS for tier in tiers]
    return tiers if all(several) else [list(items)]


def _paragraphs(items: Sequence[Item]) -> list[str]:
    columns = _columns(items)
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


def _height(item: Item) -> float:
    return (item.top + item.bottom) / 2


def _column_text(column: list[Item]) -> str:
    text = column[0].text.strip()
    for above, item in itertools.pairwise(column):
        latin = text[-1:].isascii() and item.text[:1].isascii()
        gap = item.top - above.bottom > (0.2 if latin else 1.0) * item.size
        text += (" " if gap else "") + item.text.strip()
    return text
