"""HTML to Markdown: what a browser shows of the page, as one page."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from actors.engines import Unconvertible
from ilios.engines.converters import blocks, markdown
from ilios.engines.converters.blocks import Paragraph
from ilios.engines.converters.left_out_links import LeftOutLinks
from ilios.engines.converters.web import parsing, walk
from ilios.engines.converters.web.notes import Notes
from ilios.engines.converters.web.pictures import Pictures, data_of_url
from ilios.engines.local.limits import MIB, EngineLimits
from ilios.engines.pages import (
    WHOLE,
    ConvertedPage,
    Pages,
    Reading,
    model_name,
    selected_indices,
)
from schemas.results import PageResult
from schemas.warnings import PageWarning, page_warning

MAX_BYTES = 32 * MIB
"""Larger than any page; the tree of one takes ten times as much memory."""

TOO_DEEP = "the nesting of elements, which is too deep; the text is given in paragraphs"


def convert(
    path: Path, limits: EngineLimits, progress: Callable[[int, int], None], reading: Reading = WHOLE
) -> Pages:
    """Convert HTML; see :class:`ilios.engines.converters.registry.Converter`."""
    del limits
    selected_indices(reading.ranges, 1)
    progress(0, 1)
    page = parsing.parse_html(read_bounded(path, "HTML page"))
    surroundings = _WebPage(page.root)

    def heartbeat() -> None:
        progress(0, 1)

    found = walk.blocks_of(page.root, surroundings, reading.merged_cells, heartbeat)
    title = parsing.title_of(page.root)
    if title and not any(isinstance(one, Paragraph) and one.level == 1 for one in found):
        found.insert(0, blocks.paragraph(title, level=1))
    warnings = (*surroundings.pictures.warnings(), *surroundings.links.warnings())
    if page.flat:
        warnings = (*warnings, page_warning("content_left_out", TOO_DEEP))
    text = blocks.write(found, heartbeat)
    progress(1, 1)
    return Pages([picture_page(0, text, surroundings.pictures, warnings)], model_name("lxml"))


def picture_page(
    index: int, text: str, pictures: Pictures, warnings: tuple[PageWarning, ...] = ()
) -> ConvertedPage:
    """Return Markdown and the pictures in it as a page."""
    result = PageResult(
        index=index,
        markdown=markdown.clean(text, hard_breaks=True),
        images=tuple(pictures.images),
        warnings=warnings,
    )
    return ConvertedPage(result, pictures.data)


def read_bounded(path: Path, kind: str, most: int = MAX_BYTES) -> bytes:
    """Return the bytes of a file.

    :raises Unconvertible: ``too_large``.
    """
    size = path.stat().st_size
    if size > most:
        raise Unconvertible(
            "too_large", f"The {kind} has {size} bytes; at most {most} are converted."
        )
    return path.read_bytes()


class _WebPage:
    """A page by itself. What it refers to is never loaded."""

    def __init__(self, root: Any) -> None:
        self.pictures = Pictures()
        self.links = LeftOutLinks()
        self._base = walk.base_address(root)
        self._notes = Notes()
        self._notes.add_page("", root)

    def picture(self, source: str, alt: str) -> str:
        return self.pictures.add(data_of_url(source), alt)

    def link(self, target: str) -> str:
        return self.links.checked(walk.resolve(self._base, target))

    def note(self, element: Any) -> str | None:
        return self._notes.mark("", element)

    def note_label(self, element: Any) -> str:
        return self._notes.label("", element)
