"""The order in which a reader sees the shapes of a slide.

Shapes stand in a file in the order in which they were drawn, which is often that of reading, but
not where one was added later or moved. The places decide: a slide is cut into bands from top to
bottom, or into columns, where no shape crosses the cut. Where both are possible, as in a grid, the
cut that agrees more with the order of the file is taken; where none is, that order stays. Columns
are read from left to right, but one that is not aligned with its neighbour and begins higher is
read before it.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

from msgspec import Struct

MAX_SHAPES = 400
"""Among more shapes the order of the file stays: comparing takes the square of their number."""

MARGIN_SHARE, MARGIN_POINTS = 0.15, 18.0
"""Shapes may overlap by so much of their size, and by so many points, on each side: boxes are
larger than their text."""

ALIGNED = 0.05
"""Share of the height of the slide by which the edges of aligned columns differ at most."""

BACKGROUND = 0.8
"""Share of the slide from which a shape lies behind all others, and comes first."""


class Box(Struct, frozen=True):
    """A rectangle on a slide, in points."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def area(self) -> float:
        return (self.right - self.left) * (self.bottom - self.top)


Span = Callable[[Box], tuple[float, float]]


def reading_order(
    boxes: Sequence[Box | None], size: tuple[float, float], *, from_right: bool = False
) -> list[int]:
    """Return the indices of shapes in reading order. One without a place follows the one before.

    :param from_right: columns are read from right to left.
    """
    placed = [index for index, box in enumerate(boxes) if box is not None]
    if not 1 < len(placed) <= MAX_SHAPES:
        return list(range(len(boxes)))
    cutter = _Cutter(boxes, ALIGNED * size[1], from_right=from_right)
    order = cutter.ordered(_behind_first(boxes, placed, size))
    followers: dict[int, list[int]] = {}
    last = -1
    for index, box in enumerate(boxes):
        if box is None:
            followers.setdefault(last, []).append(index)
        else:
            last = index
    result = followers.get(-1, [])
    for index in order:
        result += [index, *followers.get(index, [])]
    return result


def _behind_first(
    boxes: Sequence[Box | None], placed: Sequence[int], size: tuple[float, float]
) -> list[list[int]]:
    """Return the shapes behind the others each alone, and then the others."""
    behind = [
        index
        for index in placed
        if (box := boxes[index]) is not None and box.area > BACKGROUND * size[0] * size[1]
    ]
    others = [index for index in placed if index not in behind]
    return [*([index] for index in behind), others]


class _Cutter:
    """Cuts sets of shapes, which are given by their indices in the order of the file."""

    def __init__(self, boxes: Sequence[Box | None], tolerance: float, *, from_right: bool) -> None:
        self._whole = [box or Box(0, 0, 0, 0) for box in boxes]
        self._boxes = [_shrunk(box) for box in self._whole]
        self._tolerance = tolerance
        self._from_right = from_right

    def ordered(self, groups: Sequence[list[int]]) -> list[int]:
        """Return the shapes of all groups, each cut as long as that is possible."""
        pending = list(reversed(groups))
        done: list[int] = []
        while pending:
            group = pending.pop()
            parts = self._cut(group) if len(group) > 1 else [group]
            if len(parts) == 1:
                done += parts[0]
            else:
                pending += reversed(parts)
        return done

    def _cut(self, group: list[int]) -> list[list[int]]:
        bands = self._parts(group, lambda box: (box.top, box.bottom))
        columns = self._parts(group, lambda box: (box.left, box.right))
        if len(columns) == 1:
            return bands
        columns = self._higher_first(columns[::-1] if self._from_right else columns)
        return columns if len(bands) == 1 else min((bands, columns), key=_disorder)

    def _higher_first(self, columns: Sequence[list[int]]) -> list[list[int]]:
        """Return columns so that one which begins higher than an unaligned one is before it."""
        ordered: list[tuple[Box, list[int]]] = []
        for column in columns:
            box = _around(self._whole[index] for index in column)
            place = len(ordered)
            while place and self._is_higher(box, ordered[place - 1][0]):
                place -= 1
            ordered.insert(place, (box, column))
        return [column for _, column in ordered]

    def _is_higher(self, box: Box, other: Box) -> bool:
        edges = (
            box.top - other.top,
            box.bottom - other.bottom,
            (box.top + box.bottom - other.top - other.bottom) / 2,
        )
        return edges[0] < 0 and all(abs(edge) > self._tolerance for edge in edges)

    def _parts(self, group: list[int], span: Span) -> list[list[int]]:
        """Divide shapes by their extent in one direction, where there are gaps between them."""
        parts: list[list[int]] = []
        end = float("-inf")
        for index in sorted(group, key=lambda index: span(self._boxes[index])):
            first, last = span(self._boxes[index])
            if first >= end:
                parts.append([])
            parts[-1].append(index)
            end = max(end, last)
        return [sorted(part) for part in parts]


def _around(boxes: Iterable[Box]) -> Box:
    """Return the box around others, of which there is at least one."""
    each = list(boxes)
    return Box(
        min(box.left for box in each),
        min(box.top for box in each),
        max(box.right for box in each),
        max(box.bottom for box in each),
    )


def _shrunk(box: Box) -> Box:
    across = min(MARGIN_SHARE * (box.right - box.left), MARGIN_POINTS)
    down = min(MARGIN_SHARE * (box.bottom - box.top), MARGIN_POINTS)
    return Box(box.left + across, box.top + down, box.right - across, box.bottom - down)


def _disorder(parts: Sequence[Sequence[int]]) -> int:
    """Return how often the order of the parts is against that of the file."""
    order = [index for part in parts for index in part]
    return sum(first > second for first, second in pairwise(order))
