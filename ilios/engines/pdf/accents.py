"""Accents that are drawn over their letters as glyphs of their own, as old TeX fonts have them.

They come before or after their letter, or elsewhere, and tear its word apart.
"""

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import islice

import pypdfium2
import pypdfium2.raw as pdfium
from msgspec.structs import replace

from ilios.engines.layout.items import Item, PageItems
from ilios.engines.pdf import characters
from ilios.engines.pdf.characters import Character
from ilios.engines.pdf.geometry import Rect, Sheet

MAX_ACCENTS = 400
"""Further ones of a page stay as they are."""

MAX_LOOKS = 40
NEIGHBOURS = 5
"""Accents of a page the neighbours of which are looked at first, and how many of these."""

RAISED = 0.4
"""Most difference of height between an accent and its letter, in the size of the font."""

BLANK = 0.13
"""Gap between two letters, in the size of the font, from which on a blank stands between them."""

ROUNDS = 3
"""How often a line that is put together again may grow by phrases that lie in it."""

NEAR = 0.6
"""Most gap between two words of a line, in the size of the font."""

MAX_LINES = 100
MAX_LINE_CHARACTERS = 2_000
"""Further lines of a page, and longer ones, stay as they are."""

_COMBINING = {
    "`": "\u0300",
    "\u00b4": "\u0301",
    "\u02c6": "\u0302",
    "\u02dc": "\u0303",
    "\u00af": "\u0304",
    "\u02d8": "\u0306",
    "\u02d9": "\u0307",
    "\u00a8": "\u0308",
    "\u02da": "\u030a",
    "\u02dd": "\u030b",
    "\u02c7": "\u030c",
    "\u00b8": "\u0327",
    "\u02db": "\u0328",
}
_ACCENT = re.compile("[" + "".join(_COMBINING) + "]")
_DOTLESS = {"\u0131": "i", "\u0237": "j"}


def has_accents(text: str) -> bool:
    """Whether there are accents that stand alone."""
    return bool(_ACCENT.search(text))


def compose(found: Sequence[Character]) -> tuple[list[Character], list[Rect]]:
    """Return characters with each accent put on the letter that it is drawn over.

    Also the boxes of these letters and of their accents; an accent over no letter stays.
    """
    accents = [at for at, one in enumerate(found) if one.rect and one.text in _COMBINING]
    letters = sorted(
        (one.rect.left, at) for at, one in enumerate(found) if one.rect and one.text.isalpha()
    )
    composed: list[Character | None] = list(found)
    boxes: list[Rect] = []
    for at in accents[:MAX_ACCENTS]:
        accent = found[at]
        under = _letter_under(accent, found, letters)
        letter = composed[under] if under is not None else None
        if under is None or letter is None or letter.rect is None or accent.rect is None:
            continue
        base = _DOTLESS.get(letter.text, letter.text)
        text = unicodedata.normalize("NFC", base + _COMBINING[accent.text])
        if len(text) > 1:
            continue  # a sign of mathematics rather than a letter
        composed[under] = replace(letter, text=text)
        composed[at] = None
        _close(composed, at)
        boxes += [letter.rect, accent.rect]
    return [one for one in composed if one is not None], boxes


def _close(line: list[Character | None], at: int) -> None:
    """Remove the blanks that PDFium infers around an accent between two letters of a word."""
    first, second = _next(line, at, -1), _next(line, at, 1)
    one, other = line[first] if first is not None else None, line[second] if second else None
    if one is None or other is None or not (one.rect and other.rect and other.font):
        return
    if other.rect.left - one.rect.right > BLANK * other.font.size:
        return
    if abs(other.rect.bottom - one.rect.bottom) < RAISED * other.font.size:
        for place in range((first or 0) + 1, second or 0):
            line[place] = None


def _next(line: Sequence[Character | None], at: int, step: int) -> int | None:
    """Return the place of the next character of the same line that is no blank."""
    for place in range(at + step, len(line) if step > 0 else -1, step):
        one = line[place]
        if one is not None and one.text in "\r\n":
            return None
        if one is not None and one.rect:
            return place
    return None


def _letter_under(
    accent: Character, found: Sequence[Character], letters: Sequence[tuple[float, int]]
) -> int | None:
    """Return the index of the letter over the middle of which an accent stands."""
    if accent.rect is None or accent.font is None:
        return None
    size = accent.font.size
    middle = (accent.rect.left + accent.rect.right) / 2
    start = bisect_left(letters, (middle - 1.2 * size, 0))
    for _, at in letters[start : bisect_left(letters, (middle, 0))]:
        rect = found[at].rect
        if rect and middle < rect.right and abs(rect.bottom - accent.rect.bottom) < RAISED * size:
            return at
    return None


def with_accents(
    page: PageItems, textpage: pypdfium2.PdfTextPage, sheet: Sheet, layer: str
) -> tuple[PageItems, str]:
    """Return the page and its text layer, as PDFium has it, with the accents on their letters.

    The lines that have such letters are put together again from their characters.
    """
    if not _has_drawn_over(textpage, sheet, layer):
        return page, layer
    found, boxes = compose(characters.read_characters(textpage, sheet))
    rows = _Rows(found)
    items = list(page.items)
    done: list[Rect] = []
    for box in boxes:
        touched = [item for item in items if _meets(item, box)]
        if not touched or any(_is_inside(box, region) for region in done):
            continue
        region = rows.reach(_around(touched))
        for _ in range(ROUNDS):
            touched = [item for item in items if _meets(item, region)]
            region = rows.reach(_around([*touched, region]))
        again = rows.phrases(region)
        if touched and again:
            first = items.index(touched[0])
            gone = set(map(id, touched))
            items = items[:first] + again + [one for one in items[first:] if id(one) not in gone]
        done.append(region)
        if len(done) == MAX_LINES:
            break
    if not boxes:
        return page, layer
    return replace(page, items=tuple(items)), characters.text_of(found)


def _has_drawn_over(textpage: pypdfium2.PdfTextPage, sheet: Sheet, layer: str) -> bool:
    """Whether one of the first accents of a page is drawn over one of its next neighbours.

    The rest of the page is read only then: it takes longer than all else that is done with it.
    """
    for match in islice(_ACCENT.finditer(layer), MAX_LOOKS):
        at = pdfium.FPDFText_GetCharIndexFromTextIndex(textpage.raw, match.start())
        near = characters.read_characters(textpage, sheet, max(at - NEIGHBOURS, 0), at + NEIGHBOURS)
        if at >= 0 and compose(near)[1]:
            return True
    return False


def _meets(item: Item, box: Rect) -> bool:
    middle = (item.top + item.bottom) / 2
    return item.left < box.right and item.right > box.left and box.top <= middle <= box.bottom


def _around(boxes: Sequence[Item | Rect]) -> Rect:
    return Rect(
        min(one.left for one in boxes),
        min(one.top for one in boxes),
        max(one.right for one in boxes),
        max(one.bottom for one in boxes),
    )


def _is_inside(one: Item | Rect, region: Rect) -> bool:
    x, y = (one.left + one.right) / 2, (one.top + one.bottom) / 2
    return region.left <= x <= region.right and region.top <= y <= region.bottom


class _Rows:
    """Characters from the top of a page, to look for those of a line."""

    def __init__(self, found: Sequence[Character]) -> None:
        placed = [
            ((one.rect.top + one.rect.bottom) / 2, number)
            for number, one in enumerate(found)
            if one.rect and one.font
        ]
        self._found = found
        self._placed = sorted(placed)

    def _line(self, region: Rect) -> list[Character]:
        """Return the characters at the height of a region, from left to right."""
        start = bisect_left(self._placed, (region.top, 0))
        stop = bisect_left(self._placed, (region.bottom, len(self._found)))
        if stop - start > MAX_LINE_CHARACTERS:
            return []
        line = [self._found[number] for _, number in self._placed[start:stop]]
        return sorted(line, key=lambda one: one.rect.left if one.rect else 0.0)

    def reach(self, region: Rect) -> Rect:
        """Return a region of a line with the words beside it, of which the parser loses some."""
        line = [(one.rect, one.font.size) for one in self._line(region) if one.rect and one.font]
        left, right = region.left, region.right
        for rect, size in line:
            if rect.left - right < NEAR * size:
                right = max(right, rect.right)
        for rect, size in reversed(line):
            if left - rect.right < NEAR * size:
                left = min(left, rect.left)
        return Rect(left, region.top, right, region.bottom)

    def phrases(self, region: Rect) -> list[Item]:
        """Return the phrases of the characters in a region, which is one line."""
        inside = [one for one in self._line(region) if one.rect and _is_inside(one.rect, region)]
        return list(characters.phrases(list(_with_blanks(inside))))


def _with_blanks(line: Sequence[Character]) -> Iterator[Character]:
    """Yield the characters of a line with blanks where there are gaps."""
    end: float | None = None
    for one in line:
        if one.rect is None or one.font is None:
            continue
        if end is not None and one.rect.left - end > BLANK * one.font.size:
            yield Character(" ", None, None)
        end = one.rect.right if end is None else max(end, one.rect.right)
        yield one
