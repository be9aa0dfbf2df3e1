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
from ilios.engines.local.limits import EngineLimits

OFFICE_TYPE = "application/vnd.openxmlformats-officedocument"
CONVERTERS = {
    "application/pdf": "ilios.engines.converters.pdf",
    "image/png": "ilios.engines.converters.images",
    "image/jpeg": "ilios.engines.converters.images",
    "image/gif": "ilios.engines.converters.images",
    "image/webp": "ilios.engines.converters.images",
    "image/tiff": "ilios.engines.converters.images",
    "image/bmp": "ilios.engines.converters.images",
    f"{OFFICE_TYPE}.wordprocessingml.document": "ilios.engines.converters.docx",
    f"{OFFICE_TYPE}.presentationml.presentation": "ilios.engines.converters.pptx",
}
SINGLE_PAGE_TYPES = frozenset(
    {
        "image/png",
        "image/jpeg",
        "image/gif",
        "image/webp",
        "image/bmp",
        f"{OFFICE_TYPE}.wordprocessingml.document",
    }
)
"""What becomes one page, whatever is in it."""

OCR_MODULE = "ilios.engines.recognition.ocr"
PDF_PARTS_MODULE = "ilios.engines.converters.pdf_parts"
SUPPORTED_NAMES = "PDF, PNG, JPEG, GIF, WebP, TIFF, BMP, DOCX and PPTX"


class Pages(Struct, frozen=True):
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
    ) -> Pages: ...


class ImageReader(Protocol):
    """Reads text off the images of one document."""

    def read(self, image: Any, heartbeat: Callable[[], None] | None = None) -> str:
        """Return the text on an image as Markdown; ``alive`` is called while that goes on."""
        ...


class OcrModule(Protocol):
    """Recognises text."""

    def load(self) -> None:
        """Load the models now rather than with the first image."""
        ...

    def ImageReader(self) -> ImageReader:  # noqa: N802 it is a class
        """Return a reader for one document."""
        ...


class PdfPartsModule(Protocol):
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


def unsupported_type(content_type: str) -> Unconvertible:
    """Return the refusal of a content type no converter takes."""
    return Unconvertible(
        "unsupported_type",
        f"Documents of type {content_type or 'unknown'} cannot be converted; "
        f"supported are {SUPPORTED_NAMES}.",
    )


def load_converter(content_type: str) -> Converter:
    """Return the converter of a content type, imported now.

    :raises Unconvertible: when no converter takes the content type.
    """
    if content_type not in CONVERTERS:
        raise unsupported_type(content_type)
    convert: Converter = import_module(CONVERTERS[content_type]).convert
    return convert


def ocr_module() -> OcrModule:
    """Return :mod:`ilios.engines.recognition.ocr`, imported now: most PDFs need no recognition."""
    recognises: OcrModule = import_module(OCR_MODULE)
    return recognises


def pdf_parts() -> PdfPartsModule:
    """Return :mod:`ilios.engines.converters.pdf_parts`, imported now."""
    parts: PdfPartsModule = import_module(PDF_PARTS_MODULE)
    return parts
