"""Text that is drawn only in the appearance of an annotation, such as a stamp or a signature.

PDFium reads text of a page's content alone, so appearances become part of it, in a copy of the
document in memory.
"""

from collections.abc import Container, Mapping, Sequence
from pathlib import Path

import pypdfium2
import pypdfium2.raw as pdfium
from msgspec.structs import replace

from ilios.engines.layout.items import Item
from ilios.engines.pdf import characters
from ilios.engines.pdf.characters import Character
from ilios.engines.pdf.document import open_page
from ilios.engines.pdf.geometry import Rect, Sheet, turn, turned_size

MAX_TEXTS = 2_000
"""Texts in the appearances of a page; further annotations are left out, with a warning."""

MAX_OBJECTS = 10_000
"""An appearance of more objects is left out, with a warning."""

FORM_DEPTH = 8
LARGEST_SIZE = 12.0
"""Larger text of a stamp is not a heading of the page."""

TOLERANCE = 1.0
"""Points that a character may stand beside its annotation."""

MAX_COMPARISONS = 3_000_000
"""Characters of a page times its annotations; more are not read."""


class AppearanceReader:
    """Reads the appearances of one document's annotations."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._document: pypdfium2.PdfDocument | None = None

    def close(self) -> None:
        """Close the copy of the document."""
        if self._document is not None:
            self._document.close()
            self._document = None

    def read(self, index: int, rects: Mapping[int, Rect]) -> dict[int, list[Item]] | None:
        """Return the text of annotations of a page by their numbers; None if it has too much.

        :param rects: of the annotations by their numbers, on the page as it is shown.
        """
        if self._document is None:
            self._document = pypdfium2.PdfDocument(self._path)
        with open_page(self._document, index) as page:
            if page is None:
                return {}
            own = pdfium.FPDFPage_CountObjects(page.raw)
            _remove_others(page, rects)
            if pdfium.FPDFPage_Flatten(page.raw, pdfium.FLAT_NORMALDISPLAY) != (
                pdfium.FLATTEN_SUCCESS
            ):
                return {}
        with open_page(self._document, index) as page:
            return _text(page, own, rects) if page else {}


def drawn_texts(annotation: object, most: int) -> int:
    """Return how many texts the appearance of an annotation draws, ``most`` if there are more."""
    left = [most, MAX_OBJECTS]
    for index in range(pdfium.FPDFAnnot_GetObjectCount(annotation)):
        _count(pdfium.FPDFAnnot_GetObject(annotation, index), left, 1)
    return most if left[1] <= 0 else most - max(left[0], 0)


def _count(drawn: object, left: list[int], depth: int) -> None:
    """Count down the texts and the objects of a drawing."""
    left[1] -= 1
    if min(left) <= 0:
        return
    kind = pdfium.FPDFPageObj_GetType(drawn)
    left[0] -= kind == pdfium.FPDF_PAGEOBJ_TEXT
    if kind == pdfium.FPDF_PAGEOBJ_FORM and depth < FORM_DEPTH:
        for index in range(min(pdfium.FPDFFormObj_CountObjects(drawn), left[1])):
            _count(pdfium.FPDFFormObj_GetObject(drawn, index), left, depth + 1)


def _remove_others(page: pypdfium2.PdfPage, wanted: Container[int]) -> None:
    for number in reversed(range(pdfium.FPDFPage_GetAnnotCount(page.raw))):
        if number not in wanted:
            pdfium.FPDFPage_RemoveAnnot(page.raw, number)


def _text(
    page: pypdfium2.PdfPage, own: int, rects: Mapping[int, Rect]
) -> dict[int, list[Item]] | None:
    """Return the text after the page's ``own`` objects by the annotation where it stands."""
    for index in reversed(range(own)):
        removed = pdfium.FPDFPage_GetObject(page.raw, index)
        if pdfium.FPDFPage_RemoveObject(page.raw, removed):
            pdfium.FPDFPageObj_Destroy(removed)
    textpage = page.get_textpage()
    try:
        if pdfium.FPDFText_CountChars(textpage.raw) * len(rects) > MAX_COMPARISONS:
            return None
        sheet = Sheet.of(page)
        found = characters.read_characters(textpage, sheet)
    finally:
        textpage.close()
    parts: dict[int, list[Character]] = {}
    last: list[Character] = []
    smallest = sorted(rects, key=lambda number: rects[number].area)
    for one in found:
        if one.rect is None:
            last.append(one)
            continue
        owner = next((number for number in smallest if _holds(rects[number], one.rect)), None)
        if owner is not None:
            last = parts.setdefault(owner, [])
            last.append(one)
    return {number: _items(part, sheet.size) for number, part in parts.items()}


def _holds(rect: Rect, inner: Rect) -> bool:
    x, y = (inner.left + inner.right) / 2, (inner.top + inner.bottom) / 2
    return (
        rect.left - TOLERANCE <= x <= rect.right + TOLERANCE
        and rect.top - TOLERANCE <= y <= rect.bottom + TOLERANCE
    )


def _items(part: Sequence[Character], size: tuple[float, float]) -> list[Item]:
    """Return characters as phrases; turned and slanted ones, as on watermarks, as if upright."""
    found = characters.group(part, 0, size)
    for quarters in (1, 2, 3):
        found += [_upright(item, quarters, size) for item in characters.group(part, quarters, size)]
    found += characters.slanted(part)
    return [_small(item) for item in found if item.text]


def _upright(item: Item, quarters: int, size: tuple[float, float]) -> Item:
    """Return an item of a turned page at its place on the page as it is shown."""
    box = turn(
        Rect(item.left, item.top, item.right, item.bottom),
        -quarters % 4,
        *turned_size(quarters, *size),
    )
    return replace(item, left=box.left, top=box.top, right=box.right, bottom=box.bottom)


def _small(item: Item) -> Item:
    size = min(item.size, LARGEST_SIZE)
    middle = (item.top + item.bottom) / 2
    height = min(item.bottom - item.top, size)
    return replace(item, size=size, top=middle - height / 2, bottom=middle + height / 2)
