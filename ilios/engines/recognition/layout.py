"""Reading order of the lines on a page: sections of one column each."""

from collections.abc import Iterator, Sequence
from statistics import median

from msgspec import Struct

COLUMN_LINES = 4
"""Columns have at least so many lines."""

PROSE_CHARS = 16
"""Lines of a text column have at least so many characters; those of a table have fewer."""

PROSE_FILL = 0.6
"""Share of its column's width that a line of running text takes."""

CROSSING_SHARE = 0.3
"""Most lines (titles, figures) that may reach across the gutter between two columns."""

BOX_MARGIN = 0.35
"""Margin of a box around its text on each side, as a share of its height."""

MAX_MERGED_LINES = 8
"""More consecutive lines across the gutter are a wide paragraph and not merged lines."""

GUTTER_ZONE = (0.15, 0.85)
"""Part of the width in which a gutter is searched; the next is the number of steps."""
GUTTER_STEPS = 140


class Line(Struct, frozen=True):
    """A piece of text and its box in pixels; y grows downwards."""

    left: float
    top: float
    right: float
    bottom: float
    text: str

    @property
    def width(self) -> float:
        """Width of the box."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """Height of the box."""
        return self.bottom - self.top

    @property
    def center_y(self) -> float:
        """Vertical centre of the box."""
        return (self.top + self.bottom) / 2


def sections(lines: Sequence[Line]) -> Iterator[list[Line]]:
    """Yield the lines in groups of a single column each, in reading order.

    Lines across both columns (a title, a caption) divide the page: the columns above them are read
    first, left before right.
    """
    gutter = _gutter(lines)
    if gutter is None:
        if lines:
            yield list(lines)
        return
    lines = _split_merged(lines, gutter)
    crossing = sorted(
        (line for line in lines if _side(line, gutter) == 0), key=lambda line: line.center_y
    )
    rest = [line for line in lines if _side(line, gutter) != 0]
    edges = [line.center_y for line in crossing] + [float("inf")]
    spanning: list[Line] = []
    above = float("-inf")
    for place, edge in enumerate(edges):
        between = [line for line in rest if above <= line.center_y < edge]
        if between:
            if spanning:
                yield spanning
                spanning = []
            yield from sections([line for line in between if _side(line, gutter) < 0])
            yield from sections([line for line in between if _side(line, gutter) > 0])
        if place < len(crossing):
            spanning.append(crossing[place])
        above = edge
    if spanning:
        yield spanning


def _gutter(lines: Sequence[Line]) -> float | None:
    """Return the x of a gutter between two columns of running text, or None."""
    if len(lines) < 2 * COLUMN_LINES:
        return None
    left = min(line.left for line in lines)
    width = max(line.right for line in lines) - left
    start, stop = GUTTER_ZONE
    best: tuple[int, list[float]] | None = None
    for step in range(GUTTER_STEPS + 1):
        x = left + width * (start + (stop - start) * step / GUTTER_STEPS)
        crossing = sum(_side(line, x) == 0 for line in lines)
        if crossing > CROSSING_SHARE * len(lines) or not _separates_prose(lines, x):
            continue
        if best is None or crossing < best[0]:
            best = (crossing, [x])
        elif crossing == best[0]:
            best[1].append(x)
    return median(best[1]) if best else None


def _separates_prose(lines: Sequence[Line], x: float) -> bool:
    return _is_prose([line for line in lines if _side(line, x) < 0]) and _is_prose(
        [line for line in lines if _side(line, x) > 0]
    )


def _side(line: Line, x: float) -> int:
    """Return -1 for a line left of x, 1 for one right of it, 0 for one across it."""
    margin = BOX_MARGIN * line.height
    if line.right - margin <= x:
        return -1
    return 1 if line.left + margin >= x else 0


def _split_merged(lines: Sequence[Line], gutter: float) -> list[Line]:
    """Return the lines; those merged across a narrow gutter are split."""
    left = min(line.left for line in lines)
    right = max(line.right for line in lines)
    for _ in range(MAX_MERGED_LINES):
        beside = [line for line in lines if _side(line, gutter) != 0]
        parted: list[Line] = []
        for line in lines:
            fills = line.left - left < 2 * line.height and right - line.right < 2 * line.height
            if _side(line, gutter) == 0 and fills and any(_near(line, other) for other in beside):
                parted += _split_line(line, gutter)
            else:
                parted.append(line)
        lines = parted
    return list(lines)


def _near(line: Line, other: Line) -> bool:
    gap = max(line.top - other.bottom, other.top - line.bottom)
    return -line.height / 2 < gap < line.height / 2


def _split_line(line: Line, x: float) -> list[Line]:
    """Return the two halves of a line, split at the space nearest to x."""
    guess = len(line.text) * (x - line.left) / line.width
    spaces = [place for place, sign in enumerate(line.text) if sign == " "]
    if not spaces:
        return [line]
    at = min(spaces, key=lambda place: abs(place - guess))
    return [
        Line(line.left, line.top, x, line.bottom, line.text[:at].rstrip()),
        Line(x, line.top, line.right, line.bottom, line.text[at:].lstrip()),
    ]


def _is_prose(column: Sequence[Line]) -> bool:
    if len(column) < COLUMN_LINES:
        return False
    width = max(line.right for line in column) - min(line.left for line in column)
    return (
        median(len(line.text) for line in column) >= PROSE_CHARS
        and median(line.width for line in column) >= PROSE_FILL * width
    )
