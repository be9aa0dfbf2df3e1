"""Words of the text layer that the native parser leaves out, at their places.

It drops numbers of one or two digits that stand alone, wherever that is, as numbers of pages.
"""

import ctypes
import re
from collections.abc import Iterable, Iterator, Sequence

import pypdfium2
import pypdfium2.raw as pdfium

from ilios.engines.layout.items import Item
from ilios.engines.pdf import characters
from ilios.engines.pdf.geometry import Sheet

MAX_NUMBERS = 200
"""Numbers standing alone that are looked for on a page."""

MAX_PLACES = 100
"""Places of one word that are looked at on a page."""

_LONE_NUMBER = re.compile(r"^[^\S\r\n]*(\d{1,2})[^\S\r\n]*\r?$", re.MULTILINE)


def lone_numbers(
    textpage: pypdfium2.PdfTextPage, sheet: Sheet, layer: str, items: Sequence[Item]
) -> list[Item]:
    """Return the short numbers that stand alone on a line of ``layer`` and are not in ``items``."""
    found: list[Item] = []
    for number, match in enumerate(_LONE_NUMBER.finditer(layer)):
        if number == MAX_NUMBERS:
            break
        start = pdfium.FPDFText_GetCharIndexFromTextIndex(textpage.raw, match.start(1))
        found += _uncovered(textpage, sheet, start, match[1], (*items, *found))
    return found


def missing_words(
    textpage: pypdfium2.PdfTextPage, sheet: Sheet, words: Iterable[str], items: Sequence[Item]
) -> list[Item]:
    """Return upright words, at all their places where none of ``items`` is."""
    found: list[Item] = []
    for word in words:
        for start, count in _places(textpage, word):
            at = characters.read_characters(textpage, sheet, start, start + count)
            text = "".join(one.text for one in at)
            found += _uncovered(textpage, sheet, start, text, (*items, *found))
    return found


def _places(textpage: pypdfium2.PdfTextPage, word: str) -> Iterator[tuple[int, int]]:
    """Yield the index of the first character and the number of characters of each occurrence."""
    wanted = (word + "\0").encode("utf-16-le")
    buffer = ctypes.cast(ctypes.create_string_buffer(wanted), ctypes.POINTER(ctypes.c_ushort))
    search = pdfium.FPDFText_FindStart(textpage.raw, buffer, pdfium.FPDF_MATCHWHOLEWORD, 0)
    try:
        for _ in range(MAX_PLACES):
            if not pdfium.FPDFText_FindNext(search):
                return
            yield pdfium.FPDFText_GetSchResultIndex(search), pdfium.FPDFText_GetSchCount(search)
    finally:
        pdfium.FPDFText_FindClose(search)


def _uncovered(
    textpage: pypdfium2.PdfTextPage, sheet: Sheet, start: int, text: str, items: Sequence[Item]
) -> Iterator[Item]:
    """Yield a text that begins at a character, unless something stands at its place."""
    if start < 0:
        return
    found = characters.read_characters(textpage, sheet, start, start + len(text))
    if "".join(one.text for one in found) != text:
        return
    for item in characters.group(found, 0, sheet.size):
        x, y = (item.left + item.right) / 2, (item.top + item.bottom) / 2
        if not any(one.left <= x <= one.right and one.top <= y <= one.bottom for one in items):
            yield item
