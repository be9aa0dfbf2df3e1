"""Columns: the parts of a page in reading order, divided at white corridors."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from statistics import median

from . import captions, lists
from .lines import is_rtl
from .parts import PROSE_WORDS, Part, Run, goes_on, words_of

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

TIGHT = 0.6
SPARE = 0.3
"""Most space between two lines of a paragraph, in the size of the text, and how much more of it
parts a line from another text."""

LIST_ITEMS = 2
LIST_DEPTHS = 3
"""Items of a list beside another, and the places at which they begin."""

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


Span = tuple[float, float, float, float]
"""The top, the bottom, the left and the right of a part."""


def in_order(parts: list[Part], depth: int = 0) -> list[list[Part]]:
    """Return the parts in groups of a single column each, in reading order."""
    if len(parts) < 2 * captions.LEAST_LINES or depth > DEPTH or len(parts) > MAX_ITEMS:
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
    y = captions.shared(left, right)
    if y is not None:
        upper = [part for part in (*left, *right) if part.top < y]
        lower = [part for part in (*left, *right, *below) if part.top >= y]
        return [group for part in (above, upper, lower) for group in in_order(part, depth + 1)]
    _give_back(left, right, above, at_top=True)
    _give_back(right, left, above, at_top=True)
    _give_back(left, right, below, at_top=False)
    _give_back(right, left, below, at_top=False)
    sides = [left, right]
    if is_rtl(part.item.text for part in left + right if part.item):
        sides.reverse()
    groups: list[list[Part]] = []
    for group in (above, *sides, below):
        groups += in_order(group, depth + 1)
    return groups


def _give_back(side: list[Part], other: list[Part], outer: list[Part], *, at_top: bool) -> None:
    """Move a line from a side to the text above or below both, if it belongs to that.

    It is the short last line of the paragraph above, or a short first line of the text below.
    """
    if not outer or not other or len(side) < 2:
        return
    sign = 1 if at_top else -1
    ordered = sorted(side, key=lambda part: part.top + part.bottom, reverse=not at_top)
    edge, follower = ordered[0], ordered[1]
    near = max(outer, key=lambda part: sign * (part.top + part.bottom))
    if at_top:
        beside = edge.bottom > min(part.top for part in other)
    else:
        beside = edge.top < max(part.bottom for part in other)
    if beside or abs(edge.size - near.size) > 0.1 * near.size:
        return
    gap = _between(near, edge)
    if gap < TIGHT * edge.size and _between(edge, follower) > gap + SPARE * edge.size:
        side.remove(edge)
        outer.append(edge)


def _between(one: Part, other: Part) -> float:
    """Return the height of the white between two parts, negative if they overlap."""
    return max(one.top, other.top) - min(one.bottom, other.bottom)


def _corridor(parts: list[Part]) -> Run | None:
    """Return the highest corridor between two columns, or None."""
    size = median([part.size for part in parts])
    width = LEAST_WIDTH * size
    spans = sorted((part.top, part.bottom, part.left, part.right) for part in parts)
    last = max(part.bottom for part in parts)
    runs = [run for x in _candidates(parts, width) for run in _runs(spans, last, x, width)]
    tried: set[tuple[float, float, int]] = set()
    for run in sorted(runs, key=lambda run: run[1] - run[2]):
        if run[2] - run[1] <= WIDE_LINES * size:
            break
        left, right = _sides(parts, run)
        same = (run[1], run[2], len(left))
        if same not in tried and _divides(left, right, size):
            return run
        tried.add(same)
    return captions.between(parts)


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


def _runs(spans: Sequence[Span], last: float, x: float, width: float) -> list[Run]:
    """Return the corridors at x between the parts that cross it, the highest first."""
    start = x - width / 2 + ROUNDING
    end = x + width / 2 - ROUNDING
    runs: list[Run] = []
    at = spans[0][0]
    for top, bottom, left, right in spans:
        if left < end and right > start:
            if top > at:
                runs.append((x, at, top))
            at = max(at, bottom)
    if last > at:
        runs.append((x, at, last))
    runs.sort(key=lambda run: run[1] - run[2])
    return runs[:MAX_RUNS]


def _sides(parts: Sequence[Part], run: Run) -> tuple[list[Part], list[Part]]:
    """Return the parts on the left and on the right of a corridor."""
    x, top, bottom = run
    left: list[Part] = []
    right: list[Part] = []
    for part in parts:
        if top <= (part.top + part.bottom) / 2 <= bottom:
            (left if (part.left + part.right) / 2 < x else right).append(part)
    return left, right


def _divides(left: list[Part], right: list[Part], size: float) -> bool:
    """Whether the parts on both sides of a corridor are columns."""
    if len(left) < WIDE_LINES or len(right) < WIDE_LINES:
        return False
    gap = min(part.left for part in right) - max(part.right for part in left)
    sides = [_side(left), _side(right)]
    lines = min(len(side) for side in sides)
    aligned = _aligned(sides, BESIDE * size)
    if gap > SHEET * size and lines >= SHEET_LINES and not aligned:
        return True
    if gap > WIDE * size and _is_list(left, sides[0]) and _is_list(right, sides[1]):
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
        count = words_of(part)
        if lines and centre < bottom - (part.bottom - part.top) * 0.3:
            if part.left < left:
                left, flows = part.left, goes_on(part)
            right = max(right, part.right)
            words += count
        else:
            left, right, words, middle = part.left, part.right, count, centre
            flows = goes_on(part)
            lines.append((middle, right - left, words))
            bottom = part.bottom
        # A line of few words may go on in the midst of a sentence where the column is narrow.
        flowing = max(words, PROSE_WORDS) if flows and words > 1 else words
        lines[-1] = (middle, right - left, flowing)
    return lines


def _is_list(parts: list[Part], lines: list[Extent]) -> bool:
    """Whether half of the lines of a side begin with a bullet at one of few places."""
    if median([words for _, _, words in lines]) < 2:
        return False  # bullets alone, in a table
    lefts = [part.left for part in parts if part.item and lists.BULLET.match(f"{part.item.text} a")]
    return (
        len(lefts) >= max(LIST_ITEMS, len(lines) / 2)
        and len({round(left / 4) for left in lefts}) <= LIST_DEPTHS
    )


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
