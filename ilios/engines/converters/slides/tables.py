"""Tables of slides, in which the cells that others cover are there as well, and marked."""

from typing import Any

from msgspec import Struct

from ilios.engines.converters.grid import Grid
from ilios.engines.converters.slides import text
from ilios.engines.converters.slides.names import A, integer, is_on
from ilios.engines.converters.slides.text import Links
from schemas.options import MergedCells

MAX_CELLS = 100_000

_Places = set[tuple[int, int]]


class TableText(Struct, frozen=True):
    """A table as Markdown, and how many rows of it are left out."""

    markdown: str
    rows_left_out: int = 0


def table(element: Any, links: Links, merged_cells: MergedCells | None) -> TableText:
    """Return an ``a:tbl`` as Markdown."""
    rows = [list(row.iterchildren(f"{A}tc")) for row in element.iterchildren(f"{A}tr")]
    columns = len(element.findall(f"{A}tblGrid/{A}gridCol"))
    width = min(max(columns, *map(len, rows), 1), MAX_CELLS)
    within = rows[: max(1, MAX_CELLS // width)]
    grid = Grid(merged_cells)
    covered: _Places = set()
    for y, row in enumerate(within):
        grid.add_row()
        x = 0
        for cell in row[:MAX_CELLS]:
            body = cell.find(f"{A}txBody")
            written = "" if body is None else text.cell(body, links)
            if (y, x) in covered:
                if not written or is_on(cell.get("hMerge")) or is_on(cell.get("vMerge")):
                    x += 1
                    continue
                # A program has left out the covered cells: this one is the next free one.
                while (y, x) in covered:
                    x += 1
            across = _free(integer(cell.get("gridSpan"), 1), width - x, covered, (y, x))
            down = min(max(integer(cell.get("rowSpan"), 1), 1), len(within) - y)
            covered.update((y + i, x + j) for i in range(down) for j in range(across))
            grid.add(written, across, down)
            x += 1
    return TableText(grid.markdown(), len(rows) - len(within))


def _free(span: int, limit: int, covered: _Places, place: tuple[int, int]) -> int:
    """Return how many cells of its row a cell covers: none that is covered already."""
    y, x = place
    span = max(min(span, limit), 1)
    return next((j for j in range(1, span) if (y, x + j) in covered), span)
