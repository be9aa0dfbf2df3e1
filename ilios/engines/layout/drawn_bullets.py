"""Bullets of lists that are drawn, as browsers and slides do, and no letters of a font."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

from msgspec.structs import replace

from .items import Item, PageItems, Shape

SMALLEST = 1.0
LARGEST = 0.6
"""Least size of a bullet in points, and its most in the size of the font."""

SQUARE = 1.3
"""Most ratio of the sides of a bullet."""

FARTHEST = 2.5
"""Gap between a bullet and its text, in the size of the font."""

BEFORE = 3.0
"""Gap between a bullet and other text on its left."""

CENTRED = 0.3
"""Distance of the middles of a bullet and its text, in the size of the font."""

LEAST = 2
MOST = 300
"""Bullets of a page; a page with more small shapes has a diagram."""


def with_drawn_bullets(page: PageItems) -> PageItems:
    """Return the page with an item for each bullet that is drawn."""
    shapes = [shape for shape in page.shapes if _may_be_bullet(shape)]
    if not LEAST <= len(shapes) <= MOST:
        return page
    bullets = {id(item): _bullet(shape, item) for shape, item in _pairs(page, shapes)}
    if len(bullets) < LEAST:
        return page
    items: list[Item] = []
    for item in page.items:
        items += [bullets[id(item)], item] if id(item) in bullets else [item]
    return replace(page, items=tuple(items))


def _may_be_bullet(shape: Shape) -> bool:
    short, long = sorted((shape.right - shape.left, shape.bottom - shape.top))
    return not shape.is_image and SMALLEST <= short <= long <= SQUARE * short


def _pairs(page: PageItems, shapes: list[Shape]) -> Iterator[tuple[Shape, Item]]:
    """Yield the bullets with the items that follow them."""
    ordered = sorted(
        (item for item in page.items if not item.vertical and item.text.strip()),
        key=lambda item: item.top + item.bottom,
    )
    middles = [item.top + item.bottom for item in ordered]
    reach = 2 * CENTRED * max((item.size for item in ordered), default=0.0)
    for shape in shapes:
        height = shape.bottom - shape.top
        middle = shape.top + shape.bottom
        row = [
            item
            for item in ordered[
                bisect_left(middles, middle - reach) : bisect_right(middles, middle + reach)
            ]
            if abs(item.top + item.bottom - middle) <= 2 * CENTRED * item.size
        ]
        after = [item for item in row if item.left >= shape.right]
        if not after:
            continue
        item = min(after, key=lambda item: item.left)
        if (
            height <= LARGEST * item.size
            and item.left - shape.right <= FARTHEST * item.size
            and not any(
                other.left < shape.right and other.right > shape.left - BEFORE * item.size
                for other in row
            )
        ):
            yield shape, item


def _bullet(shape: Shape, item: Item) -> Item:
    return Item(
        left=shape.left,
        top=item.top,
        right=shape.right,
        bottom=item.bottom,
        text="\u2022",
        size=item.size,
    )
