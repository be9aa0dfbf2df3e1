"""Text that a page contains and does not show.

It is in optional content that is switched off, in the colour of the paper, invisible, or below an
opaque area. That a place is blank is seen in a picture of the page.
"""

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from typing import Any

import pypdfium2
import pypdfium2.raw as pdfium
from liteparse.types import ParsedPage, TextItem
from msgspec import Struct
from PIL import Image, ImageChops

from ilios.engines.pdf.document import open_page, plain_text
from ilios.engines.pdf.geometry import Rect, Sheet
from ilios.engines.pdf.objects import PageObjects, Text, bounds

MAX_TEXTS = 5_000
"""Texts of a page that are looked at."""

MAX_PIXELS = 1_500_000
MAX_LOOKED = 20_000_000
"""Pixels of the picture of a page, and of all texts that are looked at in it."""

MAX_COMPARED = 2_000_000
"""Phrases, for each text that is not seen: with more the parser's are not used."""

CONTRAST = 12
"""Difference of grey, of 255, below which nothing is seen."""

LEAST_SIDE = 1.0
"""Points of the sides of a text that can be looked at."""

MAX_CROSSED, MAX_LAYERS = 300, 8
SLOW_SECONDS = 0.1
"""Texts of layers at one place, and layers that are drawn once more; none if that takes longer."""

PART, WHOLE = 0.2, 0.8
"""Share of the width of a phrase of which less, or more, is not seen: it stays, or is left out."""

Place = tuple[int, ...]


class Unseen(Struct, frozen=True):
    """Texts that are not seen: where they are among the objects of the page, and on it."""

    places: tuple[Place, ...] = ()
    rects: tuple[Rect, ...] = ()


class SeenPages:
    """The pages of a document, opened without the text that is not seen."""

    def __init__(self, document: pypdfium2.PdfDocument) -> None:
        self._document = document
        self._unseen: dict[int, Unseen] = {}

    @contextmanager
    def open(self, index: int) -> Iterator[pypdfium2.PdfPage | None]:
        """Open a page; yield None if it is broken."""
        with open_page(self._document, index) as page:
            if page is not None and index in self._unseen:
                hide(page, self._unseen[index])
            yield page

    def look(
        self, page: pypdfium2.PdfPage, sheet: Sheet, objects: PageObjects, index: int
    ) -> tuple[Unseen, int]:
        """Find and hide the unseen text of an open page; return it, and its characters."""
        unseen = find_unseen(page, sheet, objects)
        if not unseen.places:
            return unseen, 0
        before = _characters(page)
        hide(page, unseen)
        self._unseen[index] = unseen
        return unseen, max(before - _characters(page), 0)


def _characters(page: pypdfium2.PdfPage) -> int:
    textpage = page.get_textpage()
    try:
        return len("".join(plain_text(textpage).split()))
    finally:
        textpage.close()


def find_unseen(page: pypdfium2.PdfPage, sheet: Sheet, objects: PageObjects) -> Unseen:
    """Return the texts of a page that are not seen; of a scan's recognised text none."""
    if objects.hides_text:
        return Unseen()
    suspects = list(_suspects(sheet, objects))
    if not suspects:
        return Unseen()
    began = time.process_time()
    picture = _Picture(page, sheet)
    found = []
    left = MAX_LOOKED
    for one in suspects:
        left -= int(one[1].area) + 1
        if left > 0 and picture.is_blank(one[1]):
            found.append(one)
    if time.process_time() - began < SLOW_SECONDS:
        blank = {one[0].place for one in found}
        layered = [one for one in suspects if one[0].layer is not None]
        rest = [one for one in layered if one[0].place not in blank]
        found += _without_effect(page, sheet, picture, rest)
    return Unseen(tuple(text.place for text, _ in found), tuple(rect for _, rect in found))


def hide(page: pypdfium2.PdfPage, unseen: Unseen) -> None:
    """Let PDFium take no notice of these texts, as long as the page is open."""
    for place in unseen.places:
        handle: Any = pdfium.FPDFPage_GetObject(page.raw, place[0])
        for index in place[1:]:
            handle = pdfium.FPDFFormObj_GetObject(handle, index)
        pdfium.FPDFPageObj_SetIsActive(handle, 0)


def without_unseen(parsed: ParsedPage | None, unseen: Unseen) -> ParsedPage | None:
    """Return a parsed page without the phrases that are not seen; without any if one is in part."""
    if parsed is None or not unseen.rects:
        return parsed
    if len(parsed.text_items) * len(unseen.rects) > MAX_COMPARED:
        return replace(parsed, text_items=[])
    shares = [_unseen_share(item, unseen.rects) for item in parsed.text_items]
    if any(PART < share < WHOLE for share in shares):
        return replace(parsed, text_items=[])
    items = zip(parsed.text_items, shares, strict=True)
    return replace(parsed, text_items=[item for item, share in items if share <= PART])


def _unseen_share(item: TextItem, rects: Sequence[Rect]) -> float:
    """Return the share of the width, or height if that is longer, that is not seen."""
    box = Rect(item.x, item.y, item.x + item.width, item.y + item.height)
    middle = ((box.left + box.right) / 2, (box.top + box.bottom) / 2)
    covered = 0.0
    for rect in rects:
        if box.width >= box.height and rect.top <= middle[1] <= rect.bottom:
            covered += max(0.0, min(box.right, rect.right) - max(box.left, rect.left)) / box.width
        elif box.width < box.height and rect.left <= middle[0] <= rect.right:
            covered += max(0.0, min(box.bottom, rect.bottom) - max(box.top, rect.top)) / box.height
    return covered


def _suspects(sheet: Sheet, objects: PageObjects) -> Iterator[tuple[Text, Rect]]:
    """Yield the texts that may not be seen, without a look at the page."""
    last = objects.fills[-1].order if objects.fills else 0
    if not objects.is_suspect and (not objects.drawn or last < objects.drawn[0].order):
        return
    pictures = [one.rect for one in objects.pictures]
    for text in islice(objects.drawn, MAX_TEXTS):
        # Invisible text beside pictures is what somebody has recognised in them.
        hidden = text.layer is not None or (text.is_invisible and not pictures)
        if not (hidden or text.is_faint or text.order < last):
            continue
        rect = bounds(text.handle, sheet)
        if rect is None or min(rect.width, rect.height) < LEAST_SIDE:
            continue
        if text.is_faint and not hidden:
            below = (one for one in objects.fills if one.order < text.order)
            hidden = [one.is_pale for one in below if _is_on(rect, one.rect)][-1:] != [False]
            hidden = hidden and not any(_is_on(rect, picture) for picture in pictures)
        if hidden or any(
            text.order < one.order and _is_on(rect, one.rect) for one in objects.fills
        ):
            yield text, rect


def _is_on(rect: Rect, area: Rect) -> bool:
    """Whether the middle of a text is on an area."""
    across, down = (rect.left + rect.right) / 2, (rect.top + rect.bottom) / 2
    return area.left <= across <= area.right and area.top <= down <= area.bottom


def _without_effect(
    page: pypdfium2.PdfPage,
    sheet: Sheet,
    picture: "_Picture",
    suspects: Sequence[tuple[Text, Rect]],
) -> Iterator[tuple[Text, Rect]]:
    """Yield those texts of layers at the place of others without which the page looks the same."""
    layers: dict[str, list[tuple[Text, Rect]]] = defaultdict(list)
    for one in suspects[:MAX_CROSSED]:
        if any(_is_on(one[1], rect) for text, rect in suspects[:MAX_CROSSED] if text != one[0]):
            layers[one[0].layer or ""].append(one)
    for texts in islice(layers.values(), MAX_LAYERS):
        unseen = Unseen(tuple(text.place for text, _ in texts))
        hide(page, unseen)
        without = _Picture(page, sheet)
        yield from (one for one in texts if picture.is_alike(without, one[1]))
        for text, _ in texts:
            pdfium.FPDFPageObj_SetIsActive(text.handle, 1)


class _Picture:
    """A page as it is shown, in shades of grey."""

    def __init__(self, page: pypdfium2.PdfPage, sheet: Sheet) -> None:
        width, height = sheet.size
        self._scale = min(1.0, (MAX_PIXELS / max(width * height, 1.0)) ** 0.5)
        bitmap = page.render(scale=self._scale, grayscale=True)
        self._image: Image.Image = bitmap.to_pil().copy()
        bitmap.close()

    def is_blank(self, rect: Rect) -> bool:
        """Whether nothing is seen at a place."""
        shades = self.part(rect).tobytes()
        return max(shades) - min(shades) < CONTRAST

    def is_alike(self, other: "_Picture", rect: Rect) -> bool:
        """Whether another picture has the same at a place."""
        return max(ImageChops.difference(self.part(rect), other.part(rect)).tobytes()) < CONTRAST

    def part(self, rect: Rect) -> Image.Image:
        """Return the picture of a place."""
        width, height = self._image.size
        left, top = (max(int(edge * self._scale), 0) for edge in (rect.left, rect.top))
        right, bottom = (int(edge * self._scale) + 1 for edge in (rect.right, rect.bottom))
        left, top = min(left, width - 1), min(top, height - 1)
        return self._image.crop(
            (left, top, max(min(right, width), left + 1), max(min(bottom, height), top + 1))
        )
