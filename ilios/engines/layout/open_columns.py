"""Columns of a grid that have no rule between them."""

from collections.abc import Sequence

from .items import Item
from .lines import Line, cells, make_lines
from .strokes import Grid, Rule, edges

LEAST_LINES = 3
"""So many lines have texts on both sides of the white between two columns."""

MAX_COLUMNS = 30
"""Columns between rules of a grid in which further ones are searched."""


def with_open_columns(grid: Grid, items: Sequence[Item]) -> Grid:
    """Return the grid with a rule wherever the same white parts all lines of a column.

    The lines above these, as a head over both columns, may cross it.
    """
    if len(grid.xs) > MAX_COLUMNS:
        return grid
    added = [
        rule
        for left, right in zip(grid.xs, grid.xs[1:], strict=False)
        for rule in _parting(
            grid, [item for item in items if left <= (item.left + item.right) / 2 <= right]
        )
    ]
    if not added:
        return grid
    return Grid(
        edges([*grid.xs, *(rule.at for rule in added)]),
        grid.ys,
        [*grid.verticals, *added],
        grid.horizontals,
    )


def _parting(grid: Grid, items: list[Item]) -> list[Rule]:
    """Return the rules that are missing in a column."""
    found: list[list[Line]] = []
    for line in reversed(make_lines(items)):
        pieces = cells(line)
        if len(pieces) < 2 or (found and len(pieces) != len(found[0])):
            break
        found.append(pieces)
    if len(found) < LEAST_LINES:
        return []
    middle = found[-1][0].middle
    top = max(y for y in grid.ys if y <= middle or y == grid.top)
    rules = []
    for at in range(len(found[0]) - 1):
        start = max(pieces[at].right for pieces in found)
        end = min(pieces[at + 1].left for pieces in found)
        if start >= end:
            return []
        rules.append(Rule((start + end) / 2, top, grid.bottom))
    return rules
