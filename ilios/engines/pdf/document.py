"""PDF files: opened, counted and cut, with the refusals of those that cannot be opened."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pypdfium2
import pypdfium2.raw as pdfium

from actors.engines import Unconvertible


def count_pages(path: Path) -> int:
    """Return how many pages a PDF has.

    :raises Unconvertible: it is damaged or protected.
    """
    with open_pdf(path) as document:
        return len(document)


def cut_pages(path: Path, indices: Sequence[int]) -> bytes:
    """Return pages, counted from 0, as another PDF.

    :raises Unconvertible: it is damaged or protected.
    """
    with open_pdf(path) as document:
        part = pypdfium2.PdfDocument.new()
        try:
            count = len(document)
            part.import_pages(document, pages=[index for index in indices if index < count])
            written = io.BytesIO()
            part.save(written)
        finally:
            part.close()
    return written.getvalue()


class Damaged(Unconvertible):
    def __init__(self) -> None:
        super().__init__("corrupt", "The PDF is damaged: its structure cannot be read.")


@contextmanager
def open_pdf(path: Path) -> Iterator[pypdfium2.PdfDocument]:
    """Open a PDF that has pages.

    :raises Unconvertible: it is empty, damaged or protected.
    """
    if path.stat().st_size == 0:
        raise Unconvertible("corrupt", "The file is empty.")
    try:
        document = pypdfium2.PdfDocument(path)
    except pypdfium2.PdfiumError as error:
        if error.err_code == pdfium.FPDF_ERR_PASSWORD:
            raise Unconvertible(
                "password_protected",
                "The PDF is protected by a password; submit it again with its `password`.",
            ) from error
        if error.err_code == pdfium.FPDF_ERR_SECURITY:
            raise Unconvertible(
                "password_protected", "The PDF uses a kind of protection that cannot be opened."
            ) from error
        raise Damaged from error
    try:
        if len(document) == 0:
            raise Damaged
        yield document
    finally:
        document.close()


@contextmanager
def open_page(document: pypdfium2.PdfDocument, index: int) -> Iterator[pypdfium2.PdfPage | None]:
    """Open a page; yield ``None`` when that page alone is broken."""
    try:
        page = document[index]
    except pypdfium2.PdfiumError:
        yield None
        return
    try:
        yield page
    finally:
        page.close()


def plain_text(textpage: pypdfium2.PdfTextPage) -> str:
    """Return the text layer in PDFium's order; "" when it cannot be read."""
    try:
        return str(textpage.get_text_range())
    except pypdfium2.PdfiumError:
        return ""
