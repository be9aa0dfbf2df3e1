"""The stored report of an engine on the pages of a document, besides their Markdown.

A result is JSON Lines: the first line is a ``ResultHead``, each further one a ``PageResult``, in
page order. So one of a thousand pages is written, joined and read in constant memory.
"""

from collections.abc import AsyncIterable, AsyncIterator
from typing import Literal

from msgspec import Struct

from .documents import Tokens
from .quality import PageMeasures
from .warnings import PageWarning

ReadingMethod = Literal["text_layer", "plain_text", "recognition", "mixed"]
"""How a page was read: its text layer with the layout, without it, by recognition, or by several.
"""


class Box(Struct, frozen=True, rename="camel"):
    """A rectangle on a page, in pixels of the ``dimensions`` of the page."""

    top_left_x: int
    top_left_y: int
    bottom_right_x: int
    bottom_right_y: int


class PageImage(Struct, frozen=True, rename="camel", omit_defaults=True):
    """An image of a page. ``name`` is its name in the blob store, None without its bytes."""

    id: str
    name: str | None = None
    box: Box | None = None
    annotation: str | None = None


class PageTable(Struct, frozen=True, rename="camel"):
    """A table of a page, also part of its Markdown. ``format`` is markdown or html."""

    id: str
    content: str
    format: str


class PageHeading(Struct, frozen=True):
    """A heading of a page, also part of its Markdown. ``level`` is 1 to 6."""

    level: int
    text: str


class PageDimensions(Struct, frozen=True, rename="camel"):
    """The size in pixels at which the page was recognised."""

    dpi: int
    height: int
    width: int


class PageConfidence(Struct, frozen=True, rename="camel"):
    """Confidence of the engine in the text of a page, from 0 to 1."""

    average: float
    minimum: float


class PageResult(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A page; ``index`` counts from 0. A separate header or footer is not in ``markdown``.

    ``conservation`` is the share, from 0 to 1, of the words of the page that are in the Markdown,
    the header or the footer; None where it was not measured.
    """

    index: int
    markdown: str
    images: tuple[PageImage, ...] = ()
    tables: tuple[PageTable, ...] = ()
    hyperlinks: tuple[str, ...] = ()
    header: str | None = None
    footer: str | None = None
    dimensions: PageDimensions | None = None
    confidence: PageConfidence | None = None
    headings: tuple[PageHeading, ...] = ()
    method: ReadingMethod | None = None
    conservation: float | None = None
    warnings: tuple[PageWarning, ...] = ()

    @property
    def measures(self) -> PageMeasures:
        """What the page adds to the quality and the warnings of its document."""
        confidence = self.confidence.average if self.confidence else None
        return PageMeasures(self.index, self.conservation, confidence, self.method, self.warnings)


class ResultHead(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The conversion as a whole: the model used, the pages billed, the time it took."""

    engine: str
    model: str
    pages: int
    billed_pages: int
    seconds: float = 0.0
    input_tokens: Tokens = 0
    output_tokens: Tokens = 0


async def split_lines(chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """Yield the lines of a stream without their line ends; empty ones are left out."""
    pending: list[bytes] = []  # of a line, which may be longer than many chunks
    async for chunk in chunks:
        *ended, rest = chunk.split(b"\n")
        for end in ended:
            if line := b"".join((*pending, end)):
                yield line
            pending = []
        pending.append(rest)
    if line := b"".join(pending):
        yield line
