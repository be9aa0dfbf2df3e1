"""What the engine needs of somebody who can open PDFs."""

from typing import Protocol

from actors.engines import SourceFile

PDF = "application/pdf"


class PdfSplitter(Protocol):
    """Takes PDFs apart, out of this process's reach. Errors as those of an engine."""

    async def count_pages(self, document: SourceFile) -> int:
        """Return how many pages a PDF has."""
        ...

    async def cut_pages(self, document: SourceFile, start: int, stop: int) -> bytes:
        """Return the pages from ``start`` (from 0) to before ``stop`` as a PDF of their own."""
        ...
