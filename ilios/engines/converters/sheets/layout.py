"""Layout of a sheet as Markdown.

- The name of the sheet is a heading; that of a hidden sheet is marked.
- Hidden rows and columns are left out, as a reader does not see them.
- Empty rows divide a sheet into tables, whose first row is the header. A table of one cell is a
  paragraph, and so is each row with one cell above a table of three columns or more.
- A merged cell over all columns of the sheet has its text once.
- Empty columns at the sides of a table are left out, several between others become one.
"""

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator

from ilios.engines.converters import markdown
from ilios.engines.converters.grid import REPEATED_CHARS
from ilios.engines.converters.inline import escape, escape_line_starts
from ilios.engines.converters.sheets.cells import MAX_COLUMN, Room, Sheet, column_name
from ilios.engines.converters.sheets.pictures import Pictures
from ilios.engines.pages import ConvertedPage
from schemas.options import MergedCells
from schemas.results import PageHeading, PageResult
from schemas.warnings import PageWarning, page_warning

MAX_TABLE_COLUMNS = 1_000
"""Columns of a table; no reader of Markdown shows more."""

MAX_COVERED = 1_000_000
"""Cells of a sheet that repeat the text of a merged one."""

TITLED_COLUMNS = 3
"""Columns of a table that may have a title: of two columns, the header of one may be empty."""

PROGRESS_ROWS = 5_000

SHARE = 2
"""A sheet may take this part of the bytes that are left, so that those behind it have some."""

_PLURAL = re.compile(r"s(?= |$)")
_GAP = -1
"""The place of empty columns."""


class SheetWriter:
    """Writes the sheets of a document; ``heartbeat`` is called again and again meanwhile."""

    def __init__(
        self, room: Room, merged_cells: MergedCells | None, heartbeat: Callable[[], None]
    ) -> None:
        self._room = room
        self._merged_cells = merged_cells
        self._heartbeat = heartbeat

    def write(self, sheet: Sheet) -> str:
        """Return a sheet as Markdown; count in it what is left out."""
        budget = self._room.output_bytes // SHARE
        self._spread_merged(sheet)
        _leave_out_hidden(sheet)
        pieces = [_heading(sheet)]
        for block in _blocks(sheet):
            titles = _titles(sheet, block)
            for rows in (*([row] for row in block[:titles]), block[titles:]):
                text = self._table(sheet, rows, budget)
                budget = max(0, budget - len(text.encode()) - 2)
                pieces.append(text)
        for text in sheet.below:
            size = len(text.encode())
            if size > budget:
                sheet.left_out["objects of the sheet"] += 1
                continue
            budget -= size
            pieces.append(text)
        made = "\n\n".join(piece for piece in pieces if piece)
        self._room.output_bytes -= len(made.encode())
        return made

    def _spread_merged(self, sheet: Sheet) -> None:
        """Put the texts of merged cells where they are seen."""
        rows = sorted(sheet.rows)
        if not rows or not sheet.merges:
            return
        first_column = min(min(cells, default=MAX_COLUMN) for cells in sheet.rows.values())
        width = max(max(cells, default=0) for cells in sheet.rows.values()) + 1
        hidden_rows = sheet.hidden_rows.among(rows)
        hidden_columns = sheet.hidden_columns.among(range(width))
        looked_at = 0
        for area in sheet.merges:
            anchor = sheet.rows.get(area.top, {})
            text = anchor.get(area.left, "")
            if not text:
                continue
            first, last = bisect_left(rows, area.top), bisect_left(rows, area.bottom + 1)
            right = min(area.right + 1, width)
            looked_at += (last - first) * (right - area.left)
            if looked_at > MAX_COVERED:
                return
            shown = [row for row in rows[first:last] if row not in hidden_rows]
            columns = [one for one in range(area.left, right) if one not in hidden_columns]
            is_title = area.left <= first_column and right == width and last == first + 1
            if not self._repeats(text, is_title=is_title):
                shown, columns = shown[:1], columns[:1]
            if self._merged_cells is None and len(columns) > 1:
                sheet.merged_rows.update(shown[:1])
            for row in shown:
                sheet.rows[row].update(dict.fromkeys(columns, text))
            if shown and columns and area.left in hidden_columns:
                anchor.pop(area.left, None)
            self._heartbeat()

    def _repeats(self, text: str, *, is_title: bool) -> bool:
        if self._merged_cells is None:
            return len(text) <= REPEATED_CHARS and not is_title
        return self._merged_cells == "repeat"

    def _table(self, sheet: Sheet, block: list[int], budget: int) -> str:
        """Return rows as a table as far as the bytes reach."""
        columns = _columns(sheet, block)
        if len(block) == 1 and _has_one_text(sheet, block[0]):
            text = sheet.rows[block[0]][columns[0]]
            if len(text.encode()) <= budget:
                return escape_line_starts(text)
            sheet.left_out["cells"] += 1
            return ""
        if len(columns) > MAX_TABLE_COLUMNS:
            beyond = columns[MAX_TABLE_COLUMNS:]
            beyond = [column for column in beyond if column != _GAP]
            sheet.left_out[f"columns from {column_name(beyond[0])} on"] += len(beyond)
            columns = columns[:MAX_TABLE_COLUMNS]
        lines: list[str] = []
        for place, row in enumerate(block):
            cells = sheet.rows[row]
            texts = [cells.get(column, "") for column in columns]
            size = sum(map(len, texts)) + 3 * len(texts) + 2
            line = f"| {' | '.join(texts)} |" if size <= budget else ""
            size = len(line.encode()) or size
            if size >= budget:
                sheet.left_out[f"rows from {row + 1} on"] += len(block) - place
                break
            budget -= size + 1
            lines.append(line)
            if place == 0:
                lines.append(f"|{' --- |' * len(columns)}")
                budget -= len(lines[-1]) + 1
            if place % PROGRESS_ROWS == 0:
                self._heartbeat()
        return "\n".join(lines)


def sheet_page(
    index: int,
    sheet: Sheet,
    writer: SheetWriter,
    pictures: Pictures,
    warnings: tuple[PageWarning, ...] = (),
) -> ConvertedPage:
    """Return a sheet as a page, with these warnings and its own."""
    text = writer.write(sheet)
    name = heading_text(sheet)
    result = PageResult(
        index=index,
        markdown=text,
        images=pictures.images,
        headings=(PageHeading(1, name),) if name else (),
        warnings=(*warnings, *_warnings(sheet)),
    )
    return ConvertedPage(result, pictures.bytes)


def _warnings(sheet: Sheet) -> tuple[PageWarning, ...]:
    """Return the warnings about a sheet."""
    found = []
    counted = [_counted(count, what) for what, count in sheet.left_out.items() if count]
    if counted or sheet.also_left_out:
        detail = ", ".join([*counted, *sheet.also_left_out])
        found.append(page_warning("content_left_out", detail))
    if sheet.unreadable:
        found.append(page_warning("part_unreadable", ", ".join(sheet.unreadable)))
    if sheet.formulas_without_result:
        named = ", ".join(sheet.without_result)
        more = sheet.formulas_without_result - len(sheet.without_result)
        detail = f"{named} and {more} more" if more else named
        found.append(page_warning("formulas_without_result", detail))
    return (*found, *sheet.links.warnings())


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what if count != 1 else _PLURAL.sub('', what, 1)}"


def heading_text(sheet: Sheet) -> str:
    """Return the name of a sheet, marked if it is hidden."""
    name = markdown.one_line(sheet.name)
    return name if sheet.state == "visible" else f"{name} ({sheet.state})".strip()


def _heading(sheet: Sheet) -> str:
    text = heading_text(sheet)
    return f"# {escape(text)}" if text else ""


def _leave_out_hidden(sheet: Sheet) -> None:
    rows = sorted(sheet.rows)
    hidden = sheet.hidden_rows.among(rows)
    for row in hidden:
        del sheet.rows[row]
    if hidden:
        sheet.left_out["hidden rows"] += len(hidden)
    if not sheet.hidden_columns.ranges():
        return
    hidden = sheet.hidden_columns.among(range(MAX_COLUMN))
    found: set[int] = set()
    for cells in sheet.rows.values():
        for column in hidden & cells.keys():
            found.add(column)
            del cells[column]
    if found:
        sheet.left_out["hidden columns"] += len(found)


def _blocks(sheet: Sheet) -> Iterator[list[int]]:
    """Yield the numbers of filled rows, divided at empty ones that are not hidden."""
    rows = [row for row in sorted(sheet.rows) if sheet.rows[row]]
    ranges = iter(sheet.hidden_rows.ranges())
    current = next(ranges, None)
    block: list[int] = []
    for row in rows:
        if block:
            empty = row - block[-1] - 1
            while empty and current is not None and current[0] < row:
                start, end = max(current[0], block[-1] + 1), min(current[1], row - 1)
                empty -= max(0, end - start + 1)
                if current[1] >= row:
                    break
                current = next(ranges, None)
            if empty:
                yield block
                block = []
        block.append(row)
    if block:
        yield block


def _titles(sheet: Sheet, block: list[int]) -> int:
    """Return how many rows above a table of three columns or more have one cell: its titles."""
    count = next((at for at, row in enumerate(block) if not _has_one_text(sheet, row)), 0)
    wide = count and len(set().union(*(sheet.rows[row] for row in block))) >= TITLED_COLUMNS
    return count if wide else 0


def _has_one_text(sheet: Sheet, row: int) -> bool:
    """Whether a row has one cell, or one merged cell."""
    cells = sheet.rows[row]
    return len(cells) == 1 or (row in sheet.merged_rows and len(set(cells.values())) == 1)


def _columns(sheet: Sheet, block: list[int]) -> list[int]:
    """Return the columns of a table, with ``_GAP`` for empty ones between them."""
    used: set[int] = set()
    for row in block:
        used.update(sheet.rows[row])
    columns: list[int] = []
    for column in sorted(used):
        if columns:
            between = column - columns[-1] - 1
            if between and between > sheet.hidden_columns.count(columns[-1] + 1, column - 1):
                columns.append(_GAP)
        columns.append(column)
    return columns
