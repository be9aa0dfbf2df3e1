"""Tables of a page: those of data as Markdown tables, those that only place things as blocks."""

from collections import Counter

from ilios.engines.converters.blocks import Block, Code, Items, Paragraph, Quote, Table, write_cell
from ilios.engines.converters.grid import MAX_CELLS, Grid, GridFull
from ilios.engines.converters.web.frames import CellFrame, TableFrame, integer
from schemas.options import MergedCells

_PARTS = {"thead": 0, "tbody": 1, "tfoot": 2}
_LAYOUT_ROLES = ("presentation", "none")
_LONG_CELL_BLOCKS = 6


class SpanBudget:
    """Cells that merged ones may still cover in one document; attributes may claim any number."""

    def __init__(self) -> None:
        self._left = MAX_CELLS // 4

    def take(self, columns: int, rows: int) -> tuple[int, int]:
        """Return the span of a cell, which is 1 by 1 when the budget is used up."""
        covered = columns * rows - 1
        if covered > self._left:
            return 1, 1
        self._left -= covered
        return columns, rows


def close_table(table: TableFrame, merged: MergedCells | None, budget: SpanBudget) -> list[Block]:
    """Return the blocks of a table whose end is reached."""
    parts = sorted(
        ((_PARTS.get(part, 1), cells) for part, cells in table.rows if cells),
        key=lambda row: row[0],
    )
    rows = [cells for _, cells in parts]
    if not any(cell.blocks for cells in rows for cell in cells):
        return table.blocks
    if _is_layout(table, rows):
        inner = (block for cells in rows for cell in cells for block in cell.blocks)
        return [*table.blocks, *inner]
    try:
        texts = _grid(parts, merged, budget).rows()
    except GridFull:
        texts = [[write_cell(cell.blocks) for cell in cells] for cells in rows]
    return [*table.blocks, Table(tuple(map(tuple, texts)))]


def _grid(
    parts: list[tuple[int, list[CellFrame]]], merged: MergedCells | None, budget: SpanBudget
) -> Grid:
    ends = Counter(part for part, _ in parts)  # merged cells end with their part of the table
    for part in sorted(ends):
        ends[part] += ends[part - 1]
    grid = Grid(merged)
    for number, (part, cells) in enumerate(parts):
        grid.add_row()
        for cell in cells:
            columns = min(max(integer(cell.element.get("colspan"), 1), 1), 1000)
            left = ends[part] - number
            down = integer(cell.element.get("rowspan"), 1) or left  # zero covers all of them
            columns, down = budget.take(columns, min(max(down, 1), left))
            grid.add(write_cell(cell.blocks), columns, down)
    return grid


def _is_layout(table: TableFrame, rows: list[list[CellFrame]]) -> bool:
    """Whether a table only places its content: it has what no cell of Markdown can have."""
    element = table.element
    if (element.get("role") or "").strip().lower() in _LAYOUT_ROLES:
        return True
    cells = [cell for row in rows for cell in row]
    if len(cells) == 1:
        return True
    if any(cell.element.tag == "th" for cell in cells) or any(
        part == "thead" for part, _ in table.rows
    ):
        return False
    if max(map(len, rows)) == 1 and any(len(cell.blocks) > 1 for cell in cells):
        return True
    in_line = len(rows) == 1 or max(map(len, rows)) == 1
    return any(
        len(cell.blocks) >= _LONG_CELL_BLOCKS
        or any(_is_large(block, in_line=in_line) for block in cell.blocks)
        for cell in cells
    )


def _is_large(block: Block, *, in_line: bool) -> bool:
    match block:
        case Paragraph(_, level):
            return level > 0
        case Table():
            return in_line
        case Items(items):
            return len(items) >= _LONG_CELL_BLOCKS
    return isinstance(block, Code | Quote)
