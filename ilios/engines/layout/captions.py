"""Captions that stand side by side in a column, each a sentence of several lines."""

import re
from collections.abc import Sequence
from itertools import pairwise

from .headings import CAPTION
from .parts import Part, Run, goes_on, words_of

LEAST_LINES = 2
LEAST_WORDS = 3
"""Lines of each of two captions, and words of their first lines."""

GAP = 0.7
"""Width of the corridor between two captions, in the size of their text."""

PITCH = 1.8
"""Most distance of two lines of a caption, in the size of their text."""

SAME_ROW = 0.3
SAME_EDGE = 1.5
"""Differences within which lines stand beside each other, in their size, and begin at the same
place, in points."""

MAX_PARTS = 1000
"""With more parts a page is no text with captions."""

_MARK = re.compile(r"[(\[](?:[^\W\d_]{1,4}|\d{1,2})[)\]]\s|(?:[^\W\d_]|\d{1,2})\)\s")
_BARE_MARK = re.compile(r"[a-h][.:]?\s(?=[A-Z\u00c0-\u00de])")
"""A letter, often in bold; cells of tables begin so as well."""

Row = list[Part]


def between(parts: Sequence[Part]) -> Run | None:
    """Return the corridor between two captions, or None."""
    if len(parts) > MAX_PARTS:
        return None
    found = _rows(parts)
    for at in range(len(found) - 1):
        for left, right in pairwise(found[at]):
            if _begin(left, right) and (run := _below(found[at:], left, right)):
                return run
    return None


def shared(left: Sequence[Part], right: Sequence[Part]) -> float | None:
    """Return the top of the caption of a figure below those of its parts, which are side by side.

    It may be so short that it stands on one side of the corridor between them; nothing is beside it
    on the other.
    """
    if len(left) + len(right) > MAX_PARTS:
        return None
    marked = [one.top for one in left if _is_lettered(one)]
    rows = [
        one.top
        for one in right
        if _is_lettered(one) and any(abs(one.top - top) < SAME_ROW * one.size for top in marked)
    ]
    if not rows:
        return None
    below = [
        one.top
        for side, other in ((left, right), (right, left))
        for one in side
        if one.item
        and one.top > min(rows)
        and CAPTION.match(one.item.text)
        and not any(part.top < one.bottom and part.bottom > one.top for part in other)
    ]
    return min(below, default=None)


def _rows(parts: Sequence[Part]) -> list[Row]:
    """Return the parts that stand beside each other, row by row."""
    found: list[Row] = []
    for part in sorted(parts, key=lambda part: part.top + part.bottom):
        if found and part.top - found[-1][0].top < SAME_ROW * part.size:
            found[-1].append(part)
        else:
            found.append([part])
    for row in found:
        row.sort(key=lambda part: part.left)
    return found


def _begin(left: Part, right: Part) -> bool:
    """Whether two parts beside each other may be the first lines of captions."""
    if left.item is None or right.item is None or left.code or right.code:
        return False
    return (
        right.left - left.right > GAP * left.size
        and min(words_of(left), words_of(right)) >= LEAST_WORDS
        and all(one.item.text[:1].isupper() or _is_marked(one) for one in (left, right) if one.item)
    )


def _is_marked(part: Part) -> bool:
    return _is_lettered(part) or bool(part.item and CAPTION.match(part.item.text))


def _is_lettered(part: Part) -> bool:
    text = part.item.text if part.item else ""
    return bool(_MARK.match(text) or _BARE_MARK.match(text))


def _below(found: Sequence[Row], left: Part, right: Part) -> Run | None:
    """Return the corridor along the lines that go on below the first ones of two captions."""
    lines: tuple[Row, Row] = ([left], [right])
    first, last = left.left, right.right
    edge, start = left.right, right.left
    bottom = max(left.bottom, right.bottom)
    for above, row in pairwise(found):
        if row[0].top - above[0].top > PITCH * left.size:
            break
        near = [part for part in row if part.right > first and part.left < last]
        sides = [_same_place(one, near) for one in (left, right)]
        if not any(sides) or len(near) != sum(one is not None for one in sides):
            break
        for side, one in zip(lines, sides, strict=True):
            side.extend([one] if one else [])
        edge = max(edge, sides[0].right) if sides[0] else edge
        start = min(start, sides[1].left) if sides[1] else start
        last = max(last, *(one.right for one in near))
        bottom = max(bottom, *(one.bottom for one in near))
        if start - edge < GAP * left.size:
            return None
    if min(map(len, lines)) < LEAST_LINES or not all(map(_is_sentence, lines)):
        return None
    return (edge + start) / 2, min(left.top, right.top) - SAME_EDGE, bottom + SAME_EDGE


def _same_place(first: Part, near: Row) -> Part | None:
    """Return the part that begins where another does, or has the same middle."""
    for part in near:
        middle = part.left + part.right - first.left - first.right
        if abs(part.left - first.left) < SAME_EDGE or abs(middle) < 2 * SAME_EDGE:
            return part
    return None


def _is_sentence(lines: Row) -> bool:
    """Whether a text goes on in its second line; the mark of a caption is a proof of it."""
    text = lines[0].item.text if lines[0].item else ""
    sure = _is_marked(lines[0]) and not _BARE_MARK.match(text)
    return sure or any(map(goes_on, lines[1:]))
