"""Tables of LaTeX: rows and cells of ``tabular`` and its relatives."""

import re
from collections.abc import Callable

from msgspec import Struct

from ilios.engines.converters.grid import Grid, GridFull
from ilios.engines.converters.latex.structure import Structure
from schemas.options import MergedCells

ENVIRONMENTS = {
    "tabular": 1, "tabularx": 2, "tabulary": 2, "longtable": 1, "array": 1,
    "supertabular": 1, "longtblr": 1, "tblr": 1,
}  # fmt: skip
"""Tables with the number of their arguments."""

MAX_COLUMNS, MAX_ROWS = 100, 1000  # of a merged cell

_SEPARATOR = re.compile(r"\\begin\s*\{[^{}]*\}|\\tabularnewline\b|\\\\|\\.|[{&]", re.DOTALL)
_RULES = re.compile(
    r"\\(?:hline|toprule|midrule|bottomrule|endhead|endfirsthead|endfoot|endlastfoot|centering)"
    r"(?![A-Za-z])(?:\[[^\]]{0,20}\])?"
    r"|\\(?:cline|cmidrule|specialrule|addlinespace|rowcolor|arrayrulecolor)(?![A-Za-z])"
    r"(?:\([^)]{0,20}\)|\[[^\]]{0,20}\]|\{[^{}]{0,40}\})*"
)
_MERGED = re.compile(r"\s*\\(multicolumn|multirow)\s*")
_NUMBER = re.compile(r"\d{1,4}")


class _Cell(Struct, frozen=True):
    start: int
    end: int
    columns: int = 1
    rows: int = 1


def table_rows(
    structure: Structure,
    start: int,
    end: int,
    merged: MergedCells | None,
    write: Callable[[int, int], str],
) -> tuple[tuple[str, ...], ...]:
    """Return the rows of a table between two places; ``write`` converts the content of a cell."""
    rows = [[_cell(structure, *place) for place in row] for row in _rows(structure, start, end)]
    texts = [
        [write(cell.start, cell.end) if _shown(structure, cell) else "" for cell in row]
        for row in rows
    ]
    try:
        grid = _grid(rows, texts, merged)
    except GridFull:
        return tuple(tuple(row) for row in texts if any(row))
    return tuple(tuple(row) for row in grid.rows() if any(row))


def _grid(rows: list[list[_Cell]], texts: list[list[str]], merged: MergedCells | None) -> Grid:
    grid = Grid(merged)
    below: dict[int, int] = {}
    for cells, written in zip(rows, texts, strict=True):
        if not any(written):
            continue
        grid.add_row()
        column = 0
        for cell, text in zip(cells, written, strict=True):
            covered = below.get(column, 0) > 0
            if covered:
                below[column] -= 1
            if text or not covered:  # a cell below a merged one has to be empty
                grid.add(text, cell.columns, cell.rows)
                if cell.rows > 1:
                    below[column] = cell.rows - 1
            column += cell.columns
    return grid


def _rows(structure: Structure, start: int, end: int) -> list[list[tuple[int, int]]]:
    rows: list[list[tuple[int, int]]] = [[]]
    cell = at = start
    while (found := _SEPARATOR.search(structure.text, at, end)) is not None:
        at = found.end()
        mark = found[0]
        if mark == "{":
            at = (structure.group_end(found.start()) or found.start()) + 1
        elif mark.startswith("\\begin"):
            inner = structure.environment_end(found.start())
            at = inner[1] if inner else at
        elif mark == "&":
            rows[-1].append((cell, found.start()))
            cell = at
        elif mark in ("\\\\", "\\tabularnewline"):
            rows[-1].append((cell, found.start()))
            rows.append([])
            at = at + structure.text.startswith("*", at)
            cell = at = structure.option(at, end)[1]
    rows[-1].append((cell, max(cell, end)))
    return rows


def _shown(structure: Structure, cell: _Cell) -> bool:
    return bool(_RULES.sub("", structure.text[cell.start : cell.end]).strip())


def _cell(structure: Structure, start: int, end: int) -> _Cell:
    """Return a cell without the rules before it, and with its span."""
    columns = rows = 1
    while True:
        start = structure.skip_blanks(start)
        if (rule := _RULES.match(structure.text, start, end)) is not None:
            start = rule.end()
            continue
        found = _MERGED.match(structure.text, start, end)
        if found is None:
            return _Cell(min(start, end), end, columns, rows)
        at = structure.option(found.end(), end)[1]
        places = []
        for _ in range(3):
            place = structure.argument(at, end)
            if place is None:
                return _Cell(start, end, columns, rows)
            places.append(place)
            at = structure.option(place[2], end)[1] if found[1] == "multirow" else place[2]
        number = _NUMBER.search(structure.text, places[0][0], places[0][1])
        count = int(number[0]) if number else 1
        if found[1] == "multicolumn":
            columns = max(columns, min(count, MAX_COLUMNS))
        else:
            rows = max(rows, min(count, MAX_ROWS))
        start, end = places[2][0], places[2][1]
