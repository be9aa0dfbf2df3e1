"""Tables of a page: those of data as Markdown tables, those that only place things as blocks."""

from ilios.engines.converters.blocks import Block, Code, Items, Paragraph, Quote, Table, write_cell
from ilios.engines.converters.grid import MAX_CELLS, Grid
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
    rows = [
        cells for _, cells in sorted(table.rows, key=lambda row: _PARTS.get(row[0], 1)) if cells
    ]
    if not any(cell.blocks for cells in rows for cell in cells):
        return table.blocks
    if _is_layout(table, rows):
        return [
            *table.blocks,
            *(block for cells in rows for cell in cells for block in cell.blocks),
        ]
    grid = Grid(merged)
    for number, cells in enumerate(rows):
        grid.add_row()
        for cell in cells:
            columns = min(max(integer(cell.element.get("colspan"), 1), 1), 1000)
            # Zero covers all rows that follow; none covers more.
            down = integer(cell.element.get("rowspan"), 1) or len(rows)
            down = min(max(down, 1), len(rows) - number)
            columns, down = budget.take(columns, down)
            grid.add(write_cell(cell.blocks), columns, down)
    return [*table.blocks, Table(tuple(map(tuple, grid.rows())))]


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
