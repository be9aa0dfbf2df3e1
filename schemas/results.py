"""What an engine tells of the pages of a document besides their Markdown, as it is kept.

A result is JSON Lines: the first line is a ``ResultHead``, each further one a ``PageResult``, in
page order. So one of a thousand pages is written, joined and read in constant memory.
"""

from msgspec import Struct

from .documents import Tokens


class Box(Struct, frozen=True, rename="camel"):
    """Where something stands on a page, in the pixels of its ``dimensions``."""

    top_left_x: int
    top_left_y: int
    bottom_right_x: int
    bottom_right_y: int


class PageImage(Struct, frozen=True, rename="camel", omit_defaults=True):
    """An image of a page. ``name`` is what it is kept under, None if its bytes were not given."""

    id: str
    name: str | None = None
    box: Box | None = None
    annotation: str | None = None


class PageTable(Struct, frozen=True, rename="camel"):
    """A table of a page, which also stands in its Markdown. ``format`` is markdown or html."""

    id: str
    content: str
    format: str


class PageDimensions(Struct, frozen=True, rename="camel"):
    """The size in pixels at which the page was looked at."""

    dpi: int
    height: int
    width: int


class PageConfidence(Struct, frozen=True, rename="camel"):
    """How sure the engine is of the text of a page, from 0 to 1."""

    average: float
    minimum: float


class PageResult(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A page; ``index`` counts from 0. ``markdown`` holds no header and no footer given apart."""

    index: int
    markdown: str
    images: tuple[PageImage, ...] = ()
    tables: tuple[PageTable, ...] = ()
    hyperlinks: tuple[str, ...] = ()
    header: str | None = None
    footer: str | None = None
    dimensions: PageDimensions | None = None
    confidence: PageConfidence | None = None


class ResultHead(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What was paid for: the model that did it, the pages it billed, how long it took."""

    engine: str
    model: str
    pages: int
    billed_pages: int
    seconds: float = 0.0
    input_tokens: Tokens = 0
    output_tokens: Tokens = 0
