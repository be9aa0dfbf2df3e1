"""Copies of PDFs without their structure tree, for a parser that would not come to its end."""

import mmap
import re
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import pypdfium2
import pypdfium2.raw as pdfium

from ilios.engines.pdf.structure import is_tagged

TAIL_BYTES = 4096
"""The end of a file, where its trailer is."""

MAX_CATALOG_BYTES = 1_000_000
_ROOT = re.compile(rb"/Root ([0-9]{1,8}) [0-9]{1,5} R")
_MARK, _NO_MARK = b"/MarkInfo", b"/NotMarks"


class UntaggedCopy:
    """The copy of a document, written into ``folder()`` when it is first needed.

    PDFium writes the catalogue as plain text, wherever the document has it: in an object stream, or
    encrypted. Without its entry on tags the tree is not looked for.
    """

    def __init__(self, document: pypdfium2.PdfDocument, folder: Callable[[], Path]) -> None:
        self._document = document
        self._folder = folder

    @cached_property
    def path(self) -> Path | None:
        """The path of the copy; None if there cannot be one."""
        target = self._folder() / "untagged.pdf"
        try:
            self._document.save(target, flags=pdfium.FPDF_REMOVE_SECURITY)
            _hide_marks(target)
            copy = pypdfium2.PdfDocument(target)
        except pypdfium2.PdfiumError:
            return None
        try:
            same = len(copy) == len(self._document)
            return target if same and not is_tagged(copy) else None
        finally:
            copy.close()


def _hide_marks(path: Path) -> None:
    """Rename the entry on tags in the catalogue of a file that PDFium wrote."""
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as data:
        root = _ROOT.findall(data[-TAIL_BYTES:])
        start = data.rfind(b"\n" + root[-1] + b" 0 obj") if root else -1
        if start < 0:
            return
        end = data.find(b"endobj", start, start + MAX_CATALOG_BYTES)
        at = data.find(_MARK, start, max(end, start))
        while at >= 0:
            data[at : at + len(_MARK)] = _NO_MARK
            at = data.find(_MARK, at, end)
