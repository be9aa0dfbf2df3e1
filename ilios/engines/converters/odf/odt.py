"""ODT to Markdown: a text is one page."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from actors.engines import Unconvertible
from ilios.engines.converters import markdown
from ilios.engines.converters.odf.blocks import BlockReader
from ilios.engines.converters.odf.changes import Changes
from ilios.engines.converters.odf.inlines import InlineReader
from ilios.engines.converters.odf.names import child, clark
from ilios.engines.converters.odf.package import Package, open_package
from ilios.engines.converters.odf.styles import Styles
from ilios.engines.local.limits import EngineLimits
from ilios.engines.pages import (
    WHOLE,
    ConvertedPage,
    Pages,
    Reading,
    model_name,
    selected_indices,
)
from schemas.results import PageResult
from schemas.warnings import page_warning

HEARTBEAT_SECONDS = 0.5
"""Seconds between two reports of progress, which cost a message each."""

HEADERS = ("style:header-first", "style:header", "style:header-left")
FOOTERS = ("style:footer-first", "style:footer", "style:footer-left")


class Heartbeat:
    """Reports progress that has no number, seldom enough to cost nothing."""

    def __init__(self, report: Callable[[], None]) -> None:
        self._report = report
        self._last = time.monotonic()

    def __call__(self) -> None:
        """Report, if the last time was long ago."""
        now = time.monotonic()
        if now - self._last >= HEARTBEAT_SECONDS:
            self._last = now
            self._report()


def convert(
    path: Path, limits: EngineLimits, progress: Callable[[int, int], None], reading: Reading = WHOLE
) -> Pages:
    """Convert an ODT; see :class:`ilios.engines.converters.registry.Converter`."""
    del limits  # the child itself is bounded, and so are the texts of its answer
    selected_indices(reading.ranges, 1)
    progress(0, 1)
    with open_package(path, "ODT") as package:
        body = package.body("office:text")
        if body is None:
            raise Unconvertible("corrupt", "The ODT file is damaged: its text is missing.")
        page = _page(package, body, reading, Heartbeat(lambda: progress(0, 1)))
    progress(1, 1)
    return Pages([page], model_name("ilios"))


def _page(package: Package, body: Any, reading: Reading, heartbeat: Heartbeat) -> ConvertedPage:
    styles = Styles(package.roots)
    changes = Changes(body, reading.tracked_changes)
    inlines = InlineReader(package, styles, changes, comments=reading.comments)
    reader = BlockReader(inlines, styles, reading.merged_cells, heartbeat)
    blocks = reader.blocks(body) + inlines.notes
    pictures = inlines.pictures
    headers = _margins(package, reader, HEADERS)
    footers = _margins(package, reader, FOOTERS)
    warnings = [page_warning("content_left_out", detail) for detail in reader.left_out]
    result = PageResult(
        index=0,
        markdown=markdown.clean("\n\n".join(blocks), hard_breaks=True),
        images=tuple(pictures.images),
        header=headers or None,
        footer=footers or None,
        warnings=(*warnings, *pictures.warnings, *inlines.links.warnings()),
    )
    return ConvertedPage(result, pictures.data)


def _margins(package: Package, reader: BlockReader, names: tuple[str, ...]) -> str:
    """Return the texts of headers or footers, each once."""
    texts: dict[str, None] = {}
    for root in package.roots:
        masters = child(root, "office:master-styles")
        for page in masters.iter(clark("style:master-page")) if masters is not None else ():
            for name in names:
                if (found := child(page, name)) is not None:
                    texts["\n\n".join(reader.blocks(found))] = None
    return markdown.clean("\n\n".join(filter(None, texts)))
