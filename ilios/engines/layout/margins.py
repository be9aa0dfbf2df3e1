"""Margins of a column: where its lines begin and end."""

from collections.abc import Sequence
from itertools import pairwise

from .lines import Line, first_fits

INDENT = 0.8
MAX_INDENT = 5.0
"""Indentation of the first line of a paragraph, in the size of the font."""

LOOSE_LINES = 4
LOOSE_SHARE = 0.6
"""Share of lines before which there is place for their first word, where all are separate."""

USUAL_END = 0.9
"""Share of the lines of a column that end at its right edge or before; others reach beyond it."""

JUSTIFIED_LINES = 12
"""Lines of a column from which on their common edge is no chance."""


def is_loose(lines: Sequence[Line]) -> bool:
    """Whether most lines end before the column does, as those of addresses and receipts."""
    if len(lines) <= LOOSE_LINES or _is_justified(lines):
        return False
    right = max(line.right for line in lines)
    fits = sum(first_fits(above, line, right) for above, line in pairwise(lines))
    return fits > LOOSE_SHARE * (len(lines) - 1)


def _is_justified(lines: Sequence[Line]) -> bool:
    """Whether many lines end at one edge, though a few may reach beyond it."""
    rights = sorted(line.right for line in lines)
    edge = rights[int(USUAL_END * (len(rights) - 1))]
    near = sum(abs(line.right - edge) < line.size for line in lines)
    return len(lines) > JUSTIFIED_LINES and near > len(lines) / 2


def is_hanging(lines: Sequence[Line]) -> bool:
    """Whether all lines of the paragraphs but the first are indented, as in a bibliography."""
    left = min(line.left for line in lines)
    shifts = [(line.left - left) / line.size for line in lines]
    base = sum(shift < INDENT for shift in shifts)
    indented = sum(INDENT <= shift < MAX_INDENT for shift in shifts)
    alone = sum(one < INDENT and other < INDENT for one, other in pairwise(shifts))
    return (
        indented >= base > 1
        and base + indented == len(lines)
        and alone <= base / 3
        and len({round(shift) for shift in shifts if shift >= INDENT}) <= 2
    )
