"""The text that a slide shows, word for word, to compare with what was made of it."""

from collections.abc import Iterable, Iterator
from typing import Any

from ilios.engines.converters.slides.names import A, is_on, local
from ilios.engines.converters.slides.shapes import Shape
from ilios.engines.converters.slides.text import is_text


def shown_text(shapes: Iterable[Shape]) -> str:
    """Return the paragraphs of shapes and of their members, without fields a viewer fills in."""
    return "\n".join(line for shape in shapes for line in _lines(shape))


def _lines(shape: Shape) -> Iterator[str]:
    if shape.kind == "grpSp":
        yield shown_text(shape.members)
        return
    for paragraph in shape.element.iter(f"{A}p"):
        if not _is_covered(paragraph):
            yield "".join(_pieces(paragraph))


def _pieces(paragraph: Any) -> Iterator[str]:
    for child in paragraph:
        if local(child) == "br":
            yield " "
        elif local(child) == "r" or (local(child) == "fld" and is_text(child)):
            yield child.findtext(f"{A}t") or ""


def _is_covered(paragraph: Any) -> bool:
    """Whether a paragraph is in a cell of a table that another cell covers."""
    body = paragraph.getparent()
    cell = None if body is None else body.getparent()
    if cell is None or local(cell) != "tc":
        return False
    return is_on(cell.get("hMerge")) or is_on(cell.get("vMerge"))
