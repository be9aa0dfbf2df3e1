"""A sheet as it is read: shown cells by row and column, what is merged and hidden, within bounds.

Rows and columns count from 0.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

from ilios.engines.converters.left_out_links import LeftOutLinks

State = Literal["visible", "hidden", "very hidden"]

MAX_ROW, MAX_COLUMN = 1_048_576, 16_384
"""Rows and columns of the largest sheet of any program; what is beyond is no cell."""

MAX_CELLS = 2_000_000
"""Filled cells of all sheets of a document: 100 bytes of memory and 4 microseconds each."""

MAX_MERGED = 100_000
"""Merged areas of a sheet. They are compared with its rows one by one."""

MAX_NAMED = 5
"""Cells that a warning names."""


class Room:
    """Cells and bytes of Markdown that the sheets of a document may still have."""

    def __init__(self, output_bytes: int, cells: int = MAX_CELLS) -> None:
        self.cells = cells
        self.output_bytes = output_bytes


class Merge(Struct, frozen=True):
    """A merged area; both ends are included."""

    top: int
    left: int
    bottom: int
    right: int


class Hidden:
    """Numbers of hidden rows or columns, as ranges."""

    def __init__(self) -> None:
        self._ranges: list[tuple[int, int]] = []
        self._is_sorted = True

    def add(self, first: int, last: int) -> None:
        """Add the numbers ``first`` to ``last``, both included."""
        if self._ranges and self._ranges[-1][1] + 1 == first:
            self._ranges[-1] = (self._ranges[-1][0], last)
            return
        self._is_sorted = self._is_sorted and (not self._ranges or self._ranges[-1][1] < first)
        self._ranges.append((first, last))

    def ranges(self) -> list[tuple[int, int]]:
        """Return the ranges in ascending order, without overlap."""
        if not self._is_sorted:
            merged: list[tuple[int, int]] = []
            for first, last in sorted(self._ranges):
                if merged and first <= merged[-1][1] + 1:
                    merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
                else:
                    merged.append((first, last))
            self._ranges, self._is_sorted = merged, True
        return self._ranges

    def among(self, numbers: Iterable[int]) -> set[int]:
        """Return the hidden ones of these numbers, which ascend."""
        ranges = iter(self.ranges())
        current = next(ranges, None)
        found = set()
        for number in numbers:
            while current is not None and current[1] < number:
                current = next(ranges, None)
            if current is not None and current[0] <= number:
                found.add(number)
        return found

    def count(self, first: int, last: int) -> int:
        """Return how many of the numbers ``first`` to ``last`` are hidden."""
        return sum(
            min(last, end) - max(first, start) + 1
            for start, end in self.ranges()
            if start <= last and end >= first
        )


class Sheet:
    """The cells of a sheet as Markdown, and what stands on it besides."""

    def __init__(self, name: str, state: State, room: Room) -> None:
        self.name = name
        self.state = state
        self.rows: dict[int, dict[int, str]] = {}
        self.merges: list[Merge] = []
        self.merged_rows: set[int] = set()
        """Rows that begin a merged area whose text is repeated."""
        self.hidden_rows = Hidden()
        self.hidden_columns = Hidden()
        self.below: list[str] = []
        """Markdown of what is drawn on the sheet, and of its comments."""
        self.left_out: Counter[str] = Counter()
        """Counts by a noun in the plural of what is not in the Markdown."""
        self.also_left_out: list[str] = []
        self.unreadable: list[str] = []
        """Noun phrases of what could not be read."""
        self.without_result: list[str] = []
        self.formulas_without_result = 0
        self.links = LeftOutLinks()
        self._room = room

    @property
    def has_room(self) -> bool:
        """Whether the document may have further cells."""
        return self._room.cells > 0

    def put(self, row: int, column: int, text: str) -> None:
        """Add a cell."""
        if not text:
            return
        if row >= MAX_ROW or column >= MAX_COLUMN:
            self.left_out["cells beyond the last column or row"] += 1
        elif self._room.cells <= 0:
            self.left_out["cells"] += 1
        else:
            self._room.cells -= 1
            self.rows.setdefault(row, {})[column] = text

    def put_row(self, row: int, cells: dict[int, str]) -> None:
        """Add the cells of a row, which all have a text."""
        if row in self.rows or row >= MAX_ROW or len(cells) > self._room.cells:
            for column, text in cells.items():
                self.put(row, column, text)
        elif cells:
            self._room.cells -= len(cells)
            self.rows[row] = cells

    def merge(self, area: Merge) -> None:
        """Add a merged area."""
        if area.bottom < area.top or area.right < area.left:
            return
        if len(self.merges) < MAX_MERGED:
            self.merges.append(area)

    def lacks_result(self, reference: str) -> None:
        """Count a formula whose result is not in the file."""
        self.formulas_without_result += 1
        if len(self.without_result) < MAX_NAMED:
            self.without_result.append(reference)


def column_name(column: int) -> str:
    """Return the letters of a column."""
    name = ""
    column += 1
    while column:
        column, digit = divmod(column - 1, 26)
        name = chr(ord("A") + digit) + name
    return name


def column_number(letters: str) -> int:
    """Return the number of a column; one that is too large for ``MAX_COLUMN`` if it is none."""
    if not 1 <= len(letters) <= 3 or not letters.isascii() or not letters.isalpha():
        return MAX_COLUMN
    number = 0
    for letter in letters.upper():
        number = number * 26 + ord(letter) - ord("A") + 1
    return number - 1
