"""In which order the lines on a page are read: boxes in, sections of one column each out."""

from collections.abc import Iterator, Sequence
from statistics import median

from msgspec import Struct

COLUMN_LINES = 4
"""Fewer lines beside each other are no columns."""

PROSE_CHARS = 16
"""Lines of a text column have at least so many characters; those of a table's have fewer."""

PROSE_FILL = 0.6
"""Share of its column's width that a line of running text takes."""

CROSSING_SHARE = 0.3
"""Most lines (titles, figures) that may reach across the gutter between two columns."""

GUTTER_ZONE = (0.15, 0.85)
"""Where on the width a gutter is looked for, and in how many steps."""
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
    def middle(self) -> float:
        """Where the box's middle is, from above."""
        return (self.top + self.bottom) / 2


def sections(lines: Sequence[Line]) -> Iterator[list[Line]]:
    """Yield the lines in groups that are read one after the other, each in a single column.

    Lines that reach across both columns (a title, a caption) part the page: what stands above
    them is read first, left column before right.
    """
    gutter = _gutter(lines)
    if gutter is None:
        if lines:
            yield list(lines)
        return
    crossing = sorted(
        (line for line in lines if line.left < gutter < line.right), key=lambda line: line.middle
    )
    rest = [line for line in lines if not line.left < gutter < line.right]
    edges = [line.middle for line in crossing] + [float("inf")]
    spanning: list[Line] = []
    above = float("-inf")
    for place, edge in enumerate(edges):
        between = [line for line in rest if above <= line.middle < edge]
        if between:
            if spanning:
                yield spanning
                spanning = []
            yield from sections([line for line in between if line.right <= gutter])
            yield from sections([line for line in between if line.left >= gutter])
        if place < len(crossing):
            spanning.append(crossing[place])
        above = edge
    if spanning:
        yield spanning


def _gutter(lines: Sequence[Line]) -> float | None:
    """Return where a gutter parts the lines into two columns of running text."""
    if len(lines) < 2 * COLUMN_LINES:
        return None
    left = min(line.left for line in lines)
    width = max(line.right for line in lines) - left
    start, stop = GUTTER_ZONE
    best: tuple[int, list[float]] | None = None
    for step in range(GUTTER_STEPS + 1):
        x = left + width * (start + (stop - start) * step / GUTTER_STEPS)
        crossing = sum(line.left < x < line.right for line in lines)
        if crossing > CROSSING_SHARE * len(lines) or not _parts_prose(lines, x):
            continue
        if best is None or crossing < best[0]:
            best = (crossing, [x])
        elif crossing == best[0]:
            best[1].append(x)
    return median(best[1]) if best else None


def _parts_prose(lines: Sequence[Line], x: float) -> bool:
    return _is_prose([line for line in lines if line.right <= x]) and _is_prose(
        [line for line in lines if line.left >= x]
    )


def _is_prose(column: Sequence[Line]) -> bool:
    if len(column) < COLUMN_LINES:
        return False
    width = max(line.right for line in column) - min(line.left for line in column)
    return (
        median(len(line.text) for line in column) >= PROSE_CHARS
        and median(line.width for line in column) >= PROSE_FILL * width
    )
