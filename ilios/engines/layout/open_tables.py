"""Tables without rules, or with only some: rows of short texts in columns."""

import re
from bisect import bisect_left
from collections.abc import Sequence
from itertools import dropwhile, pairwise, zip_longest
from statistics import median

from msgspec import Struct

from . import lists
from .heads import GAP, HEAD_ROWS, HEAD_WORDS, head_row
from .items import Item
from .lines import Line, append_text, cells, linked_text, make_line
from .narrow_cells import split_glued
from .strokes import Rule
from .tables import Table

LEAST_ROWS = 3
SHORT_ROWS = 2
SHORT_COLUMNS = 3
"""A table has so many rows, or fewer if it has more columns."""

CELL_WORDS = 7
LONG_CELL = 30
"""Words of a usual and of the longest cell."""

ROW_GAP = 2.5
"""Gap between two rows, in the size of the font, that ends a table."""

TIGHT = 0.9
"""Gap above a line, in the size of the font, that continues the row above."""

CLOSE = 0.85
CLOSER = 0.75
"""Distance of two lines, by the usual one of rows, of which the second continues the row above, and
the distance where it has text in the first column, too."""

LEAST_FILLED = 0.6
"""Share of the cells that have text; labels of a drawing leave more places empty."""

RECENT = 20
"""Rows above a line that show the usual distance of rows."""

MAX_COLUMNS = 200
"""With more columns it is no table."""

NARROW = 0.4
"""Least gap, in the size of the font, between cells that begin where those of other rows do."""

LEAST_DOTS = 4
"""Dots of leaders."""

CLEAR_GAP = 1.5
ALIGNED = 0.7
"""Share of the cells that share an edge or the middle with the others of their column."""

_LAST = re.compile(r"[^\s.](?:[^\s.]|\.(?![.\s])){0,5}$")
_EQUATION_NUMBER = re.compile(r"\(?[A-Z]?\.?\d+(?:\.\d+)*[a-z]?\)")
_CAPTION = re.compile(r"(?:table|tab\.|tabelle|fig|figure|abb)\b", re.IGNORECASE)
_UNITS = frozenset("$\u20ac\u00a3\u00a5")


class Found(Struct):
    """A table in a sequence of lines: those from ``start`` to before ``stop``."""

    start: int
    stop: int
    table: Table


Rows = list[list[Line]]
Span = tuple[float, float]


def find(lines: Sequence[Line], *, code: bool, rules: Sequence[Rule] = ()) -> list[Found]:
    """Return the tables among the lines of a column, from top to bottom.

    :param rules: the horizontal rules of the page.
    :param code: whether monospaced lines are code, in which no tables are searched.
    """
    found: list[Found] = []
    split = [[line] if code and line.monospaced else _pieces(line) for line in lines]
    place = 0
    while place < len(lines):
        if len(split[place]) < 2:
            place += 1
            continue
        stop = _run(split, place)
        split[place:stop] = split_glued(_split_alike(split[place:stop]))
        table = _table(split[place:stop])
        if table is None:
            place = stop
            continue
        floor = found[-1].stop if found else 0
        first = place + _spanning(split[place:stop])
        if first > place and (body := _table(split[first:stop])):
            table, place = body, first
        start, heads = _heads(split, place, stop, floor, rules)
        rows = heads + table if heads else table
        used = [item for line in lines[start:stop] for item in line.items]
        box = [line for row in split[start:stop] for line in row]
        rows = _join_units(rows)
        found.append(Found(start, stop, _boxed(box, rows, used)))
        place = stop
    return found


def _boxed(box: list[Line], rows: list[list[str]], items: list[Item]) -> Table:
    return Table(
        min(line.left for line in box),
        min(line.top for line in box),
        max(line.right for line in box),
        max(line.bottom for line in box),
        rows,
        items,
    )


def _pieces(line: Line) -> list[Line]:
    """Return the cells of a line; a mark of a list is no cell of its own."""
    if len(line.items) < 2:
        return [line]
    pieces = cells(line)
    if len(pieces) > 1 and lists.is_marker(pieces[0].text):
        pieces[:2] = [make_line(pieces[0].items + pieces[1].items)]
    return pieces


def _run(split: Rows, start: int) -> int:
    """Return the end of the rows from ``start`` on that may be one table."""
    stop = start + 1
    last = start + 1
    while stop < len(split):
        above, row = split[stop - 1], split[stop]
        gap = min(line.top for line in row) - max(line.bottom for line in above)
        if gap > ROW_GAP * row[0].size:
            break
        if len(row) > 1:
            last = stop + 1
        elif not _continues(above, row[0], split[start]):
            break
        else:
            recent = split[max(start, stop - RECENT) : stop]
            left = min(one[0].left for one in recent) + row[0].size
            if _in_first_column(recent, row[0]) or (
                gap < TIGHT * row[0].size / 2 and row[0].left > left
            ):
                last = stop + 1
        stop += 1
    return last


def _split_alike(run: Rows) -> Rows:
    """Return rows whose narrow gaps part cells where another row has a cell, too."""
    most = max(map(len, run))
    if not SHORT_COLUMNS <= most <= MAX_COLUMNS:
        return run
    fullest = [row for row in run if len(row) == most]
    starts = sorted({piece.left for row in fullest[:RECENT] for piece in row[1:]})
    return [
        row if len(row) in (1, most) else [cell for piece in row for cell in _cut(piece, starts)]
        for row in run
    ]


def _cut(piece: Line, starts: Sequence[float]) -> list[Line]:
    """Return a cell in pieces that begin at the given places, if there is white before them."""
    items = sorted(piece.items, key=lambda item: item.left)
    groups = [items[:1]]
    for item in items[1:]:
        at = bisect_left(starts, item.left - 1)
        white = item.left - max(one.right for one in groups[-1]) > NARROW * item.size
        if white and at < len(starts) and starts[at] <= item.left + 1:
            groups.append([item])
        else:
            groups[-1].append(item)
    return [make_line(group) for group in groups] if len(groups) > 1 else [piece]


def _in_first_column(rows: Rows, line: Line) -> bool:
    """Whether a line stands closer below than rows do, and to the left of the second column."""
    seconds = [row[1].left for row in rows if len(row) > 1]
    pitches = [below[0].top - above[0].top for above, below in pairwise(rows) if len(below) > 1]
    return (
        bool(pitches)
        and line.top - rows[-1][0].top < CLOSER * median(pitches)
        and line.right < min(seconds, default=0.0)
    )


def _continues(above: list[Line], line: Line, first: list[Line]) -> bool:
    """Whether a line of one piece may belong to the table above it."""
    gap = line.top - max(cell.bottom for cell in above)
    left = min(first[0].left, above[0].left)
    right = max(first[-1].right, above[-1].right)
    return gap < TIGHT * line.size and line.right - line.left < (right - left) / 2


def _table(run: Rows) -> list[list[str]] | None:
    """Return the rows of a table with their cells from left to right; None if it is not one."""
    full = [row for row in run if len(row) > 1]
    if len(full) < SHORT_ROWS:
        return None
    columns = _columns(full)
    if not 2 <= len(columns) <= MAX_COLUMNS or (
        len(full) < LEAST_ROWS and len(columns) < SHORT_COLUMNS
    ):
        return None
    pieces = [piece for row in full for piece in row]
    words = [len(piece.text.split()) for piece in pieces]
    unlike = (
        median(words) > CELL_WORDS
        or max(words) > LONG_CELL
        or not _is_aligned(full, columns)
        or (len(full) < LEAST_ROWS and not _is_clear(full, columns))
        or all(_EQUATION_NUMBER.fullmatch(row[-1].text) for row in full)
        or (len(columns) < SHORT_COLUMNS and _are_items(full))
        or len(pieces) < LEAST_FILLED * len(full) * len(columns)
    )
    if unlike:
        return None
    return _fill(run, columns)


def _are_items(full: Rows) -> bool:
    return 2 * sum(bool(lists.marker(row[0].text)) for row in full) > len(full)


def _is_clear(full: Rows, columns: list[Span]) -> bool:
    """Whether two rows have the same cells, far apart."""
    gaps = [right[0] - left[1] for left, right in pairwise(columns)]
    return len({len(row) for row in full}) == 1 and min(gaps) > CLEAR_GAP * full[0][0].size


def _columns(full: Rows) -> list[Span]:
    """Return the x ranges of the columns, by the rows with most cells."""
    most = max(len(row) for row in full)
    spans = sorted((p.left, p.right) for row in full if len(row) >= max(2, most - 1) for p in row)
    size = median([row[0].size for row in full])
    columns: list[Span] = []
    for left, right in spans:
        if columns and left < columns[-1][1] + size / 4:
            columns[-1] = (columns[-1][0], max(columns[-1][1], right))
        else:
            columns.append((left, right))
    return columns


def _is_aligned(full: Rows, columns: list[Span]) -> bool:
    groups: dict[int, list[Line]] = {}
    for row in full:
        for piece in row:
            groups.setdefault(_column_of(piece, columns), []).append(piece)
    good = 0
    for group in groups.values():
        tolerance = group[0].size
        good += max(
            _agreeing([piece.left for piece in group], tolerance),
            _agreeing([piece.right for piece in group], tolerance),
            _agreeing([piece.left + piece.right for piece in group], 2 * tolerance),
        )
    return good >= ALIGNED * sum(map(len, groups.values()))


def _agreeing(places: list[float], tolerance: float) -> int:
    middle = median(places)
    return sum(abs(place - middle) <= tolerance / 2 for place in places)


def _column_of(piece: Line, columns: list[Span]) -> int:
    return max(
        range(len(columns)),
        key=lambda at: min(piece.right, columns[at][1]) - max(piece.left, columns[at][0]),
    )


def _fill(run: Rows, columns: list[Span]) -> list[list[str]]:
    rows: list[list[str]] = []
    # A title may begin a row, so distances are those of its last cells.
    pitches = [below[-1].top - above[-1].top for above, below in pairwise(run) if len(below) > 1]
    usual = median(pitches) if pitches else 0.0
    above: list[Line] | None = None
    ahead: list[str] | None = None  # lines of the row that follows, above its other cells
    for row, below in zip_longest(run, run[1:]):
        texts = ahead or [""] * len(columns)
        for piece in row:
            at = _column_of(piece, columns)
            texts[at] = f"{texts[at]} {linked_text(piece.items)}".strip()
        lone = len(row) == 1 and not texts[0]
        pitch = row[-1].top - above[-1].top if above else usual
        closer = CLOSER if texts[0] else CLOSE
        if lone and above and below:
            following = below[-1].top - row[-1].top
            if following < (closer * pitch if not ahead else pitch / closer):
                ahead, above = texts, row
                continue
        joined = not ahead and pitch < closer * usual and len(row) < len(columns)
        ahead = None
        if rows and (lone or joined):
            for at, text in enumerate(texts):
                rows[-1][at] = append_text(rows[-1][at], text)
        else:
            rows.append(texts)
        above = row
    return rows


def _spanning(run: Rows) -> int:
    """Return how many rows at the top stand over the columns without filling them."""
    columns = _columns([row for row in run if len(row) > 1])
    count = 0
    while count < min(HEAD_ROWS, len(run)):
        row = run[count]
        if len(row) >= len(columns) - 1:
            return count
        if len(row) < 2 or not all(_is_head(piece, columns) for piece in row):
            return 0
        count += 1
    return 0


def _heads(
    split: Rows, place: int, stop: int, floor: int, rules: Sequence[Rule]
) -> tuple[int, list[list[str]]]:
    """Return where a table begins with the lines above that head its columns, and those rows."""
    columns = _columns([row for row in split[place:stop] if len(row) > 1])
    heads: list[list[str]] = []
    start = place
    while start > floor and len(heads) < HEAD_ROWS:
        row, below = split[start - 1], split[start]
        gap = min(line.top for line in below) - max(line.bottom for line in row)
        if gap > GAP * row[0].size or not all(_is_head(line, columns) for line in row):
            break
        heads.insert(0, head_row(row, columns, rules))
        start -= 1
    return start, heads


def _is_head(line: Line, columns: list[Span]) -> bool:
    """Whether a line stands over some of the columns, but not as a title over all of them."""
    return (
        line.left > columns[0][1] - line.size
        and line.right <= columns[-1][1] + 2 * line.size
        and len(line.text.split()) <= HEAD_WORDS
        and not _CAPTION.match(line.text)
    )


def _join_units(rows: list[list[str]]) -> list[list[str]]:
    """Return the rows; a column of nothing but currency signs below its head joins the next."""
    at = 0
    while at + 1 < len(rows[0]):
        values = [row[at] for row in rows if row[at]]
        body = list(dropwhile(lambda value: value not in _UNITS, values))
        if len(body) > 1 and _UNITS.issuperset(body) and len(values) - len(body) <= HEAD_ROWS:
            for row in rows:
                both = [row[at]] * (row[at] != row[at + 1]) + [row[at + 1]]
                row[at : at + 2] = [" ".join(filter(None, both))]
        else:
            at += 1
    return rows


def _entry(text: str) -> list[str] | None:
    """Return a text with its leaders and the page number after them; None without leaders."""
    last = _LAST.search(text) if text.count(".") >= LEAST_DOTS else None
    if last is None:
        return None
    listed = text[: last.start()].rstrip()
    if listed[len(listed.rstrip(". ")) :].count(".") < LEAST_DOTS:
        return None
    return [listed, last[0]]


def find_contents(lines: Sequence[Line]) -> list[Found]:
    """Return the lists of contents: lines that end in leaders and a page number."""
    found: list[Found] = []
    place = 0
    while place < len(lines):
        stop = place
        rows = []
        while stop < len(lines) and (entry := _entry(lines[stop].text)):
            rows.append(entry)
            stop += 1
        if len(rows) >= LEAST_ROWS:
            run = list(lines[place:stop])
            items = [item for line in run for item in line.items]
            found.append(Found(place, stop, _boxed(run, rows, items)))
        place = max(stop, place + 1)
    return found
