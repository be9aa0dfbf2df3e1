"""Takes PDFs apart by their pages, for engines that take no more than so many of them."""

import io
from pathlib import Path

import pypdfium2

from ilios.engines.converters.pdf import open_pdf


def count(path: Path) -> int:
    """Return how many pages a PDF has.

    :raises Unconvertible: it is damaged or protected.
    """
    with open_pdf(path) as document:
        return len(document)


def cut(path: Path, start: int, stop: int) -> bytes:
    """Return the pages from ``start`` (from 0) to before ``stop`` as a PDF of their own.

    :raises Unconvertible: it is damaged or protected.
    """
    with open_pdf(path) as document:
        part = pypdfium2.PdfDocument.new()
        try:
            part.import_pages(document, pages=list(range(start, min(stop, len(document)))))
            written = io.BytesIO()
            part.save(written)
        finally:
            part.close()
    return written.getvalue()
