"""Rules of a page: horizontal and vertical strokes, joined, and the grids they form."""

import heapq
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence

from msgspec import Struct

from .items import Stroke

STRAIGHT = 1.0
"""A stroke that deviates by less is horizontal or vertical."""

SAME_PLACE = 2.5
"""Strokes within this distance lie on one line; so do the edges of a grid."""

TOUCH = 3.5
"""Distance at which two strokes meet."""

LEAST_EDGES = 2
SAME_ROW = 0.3
"""Edges of columns, and the difference of heights, by that of a row, of shaded rows apart."""

STACKED = 8.0
"""Distance between two grids that are parts of one."""

SHORT = 4.0
MAX_STROKES = 6000
"""A page with more strokes is a drawing: no grids are searched on it."""

MAX_CROSSINGS = 100_000
MAX_GRIDS = 100
MAX_LINES = 200
"""Grids of a page, the largest first, and rows or columns of a grid."""


class Rule(Struct):
    """A straight rule: its place on one axis, and its start and end on the other."""

    at: float
    start: float
    end: float


class Grid(Struct):
    """Rules that touch each other: the x of the columns' edges, the y of the rows' edges."""

    xs: list[float]
    ys: list[float]
    verticals: list[Rule]
    horizontals: list[Rule]

    @property
    def left(self) -> float:
        """Left edge."""
        return self.xs[0]

    @property
    def top(self) -> float:
        """Top edge."""
        return self.ys[0]

    @property
    def right(self) -> float:
        """Right edge."""
        return self.xs[-1]

    @property
    def bottom(self) -> float:
        """Bottom edge."""
        return self.ys[-1]


def rules(strokes: Sequence[Stroke]) -> tuple[list[Rule], list[Rule]]:
    """Return the horizontal and the vertical rules; strokes in one line are joined."""
    if len(strokes) > MAX_STROKES:
        return [], []
    flat: list[Rule] = []
    upright: list[Rule] = []
    for one in strokes:
        width = abs(one.right - one.left)
        height = abs(one.bottom - one.top)
        if height <= STRAIGHT < width:
            start, end = sorted((one.left, one.right))
            flat.append(Rule((one.top + one.bottom) / 2, start, end))
        elif width <= STRAIGHT < height:
            start, end = sorted((one.top, one.bottom))
            upright.append(Rule((one.left + one.right) / 2, start, end))
    return _joined(flat), _joined(upright)


def _joined(found: list[Rule]) -> list[Rule]:
    joined: list[Rule] = []
    group: list[Rule] = []
    for rule in sorted(found, key=lambda rule: rule.at):
        if group and rule.at - group[0].at > SAME_PLACE:
            joined += _join_group(group)
            group = []
        group.append(rule)
    joined += _join_group(group)
    return [rule for rule in joined if rule.end - rule.start >= SHORT]


def _join_group(group: list[Rule]) -> list[Rule]:
    joined: list[Rule] = []
    for rule in sorted(group, key=lambda rule: rule.start):
        if joined and rule.start - joined[-1].end <= TOUCH:
            joined[-1].end = max(joined[-1].end, rule.end)
        else:
            joined.append(Rule(rule.at, rule.start, rule.end))
    return joined


def grids(horizontals: list[Rule], verticals: list[Rule]) -> list[Grid]:
    """Return the grids that the rules form, with at least two rows or columns."""
    if not verticals or len(horizontals) < 2:
        return []
    if len(horizontals) * len(verticals) > MAX_CROSSINGS:
        return []
    found = []
    for flat, upright in _components(horizontals, verticals):
        if len(flat) < 2 or not upright:
            continue
        ends = [min(rule.start for rule in flat), max(rule.end for rule in flat)]
        xs = edges([*(rule.at for rule in upright), *ends])
        ys = edges([rule.at for rule in flat])
        if (
            len(xs) + len(ys) - 2 >= 3
            and min(len(xs), len(ys)) >= 2
            and max(len(xs), len(ys)) <= MAX_LINES
        ):
            found.append(Grid(xs, ys, upright, flat))
    largest = heapq.nlargest(MAX_GRIDS, found, key=_area)
    return _stacked(_without_inner(largest))


def edges(places: Iterable[float]) -> list[float]:
    """Return places in ascending order; those close together as one."""
    found: list[float] = []
    for at in sorted(places):
        if not found or at - found[-1] > TOUCH:
            found.append(at)
    return found


def _components(
    horizontals: list[Rule], verticals: list[Rule]
) -> list[tuple[list[Rule], list[Rule]]]:
    """Return the horizontal and vertical rules that touch, group by group."""
    horizontals = sorted(horizontals, key=lambda rule: rule.at)
    places = [rule.at for rule in horizontals]
    parent = list(range(len(horizontals) + len(verticals)))

    def root(at: int) -> int:
        while parent[at] != at:
            parent[at] = parent[parent[at]]
            at = parent[at]
        return at

    for number, rule in enumerate(verticals, len(horizontals)):
        first = bisect_left(places, rule.start - TOUCH)
        last = bisect_right(places, rule.end + TOUCH)
        for at in range(first, last):
            if horizontals[at].start - TOUCH <= rule.at <= horizontals[at].end + TOUCH:
                parent[root(at)] = root(number)
    groups: dict[int, tuple[list[Rule], list[Rule]]] = {}
    for at, rule in enumerate(horizontals):
        groups.setdefault(root(at), ([], []))[0].append(rule)
    for number, rule in enumerate(verticals, len(horizontals)):
        groups.setdefault(root(number), ([], []))[1].append(rule)
    return list(groups.values())


def _area(grid: Grid) -> float:
    return (grid.right - grid.left) * (grid.bottom - grid.top)


def _stacked(found: list[Grid]) -> list[Grid]:
    """Return the grids; those of the same width close below one another are one.

    So are those that the rows between shaded ones part.
    """
    stacked: list[Grid] = []
    for grid in sorted(found, key=lambda one: one.top):
        for at, above in enumerate(stacked):
            parted = _is_row_between(above, grid)
            if parted or (
                abs(grid.left - above.left) <= TOUCH
                and abs(grid.right - above.right) <= TOUCH
                and -TOUCH <= grid.top - above.bottom <= STACKED
            ):
                across = [Rule(x, above.bottom, grid.top) for x in grid.xs] if parted else []
                stacked[at] = Grid(
                    edges(above.xs + grid.xs),
                    edges(above.ys + grid.ys),
                    above.verticals + grid.verticals + across,
                    above.horizontals + grid.horizontals,
                )
                break
        else:
            stacked.append(grid)
    return stacked


def _is_row_between(above: Grid, below: Grid) -> bool:
    """Whether the space between two grids of the same columns is that of a row without rules."""
    return (
        len(above.xs) == len(below.xs) > LEAST_EDGES
        and all(abs(one - other) <= TOUCH for one, other in zip(above.xs, below.xs, strict=True))
        and abs(below.top - above.bottom - (below.ys[1] - below.ys[0]))
        <= SAME_ROW * (below.ys[1] - below.ys[0])
    )


def _without_inner(found: list[Grid]) -> list[Grid]:
    """Return the grids but those that lie inside of another."""
    outer: list[Grid] = []
    for grid in sorted(found, key=_area, reverse=True):
        inside = any(
            one.left - TOUCH <= grid.left
            and grid.right <= one.right + TOUCH
            and one.top - TOUCH <= grid.top
            and grid.bottom <= one.bottom + TOUCH
            for one in outer
        )
        if not inside:
            outer.append(grid)
    return outer
