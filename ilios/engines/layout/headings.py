"""Headings: short lines in a larger, bolder or otherwise distinct font."""

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise

from . import lists
from .fonts import Fonts
from .lines import Line, first_fits

MAX_LINES = 3
MAX_WORDS = 20
MAX_LEVEL = 6
RANK_STEP = 1.12
"""Ratio between the sizes of two levels."""

LADDER = (1.7, 1.4)
"""Ratios to the body size from which a heading has the first and the second level."""

ITALIC_WORDS = 10
CAPITAL_LETTERS = 4
LEAST_SIZE = 0.9
CLOSE = 1.5
"""Distance of two lines, in the size of the font, up to which they may be of one paragraph."""

SLIGHTLY = 1.35
"""Ratio to the body size up to which a larger line may still be one of a paragraph."""

WIDE_GAP = 4.0
DASHES = "\u2013\u2014"
"""Bullets of a list, as its other signs are."""

_SIGNS = re.compile(r"[=<>;{}|\u2211\u222b\u220f\u2208\u2264\u2265\u2192\u2200\u2203]|\.\s?\.\s?\.")
_UNUSUAL = re.compile(r"[(_*/\\@%$#\[]|\d{3}")
_NUMBER = re.compile(r"[\dIVXA-Z.]{1,8}|\(?\w{1,4}[.)]")
_END = re.compile(r"[.,;]$")
CAPTION = re.compile(
    r"(?:table|tab\.|tabelle|fig\.?|figure|abb\.?|abbildung|listing|algorithm|example|beispiel|source|note)s?\s*"
    r"(?:(?-i:\d[\w.]*|[IVX]{1,5}|[A-Z](?:\.?\d+)?)\b|:)",
    re.IGNORECASE,
)


def is_heading(lines: Sequence[Line], below: Line | None, right: float, fonts: Fonts) -> bool:
    """Whether lines of one font are a heading; ``below`` is the line that follows in the column.

    ``right`` is the right edge of the column.
    """
    text = " ".join(line.text for line in lines)
    size = max(line.size for line in lines)
    if not _may_be(text) or len(lines) > MAX_LINES:
        return False
    if _has_wide_gap(lines):
        return False
    if size >= fonts.heading and not (
        size < SLIGHTLY * fonts.body and _runs_on(lines, below, right, size)
    ):
        return len(text) > 1
    if size < LEAST_SIZE * fonts.body or _runs_on(lines, below, right, size):
        return False
    return (all(line.bold for line in lines) and not fonts.bold) or (
        len(lines) == 1 and below is not None and _stands_out(lines[0], fonts)
    )


def _has_wide_gap(lines: Sequence[Line]) -> bool:
    """Whether texts far apart stand on a line; the gap after a number does not count."""
    for line in lines:
        for one, other in pairwise(line.items):
            if other.left - one.right > WIDE_GAP * line.size and not _NUMBER.fullmatch(one.text):
                return True
    return False


def _may_be(text: str) -> bool:
    """Whether a text is short and of letters enough for a heading."""
    words = len(text.split())
    letters = sum(map(str.isalpha, text))
    return (
        0 < words <= MAX_WORDS
        and letters >= max(2, (len(text) - words) / 2)
        and text[0] not in lists.SIGNS + DASHES
        and not (_SIGNS.search(text) or CAPTION.match(text) or _ends_sentence(text))
    )


def _runs_on(lines: Sequence[Line], below: Line | None, right: float, size: float) -> bool:
    """Whether full lines are followed closely by another, as those of a paragraph are."""
    return (
        below is not None
        and below.middle - lines[-1].middle < CLOSE * size
        and not first_fits(lines[-1], below, right)
    )


def _stands_out(line: Line, fonts: Fonts) -> bool:
    """Whether a line is short and in italics, or in capitals."""
    if line.italic and not fonts.italic and len(line.text.split()) <= ITALIC_WORDS:
        return line.text[0].isupper()
    letters = sum(map(str.isalpha, line.text))
    return line.text.isupper() and letters >= CAPITAL_LETTERS and not _UNUSUAL.search(line.text)


def _ends_sentence(text: str) -> bool:
    if text.endswith("."):
        # A number, an abbreviation or initials may end a heading.
        return len(text.rsplit(maxsplit=1)[-1]) > 3 or len(text.split()) > 8
    return bool(_END.search(text))


def heading_levels(sizes: Iterable[float], fonts: Fonts, *, whole: bool = True) -> dict[float, int]:
    """Return the levels of headings by their sizes.

    :param whole: whether the sizes are those of the whole document, which are ranked. The level of
        a heading on some of its pages is that of a fixed ladder, as other pages have other sizes.
    """
    return _ranks(sizes, fonts) if whole else {size: _rung(size, fonts) for size in sizes}


def _rung(size: float, fonts: Fonts) -> int:
    if size < fonts.heading:
        return len(LADDER) + 2
    return next(
        (level for level, ratio in enumerate(LADDER, 1) if size >= ratio * fonts.body),
        len(LADDER) + 1,
    )


def _ranks(sizes: Iterable[float], fonts: Fonts) -> dict[float, int]:
    ranks: dict[float, int] = {}
    level = 0
    last = float("inf")
    for size in sorted(set(sizes), reverse=True):
        if size < fonts.heading:
            # Distinct by their style alone: below the headings that are larger.
            ranks[size] = min(max(level, 1) + 1, MAX_LEVEL)
            continue
        if size * RANK_STEP < last and level < MAX_LEVEL - 1:
            level += 1
            last = size
        ranks[size] = level
    return ranks
