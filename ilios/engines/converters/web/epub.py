"""EPUB to Markdown: each file of the reading order is a page."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ilios.engines.converters import blocks
from ilios.engines.converters.left_out_links import LeftOutLinks
from ilios.engines.converters.web import parsing, walk
from ilios.engines.converters.web.epub_package import Package, locate, open_package
from ilios.engines.converters.web.html import MAX_BYTES, TOO_DEEP, picture_page
from ilios.engines.converters.web.notes import Notes
from ilios.engines.converters.web.pictures import Pictures, Room, data_of_url
from ilios.engines.local.limits import EngineLimits
from ilios.engines.pages import (
    WHOLE,
    ConvertedPage,
    Pages,
    Reading,
    check_page_limit,
    model_name,
    selected_indices,
)
from schemas.warnings import PageWarning, page_warning

_EMPTY = b"<html/>"


def convert(
    path: Path, limits: EngineLimits, progress: Callable[[int, int], None], reading: Reading = WHOLE
) -> Pages:
    """Convert an EPUB; see :class:`ilios.engines.converters.registry.Converter`."""
    with open_package(path) as package:
        count = len(package.pages)
        selected = selected_indices(reading.ranges, count)
        check_page_limit("EPUB", "pages", count, len(selected), limits.max_pages)
        book = _Book(package, reading, lambda: progress(0, len(selected)))
        pages = []
        for index in selected:
            pages.append(book.page(index))
            progress(len(pages), len(selected))
    return Pages(pages, model_name("lxml"), len(selected))


def count_pages(path: Path) -> int:
    """Return how many files the reading order has.

    :raises Unconvertible: it is damaged or protected.
    """
    with open_package(path) as package:
        return len(package.pages)


class _Book:
    """What the pages of a book share: its notes, and the room for pictures."""

    def __init__(self, package: Package, reading: Reading, heartbeat: Callable[[], None]) -> None:
        self._package = package
        self._reading = reading
        self._heartbeat = heartbeat
        self._room = Room()
        self._notes = Notes()
        others = []
        for name in package.pages:
            heartbeat()
            data = package.read(name)
            if data and b"noteref" in data and len(data) < MAX_BYTES:
                self._notes.add_page(_file(name), parsing.parse_xhtml(data).root)
            else:
                others.append(name)
        for name in others:
            heartbeat()
            if self._notes.leads_to(_file(name)):
                data = package.read(name)
                if data and len(data) < MAX_BYTES:
                    self._notes.add_page(_file(name), parsing.parse_xhtml(data).root)

    def page(self, index: int) -> ConvertedPage:
        """Convert a page."""
        name = self._package.pages[index]
        data = self._package.read(name)
        warnings: list[PageWarning] = []
        if data is None or len(data) > MAX_BYTES:
            warnings.append(page_warning("part_unreadable", name[:200]))
            data = None
        page = parsing.parse_xhtml(data or _EMPTY)
        if page.flat:
            warnings.append(page_warning("content_left_out", TOO_DEEP))
        surroundings = _Chapter(self._package, name, self._notes, self._room)
        found = walk.blocks_of(page.root, surroundings, self._reading.merged_cells, self._heartbeat)
        cover = self._package.cover
        if index == 0 and cover and cover not in surroundings.seen:
            found.insert(0, blocks.Markup(surroundings.show(cover, "")))
        text = blocks.write(found, self._heartbeat)
        pictures = surroundings.pictures
        warnings += [*pictures.warnings(), *surroundings.links.warnings()]
        return picture_page(index, text, pictures, tuple(warnings))


class _Chapter:
    """A page in its book. What lies outside of the book is never loaded."""

    def __init__(self, package: Package, name: str, notes: Notes, room: Room) -> None:
        self.pictures = Pictures(room)
        self.links = LeftOutLinks()
        self.seen: set[str] = set()
        self._package = package
        self._name = name
        self._notes = notes

    def picture(self, source: str, alt: str) -> str:
        if source.strip().lower().startswith("data:"):
            return self.pictures.add(data_of_url(source), alt)
        return self.show(locate(self._name, source), alt)

    def show(self, name: str, alt: str) -> str:
        """Return the Markdown of a picture of the book."""
        self.seen.add(name)
        return self.pictures.add(self._package.picture(name), alt)

    def link(self, target: str) -> str:
        """Return an address outside of the book: within it there are no files to lead to."""
        address = self.links.checked(walk.resolve("", target))
        return address if ":" in address.partition("/")[0] else ""

    def note(self, element: Any) -> str | None:
        return self._notes.mark(_file(self._name), element)

    def note_label(self, element: Any) -> str:
        return self._notes.label(_file(self._name), element)


def _file(name: str) -> str:
    return name.rpartition("/")[2]
