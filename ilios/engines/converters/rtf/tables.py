"""Tables of RTF: rows whose cells end at given places."""

from bisect import bisect_right

from msgspec import Struct

from ilios.engines.converters.blocks import Block, Table, write_cell
from ilios.engines.converters.grid import Grid, GridFull
from schemas.options import MergedCells

_TOLERANCE = 60  # twips, 3 mm: borders of one column are not always at one place
MAX_COLUMNS = 500


class CellDefinition(Struct):
    """The right border of a cell, in twips, and whether it continues the one before or above."""

    right: int = 0
    continues_row: bool = False
    continues_column: bool = False


class RowDefinition:
    """What the controls before the cells of a row define."""

    def __init__(self) -> None:
        self.left = 0
        self.cells: list[CellDefinition] = []
        self._next = CellDefinition()

    def continue_row(self) -> None:
        """Let the next cell continue the one before."""
        self._next.continues_row = True

    def continue_column(self) -> None:
        """Let the next cell continue the one above."""
        self._next.continues_column = True

    def end_cell(self, right: int) -> None:
        """Define a cell by its right border."""
        self._next.right = right
        if len(self.cells) < MAX_COLUMNS:
            self.cells.append(self._next)
        self._next = CellDefinition()


class _Row(Struct, frozen=True):
    left: int
    cells: list[tuple[str, CellDefinition | None]]


class Rows:
    """The rows of a table so far."""

    def __init__(self) -> None:
        self._rows: list[_Row] = []

    def __bool__(self) -> bool:
        return bool(self._rows)

    def add(self, definition: RowDefinition, cells: list[list[Block]]) -> None:
        """Add a row."""
        defined = [*definition.cells, *[None] * max(0, len(cells) - len(definition.cells))]
        written: list[tuple[str, CellDefinition | None]] = []
        for blocks, cell in zip(cells, defined, strict=False):
            text = write_cell(blocks)
            before, first = written[-1] if written else ("", None)
            if cell is not None and first is not None and cell.continues_row:
                widened = CellDefinition(cell.right, first.continues_row, first.continues_column)
                written[-1] = (f"{before} {text}".strip(), widened)
            else:
                written.append((text, cell))
        self._rows.append(_Row(definition.left, written))

    def take(self, merged: MergedCells | None) -> Block | None:
        """Return the table, and begin another."""
        rows, self._rows = self._rows, []
        if not any(text for row in rows for text, _ in row.cells):
            return None
        try:
            return Table(tuple(map(tuple, _grid(rows, merged).rows())))
        except GridFull:
            return Table(tuple(tuple(text for text, _ in row.cells) for row in rows))


def _grid(rows: list[_Row], merged: MergedCells | None) -> Grid:
    edges = _edges(rows)
    grid = Grid(merged)
    for row in rows:
        grid.add_row()
        at = _place(edges, row.left)
        if at:
            grid.skip(at)
        for text, cell in row.cells:
            to = at + 1 if cell is None else max(_place(edges, cell.right), at + 1)
            if cell is not None and cell.continues_column:
                grid.extend_down(to - at, text)
            else:
                grid.add(text, to - at)
            at = to
    return grid


def _edges(rows: list[_Row]) -> list[int]:
    """Return the places of all borders of columns, from left to right."""
    found = {row.left for row in rows}
    found.update(cell.right for row in rows for _, cell in row.cells if cell is not None)
    edges: list[int] = []
    for edge in sorted(found):
        if len(edges) <= MAX_COLUMNS and (not edges or edge - edges[-1] > _TOLERANCE):
            edges.append(edge)
    return edges


def _place(edges: list[int], edge: int) -> int:
    return max(0, bisect_right(edges, edge) - 1)
