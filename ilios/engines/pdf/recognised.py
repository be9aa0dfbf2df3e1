"""Values of form fields, and typed text, among the lines of a page that was recognised."""

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

from msgspec.structs import replace

from ilios.engines.layout.items import Item
from ilios.engines.pdf.annotations import BOXES
from ilios.engines.pdf.geometry import Rect, turn, turned_size
from ilios.engines.recognition.layout import lay_out_lines
from ilios.engines.recognition.ocr import ImageText
from ilios.engines.recognition.recogniser import Line, Recognised

MAX_PLACED = 500
"""With more values, or more lines, the values of a page stand at its end."""

COVERED = 0.5
"""Share of a recognised line that a value covers of which it is the picture."""

ALIKE = 0.6
"""Similarity of a recognised line and the value that it is the picture of."""

BOX_CHARS = 2
"""Characters that a checked box may be recognised as."""

MAX_COMPARED = 200
"""Characters of a line and a value that are compared."""

LETTER_WIDTH = 0.6
"""Width of a letter in the size of its font, at most, for the end of a short value."""


def with_values(
    read: ImageText, values: Sequence[Item], size: tuple[float, float]
) -> ImageText | None:
    """Return a recognised page with values at their places; None if there are too many.

    What was recognised of a value gives way to it.

    :param size: of the page as it is shown, on which the values are placed.
    """
    lines = list(read.recognised.lines)
    if max(len(lines), len(values)) > MAX_PLACED:
        return None
    for value in _lines(read.recognised, values, size):
        at_place = [line for line in lines if _share(line, value) > 0]
        letters = _letters(value.text)
        if letters and letters in "".join(_letters(line.text) for line in at_place):
            continue
        pictures = [line for line in at_place if _is_picture(line, value)]
        lines = [line for line in lines if line not in pictures]
        lines.append(_as_wide_as_its_text(value))
    recognised = replace(read.recognised, lines=tuple(lines))
    return replace(read, laid_out=lay_out_lines(lines), recognised=recognised)


def _lines(found: Recognised, values: Sequence[Item], size: tuple[float, float]) -> Iterator[Line]:
    """Yield values in the pixels of the recognised image, which straightening makes larger."""
    quarters = -found.quarter_turns % 4
    width, height = turned_size(quarters, *size)
    scale = min(found.width / max(width, 1.0), found.height / max(height, 1.0))
    x, y = (found.width - scale * width) / 2, (found.height - scale * height) / 2
    for value in values:
        box = turn(Rect(value.left, value.top, value.right, value.bottom), quarters, *size)
        yield Line(
            x + scale * box.left,
            y + scale * box.top,
            x + scale * box.right,
            y + scale * box.bottom,
            value.text,
        )


def _share(line: Line, value: Line) -> float:
    """Return the share of a line that is in the rectangle of a value."""
    width = min(line.right, value.right) - max(line.left, value.left)
    height = min(line.bottom, value.bottom) - max(line.top, value.top)
    if width <= 0 or height < 0.3 * min(line.height, value.height):
        return 0.0
    return width / max(line.width, 1.0)


def _is_picture(line: Line, value: Line) -> bool:
    if _share(line, value) < COVERED:
        return False
    if value.text in BOXES.values():
        return len(line.text) <= BOX_CHARS
    one, other = (_letters(text)[:MAX_COMPARED] for text in (line.text, value.text))
    return SequenceMatcher(None, one, other, autojunk=False).ratio() >= ALIKE


def _as_wide_as_its_text(value: Line) -> Line:
    width = LETTER_WIDTH * value.height * len(value.text)
    return replace(value, right=min(value.right, value.left + max(width, value.height)))


def _letters(text: str) -> str:
    return "".join(one for one in text.casefold() if one.isalnum())
