"""Tables: rows with indents, cells over several columns and rows (ECMA-376, part 1, 17.4)."""

from collections.abc import Callable, Iterator
from typing import Literal

from ilios.engines.converters.docx.blocks import Block, Cell, Row, Table
from ilios.engines.converters.docx.revisions import has_dropped_mark
from ilios.engines.converters.docx.source import Source
from ilios.engines.converters.docx.wordml import VAL, Element, W, integer, local_name, switch, value

_WRAPPERS = frozenset({"sdt", "sdtContent", "customXml", "smartTag", "ins", "moveTo"})

Inside = Callable[[Element], list[Block]]


def read_table(table: Element, source: Source, inside: Inside) -> list[Block]:
    """Return a table, or the blocks of one that is only a frame around them.

    ``inside`` reads the blocks of a cell.
    """
    rows = []
    for row in _parts(table, "tr"):
        source.tick()
        settings = row.find(f"{W}trPr")
        if has_dropped_mark(settings, source.changes) or switch(settings, "hidden"):
            continue
        cells = tuple(_cells(row, source, inside))
        before = integer(value(settings, "gridBefore")) or 0
        rows.append(Row(cells, max(before, 0), integer(value(settings, "gridAfter")) or 0))
    if _is_frame(rows):
        return [block for row in rows for cell in row.cells for block in cell.blocks]
    return [Table(tuple(rows))] if rows else []


def _is_frame(rows: list[Row]) -> bool:
    """Whether this is one cell, or one column around further tables."""
    if any(len(row.cells) > 1 for row in rows):
        return False
    cells = [cell for row in rows for cell in row.cells]
    return len(cells) == 1 or any(isinstance(one, Table) for cell in cells for one in cell.blocks)


def _cells(row: Element, source: Source, inside: Inside) -> Iterator[Cell]:
    pending: Cell | None = None
    for element in _parts(row, "tc"):
        settings = element.find(f"{W}tcPr")
        if has_dropped_mark(settings, source.changes):
            continue
        columns = max(integer(value(settings, "gridSpan")) or 1, 1)
        if pending is not None and _goes_on(settings, "hMerge") == "continue":
            pending = Cell(pending.blocks, pending.columns + columns, pending.merge)
            continue
        if pending is not None:
            yield pending
        pending = Cell(tuple(inside(element)), columns, _goes_on(settings, "vMerge"))
    if pending is not None:
        yield pending


def _goes_on(settings: Element, name: str) -> Literal["", "restart", "continue"]:
    merge = None if settings is None else settings.find(W + name)
    if merge is None:
        return ""
    return "restart" if merge.get(VAL) == "restart" else "continue"


def _parts(parent: Element, name: str) -> Iterator[Element]:
    """Yield the rows of a table or the cells of a row, those of content controls in their place."""
    stack = [iter(parent)]
    while stack:
        child = next(stack[-1], None)
        if child is None:
            stack.pop()
        elif child.tag == W + name:
            yield child
        elif local_name(child) in _WRAPPERS:
            stack.append(iter(child))
