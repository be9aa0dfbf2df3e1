"""What the native parser found on a page, as input of the layout."""

from collections.abc import Iterable, Iterator, Sequence

from liteparse.types import ParsedPage, TextItem, VectorGraphics
from msgspec.structs import replace

from ilios.engines.layout.items import Item, PageItems, Shape, Stroke
from ilios.engines.pdf.brackets import with_brackets
from ilios.engines.pdf.characters import is_right_to_left
from ilios.engines.pdf.fonts import font_style
from ilios.engines.pdf.geometry import Rect, turn, turned_size

MAX_ITEMS = 20_000
MAX_STROKES = 6_000
MAX_SHAPES = 2_000
"""Bounds of one page. With more text the page becomes plain text; more drawings are left out."""

THIN_POINTS = 3.0
"""A filled rectangle that is no thicker is a rule."""

RULE_RATIO = 3.0
"""So much longer than thick is a rule at least."""

UPRIGHT_DEGREES = 20.0
"""Text that is slanted less is taken for upright."""


def page_items(
    page: ParsedPage, index: int, without: frozenset[str | None] = frozenset()
) -> PageItems:
    """Return the upright text, but for that of some fonts, and the drawings of a page."""
    graphics = page.vector_graphics
    return PageItems(
        index=index,
        width=page.width,
        height=page.height,
        items=tuple(text_items(page, without)),
        strokes=tuple(_strokes(graphics)) if graphics else (),
        shapes=tuple(_shapes(graphics)) if graphics else (),
    )


def is_upright(item: TextItem) -> bool:
    """Whether an item is read from left to right on the page as it is shown."""
    return abs((item.rotation + 180) % 360 - 180) <= UPRIGHT_DEGREES


def text_items(page: ParsedPage, without: frozenset[str | None] = frozenset()) -> Iterator[Item]:
    """Yield the upright text of a page, but for that of some fonts."""
    for found in page.text_items[:MAX_ITEMS]:
        text = " ".join(found.text.split())
        if not text or not is_upright(found) or found.font_name in without:
            continue
        if is_right_to_left(text):
            text = with_brackets(text)
        style = font_style(found.font_name, found.font_weight)
        yield Item(
            left=found.x,
            top=found.y,
            right=found.x + found.width,
            bottom=found.y + found.height,
            text=text,
            size=found.font_height or found.height,
            bold=style.bold,
            italic=style.italic,
            monospaced=style.monospaced,
        )


def _strokes(graphics: VectorGraphics) -> Iterator[Stroke]:
    for line in graphics.lines[:MAX_STROKES]:
        yield Stroke(
            min(line.x1, line.x2),
            min(line.y1, line.y2),
            max(line.x1, line.x2),
            max(line.y1, line.y2),
        )
    for shape in graphics.shapes[:MAX_SHAPES]:
        left, top, width, height = shape.bbox
        if not _is_rule(width, height):
            continue
        if width > height:
            yield Stroke(left, top + height / 2, left + width, top + height / 2)
        else:
            yield Stroke(left + width / 2, top, left + width / 2, top + height)


def _is_rule(width: float, height: float) -> bool:
    thick, long = sorted((width, height))
    return thick <= THIN_POINTS and long >= RULE_RATIO * max(thick, 1)


def _shapes(graphics: VectorGraphics) -> Iterator[Shape]:
    for shape in graphics.shapes[:MAX_SHAPES]:
        left, top, width, height = shape.bbox
        if not _is_rule(width, height):
            yield Shape(left, top, left + width, top + height)


def with_items(page: PageItems, items: Sequence[Item]) -> PageItems:
    """Return the page with further items."""
    return replace(page, items=(*page.items, *items)) if items else page


def with_pictures(page: PageItems, pictures: Iterable[Rect]) -> PageItems:
    """Return the page with further images."""
    images = (Shape(one.left, one.top, one.right, one.bottom, is_image=True) for one in pictures)
    return replace(page, shapes=(*page.shapes, *images))


def turned_characters(items: Sequence[TextItem]) -> tuple[int, int]:
    """Return how many characters are upright, and how many are not."""
    turned_count = sum(len(item.text) for item in items if item.rotation and not is_upright(item))
    return sum(len(item.text) for item in items) - turned_count, turned_count


def turned(page: PageItems, quarters: int, items: Iterable[Item]) -> PageItems:
    """Return the page after clockwise quarter turns, with ``items`` that are turned already."""
    size = (page.width, page.height)
    width, height = turned_size(quarters, *size)
    return PageItems(
        index=page.index,
        width=width,
        height=height,
        items=tuple(items),
        strokes=tuple(
            Stroke(box.left, box.top, box.right, box.bottom)
            for box in (_turn(one, quarters, size) for one in page.strokes)
        ),
        shapes=tuple(
            Shape(box.left, box.top, box.right, box.bottom, one.is_image)
            for one, box in ((one, _turn(one, quarters, size)) for one in page.shapes)
        ),
    )


def _turn(one: Stroke | Shape, quarters: int, size: tuple[float, float]) -> Rect:
    return turn(Rect(one.left, one.top, one.right, one.bottom), quarters, *size)
