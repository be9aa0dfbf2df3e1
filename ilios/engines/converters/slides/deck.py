"""A presentation: its slides in the order of the show, and what they share."""

from functools import cached_property, lru_cache
from typing import Any

from actors.engines import Unconvertible
from ilios.engines.converters.opc import Package, UnreadablePart
from ilios.engines.converters.slides.comments import Authors
from ilios.engines.converters.slides.names import P, R, integer, is_on
from ilios.engines.converters.slides.pictures import Pictures
from ilios.engines.converters.slides.shapes import EMU
from ilios.engines.converters.slides.styles import Layout, read_layout

CACHED_LAYOUTS = 16
"""Layouts that stay in memory; each slide has one, and most decks have few."""

DEFAULT_SIZE = (720.0, 540.0)
MAX_SIDE = 4032.0
"""Size of a slide in points, and the largest side that PowerPoint allows."""


class Deck:
    """A presentation in an open package."""

    def __init__(self, package: Package) -> None:
        self.package = package
        self._main = package.main_part
        self.pictures = Pictures(package)
        self.layout_of = lru_cache(CACHED_LAYOUTS)(self._layout)

    @cached_property
    def _root(self) -> Any:
        try:
            return self.package.xml(self._main)
        except UnreadablePart:
            return None

    @cached_property
    def slides(self) -> list[str]:
        """The parts of the slides in the order of the show, empty for one that is absent.

        :raises Unconvertible: ``corrupt``, there is none.
        """
        related = self.package.relationships(self._main)
        slides = {
            name: one.target
            for name, one in related.items()
            if one.type == "slide" and not one.external
        }
        if self._root is not None:
            listed = self._root.findall(f"{P}sldIdLst/{P}sldId")
            if listed:
                return [slides.get(one.get(f"{R}id", ""), "") for one in listed]
        if not slides:
            raise Unconvertible("corrupt", "The PPTX file has no slides that can be read.")
        # Without the list, programs number the relationships and the parts in order.
        return sorted(slides.values(), key=lambda one: (len(one), one))

    @cached_property
    def authors(self) -> Authors:
        return Authors(self.package)

    @cached_property
    def size(self) -> tuple[float, float]:
        """Width and height of the slides in points."""
        found = None if self._root is None else self._root.find(f"{P}sldSz")
        if found is None:
            return DEFAULT_SIZE
        width, height = integer(found.get("cx")) / EMU, integer(found.get("cy")) / EMU
        sane = all(1 <= side <= MAX_SIDE for side in (width, height))
        return (width, height) if sane else DEFAULT_SIZE

    @property
    def from_right(self) -> bool:
        """Whether the presentation is for a script from right to left."""
        return self._root is not None and is_on(self._root.get("rtl"))

    @cached_property
    def text_style(self) -> Any:
        """The style of texts that are no placeholders, None without."""
        return None if self._root is None else self._root.find(f"{P}defaultTextStyle")

    def _layout(self, part: str) -> Layout:
        return read_layout(self.package, part)
