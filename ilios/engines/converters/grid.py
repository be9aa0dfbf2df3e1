"""Tables with merged cells as rows of texts."""

from msgspec import Struct

from ilios.engines.converters import markdown
from schemas.options import MergedCells

REPEATED_CHARS = 40
"""A merged cell with no more text is repeated in every cell it covers, a longer one is not: a
heading over three columns belongs to each of them, a paragraph need not be read three times."""

MAX_SPAN = 1000
"""Columns or rows one cell covers; a file may claim any number."""

MAX_CELLS = 2_000_000
"""Cells of a table, covered ones included; spans beyond are cut, cells beyond are refused."""


class GridFull(Exception):
    """The table has more than ``MAX_CELLS`` cells."""


class Position(Struct, frozen=True):
    """Row and column of a cell, from 0."""

    row: int
    column: int


class Grid:
    """A table that is filled row by row, from left to right, where spans of earlier cells allow."""

    def __init__(self, merged_cells: MergedCells | None = None) -> None:
        self._merged = merged_cells or "auto"
        self._cells: dict[tuple[int, int], str] = {}
        self._row, self._column = -1, 0

    def add_row(self) -> None:
        """Begin the next row."""
        self._row += 1
        self._column = 0

    def skip(self, columns: int) -> None:
        """Leave cells empty, as an indented row does."""
        self._column += min(columns, MAX_SPAN)

    def add(self, text: str, columns: int = 1, rows: int = 1) -> Position:
        """Put a cell into the next free place of the row; returns that place.

        :raises GridFull: the table has too many cells.
        """
        while (self._row, self._column) in self._cells:
            self._column += 1
        place = Position(self._row, self._column)
        columns = min(max(columns, 1), MAX_SPAN)
        rows = min(max(rows, 1), MAX_SPAN)
        for down in range(rows):
            for right in range(columns):
                if len(self._cells) >= MAX_CELLS:
                    raise GridFull
                self._cells.setdefault(
                    (place.row + down, place.column + right),
                    text if not (down or right) or self._repeats(text) else "",
                )
        self._column += columns
        return place

    def extend_down(self, columns: int = 1, text: str = "") -> None:
        """Put cells into the row that belong to the cell above them (``vMerge`` of DOCX).

        ``text`` is their own, which stands after the text of that cell in its first place.
        """
        while (self._row, self._column) in self._cells:
            self._column += 1
        if text:
            self._append_above(text, columns)
        above = self._cells.get((self._row - 1, self._column), "")
        for right in range(min(max(columns, 1), MAX_SPAN)):
            if len(self._cells) >= MAX_CELLS:
                raise GridFull
            here = above if self._repeats(above) else ""
            self._cells.setdefault((self._row, self._column + right), here)
        self._column += columns

    def rows(self) -> list[list[str]]:
        """Return the texts by row; all rows have the same length."""
        width = max((column for _, column in self._cells), default=-1) + 1
        return [
            [self._cells.get((row, column), "") for column in range(width)]
            for row in range(self._row + 1)
        ]

    def markdown(self) -> str:
        """Return the table as Markdown, its first row as the heading."""
        return markdown.table(self.rows())

    def _append_above(self, text: str, columns: int) -> None:
        """Put text after that of the cell above, in all columns where it is repeated."""
        row = self._row - 1
        least = max(row - MAX_SPAN, 0)
        while row > least and not self._cells.get((row, self._column)):
            row -= 1
        former = self._cells.get((row, self._column))
        if former is None:
            return
        for column in range(self._column, self._column + min(max(columns, 1), MAX_SPAN)):
            if column == self._column or (former and self._cells.get((row, column)) == former):
                self._cells[row, column] = f"{former} {text}".strip()

    def _repeats(self, text: str) -> bool:
        match self._merged:
            case "once":
                return False
            case "repeat":
                return True
        return len(text) <= REPEATED_CHARS
