"""Styles that a shape inherits: from the layout of its slide, the master and the presentation."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from msgspec import Struct

from ilios.engines.converters.opc import Package, UnreadablePart
from ilios.engines.converters.slides.names import A, P, integer, is_on, local

TITLES = ("title", "ctrTitle")
LISTS = ("body", "obj")
"""Placeholders whose paragraphs have bullets where no style decides otherwise."""

MAX_LEVEL = 8
MAX_DRAWN = 100
"""Texts of a layout and of its master that every slide shows."""

_IN_MASTER = {"ctrTitle": "title", "title": "title", "dt": "dt", "ftr": "ftr", "sldNum": "sldNum"}
"""Type of the placeholder in the master by that in a slide; all others are its ``body``."""

_BULLETS = ("buNone", "buChar", "buAutoNum", "buBlip")


class Placeholder(Struct, frozen=True):
    """What a shape stands in for: its type as in the schema, and its index."""

    type: str
    index: str


class Source(Struct, frozen=True):
    """The shape of a layout or master with what it hands down, for shapes that stand in for it."""

    placeholder: Placeholder
    element: Any


class Layout(Struct, frozen=True):
    """The placeholders of a layout and of its master, and the text styles of the latter.

    ``drawn`` are the other texts of both, which every slide of the layout shows.
    """

    own: Sequence[Source] = ()
    master: Sequence[Source] = ()
    text_styles: Any = None
    drawn: Sequence[Any] = ()

    def sources(self, placeholder: Placeholder) -> list[Source]:
        """Return the shapes a placeholder inherits from, the nearest first."""
        found = []
        by_index = [one for one in self.own if one.placeholder.index == placeholder.index]
        by_type = [one for one in self.own if one.placeholder.type == placeholder.type]
        alike = [one for one in by_index if one in by_type]
        for candidates in (alike, by_index if placeholder.index != "0" else [], by_type):
            if candidates:
                found.append(candidates[0])
                break
        kind = _IN_MASTER.get(found[0].placeholder.type if found else placeholder.type, "body")
        found += [one for one in self.master if one.placeholder.type == kind][:1]
        return found

    def master_style(self, kind: str) -> Any:
        """Return the text style of the master for placeholders of this type."""
        name = "titleStyle" if kind in TITLES else "bodyStyle"
        if kind in ("dt", "ftr", "sldNum"):
            name = "otherStyle"
        return None if self.text_styles is None else self.text_styles.find(f"{P}{name}")


NO_LAYOUT = Layout()


def read_layout(package: Package, part: str) -> Layout:
    """Return a layout by the name of its part, as far as it can be read."""
    try:
        root = package.xml(part)
    except UnreadablePart:
        return NO_LAYOUT
    own = list(_placeholders(root))
    drawn = list(_drawn(root))
    for one in package.relationships(part).values():
        if one.type == "slideMaster" and not one.external:
            try:
                master = package.xml(one.target)
            except UnreadablePart:
                break
            if is_on(root.get("showMasterSp", "1")):
                drawn = [*_drawn(master), *drawn][:MAX_DRAWN]
            return Layout(own, list(_placeholders(master)), master.find(f"{P}txStyles"), drawn)
    return Layout(own, drawn=drawn)


def _placeholders(root: Any) -> Iterator[Source]:
    for shape in root.iter(f"{P}sp"):
        placeholder = placeholder_of(shape)
        if placeholder is not None:
            yield Source(placeholder, shape)


def _drawn(root: Any) -> Iterator[Any]:
    """Yield the text bodies of shapes that are no placeholders."""
    shapes = (one for one in root.iter(f"{P}sp") if not is_hidden(one))
    for shape in islice(shapes, MAX_DRAWN):
        body = shape.find(f"{P}txBody")
        if body is not None and placeholder_of(shape) is None:
            yield body


def is_hidden(shape: Any) -> bool:
    """Whether the author has hidden a shape."""
    properties = shape[0].find(f"{P}cNvPr") if len(shape) else None
    return properties is not None and is_on(properties.get("hidden"))


def placeholder_of(shape: Any) -> Placeholder | None:
    """Return what a shape stands in for, None for a shape of its own."""
    # nvSpPr, nvPicPr or nvGraphicFramePr is the first child of its shape.
    found = shape[0].find(f"{P}nvPr/{P}ph") if len(shape) else None
    return None if found is None else Placeholder(found.get("type", "obj"), found.get("idx", "0"))


class TextStyle:
    """Where the properties of paragraphs of one text stand: the nearest list style first."""

    def __init__(self, styles: Sequence[Any], *, listed: bool) -> None:
        self._styles = [style for style in styles if style is not None]
        self._listed = listed

    def bullet(self, paragraph: Any) -> Any:
        """Return the ``a:buChar``, ``a:buAutoNum`` or ``a:buBlip`` of a paragraph, None without.

        A placeholder for lists has them even if no style is there.
        """
        level = level_of(paragraph)
        own = paragraph.find(f"{A}pPr")
        levels = [style.find(f"{A}lvl{level + 1}pPr") for style in self._styles]
        for properties in (own, *levels):
            for child in () if properties is None else properties:
                if local(child) in _BULLETS:
                    return None if local(child) == "buNone" else child
        return _DEFAULT_BULLET if self._listed else None


class _Default:
    """Stands for the bullet of a list whose master is absent."""

    tag = f"{A}buChar"


_DEFAULT_BULLET = _Default()


def level_of(paragraph: Any) -> int:
    """Return the level of a paragraph, from 0."""
    own = paragraph.find(f"{A}pPr")
    return min(max(0 if own is None else integer(own.get("lvl")), 0), MAX_LEVEL)
