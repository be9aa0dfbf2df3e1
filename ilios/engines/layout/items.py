"""What stands on a page: the input of the layout.

Coordinates are in points; x grows to the right and y grows downwards from the upper left corner of
the page as it is shown (turned upright).
"""

from msgspec import Struct

ARTIFACT = -1
"""The content of an item that its document declares to be none, such as a running header."""


class Item(Struct, frozen=True, kw_only=True):
    """A phrase of one font. ``size`` is the height of its font in points.

    ``link`` is the target of a hyperlink that covers the phrase. An item of which ``vertical`` is
    true is written from top to bottom. ``content`` is the id of marked content, by which the
    elements of a tagged page name it; an item of several has ``parts`` of one each.
    """

    left: float
    top: float
    right: float
    bottom: float
    text: str
    size: float
    bold: bool = False
    italic: bool = False
    monospaced: bool = False
    vertical: bool = False
    link: str | None = None
    content: int | None = None
    parts: "tuple[Item, ...]" = ()


class Stroke(Struct, frozen=True):
    """A straight line from one point to another, or the middle line of a thin filled rectangle."""

    left: float
    top: float
    right: float
    bottom: float


class Shape(Struct, frozen=True):
    """The bounding box of another drawing or of an image."""

    left: float
    top: float
    right: float
    bottom: float
    is_image: bool = False


class Figure(Struct, frozen=True):
    """Something beside the text, such as an image or a comment: its box and its Markdown."""

    left: float
    top: float
    right: float
    bottom: float
    markdown: str


class Element(Struct):
    """An element of the structure tree of a tagged page, by the standard names of roles.

    A child is an element, or the id of marked content. ``alternative`` describes a figure; ``rows``
    and ``columns`` are spanned by a cell.
    """

    role: str
    children: "list[Element | int]" = []
    alternative: str = ""
    rows: int = 1
    columns: int = 1


class PageItems(Struct, frozen=True, kw_only=True):
    """All that stands on a page; ``index`` counts from 0. ``tree`` is that of a tagged page."""

    index: int
    width: float
    height: float
    items: tuple[Item, ...] = ()
    strokes: tuple[Stroke, ...] = ()
    shapes: tuple[Shape, ...] = ()
    figures: tuple[Figure, ...] = ()
    tree: tuple[Element, ...] = ()
