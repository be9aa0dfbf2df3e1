"""Closed tables: the cells of grids of rules, with the text that stands in them."""

import re
from bisect import bisect_right
from collections.abc import Sequence
from statistics import median

from msgspec import Struct

from .headings import CAPTION
from .heads import GAP, HEAD_ROWS, Span, head_row, is_head
from .items import Item
from .lines import Line, append_text, cells, is_rtl, linked_text, make_line, reading_order, rows
from .open_columns import with_open_columns
from .strokes import TOUCH, Grid, Rule

FRAME_WORDS = 90
"""A cell of a small grid with more words is a frame around other content."""

CARD_WORDS = 15
"""Usual cells of a small grid with more words are boxes that stand beside each other."""

HEAD_HEIGHT = 60.0
"""Height above a grid in which its head is searched."""

SMALL_GRID = 8
MEAN_WORDS = 45
LEAST_FILLED = 0.3
"""Share of a grid's cells that contain text; a drawing has fewer."""

SMALL_ROWS = 4
MERGED_SHARE = 0.6
"""Share of a larger grid's places in merged cells; a drawing has more."""

MAX_CELLS = 20_000
SPLIT_SHARE = 0.6
"""Share of the columns that have text at the height of a line which begins a row of its own."""

_NUMBER = re.compile(r"[-+\u2212(]?(?=.*\d)[\d.,' ]{1,20}[)%]?")


class Table(Struct):
    """A table: the box around it, its rows of cells, and the items in it."""

    left: float
    top: float
    right: float
    bottom: float
    rows: list[list[str]]
    items: list[Item]

    def __post_init__(self) -> None:
        """Turn the columns of a script that is written from right to left."""
        if is_rtl(cell for row in self.rows for cell in row):
            self.rows = [row[::-1] for row in self.rows]


class _Span(Struct):
    row: int
    column: int
    last_row: int
    last_column: int
    items: list[Item]


def read_grid(grid: Grid, items: Sequence[Item], above: Sequence[Item]) -> Table | None:
    """Return the table of a grid with the items inside of it, None if it is not one.

    Its head may stand among the items above the grid.
    """
    if (len(grid.xs) - 1) * (len(grid.ys) - 1) > MAX_CELLS:
        return None
    grid = with_open_columns(grid, items)
    spans = _spans(grid)
    if not _place(grid, spans, items) or not _is_table(grid, spans):
        return None
    # A column without a text of its own is the gap between two rules.
    columns = sorted({span.column for span in spans if span.items})
    places = [(grid.xs[at], grid.xs[at + 1]) for at in columns]
    heads, top = _heads(grid, places, above)
    texts = _split_open_rows(grid, spans) or _split_numbers(grid, spans)
    if texts is None:
        texts = _texts(grid, spans, headed=bool(heads))
    texts = [[row[at] for at in columns] for row in texts if any(row)]
    if len(texts) < 2 or len(columns) < 2:
        return None
    used = [item for row in heads for piece in row for item in piece.items]
    texts = [head_row(row, places) for row in heads] + texts
    return Table(grid.left, top, grid.right, grid.bottom, texts, [*items, *used])


def _heads(
    grid: Grid, columns: list[Span], above: Sequence[Item]
) -> tuple[list[list[Line]], float]:
    """Return the heads that stand above a grid, and where they begin."""
    near = [item for item in above if grid.top - HEAD_HEIGHT < item.top < grid.top]
    found: list[list[Line]] = []
    top = grid.top
    for row in reversed(rows(near)):
        pieces = cells(make_line(row))
        gap = top - max(piece.bottom for piece in pieces)
        if (
            len(found) == HEAD_ROWS
            or gap > GAP * pieces[0].size
            or not is_head(pieces, columns, lone=bool(found))
            or CAPTION.match(pieces[0].text)
        ):
            break
        found.insert(0, pieces)
        top = min(piece.top for piece in pieces)
    return found, top


def _spans(grid: Grid) -> list[_Span]:
    """Return the cells; neighbours without a rule between them are one."""
    columns, lines = len(grid.xs) - 1, len(grid.ys) - 1
    walls = _walls(grid.xs, grid.verticals, [_mean(grid.ys, row) for row in range(lines)])
    floors = _walls(grid.ys, grid.horizontals, [_mean(grid.xs, at) for at in range(columns)])
    taken: set[tuple[int, int]] = set()
    spans: list[_Span] = []
    for row in range(lines):
        for column in range(columns):
            if (row, column) in taken:
                continue
            last = column
            while last + 1 < columns and not walls[last + 1][row] and (row, last + 1) not in taken:
                last += 1
            low = row
            while (
                low + 1 < lines
                and not any(floors[low + 1][at] for at in range(column, last + 1))
                and _same_walls(walls, low + 1, column, last)
            ):
                low += 1
            taken.update((y, x) for y in range(row, low + 1) for x in range(column, last + 1))
            spans.append(_Span(row, column, low, last, []))
    return spans


def _mean(places: list[float], at: int) -> float:
    return (places[at] + places[at + 1]) / 2


def _walls(places: list[float], found: list[Rule], middles: list[float]) -> list[list[bool]]:
    """Return for each edge whether a rule on it passes each of the places between the others."""
    walls = [[False] * len(middles) for _ in places]
    for rule in found:
        at = min(bisect_right(places, rule.at + TOUCH) - 1, len(places) - 1)
        for place, middle in enumerate(middles):
            if rule.start - TOUCH <= middle <= rule.end + TOUCH:
                walls[at][place] = True
    return walls


def _same_walls(walls: list[list[bool]], row: int, first: int, last: int) -> bool:
    return not any(walls[at][row] for at in range(first + 1, last + 1)) and (
        walls[first][row] or first == 0
    )


def _place(grid: Grid, spans: list[_Span], items: Sequence[Item]) -> bool:
    """Add the items to the cells their middles lie in. Return whether all have one."""
    at = {
        (row, column): span
        for span in spans
        for row in range(span.row, span.last_row + 1)
        for column in range(span.column, span.last_column + 1)
    }
    for item in items:
        x = (item.left + item.right) / 2
        y = (item.top + item.bottom) / 2
        row = min(max(bisect_right(grid.ys, y) - 1, 0), len(grid.ys) - 2)
        column = min(max(bisect_right(grid.xs, x) - 1, 0), len(grid.xs) - 2)
        at[row, column].items.append(item)
    return bool(items)


def _is_table(grid: Grid, spans: list[_Span]) -> bool:
    covered = sum(_size(span) for span in spans if _size(span) > 1)
    if len(grid.ys) > SMALL_ROWS and covered > MERGED_SHARE * (len(grid.xs) - 1) * (
        len(grid.ys) - 1
    ):
        return False
    filled = [span for span in spans if span.items]
    if len({span.row for span in filled}) < 2 and len(grid.ys) > 2:
        return False
    if len({span.column for span in filled}) < 2 or len(filled) < LEAST_FILLED * len(spans):
        return False
    counts = [sum(len(item.text.split()) for item in span.items) for span in filled]
    if len(spans) <= SMALL_GRID and (max(counts) > FRAME_WORDS or median(counts) > CARD_WORDS):
        return False
    return sum(counts) / len(counts) <= MEAN_WORDS


def _size(span: _Span) -> int:
    return (span.last_row - span.row + 1) * (span.last_column - span.column + 1)


def _texts(grid: Grid, spans: list[_Span], *, headed: bool) -> list[list[str]]:
    texts = [[""] * (len(grid.xs) - 1) for _ in range(len(grid.ys) - 1)]
    head = 0 if headed else _head_rows(spans, len(grid.xs) - 1)
    for span in spans:
        text = cell_text(span.items)
        # Below the head a cell over several columns parts the table: its text stands there once.
        last = span.last_column if span.row < head else span.column
        for row in range(span.row, span.last_row + 1):
            for column in range(span.column, last + 1):
                texts[row][column] = text
    return texts


def _head_rows(spans: list[_Span], columns: int) -> int:
    """Return how many rows at the top have cells over several columns, but not over all."""
    row = 0
    while True:
        here = [span for span in spans if span.row <= row <= span.last_row]
        wide = [span for span in here if span.items and span.last_column > span.column]
        if not wide or any(_width(span) == columns for span in wide):
            return row
        row += 1


def _width(span: _Span) -> int:
    return span.last_column - span.column + 1


def cell_text(items: Sequence[Item]) -> str:
    """Return the text of a cell in one line."""
    text = ""
    for row in rows(items):
        text = append_text(text, linked_text(reading_order(row)))
    return text


def _split_open_rows(grid: Grid, spans: list[_Span]) -> list[list[str]] | None:
    """Return the rows of a table whose body has no rules between them, None for another."""
    last = len(grid.ys) - 2
    if last > HEAD_ROWS or any(span.row != span.last_row for span in spans):
        return None
    if last > 1 and any(len(rows(span.items)) > 1 for span in spans if span.row < last):
        return None
    columns = len(grid.xs) - 1
    texts: list[list[str]] = []
    for row in range(last + 1):
        cells = [span for span in spans if span.row == row]
        head = row < last and last > 0
        starts = [] if head else _row_starts(cells)
        if last > 1 and not head and len(starts) < len(rows(_items(cells))):
            return None
        if len(starts) < 2:
            texts.append(_one_row(cells, columns))
            continue
        groups: list[list[_Span]] = [
            [_Span(row, cell.column, row, cell.last_column, []) for cell in cells] for _ in starts
        ]
        for at, cell in enumerate(cells):
            for item in cell.items:
                middle = (item.top + item.bottom) / 2
                groups[max(bisect_right(starts, middle) - 1, 0)][at].items.append(item)
        texts += [_one_row(group, columns) for group in groups]
    return texts if len(texts) > last + (last > 1) + 1 else None


def _split_numbers(grid: Grid, spans: list[_Span]) -> list[list[str]] | None:
    """Return the rows of a table some of which have a number in each of several lines.

    Such lines are rows without rules between them, and no text that goes on in the next line.
    """
    if any(_size(span) > 1 for span in spans):
        return None
    columns = len(grid.xs) - 1
    texts: list[list[str]] = []
    for row in range(len(grid.ys) - 1):
        cells = [span for span in spans if span.row == row]
        lines = [[cell_text(line) for line in rows(span.items)] for span in cells]
        count = len(lines[0])
        numbers = any(all(map(_NUMBER.fullmatch, column)) for column in lines)
        ends = all(len(column) == count for column in lines) and not any(
            text[:1].islower() for column in lines for text in column[1:]
        )
        if row and count > 1 and numbers and ends:
            texts += [list(line) for line in zip(*lines, strict=True)]
        else:
            texts.append(_one_row(cells, columns))
    return texts if len(texts) > len(grid.ys) - 1 else None


def _items(cells: list[_Span]) -> list[Item]:
    return [item for cell in cells for item in cell.items]


def _one_row(cells: list[_Span], columns: int) -> list[str]:
    texts = [""] * columns
    for cell in cells:
        text = cell_text(cell.items)
        for column in range(cell.column, cell.last_column + 1):
            texts[column] = text
    return texts


def _row_starts(cells: list[_Span]) -> list[float]:
    """Return the tops of the lines at which most of the columns, and the first, have text."""
    filled = [cell for cell in cells if cell.items]
    if len(filled) < 2:
        return []
    lines = rows(_items(filled))
    of = {id(item): at for at, cell in enumerate(filled) for item in cell.items}
    starts = []
    for line in lines:
        present = {of[id(item)] for item in line}
        if 0 in present and len(present) >= SPLIT_SHARE * len(filled):
            starts.append(min(item.top for item in line))
    words = median([len(item.text.split()) for cell in filled for item in cell.items])
    return starts if words <= PROSE_PHRASE else []


PROSE_PHRASE = 5
"""Phrases with more words are running text in the cells of one row."""
