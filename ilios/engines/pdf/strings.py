"""Strings of annotations, read whole up to the bounds of a page; what exceeds them is counted."""

from typing import Any

import pypdfium2.raw as pdfium

MAX_PAGE_CHARS = 200_000
"""Characters of the strings of a page's annotations that are given, as many as of its content."""

MAX_STRING_CHARS = 4_000_000
"""A longer string is left out whole: PDFium gives no part of one."""

MAX_NAME_CHARS = 20_000
"""Characters of a name, a font, or another string that is not itself text of the page."""


class AnnotationStrings:
    """Reads the strings of one page's annotations.

    ``left_out`` is the number of the characters beyond the bounds.
    """

    def __init__(self) -> None:
        self._room = MAX_PAGE_CHARS
        self.left_out = 0

    def read(self, annotation: Any, key: bytes) -> str:
        """Return a string that the page shows; "" where there is none."""
        length = _length(annotation, key)
        if not self._room or length > MAX_STRING_CHARS:
            self.left_out += length
            return ""
        text = _read(annotation, key, length)
        given = text[: self._room]
        self._room -= len(given)
        self.left_out += len(text) - len(given)
        return given


def read_string(annotation: Any, key: bytes) -> str:
    """Return a string that is no text of the page; "" where there is none, or no short one."""
    length = _length(annotation, key)
    return _read(annotation, key, length) if length <= MAX_NAME_CHARS else ""


def _read(annotation: Any, key: bytes, length: int) -> str:
    if not length:
        return ""
    buffer = (pdfium.FPDF_WCHAR * (length + 1))()
    pdfium.FPDFAnnot_GetStringValue(annotation, key, buffer, 2 * (length + 1))
    return bytes(buffer).decode("utf-16-le", errors="replace").split("\0", 1)[0]


def _length(annotation: Any, key: bytes) -> int:
    """Return the UTF-16 units of a string without the NUL at its end."""
    return max(int(pdfium.FPDFAnnot_GetStringValue(annotation, key, None, 0)) // 2 - 1, 0)
