"""Which converter takes which content type.

The one place where rooms are imported late, and by name: a child that only ever sees PDFs must not
pay for the libraries of the other kinds (seconds and hundreds of MB), and the service, which knows
this room too, for none of them.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from msgspec import Struct

from actors.engines import Unconvertible
from ilios.engines.limits import EngineLimits

OFFICE = "application/vnd.openxmlformats-officedocument"
CONVERTERS = {
    "application/pdf": "ilios.engines.pdf",
    "image/png": "ilios.engines.images",
    "image/jpeg": "ilios.engines.images",
    "image/gif": "ilios.engines.images",
    "image/webp": "ilios.engines.images",
    "image/tiff": "ilios.engines.images",
    "image/bmp": "ilios.engines.images",
    f"{OFFICE}.wordprocessingml.document": "ilios.engines.docx",
    f"{OFFICE}.presentationml.presentation": "ilios.engines.pptx",
}
OF_ONE_PAGE = frozenset(
    {
        "image/png",
        "image/jpeg",
        "image/gif",
        "image/webp",
        "image/bmp",
        f"{OFFICE}.wordprocessingml.document",
    }
)
"""What becomes one page, whatever is in it."""

RECOGNISER = "ilios.engines.ocr"
PDF_PARTS = "ilios.engines.pdf_parts"
SUPPORTED = "PDF, PNG, JPEG, GIF, WebP, TIFF, BMP, DOCX and PPTX"


class Written(Struct, frozen=True):
    """A document as Markdown, page by page, and the name of what read it."""

    pages: list[str]
    model: str


class Converter(Protocol):
    """Makes Markdown of one document.

    ``progress(done, total)`` is called with page counts, and again with the same while a page or
    the only part comes along: who says nothing for too long is taken to hang.

    :raises Unconvertible: when the document is the reason that there is none.
    """

    def __call__(
        self, path: Path, limits: EngineLimits, progress: Callable[[int, int], None]
    ) -> Written: ...


class Reader(Protocol):
    """Reads text off the images of one document."""

    def read(self, image: Any, alive: Callable[[], None] | None = None) -> str:
        """Return the text on an image as Markdown; ``alive`` is called while that goes on."""
        ...


class Recogniser(Protocol):
    """Recognises text."""

    def load(self) -> None:
        """Load the models now rather than with the first image."""
        ...

    def Reader(self) -> Reader:  # noqa: N802 it is a class
        """Return a reader for one document."""
        ...


class PdfParts(Protocol):
    """Takes PDFs apart. Both raise ``Unconvertible`` as converters do."""

    def count(self, path: Path) -> int:
        """Return how many pages there are."""
        ...

    def cut(self, path: Path, start: int, stop: int) -> bytes:
        """Return the pages from ``start`` (from 0) to before ``stop`` as a PDF."""
        ...


def is_supported(content_type: str) -> bool:
    """Tell whether a converter takes this content type."""
    return content_type in CONVERTERS


def unsupported(content_type: str) -> Unconvertible:
    """Return the refusal of a content type no converter takes."""
    return Unconvertible(
        "unsupported_type",
        f"Documents of type {content_type or 'unknown'} cannot be converted; "
        f"supported are {SUPPORTED}.",
    )


def converter(content_type: str) -> Converter:
    """Return the converter of a content type, imported now.

    :raises Unconvertible: when no converter takes the content type.
    """
    if content_type not in CONVERTERS:
        raise unsupported(content_type)
    convert: Converter = import_module(CONVERTERS[content_type]).convert
    return convert


def recogniser() -> Recogniser:
    """Return :mod:`ilios.engines.ocr`, imported now: most PDFs need no recognition."""
    recognises: Recogniser = import_module(RECOGNISER)
    return recognises


def pdf_parts() -> PdfParts:
    """Return :mod:`ilios.engines.pdf_parts`, imported now."""
    parts: PdfParts = import_module(PDF_PARTS)
    return parts
