"""Turned and slanted text in tables of upright text, such as the heads of narrow columns."""

from collections.abc import Sequence

from msgspec.structs import replace

from ilios.engines.layout import strokes
from ilios.engines.layout.items import Item, PageItems
from ilios.engines.pdf.characters import Character, group, slanted
from ilios.engines.pdf.geometry import Rect, Sheet, turn, turned_size

HEAD_HEIGHT = 60.0
"""Height above a grid in which heads of its columns stand."""

LEAST_EDGES = 3
"""Edges of the rows, and of the columns, of a table."""


def inside_tables(
    page: PageItems, found: Sequence[Character], sheet: Sheet
) -> tuple[list[Item], list[Character]]:
    """Return what is turned in the tables of an upright page, and the characters outside."""
    turned = [one for one in found if one.rect and one.font and one.font.quarters != 0]
    boxes = [box for box in _tables(page) if _is_mostly_upright(box, page.items, turned)]
    if not boxes:
        return [], list(found)
    inside: list[Character] = []
    outside: list[Character] = []
    for one in found:
        rect = one.rect
        if rect is None:  # blanks and line breaks
            inside.append(one)
            outside.append(one)
        else:
            (inside if any(_holds(box, rect) for box in boxes) else outside).append(one)
    items = list(slanted(inside))
    for quarters in (1, 2, 3):
        size = turned_size(quarters, *sheet.size)
        items += [_back(item, quarters, size) for item in group(inside, quarters, sheet.size)]
    return items, outside


def _tables(page: PageItems) -> list[Rect]:
    return [
        Rect(grid.left, grid.top - HEAD_HEIGHT, grid.right, grid.bottom)
        for grid in strokes.grids(*strokes.rules(page.strokes))
        if min(len(grid.xs), len(grid.ys)) >= LEAST_EDGES
    ]


def _is_mostly_upright(box: Rect, items: Sequence[Item], turned: Sequence[Character]) -> bool:
    """Whether a table has more upright than turned text, and some of both."""
    count = sum(one.rect is not None and _holds(box, one.rect) for one in turned)
    upright = sum(
        len(item.text)
        for item in items
        if _holds(box, Rect(item.left, item.top, item.right, item.bottom))
    )
    return 0 < count < upright


def _holds(box: Rect, rect: Rect) -> bool:
    return (
        2 * box.left <= rect.left + rect.right <= 2 * box.right
        and 2 * box.top <= rect.top + rect.bottom <= 2 * box.bottom
    )


def _back(item: Item, quarters: int, size: tuple[float, float]) -> Item:
    """Return an item of the page turned by quarter turns, of this size, on the page as shown."""
    box = turn(Rect(item.left, item.top, item.right, item.bottom), 4 - quarters, *size)
    return replace(item, left=box.left, top=box.top, right=box.right, bottom=box.bottom)
