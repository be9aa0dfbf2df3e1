"""Characters of a page in PDFium's reading order: upright, in lines and phrases.

The order of the content is often that of reading where positions mislead: text written from right
to left, from top to bottom, or turned.
"""

import ctypes
import math
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import pypdfium2
import pypdfium2.raw as pdfium
from msgspec import Struct

from ilios.engines.layout.items import Item
from ilios.engines.pdf.brackets import with_brackets
from ilios.engines.pdf.fonts import Style, font_style
from ilios.engines.pdf.geometry import Rect, Sheet, turn
from ilios.engines.pdf.spaced import closed, is_spaced

MAX_CHARACTERS = 200_000
"""Further characters of one page are left out."""

PHRASE_GAP = 1.5
"""Widths of white, in font sizes, that end a phrase."""

SIZE_TOLERANCE = 0.15
VERTICAL_SHARE = 0.6
"""Share of the pairs of neighbours of which the second stands below the first, in vertical text."""

ALEFS = "\u0622\u0623\u0625\u0627"
LAM = "\u0644"
_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufefc]")
_SQUARE = re.compile("[\u3041-\u9fff\uac00-\ud7a3\uf900-\ufaff]")
_HYPHENS = frozenset({0x02, 0xFFFE})
"""What PDFium makes of a hyphen at the end of a line, after which it does not break the line."""

_IGNORED = frozenset({0, 0xFFFE, 0xFFFF, 0xAD})


class Font(Struct, frozen=True):
    """The font of a text object: its style, size in points and direction.

    ``quarters`` is how many clockwise quarter turns make its text upright, from the page as shown;
    None when it is slanted.
    """

    style: Style
    size: float
    quarters: int | None
    invisible: bool


class Character(Struct, frozen=True):
    """A character with its box on the page as it is shown; None has one that PDFium inferred."""

    text: str
    rect: Rect | None
    font: Font | None


def read_characters(
    textpage: pypdfium2.PdfTextPage,
    sheet: Sheet,
    start: int = 0,
    stop: int = MAX_CHARACTERS,
    *,
    cut: bool = False,
) -> list[Character]:
    """Return the characters inside the crop box in PDFium's order, from ``start`` to ``stop``.

    Blanks and line breaks, also the inferred ones, have no box.

    :param cut: also those of which the lesser part is inside.
    """
    handle = textpage.raw
    count = min(pdfium.FPDFText_CountChars(handle), stop)
    width, height = sheet.size
    box = pdfium.FS_RECTF()
    place = ctypes.byref(box)
    fonts: dict[int, Font] = {}
    found: list[Character] = []
    for index in range(start, count):
        code = pdfium.FPDFText_GetUnicode(handle, index)
        if code in _HYPHENS and pdfium.FPDFText_IsHyphen(handle, index) == 1:
            code = ord("-")
        if code in _IGNORED:
            continue
        text = chr(code)
        if text.isspace():
            found.append(Character(text, None, None))
            continue
        if not pdfium.FPDFText_GetLooseCharBox(handle, index, place):
            continue
        rect = sheet.shown(box.left, box.bottom, box.right, box.top)
        x, y = (rect.width / 2, rect.height / 2) if cut else (0.0, 0.0)
        across, down = (rect.left + rect.right) / 2, (rect.top + rect.bottom) / 2
        if not (-x <= across <= width + x and -y <= down <= height + y):
            continue
        owner = pdfium.FPDFText_GetTextObject(handle, index)
        key = ctypes.addressof(owner.contents) if owner else 0
        font = fonts.get(key)
        if font is None:
            font = fonts[key] = _font(handle, index, owner, sheet.rotation)
        found.append(Character(text, rect, font))
    return found


def _font(handle: object, index: int, owner: object, rotation: int) -> Font:
    matrix = pdfium.FS_MATRIX()
    size = float(pdfium.FPDFText_GetFontSize(handle, index))
    quarters: int | None = 0
    if pdfium.FPDFText_GetMatrix(handle, index, ctypes.byref(matrix)):
        size *= math.hypot(matrix.c, matrix.d)
        # Counter-clockwise in PDF's coordinates; the rotation of the page is clockwise.
        angle = math.degrees(math.atan2(matrix.b, matrix.a)) - rotation
        nearest = round(angle / 90)
        quarters = nearest % 4 if abs(angle - 90 * nearest) < 20 else None
    name = ctypes.create_string_buffer(128)
    flags = ctypes.c_int()
    pdfium.FPDFText_GetFontInfo(handle, index, name, len(name), ctypes.byref(flags))
    style = font_style(
        name.value.decode(errors="replace"), pdfium.FPDFText_GetFontWeight(handle, index)
    )
    invisible = (
        bool(owner)
        and pdfium.FPDFTextObj_GetTextRenderMode(owner) == pdfium.FPDF_TEXTRENDERMODE_INVISIBLE
    )
    return Font(style, size, quarters, invisible)


def main_direction(characters: Iterable[Character]) -> int:
    """Return the quarter turns that make most of the characters upright."""
    votes = Counter(
        one.font.quarters for one in characters if one.font and one.font.quarters is not None
    )
    return votes.most_common(1)[0][0] if votes else 0


def text_of(characters: Sequence[Character]) -> str:
    """Return the text in its order, its ligatures corrected."""
    return "\n".join(_joined(line) for line in _lines(characters))


def text_by_rows(characters: Sequence[Character], size: tuple[float, float]) -> str:
    """Return the text in its order, also broken where it goes on in another row.

    PDFium breaks no lines of text that is turned.
    """
    lines = list(_lines(characters))
    if is_vertical(lines):
        return text_of(characters)
    broken: list[str] = []
    for line in lines:
        row: list[Character] = []
        last: Character | None = None
        for one in line:
            if last and one.rect and _is_elsewhere(last, one, size):
                broken.append(_joined(row))
                row = []
            row.append(one)
            last = one if one.rect else last
        broken.append(_joined(row))
    return "\n".join(filter(None, broken))


def _is_elsewhere(last: Character, one: Character, size: tuple[float, float]) -> bool:
    """Whether a character stands in another row than the one before."""
    if last.rect is None or one.rect is None or last.font is None or one.font is None:
        return False
    if last.font.quarters != one.font.quarters:
        return True
    before, after = (turn(rect, one.font.quarters or 0, *size) for rect in (last.rect, one.rect))
    if after.top >= before.bottom or after.bottom <= before.top:
        return one.font.quarters is not None
    moved = abs(after.top + after.bottom - before.top - before.bottom)
    return after.right < before.left and moved > one.font.size


def slanted(characters: Sequence[Character]) -> Iterator[Item]:
    """Yield an item for each line of the characters that are slanted."""
    for line in _lines(characters):
        part = [one for one in line if not one.font or one.font.quarters is None]
        if any(one.rect for one in part):
            yield _item(part, _joined(part))


def group(characters: Sequence[Character], quarters: int, size: tuple[float, float]) -> list[Item]:
    """Return characters as phrases, on the page turned by quarter turns from its shown ``size``.

    Those of another direction are left out.
    """
    characters = [one for one in characters if not one.font or one.font.quarters == quarters]
    lines = [
        [
            Character(one.text, one.rect and turn(one.rect, quarters, *size), one.font)
            for one in line
        ]
        for line in _lines(characters)
    ]
    if is_vertical(lines):
        return list(_columns(lines))
    return [item for line in lines for row in _rows(line) for item in phrases(row)]


def _lines(characters: Sequence[Character]) -> Iterator[list[Character]]:
    line: list[Character] = []
    for one in characters:
        if one.text in "\r\n":
            if line:
                yield line
            line = []
        else:
            line.append(one)
    if line:
        yield line


def is_vertical(lines: Iterable[Sequence[Character]]) -> bool:
    """Whether most characters stand below the ones that precede them, in a script of squares."""
    below = pairs = 0
    for line in lines:
        boxed = [one for one in line if one.rect and is_square(one.text)]
        for first, second in pairwise(boxed):
            if first.rect is None or second.rect is None or first.font is None:
                continue
            pairs += 1
            beside = abs(first.rect.left + first.rect.right - second.rect.left - second.rect.right)
            down = second.rect.top - first.rect.top
            below += beside < first.font.size and 0 < down < 3 * first.font.size
    return pairs > 0 and below > VERTICAL_SHARE * pairs


def is_square(text: str) -> bool:
    """Whether this is a letter of Chinese, Japanese or Korean."""
    return bool(_SQUARE.match(text))


def square_count(text: str) -> int:
    """Return how many letters of Chinese, Japanese or Korean there are."""
    return len(_SQUARE.findall(text))


def _columns(lines: Iterable[Sequence[Character]]) -> Iterator[Item]:
    """Yield an item for each column; PDFium breaks lines between columns, or not at all."""
    for line in lines:
        column: list[Character] = []
        for one in line:
            if one.rect is None or one.font is None:
                continue
            last = column[-1].rect if column else None
            if (
                last
                and abs(last.left + last.right - one.rect.left - one.rect.right) > one.font.size
            ):
                yield _item(column, "".join(char.text for char in column), vertical=True)
                column = []
            column.append(one)
        if column:
            yield _item(column, "".join(char.text for char in column), vertical=True)


def _rows(line: Sequence[Character]) -> Iterator[list[Character]]:
    """Yield the parts of a line of PDFium that stand at one height each."""
    row: list[Character] = []
    top = bottom = 0.0
    for one in line:
        if one.rect is None:
            row.append(one)
            continue
        middle = (one.rect.top + one.rect.bottom) / 2
        if row and not top <= middle <= bottom and bottom:
            yield row
            row, top, bottom = [], 0.0, 0.0
        if not bottom or one.rect.height > bottom - top:
            top, bottom = one.rect.top, one.rect.bottom
        row.append(one)
    if row:
        yield row


def phrases(row: Sequence[Character]) -> Iterator[Item]:
    """Yield the phrases of a row: between white corridors, in one style if read from the left."""
    edges = _corridors(row)
    parts: list[list[Character]] = [[] for _ in range(len(edges) + 1)]
    at = 0
    for one in row:
        if one.rect and edges:
            middle = (one.rect.left + one.rect.right) / 2
            at = bisect_left(edges, middle)
        parts[at].append(one)
    if is_right_to_left("".join(one.text for one in row)):
        found = parts[::-1]
    else:
        found = [phrase for part in parts for phrase in _styled(part)]
    for phrase in found:
        if any(one.rect for one in phrase):
            yield _item(phrase, _joined(phrase))


def _corridors(row: Sequence[Character]) -> list[float]:
    """Return the middles of the white corridors between the characters of a row."""
    spans = sorted(
        (one.rect.left, one.rect.right, one.font.size) for one in row if one.rect and one.font
    )
    edges: list[float] = []
    end = spans[0][1] if spans else 0.0
    for left, right, size in spans:
        if left - end > PHRASE_GAP * size:
            edges.append((left + end) / 2)
        end = max(end, right)
    return edges


def _styled(part: Sequence[Character]) -> Iterator[list[Character]]:
    phrase: list[Character] = []
    font: Font | None = None
    for one in part:
        if font and one.font and _differs(font, one.font):
            yield phrase
            phrase = []
        font = one.font or font
        if phrase or one.rect:
            phrase.append(one)
    if phrase:
        yield phrase


def _differs(one: Font, other: Font) -> bool:
    return one is not other and (
        one.style != other.style
        or abs(one.size - other.size) > SIZE_TOLERANCE * max(one.size, other.size)
    )


def _joined(part: Sequence[Character]) -> str:
    """Return the text; alef and lam of one ligature, which PDFium swaps, in their order."""
    texts = [one.text for one in part]
    for place, (one, following) in enumerate(pairwise(part)):
        if one.text in ALEFS and following.text == LAM and one.rect and one.rect == following.rect:
            texts[place], texts[place + 1] = LAM, one.text
    text = " ".join("".join(texts).split())
    if is_spaced(text):
        text = closed([one.rect for one in part], texts) or text
    return with_brackets(text) if is_right_to_left(text) else text


def _item(part: Sequence[Character], text: str, *, vertical: bool = False) -> Item:
    boxes = [one.rect for one in part if one.rect]
    fonts = Counter(one.font for one in part if one.font)
    font = fonts.most_common(1)[0][0]
    return Item(
        left=min(box.left for box in boxes),
        top=min(box.top for box in boxes),
        right=max(box.right for box in boxes),
        bottom=max(box.bottom for box in boxes),
        text=text,
        size=font.size,
        bold=font.style.bold,
        italic=font.style.italic,
        monospaced=font.style.monospaced,
        vertical=vertical,
    )


def is_right_to_left(text: str) -> bool:
    """Whether a good part of the letters is of a script written from right to left."""
    if not _RIGHT_TO_LEFT.search(text):
        return False
    letters = [letter for letter in text if letter.isalpha()]
    right = sum("\u0590" <= one <= "\u08ff" or "\ufb1d" <= one <= "\ufefc" for one in letters)
    return right > 0.3 * len(letters)
