"""Tables of an OpenDocument file."""

from collections.abc import Callable, Iterator
from typing import Any

from ilios.engines.converters import markdown
from ilios.engines.converters.blocks import APART
from ilios.engines.converters.grid import MAX_SPAN, Grid, GridFull
from ilios.engines.converters.odf.names import attribute, count, tag
from schemas.options import MergedCells

MAX_REPEATED = 1_000
"""Rows or columns that one element stands for, where they are not empty; a file may claim 2³¹."""

MAX_CELLS = 200_000
"""Cells of one table in a text or on a slide."""

MAX_NESTED = 10
_ROWS, _ROW = "table:table-rows", "table:table-row"
_GROUPS = ("table:table-header-rows", "table:table-row-group", _ROWS)
_REPEATED = "table:number-columns-repeated"
_CELL, _COVERED = "table:table-cell", "table:covered-table-cell"

_Cell = tuple[str, int, int, int]
"""Text, repetitions, columns and rows of a cell; no columns of a covered one."""

Blocks = Callable[[Any, int], list[str]]


class TableReader:
    """Reads tables; ``left_out`` are details of warnings about those that are too large."""

    def __init__(self, merged_cells: MergedCells | None, blocks: Blocks) -> None:
        self.left_out: list[str] = []
        self._merged_cells = merged_cells
        self._blocks = blocks
        self._nested = 0

    def read(self, element: Any, depth: int) -> list[str]:
        """Return a table as blocks: one of a single cell is a frame around its blocks."""
        rows = list(_rows(element))
        cells = [one for row in rows[:2] for one in row if tag(one) == _CELL]
        if len(rows) == 1 and len(cells) == 1 and count(cells[0], _REPEATED, 2) == 1:
            return self._blocks(cells[0], depth)
        grid = self._grid(element, depth)
        return [grid.markdown()]

    def _grid(self, element: Any, depth: int) -> Grid:
        grid, cells, empty = Grid(self._merged_cells), 0, 0
        try:
            for row in _rows(element):
                texts = self._row(row, depth)
                repeated = count(row, "table:number-rows-repeated", MAX_REPEATED + 1)
                if repeated > 1 and not any(text for text, *_ in texts):
                    empty = 1  # as in a sheet, whose end may be a million rows away
                    continue
                if repeated > MAX_REPEATED:
                    self.left_out.append(f"repetitions of a row beyond {MAX_REPEATED}")
                    repeated = MAX_REPEATED
                for _ in range(empty):
                    grid.add_row()
                empty = 0
                for _ in range(repeated):
                    cells += sum(times * columns for _, times, columns, _ in texts) or 1
                    if cells > MAX_CELLS:
                        raise GridFull
                    _add_row(grid, texts)
        except GridFull:
            self.left_out.append(f"cells of a table beyond {MAX_CELLS}")
        return grid

    def _row(self, row: Any, depth: int) -> list[_Cell]:
        """Return the cells of a row without the empty ones that repeat to the end of a sheet."""
        texts = [self._cell(cell, depth) for cell in row if tag(cell) in (_CELL, _COVERED)]
        while texts and not texts[-1][0] and texts[-1][1] > 1 and texts[-1][2]:
            texts.pop()
        return texts

    def _cell(self, cell: Any, depth: int) -> _Cell:
        if tag(cell) == _COVERED:
            return "", count(cell, _REPEATED, MAX_SPAN), 0, 0
        text = self._cell_text(cell, depth)
        times = count(cell, _REPEATED, MAX_SPAN)
        columns = count(cell, "table:number-columns-spanned", MAX_SPAN)
        return text, times, columns, count(cell, "table:number-rows-spanned", MAX_SPAN)

    def _cell_text(self, cell: Any, depth: int) -> str:
        """Return what is in a cell on one line; a table within it as its rows."""
        pieces: list[str] = []
        for one in cell:
            if tag(one) == "table:table":
                pieces.append(self._nested_text(one, depth))
            else:
                pieces += self._blocks([one], depth + 1)
        text = " ".join(pieces).replace("  \n", "<br>").replace(APART, "")
        text = markdown.one_line(text)
        return text or (attribute(cell, "office:value") if not len(cell) else "")

    def _nested_text(self, table: Any, depth: int) -> str:
        if self._nested >= MAX_NESTED:
            return " ".join(table.itertext())
        self._nested += 1
        rows = self._grid(table, depth + 1).rows()
        self._nested -= 1
        return "; ".join(", ".join(filter(None, row)) for row in rows if any(row))


def _rows(element: Any) -> Iterator[Any]:
    """Yield the rows of a table, those of groups as well."""
    waiting = list(reversed(element))
    while waiting:
        one = waiting.pop()
        if tag(one) == _ROW:
            yield one
        elif tag(one) in _GROUPS:
            waiting += reversed(one)


def _add_row(grid: Grid, texts: list[_Cell]) -> None:
    grid.add_row()
    for text, times, columns, down in texts:
        for _ in range(times if columns else 0):
            grid.add(text, columns, down)
