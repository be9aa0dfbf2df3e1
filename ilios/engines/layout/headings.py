"""Headings: short lines in a larger, bolder or otherwise distinct font."""

import re
from collections.abc import Sequence

from .fonts import LARGER, Fonts
from .lines import Line

MAX_LINES = 3
MAX_WORDS = 20
ITALIC_WORDS = 10
CAPITAL_LETTERS = 4
LEAST_SIZE = 0.9
CLOSE = 1.5
"""Distance of two lines, in the size of the font, up to which they may be of one paragraph."""

FULL_LINE = 0.9
"""A line that fills so much of its column may be the first of a paragraph."""

_SIGNS = re.compile(r"[=<>;{}|\u2211\u222b\u220f\u2208\u2264\u2265\u2192\u2200\u2203]|\.\s?\.\s?\.")
_END = re.compile(r"[.,;]$")
_CAPTION = re.compile(
    r"(?:table|tab\.|tabelle|fig\.?|figure|abb\.?|abbildung|listing|algorithm|source|note)s?\s*"
    r"(?:[\dIVXA-Z]+\b|:)",
    re.IGNORECASE,
)
_NUMBERED = re.compile(r"(?:\d{1,2}(?:\.\d{1,2}){0,4}\.?|[IVX]{1,4}\.|[A-Z]\.)\s+[^\W\d_]")


def is_heading(lines: Sequence[Line], below: Line | None, right: float, fonts: Fonts) -> bool:
    """Whether lines of one font are a heading; ``below`` is the line that follows in the column.

    ``right`` is the right edge of the column.
    """
    text = " ".join(line.text for line in lines)
    size = max(line.size for line in lines)
    if not _may_be(text) or len(lines) > MAX_LINES:
        return False
    if size >= fonts.body * LARGER:
        return len(text) > 2
    if size < LEAST_SIZE * fonts.body or _runs_on(lines, below, right, size):
        return False
    return (all(line.bold for line in lines) and not fonts.bold) or (
        len(lines) == 1 and below is not None and _stands_out(lines[0], fonts)
    )


def _may_be(text: str) -> bool:
    """Whether a text is short and of letters enough for a heading."""
    words = len(text.split())
    letters = sum(map(str.isalpha, text))
    return (
        0 < words <= MAX_WORDS
        and letters >= max(2, (len(text) - words) / 2)
        and not (_SIGNS.search(text) or _CAPTION.match(text) or _ends_sentence(text))
    )


def _runs_on(lines: Sequence[Line], below: Line | None, right: float, size: float) -> bool:
    """Whether full lines are followed closely by another, as those of a paragraph are."""
    left = lines[0].left
    return (
        below is not None
        and below.top - lines[-1].top < CLOSE * size
        and lines[-1].right > left + FULL_LINE * (right - left)
    )


def _stands_out(line: Line, fonts: Fonts) -> bool:
    """Whether a line is short and in italics, or in capitals."""
    if line.italic and not fonts.italic and len(line.text.split()) <= ITALIC_WORDS:
        return line.text[0].isupper()
    return line.text.isupper() and sum(map(str.isalpha, line.text)) >= CAPITAL_LETTERS


def _ends_sentence(text: str) -> bool:
    if text.endswith("."):
        # A number, an abbreviation or initials may end a heading.
        return len(text.rsplit(maxsplit=1)[-1]) > 3 or len(text.split()) > 8
    return bool(_END.search(text))


def heading_level(lines: Sequence[Line], fonts: Fonts) -> int:
    """Return the level of a heading: by its size, or by its number where it has one."""
    return fonts.level(max(line.size for line in lines))
