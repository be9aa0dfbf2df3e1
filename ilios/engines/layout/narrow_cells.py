"""Cells of an open table so close together that a parser took them for one text.

In most rows the white between two columns is wide enough to be seen; where a cell is longer than
the others of its column, or the heads of two columns meet, it is as narrow as a blank.
"""

import re
from collections.abc import Sequence
from itertools import pairwise

from msgspec.structs import replace

from .crossing import letter_ends
from .items import Item
from .lines import Line, is_rtl, make_line

LEAST_COLUMNS = 3
LEAST_FULL = 3
FULL_SHARE = 0.5
"""Columns of such a table, rows that have a cell in each of them, and their share of all."""

NEAR = 0.8
"""Most distance of a blank, in the size of the font, from the white at which it parts two cells."""

BESIDE = 0.5
"""Distance of a cell from its column, in the size of the font."""

NUMBERS = 0.8
"""Share of the cells of a column that are numbers, from which on all have to be."""

MAX_ROWS = 1_000

_NUMBER = re.compile(r"[-+(\u2212$\u20ac\u00a3]?\s?\d[\d.,\u00a0 ]*\s?[%)\u20ac]?|[-\u2013\u2014]")

Rows = list[list[Line]]
Span = tuple[float, float]


def split_glued(run: Rows) -> Rows:
    """Return the rows of a table; one that lacks cells is parted if it is whole then."""
    most = max(map(len, run))
    full = [row for row in run if len(row) == most]
    if most < LEAST_COLUMNS or len(full) < max(LEAST_FULL, FULL_SHARE * len(run)):
        return run
    if len(full) == len(run) or len(run) > MAX_ROWS:
        return run
    columns = [
        (min(cell.left for cell in cells), max(cell.right for cell in cells))
        for cells in zip(*full, strict=True)
    ]
    if any(right <= left for (_, left), (right, _) in pairwise(columns)):
        return run
    numeric = [
        sum(map(_is_number, cells)) >= NUMBERS * len(full) for cells in zip(*full, strict=True)
    ]
    found: Rows = []
    for at, row in enumerate(run):
        parted = [cell for piece in row for cell in _parted(piece, columns)]
        whole = len(parted) == most and _stand_in(parted, columns)
        alike = all(
            _is_number(cell) == number for cell, number in zip(parted, numeric, strict=False)
        )
        heads = at == 0 and all(" " not in cell.text for cell in parted)
        found.append(parted if len(row) < most and whole and (alike or heads) else row)
    return found


def _is_number(cell: Line) -> bool:
    return _NUMBER.fullmatch(cell.text) is not None


def _stand_in(cells: Sequence[Line], columns: Sequence[Span]) -> bool:
    """Whether each cell stands in its column, or close beside it."""
    return all(
        min(cell.right, right) > max(cell.left, left) - BESIDE * cell.size
        for cell, (left, right) in zip(cells, columns, strict=True)
    )


def _parted(piece: Line, columns: Sequence[Span]) -> list[Line]:
    """Return a cell in pieces, one for each column that it covers; itself if it covers one."""
    covered = _covered(piece, columns)
    if len(covered) < 2 or is_rtl([piece.text]):
        return [piece]
    groups: dict[Span, list[Item]] = {span: [] for span in covered}
    for item in piece.items:
        for part in _cut(item, _covered(item, covered)):
            own = max(covered, key=lambda one: min(part.right, one[1]) - max(part.left, one[0]))
            groups[own].append(part)
    return [make_line(group) for group in groups.values()] if all(groups.values()) else [piece]


def _covered(box: Line | Item, columns: Sequence[Span]) -> list[Span]:
    return [span for span in columns if box.left < (span[0] + span[1]) / 2 < box.right]


def _cut(item: Item, columns: Sequence[Span]) -> list[Item]:
    """Return a phrase in pieces, one for each column that it covers, each as wide as its column.

    It is whole if no blank is near the white between two of the columns.
    """
    ends = letter_ends(item)
    blanks = [at for at, one in enumerate(item.text) if one == " "]
    parts: list[Item] = []
    start, left = 0, item.left
    for (_, before), (after, _) in pairwise(columns):
        away = {at: max(before - ends[at], ends[at] - after, 0.0) for at in blanks if at > start}
        nearest = min(away, key=lambda at: (away[at], at), default=None)
        if nearest is None or away[nearest] > NEAR * item.size:
            return [item]
        parts.append(replace(item, text=item.text[start:nearest], left=left, right=before))
        start, left = nearest + 1, after
    return [*parts, replace(item, text=item.text[start:], left=left)]
