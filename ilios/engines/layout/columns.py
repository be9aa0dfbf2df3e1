"""Columns: the parts of a page in reading order, divided at white corridors."""

import heapq
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from statistics import median

from msgspec import Struct

from .items import Item
from .lines import is_rtl

LEAST_WIDTH = 0.55
"""Width of a corridor, in the size of the text beside it."""

WIDE = 1.5
MARGIN = 0.8
MARGIN_WIDTH = 5.0
SHEET = 4.0
"""A corridor so wide needs fewer lines, prose on only one side, or none."""

PROSE_LINES = 4
WIDE_LINES = 3
SHEET_LINES = 10
"""Lines on both sides of a corridor, of a wide one, and of one between two pages of a sheet."""

PROSE_WORDS = 4
PROSE_FILL = 0.5
PROSE_SHARE = 0.5
"""Most words of a column stand in lines of so many words that fill this share of its width."""

BESIDE = 0.25
BESIDE_SHARE = 0.5
"""Distance of the middles of lines beside each other, in their size, and their share in a table."""

ROUNDING = 0.1

CANDIDATES = 8
"""Places at which a corridor is searched on each side; the most frequent edges of items."""

MAX_RUNS = 8
"""Corridors at one place that are looked at, the highest first."""

DEPTH = 12
"""Divisions of a page, one within the other."""

MAX_ITEMS = 5000
"""A page with more items is not divided."""


class Part(Struct):
    """Something that is placed as a whole: an item of text, or a table with its items."""

    left: float
    top: float
    right: float
    bottom: float
    size: float
    item: Item | None = None
    table: int = -1
    code: bool = False


Run = tuple[float, float, float]
"""The x, the top and the bottom of a corridor."""


def in_order(parts: list[Part], depth: int = 0) -> list[list[Part]]:
    """Return the parts in groups of a single column each, in reading order."""
    if len(parts) < 2 * WIDE_LINES or depth > DEPTH or len(parts) > MAX_ITEMS:
        return [parts] if parts else []
    corridor = _corridor(parts)
    if corridor is None:
        return [parts]
    x, top, bottom = corridor
    above: list[Part] = []
    left: list[Part] = []
    right: list[Part] = []
    below: list[Part] = []
    for part in parts:
        middle = (part.top + part.bottom) / 2
        if middle < top:
            above.append(part)
        elif middle > bottom:
            below.append(part)
        elif (part.left + part.right) / 2 < x:
            left.append(part)
        else:
            right.append(part)
    sides = [left, right]
    if is_rtl(part.item.text for part in left + right if part.item):
        sides.reverse()
    groups: list[list[Part]] = []
    for group in (above, *sides, below):
        groups += in_order(group, depth + 1)
    return groups


def _corridor(parts: list[Part]) -> Run | None:
    """Return the highest corridor between two columns, or None."""
    size = median([part.size for part in parts])
    width = LEAST_WIDTH * size
    best: Run | None = None
    for x in _candidates(parts, width):
        for run in _runs(parts, x, width):
            height = run[2] - run[1]
            if best is not None and height <= best[2] - best[1]:
                continue
            if height > WIDE_LINES * size and _divides(parts, run, size):
                best = run
    return best


def _candidates(parts: list[Part], width: float) -> list[float]:
    """Return the middles of the corridors that may end at an edge many items share."""
    lefts = Counter(round(part.left / 2) for part in parts)
    rights = Counter(round(part.right / 2) for part in parts)
    starts = {at: float("inf") for at, _ in lefts.most_common(CANDIDATES)}
    ends = {at: 0.0 for at, _ in rights.most_common(CANDIDATES)}
    for part in parts:
        at = round(part.left / 2)
        if at in starts and part.left < starts[at]:
            starts[at] = part.left
        at = round(part.right / 2)
        if at in ends and part.right > ends[at]:
            ends[at] = part.right
    least = min(part.left for part in parts)
    most = max(part.right for part in parts)
    places = [left - width / 2 for left in starts.values()]
    places += [right + width / 2 for right in ends.values()]
    return sorted({round(x, 2) for x in places if least < x < most})


def _runs(parts: list[Part], x: float, width: float) -> list[Run]:
    """Return the corridors at x between the parts that cross it."""
    left = x - width / 2 + ROUNDING
    right = x + width / 2 - ROUNDING
    crossing = sorted(
        (part.top, part.bottom) for part in parts if part.left < right and part.right > left
    )
    first = min(part.top for part in parts)
    last = max(part.bottom for part in parts)
    runs: list[Run] = []
    end = first
    for top, bottom in crossing:
        if top > end:
            runs.append((x, end, top))
        end = max(end, bottom)
    if last > end:
        runs.append((x, end, last))
    return heapq.nlargest(MAX_RUNS, runs, key=lambda run: run[2] - run[1])


def _divides(parts: Sequence[Part], run: Run, size: float) -> bool:
    """Whether columns stand on both sides of a corridor."""
    x, top, bottom = run
    left: list[Part] = []
    right: list[Part] = []
    for part in parts:
        if top <= (part.top + part.bottom) / 2 <= bottom:
            (left if (part.left + part.right) / 2 < x else right).append(part)
    if len(left) < WIDE_LINES or len(right) < WIDE_LINES:
        return False
    gap = min(part.left for part in right) - max(part.right for part in left)
    sides = [_side(left), _side(right)]
    lines = min(len(side) for side in sides)
    aligned = _aligned(sides, BESIDE * size)
    if gap > SHEET * size and lines >= SHEET_LINES and not aligned:
        return True
    if lines < (WIDE_LINES if gap > WIDE * size else PROSE_LINES):
        return False
    prose = [_is_prose(sides[0], left), _is_prose(sides[1], right)]
    # Lines that do not stand beside each other are not those of a table.
    return all(prose) or (
        any(prose)
        and not aligned
        and gap > MARGIN * size
        and min(_width(left), _width(right)) > MARGIN_WIDTH * size
    )


Extent = tuple[float, float, int]
"""The middle height, the width and the words of a line."""


def _side(parts: list[Part]) -> list[Extent]:
    """Return the lines of a side; those of a table have no words."""
    lines: list[Extent] = []
    bottom = float("-inf")
    left = right = 0.0
    words = 0
    middle = 0.0
    flows = False
    for part in sorted(parts, key=lambda part: part.top + part.bottom):
        centre = (part.top + part.bottom) / 2
        count = _words(part)
        if lines and centre < bottom - (part.bottom - part.top) * 0.3:
            if part.left < left:
                left, flows = part.left, _flows(part)
            right = max(right, part.right)
            words += count
        else:
            left, right, words, middle = part.left, part.right, count, centre
            flows = _flows(part)
            lines.append((middle, right - left, words))
            bottom = part.bottom
        # A line of few words may go on in the midst of a sentence where the column is narrow.
        flowing = max(words, PROSE_WORDS) if flows and words > 1 else words
        lines[-1] = (middle, right - left, flowing)
    return lines


def _flows(part: Part) -> bool:
    return part.item is not None and part.item.text[:1].islower() and not part.code


def _words(part: Part) -> int:
    if part.item is None:
        return PROSE_WORDS
    text = part.item.text
    if part.code:
        return 0
    if "...." in text or ". . . ." in text:
        return PROSE_WORDS  # a line of a list of contents
    spaces = text.count(" ") + 1
    # Scripts without spaces between words have about two letters to a word.
    return spaces if text.isascii() or spaces > 1 else max(spaces, _wide(text) // 2)


def _wide(text: str) -> int:
    return sum("\u3040" <= char <= "\u9fff" for char in text)


def _width(parts: list[Part]) -> float:
    return max(part.right for part in parts) - min(part.left for part in parts)


def _is_prose(lines: list[Extent], parts: list[Part]) -> bool:
    """Whether most of the text of a side stands in lines that fill it."""
    width = _width(parts)
    counts = [
        words for _, extent, words in lines if words >= PROSE_WORDS and extent >= PROSE_FILL * width
    ]
    return len(counts) >= WIDE_LINES and sum(counts) >= PROSE_SHARE * sum(
        words for _, _, words in lines
    )


def _aligned(sides: list[list[Extent]], tolerance: float) -> bool:
    """Whether the lines of a side stand beside lines of the other, as in a table."""
    few, other = sorted(sides, key=lambda side: median([words for _, _, words in side]))
    if median([words for _, _, words in few]) >= PROSE_WORDS:
        return False
    places = sorted(middle for middle, _, _ in other)
    beside = 0
    for middle, _, _ in few:
        at = bisect_left(places, middle - tolerance)
        beside += at < len(places) and places[at] <= middle + tolerance
    return beside > BESIDE_SHARE * len(few)
