"""Raised digits behind digits: the parser makes one number of a power, or of a year with a note."""

import ctypes
import re
from collections.abc import Iterator, Sequence
from itertools import islice

import pypdfium2
import pypdfium2.raw as pdfium
from msgspec import Struct
from msgspec.structs import replace

from ilios.engines.layout.items import Item
from ilios.engines.pdf.geometry import Sheet

MAX_NUMBERS, MAX_RAISED = 3_000, 200
"""Numbers of a page that are looked at, and of those with raised digits."""

SMALLER, HIGHER = 0.85, 0.15
"""Most height of a raised digit, and how much higher it stands, in the height of the other."""

RAISED = str.maketrans("0123456789", "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079")
LOWERED = {raised: chr(plain) for plain, raised in RAISED.items()}

_NUMBER = re.compile(r"[0-9]{2,12}(?![0-9])")


class _Raised(Struct, frozen=True):
    """A number with its raised digits, and where its first one is shown."""

    number: str
    marked: str
    across: float
    down: float


def with_raised(
    items: Sequence[Item], textpage: pypdfium2.PdfTextPage, sheet: Sheet, layer: str
) -> tuple[Item, ...]:
    """Return items in which raised digits behind others are raised ones of Unicode."""
    if pdfium.FPDFText_CountChars(textpage.raw) != len(layer):
        return tuple(items)  # places in the layer are not those of the characters
    found = list(items)
    for one in _raised(textpage, sheet, layer):
        for at, item in enumerate(found):
            inside = item.top <= one.down <= item.bottom and item.left <= one.across <= item.right
            if inside and one.number in item.text:
                found[at] = replace(item, text=_marked(item, one))
                break
    return tuple(found)


def _marked(item: Item, one: _Raised) -> str:
    """Return the text of an item; of equal numbers in it the one that is nearest to the place."""
    share = (one.across - item.left) / max(item.right - item.left, 1.0)
    starts = [found.start() for found in re.finditer(re.escape(one.number), item.text)]
    start = min(starts, key=lambda start: abs(start / len(item.text) - share))
    return item.text[:start] + one.marked + item.text[start + len(one.number) :]


def _raised(textpage: pypdfium2.PdfTextPage, sheet: Sheet, layer: str) -> Iterator[_Raised]:
    left = MAX_RAISED
    for match in islice(_NUMBER.finditer(layer), MAX_NUMBERS):
        start, end = match.span()
        first, last = _digit(textpage, sheet, start), _digit(textpage, sheet, end - 1)
        if not first or not last or not last.is_raised(first):
            continue
        raised = [_digit(textpage, sheet, at) for at in range(start, end)]
        are_raised = [digit is not None and digit.is_raised(first) for digit in raised]
        plain = are_raised.index(True)
        if left and all(are_raised[plain:]):
            left -= 1
            number = match[0]
            marked = number[:plain] + number[plain:].translate(RAISED)
            yield _Raised(number, marked, first.across, first.down)


class _Digit(Struct, frozen=True):
    """Where a digit stands on the page as it is shown, and how high it is."""

    across: float
    down: float
    height: float

    def is_raised(self, other: "_Digit") -> bool:
        """Whether it is raised behind another one, which is on the line."""
        higher = other.down - self.down
        return HIGHER * other.height < higher and self.height < SMALLER * other.height


def _digit(textpage: pypdfium2.PdfTextPage, sheet: Sheet, at: int) -> _Digit | None:
    left, right, bottom, top = (ctypes.c_double() for _ in range(4))
    if not pdfium.FPDFText_GetCharBox(
        textpage.raw, at, *map(ctypes.byref, (left, right, bottom, top))
    ):
        return None
    rect = sheet.shown(left.value, bottom.value, right.value, top.value)
    return _Digit(rect.left, rect.bottom, rect.height)
