"""Shapes of a slide with their places, groups as trees."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from ilios.engines.converters.slides.names import A, P, integer, local
from ilios.engines.converters.slides.order import Box
from ilios.engines.converters.slides.styles import (
    Layout,
    Placeholder,
    Source,
    is_hidden,
    placeholder_of,
)

EMU = 12_700
"""English Metric Units in a point."""

MAX_DEPTH = 30
"""Groups in groups; what is deeper belongs to the group at this depth, without places."""

MAX_SHAPES = 20_000
"""Shapes of a slide."""

_LEAVES = ("sp", "pic", "graphicFrame", "cxnSp", "contentPart")


class Shape(Struct, frozen=True):
    """A shape with its place on the slide, what it stands in for, or what it groups."""

    element: Any
    kind: str
    box: Box | None = None
    placeholder: Placeholder | None = None
    sources: Sequence[Source] = ()
    members: "Sequence[Shape]" = ()

    @property
    def name(self) -> str:
        """The name the author or the program gave it."""
        properties = self.element[0].find(f"{P}cNvPr") if len(self.element) else None
        return "" if properties is None else properties.get("name", "")


class _Scale(Struct, frozen=True):
    """The transformation of the coordinates of a group into those of the slide."""

    left: float = 0.0
    top: float = 0.0
    across: float = 1.0
    down: float = 1.0


class ShapeReader:
    """Reads the shapes of one slide; ``left_out`` counts those beyond the bound."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._left = MAX_SHAPES
        self.left_out = 0

    def read(self, tree: Any) -> list[Shape]:
        """Return the shapes of a ``p:spTree`` in the order in which they are drawn."""
        return self._members(tree, _Scale(), 0)

    def _members(self, tree: Any, scale: _Scale, depth: int) -> list[Shape]:
        found = []
        for element in tree:
            kind = local(element)
            if kind == "grpSp" and not is_hidden(element):
                found.append(self._group(element, scale, depth))
            elif kind in _LEAVES and not is_hidden(element) and self._has_room():
                found.append(self._leaf(element, kind, scale))
        return found

    def _group(self, element: Any, scale: _Scale, depth: int) -> Shape:
        place = element.find(f"{P}grpSpPr/{A}xfrm")
        box = _box(place, scale)
        if depth < MAX_DEPTH:
            members = self._members(element, _inner_scale(place, box, scale), depth + 1)
        else:
            leaves = element.iter(*(f"{P}{kind}" for kind in _LEAVES))
            members = [
                Shape(one, local(one)) for one in leaves if not is_hidden(one) and self._has_room()
            ]
        return Shape(element, "grpSp", box, members=members)

    def _has_room(self) -> bool:
        if not self._left:
            self.left_out += 1
            return False
        self._left -= 1
        return True

    def _leaf(self, element: Any, kind: str, scale: _Scale) -> Shape:
        placeholder = placeholder_of(element)
        sources = self._layout.sources(placeholder) if placeholder else []
        box = _box(_place(element), scale)
        for source in sources:
            box = box or _box(_place(source.element), scale)
        if placeholder and sources and not _has_type(element):
            placeholder = Placeholder(sources[0].placeholder.type, placeholder.index)
        return Shape(element, kind, box, placeholder, sources)


def _has_type(element: Any) -> bool:
    return element[0].find(f"{P}nvPr/{P}ph").get("type") is not None


def _place(element: Any) -> Any:
    place = element.find(f"{P}spPr/{A}xfrm")
    return element.find(f"{P}xfrm") if place is None else place


def _box(place: Any, scale: _Scale) -> Box | None:
    offset = None if place is None else place.find(f"{A}off")
    extent = None if place is None else place.find(f"{A}ext")
    if offset is None or extent is None:
        return None
    left = scale.left + scale.across * integer(offset.get("x")) / EMU
    top = scale.top + scale.down * integer(offset.get("y")) / EMU
    width = abs(scale.across * integer(extent.get("cx")) / EMU)
    height = abs(scale.down * integer(extent.get("cy")) / EMU)
    return Box(left, top, left + width, top + height)


def _inner_scale(place: Any, box: Box | None, scale: _Scale) -> _Scale:
    """Return the transformation for the members of a group, which have coordinates of their own."""
    offset = None if place is None else place.find(f"{A}chOff")
    extent = None if place is None else place.find(f"{A}chExt")
    if box is None or offset is None or extent is None:
        return scale
    width, height = integer(extent.get("cx")) / EMU, integer(extent.get("cy")) / EMU
    across = (box.right - box.left) / width if width > 0 else scale.across
    down = (box.bottom - box.top) / height if height > 0 else scale.down
    left = box.left - across * integer(offset.get("x")) / EMU
    top = box.top - down * integer(offset.get("y")) / EMU
    return _Scale(left, top, across, down)
