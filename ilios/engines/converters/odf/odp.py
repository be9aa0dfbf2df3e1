"""ODP to Markdown: each slide is a page."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from actors.engines import Unconvertible
from ilios.engines.converters import markdown
from ilios.engines.converters.list_levels import followed
from ilios.engines.converters.odf.blocks import BlockReader
from ilios.engines.converters.odf.changes import Changes
from ilios.engines.converters.odf.inlines import InlineReader
from ilios.engines.converters.odf.names import attribute, child, tag
from ilios.engines.converters.odf.odt import Heartbeat
from ilios.engines.converters.odf.package import Package, open_package
from ilios.engines.converters.odf.styles import Styles
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
from schemas.results import PageResult
from schemas.warnings import page_warning

HIDDEN = "*(hidden slide)*"
FROM_TEMPLATE = ("footer", "header", "page-number", "date-time")
"""Classes of shapes that the template repeats on every slide."""

MAX_GROUPS = 20


def convert(
    path: Path, limits: EngineLimits, progress: Callable[[int, int], None], reading: Reading = WHOLE
) -> Pages:
    """Convert an ODP; see :class:`ilios.engines.converters.registry.Converter`."""
    with open_package(path, "ODP") as package:
        slides = _slides(package)
        selected = selected_indices(reading.ranges, len(slides))
        check_page_limit("ODP", "slides", len(slides), len(selected), limits.max_pages)
        total = len(selected)
        progress(0, total)
        reader = SlideReader(package, reading)
        pages: list[ConvertedPage] = []
        for index in selected:
            heartbeat = Heartbeat(lambda: progress(len(pages), total))
            pages.append(reader.read(slides[index], index, heartbeat))
            progress(len(pages), total)
    return Pages(pages, model_name("ilios"))


def count_pages(path: Path) -> int:
    """Return how many slides an ODP has.

    :raises Unconvertible: it is damaged or protected.
    """
    with open_package(path, "ODP") as package:
        return len(_slides(package))


class SlideReader:
    """Reads the slides of one presentation."""

    def __init__(self, package: Package, reading: Reading) -> None:
        self._package = package
        self._reading = reading
        self._styles = Styles(package.roots)

    def read(self, slide: Any, index: int, heartbeat: Callable[[], None]) -> ConvertedPage:
        """Return a slide: its title, its shapes, its notes."""
        inlines = InlineReader(
            self._package, self._styles, Changes(None, None), comments=self._reading.comments
        )
        reader = BlockReader(inlines, self._styles, self._reading.merged_cells, heartbeat)
        blocks: list[str] = []
        style = attribute(slide, "draw:style-name")
        hidden = self._styles.property(
            "drawing-page", style, "drawing-page", "presentation:visibility"
        )
        if hidden == "hidden":
            blocks.append(HIDDEN)
        shapes = _shapes(slide, 0)
        for shape in sorted(shapes, key=lambda one: not _is_title(one)):
            found = reader.blocks([shape])
            if _is_title(shape):
                title = markdown.one_line(" ".join(found).replace("\\\n", " "))
                found = [f"# {title.lstrip('#').strip()}"] if title else []
            for block in found:
                blocks.append(followed(blocks[-1:], block, typed=False))
        blocks += inlines.notes
        blocks += _notes(slide, reader)
        warnings = [page_warning("content_left_out", detail) for detail in reader.left_out]
        pictures = inlines.pictures
        result = PageResult(
            index=index,
            markdown=markdown.clean("\n\n".join(filter(None, blocks)), hard_breaks=True),
            images=tuple(pictures.images),
            warnings=(*warnings, *pictures.warnings, *inlines.links.warnings()),
        )
        return ConvertedPage(result, pictures.data)


def _slides(package: Package) -> list[Any]:
    body = package.body("office:presentation")
    slides = [] if body is None else [one for one in body if tag(one) == "draw:page"]
    if not slides:
        raise Unconvertible("corrupt", "The ODP file is damaged: it has no slides.")
    return slides


def _shapes(parent: Any, depth: int) -> list[Any]:
    """Return the shapes of a slide, groups replaced by their members."""
    shapes: list[Any] = []
    for one in parent:
        if tag(one) == "draw:g" and depth < MAX_GROUPS:
            shapes += _shapes(one, depth + 1)
        elif attribute(one, "presentation:class") not in FROM_TEMPLATE and (
            attribute(one, "presentation:placeholder") != "true"
        ):
            shapes.append(one)
    return shapes


def _is_title(shape: Any) -> bool:
    return attribute(shape, "presentation:class") == "title"


def _notes(slide: Any, reader: BlockReader) -> list[str]:
    notes = child(slide, "presentation:notes")
    if notes is None:
        return []
    shapes = [one for one in _shapes(notes, 0) if tag(one) != "draw:page-thumbnail"]
    text = "\n\n".join(reader.blocks(shapes))
    if not text.strip():
        return []
    return [markdown.quoted(f"**Notes**\n\n{text}")]
