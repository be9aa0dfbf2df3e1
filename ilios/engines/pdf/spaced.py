"""Letters that are spaced for emphasis: PDFium puts a blank behind each of them."""

from collections.abc import Sequence
from itertools import pairwise
from statistics import median

from ilios.engines.pdf.geometry import Rect

LEAST_CHARS, SPACED_SHARE = 9, 0.8
"""Characters of a spaced phrase, and the share of its letters with a blank behind."""

WORD_GAP = 1.6
"""Least ratio of the white between words to that between letters."""


def is_spaced(text: str) -> bool:
    """Whether most letters of a phrase stand alone."""
    return len(text) >= LEAST_CHARS and 2 * text.count(" ") >= SPACED_SHARE * (len(text) - 1)


def closed(rects: Sequence[Rect | None], texts: Sequence[str]) -> str:
    """Return spaced letters as words, by the white between them; "" if they are no words."""
    letters = [
        (rect, text)
        for rect, text in zip(rects, texts, strict=True)
        if rect and text and not text.isspace()
    ]
    gaps = [
        max(one.left, other.left) - min(one.right, other.right)
        for (one, _), (other, _) in pairwise(letters)
    ]
    if not gaps:
        return ""
    widest = WORD_GAP * median(gaps)
    found = letters[0][1]
    for gap, (_, text) in zip(gaps, letters[1:], strict=True):
        found += f" {text}" if gap > widest else text
    return found if 1 <= found.count(" ") < len(letters) / 2 else ""
