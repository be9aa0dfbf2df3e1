"""Converters by content type.

Converters are imported inside of functions: a child that converts PDFs only must not load the
libraries of the other types (seconds and hundreds of MB), and the service, which imports this
module as well, none of them.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Literal, Protocol

from msgspec import Struct

from actors.content_types import (
    AVIF,
    BMP,
    CSV,
    DOC,
    DOCX,
    EML,
    EPUB,
    GIF,
    HEIC,
    HTML,
    JPEG,
    JPEG_2000,
    LATEX,
    MARKDOWN,
    MSG,
    NOTEBOOK,
    ODP,
    ODS,
    ODT,
    PDF,
    PNG,
    PPT,
    PPTX,
    RTF,
    SUPPORTED_TYPES,
    TIFF,
    TSV,
    TXT,
    WEBP,
    XLS,
    XLSX,
)
from actors.engines import Password, Unconvertible
from ilios.engines.local.limits import EngineLimits
from ilios.engines.pages import WHOLE, Pages, Reading


class Entry(Struct, frozen=True):
    """The module of a converter, and how many pages its documents have.

    The module has ``convert``, a ``Converter``, and unless there is always one page
    ``count_pages(path)``, which may be in another module. Of a ``divided`` type a portion of the
    pages can be converted.
    """

    module: str
    pages: Literal["one", "whole", "divided"]
    count_module: str | None = None


_CONVERTERS = {
    PDF: Entry("ilios.engines.pdf.convert", "divided", "ilios.engines.pdf.document"),
    **dict.fromkeys(
        (PNG, GIF, WEBP, TIFF, AVIF), Entry("ilios.engines.converters.images", "divided")
    ),
    **dict.fromkeys((JPEG, BMP, HEIC, JPEG_2000), Entry("ilios.engines.converters.images", "one")),
    DOCX: Entry("ilios.engines.converters.docx.convert", "one"),
    **dict.fromkeys((DOC, XLS, PPT), Entry("ilios.engines.converters.old_office.convert", "whole")),
    PPTX: Entry("ilios.engines.converters.slides.convert", "whole"),
    ODT: Entry("ilios.engines.converters.odf.odt", "one"),
    ODP: Entry("ilios.engines.converters.odf.odp", "whole"),
    **dict.fromkeys((EML, MSG), Entry("ilios.engines.converters.mail.convert", "whole")),
    HTML: Entry("ilios.engines.converters.web.html", "one"),
    EPUB: Entry("ilios.engines.converters.web.epub", "whole"),
    NOTEBOOK: Entry("ilios.engines.converters.web.notebook", "one"),
    TXT: Entry("ilios.engines.converters.text_files", "whole"),
    MARKDOWN: Entry("ilios.engines.converters.markdown_files", "one"),
    LATEX: Entry("ilios.engines.converters.latex.convert", "one"),
    RTF: Entry("ilios.engines.converters.rtf.convert", "one"),
    XLSX: Entry("ilios.engines.converters.sheets.xlsx", "whole"),
    ODS: Entry("ilios.engines.converters.sheets.ods", "whole"),
    CSV: Entry("ilios.engines.converters.sheets.delimited", "one"),
    TSV: Entry("ilios.engines.converters.sheets.delimited", "one"),
}
"""Converters by content type."""

SINGLE_PAGE_TYPES = frozenset(kind for kind, one in _CONVERTERS.items() if one.pages == "one")
"""Types that become one page, whatever is in them."""

DIVIDED_TYPES = frozenset(kind for kind, one in _CONVERTERS.items() if one.pages == "divided")
"""Types of which a portion of the pages can be converted."""


class Converter(Protocol):
    """Makes Markdown of one document, or of what is to be read of it.

    ``progress(done, total)`` is called with counts of selected pages from the first one of the
    portion on, and again with the same counts while a page is in work: a child without progress is
    taken to hang. A converter whose
    documents are never long converts all pages, whatever the portion.

    :raises Unconvertible: the document cannot be converted.
    """

    def __call__(
        self,
        path: Path,
        limits: EngineLimits,
        progress: Callable[[int, int], None],
        reading: Reading = WHOLE,
    ) -> Pages: ...


def is_supported(content_type: str) -> bool:
    """Whether there is a converter for this content type."""
    return content_type in _CONVERTERS


def unsupported_type(content_type: str) -> Unconvertible:
    """Return the refusal of a content type without a converter."""
    return Unconvertible(
        "unsupported_type",
        f"Documents of type {content_type or 'unknown'} cannot be converted; "
        f"supported are {SUPPORTED_TYPES}.",
    )


def load_converter(content_type: str) -> Converter:
    """Import and return the converter of a content type.

    :raises Unconvertible: there is none.
    """
    convert: Converter = import_module(_entry(content_type).module).convert
    return convert


def load_ocr() -> None:
    """Load the models that recognise text: most documents need none."""
    # ruff: noqa: PLC0415  see the docstring of this module
    from ilios.engines.recognition import ocr

    ocr.load()


def count_pages(path: Path, content_type: str) -> int:
    """Return how many pages, frames, slides or sheets a document has.

    :raises Unconvertible: it is damaged, protected or of an unsupported type.
    """
    entry = _entry(content_type)
    if entry.pages == "one":
        return 1
    count: int = import_module(entry.count_module or entry.module).count_pages(path)
    return count


def cut_pages(path: Path, indices: Sequence[int]) -> bytes:
    """Return pages of a PDF, counted from 0, as another PDF.

    :raises Unconvertible: it is damaged or protected.
    """
    from ilios.engines.pdf import document

    return document.cut_pages(path, indices)


@contextmanager
def unprotected(
    path: Path, content_type: str, password: Password | None, heartbeat: Callable[[], None]
) -> Iterator[Path]:
    """Yield the path of a document that needs no password: of a copy if this one needs it.

    :raises Unconvertible: ``password_incorrect``.
    """
    if password is None or content_type != PDF:
        yield path
        return
    from ilios.engines.pdf import protection

    with protection.unprotected_copy(path, password.text, heartbeat) as copy:
        yield copy


def remove_protection(path: Path) -> bytes:
    """Return a PDF that needs no password, without the restrictions on its use.

    :raises Unconvertible: it is damaged, or needs a password.
    """
    from ilios.engines.pdf import protection

    return protection.remove_protection(path)


def _entry(content_type: str) -> Entry:
    if content_type not in _CONVERTERS:
        raise unsupported_type(content_type)
    return _CONVERTERS[content_type]
