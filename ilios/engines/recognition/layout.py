"""Layout of a page: recognised lines in reading order, as Markdown blocks.

A page is divided into sections of one column each, and those into tables, headings, list items and
paragraphs.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from statistics import median

from ilios.engines.converters import markdown
from ilios.engines.recognition.recogniser import Line

COLUMN_LINES = 4
"""Columns have at least so many lines."""

PROSE_CHARS = 16
"""Lines of a text column have at least so many characters; those of a table have fewer."""

PROSE_FILL = 0.6
"""Share of its column's width that a line of running text takes."""

CROSSING_SHARE = 0.3
"""Most lines (titles, figures) that may reach across the gutter between two columns."""

BOX_MARGIN = 0.35
"""Margin of a box around its text on each side, as a share of its height."""

MAX_MERGED_LINES = 8
"""More consecutive lines across the gutter are a wide paragraph and not merged lines."""

GUTTER_ZONE = (0.15, 0.85)
"""Part of the width in which a gutter is searched; the next is the number of steps."""
GUTTER_STEPS = 140

SAME_ROW = 0.5
"""Share of the lower box's height by which two boxes of a row overlap."""

TABLE_ROWS = 3
TABLE_CELLS = 6
"""A table has at least two columns, and so many rows or cells."""

PARAGRAPH_GAP = 0.8
"""Gap above the first line of a paragraph, in line heights beyond the usual gap."""

WIDTH_TOLERANCE = 1.3
"""Maximum ratio of a word's estimated width to its true width."""

HEADING_HEIGHT = 1.45
TITLE_HEIGHT = 2.0
"""Minimum heights, in usual line heights, of headings of the second and first level."""

HEADING_CHARS = 100
_BULLETS = "•●▪■◦○·‣\u2043"
_BULLET = re.compile(rf"^\s*(?:[{_BULLETS}*\u2013-]\s+|[{_BULLETS}])(?=\S)")
_ITEM = re.compile(rf"{_BULLET.pattern}|^\s*\(?\d{{1,2}}[.)]\s")
_LISTED = re.compile(r"- |\d{1,2}[.)] ")
_WIDE = re.compile("[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
"""Scripts written without spaces between words."""


Row = list[Line]


def to_markdown(lines: Sequence[Line]) -> str:
    """Return the lines of a page as Markdown, in reading order."""
    if not lines:
        return ""
    line_height = median(line.height for line in lines)
    text = ""
    listing = False
    for section in _sections(lines):
        for block in _blocks(section, line_height):
            item = bool(_LISTED.match(block))
            text += ("\n" if item and listing else "\n\n") + block
            listing = item
    return text.strip()


def _sections(lines: Sequence[Line]) -> Iterator[list[Line]]:
    """Yield the lines in groups of a single column each, in reading order.

    Lines across both columns (a title, a caption) divide the page: the columns above them are read
    first, left before right.
    """
    gutter = _gutter(lines)
    if gutter is None:
        if lines:
            yield list(lines)
        return
    lines = _split_merged(lines, gutter)
    crossing = sorted(
        (line for line in lines if _side(line, gutter) == 0), key=lambda line: line.center_y
    )
    rest = [line for line in lines if _side(line, gutter) != 0]
    edges = [line.center_y for line in crossing] + [float("inf")]
    spanning: list[Line] = []
    above = float("-inf")
    for place, edge in enumerate(edges):
        between = [line for line in rest if above <= line.center_y < edge]
        if between:
            if spanning:
                yield spanning
                spanning = []
            yield from _sections([line for line in between if _side(line, gutter) < 0])
            yield from _sections([line for line in between if _side(line, gutter) > 0])
        if place < len(crossing):
            spanning.append(crossing[place])
        above = edge
    if spanning:
        yield spanning


def _gutter(lines: Sequence[Line]) -> float | None:
    """Return the x of a gutter between two columns of running text, or None."""
    if len(lines) < 2 * COLUMN_LINES:
        return None
    left = min(line.left for line in lines)
    width = max(line.right for line in lines) - left
    start, stop = GUTTER_ZONE
    best: tuple[int, list[float]] | None = None
    for step in range(GUTTER_STEPS + 1):
        x = left + width * (start + (stop - start) * step / GUTTER_STEPS)
        crossing = sum(_side(line, x) == 0 for line in lines)
        if crossing > CROSSING_SHARE * len(lines) or not _separates_prose(lines, x):
            continue
        if best is None or crossing < best[0]:
            best = (crossing, [x])
        elif crossing == best[0]:
            best[1].append(x)
    return median(best[1]) if best else None


def _separates_prose(lines: Sequence[Line], x: float) -> bool:
    return _is_prose([line for line in lines if _side(line, x) < 0]) and _is_prose(
        [line for line in lines if _side(line, x) > 0]
    )


def _side(line: Line, x: float) -> int:
    """Return -1 for a line left of x, 1 for one right of it, 0 for one across it."""
    margin = BOX_MARGIN * line.height
    if line.right - margin <= x:
        return -1
    return 1 if line.left + margin >= x else 0


def _split_merged(lines: Sequence[Line], gutter: float) -> list[Line]:
    """Return the lines; those merged across a narrow gutter are split."""
    left = min(line.left for line in lines)
    right = max(line.right for line in lines)
    for _ in range(MAX_MERGED_LINES):
        beside = [line for line in lines if _side(line, gutter) != 0]
        parted: list[Line] = []
        for line in lines:
            fills = line.left - left < 2 * line.height and right - line.right < 2 * line.height
            if _side(line, gutter) == 0 and fills and any(_near(line, other) for other in beside):
                parted += _split_line(line, gutter)
            else:
                parted.append(line)
        lines = parted
    return list(lines)


def _near(line: Line, other: Line) -> bool:
    gap = max(line.top - other.bottom, other.top - line.bottom)
    return -line.height / 2 < gap < line.height / 2


def _split_line(line: Line, x: float) -> list[Line]:
    """Return the two halves of a line, split at the space nearest to x."""
    guess = len(line.text) * (x - line.left) / line.width
    spaces = [place for place, sign in enumerate(line.text) if sign == " "]
    if not spaces:
        return [line]
    at = min(spaces, key=lambda place: abs(place - guess))
    return [
        Line(line.left, line.top, x, line.bottom, line.text[:at].rstrip()),
        Line(x, line.top, line.right, line.bottom, line.text[at:].lstrip()),
    ]


def _is_prose(column: Sequence[Line]) -> bool:
    if len(column) < COLUMN_LINES:
        return False
    width = max(line.right for line in column) - min(line.left for line in column)
    return (
        median(len(line.text) for line in column) >= PROSE_CHARS
        and median(line.width for line in column) >= PROSE_FILL * width
    )


def _blocks(lines: Sequence[Line], line_height: float) -> Iterator[str]:
    prose: list[Line] = []
    rows = _rows(lines)
    place = 0
    while place < len(rows):
        length, cells = _table_at(rows, place, line_height)
        if cells:
            yield from _paragraphs(prose, line_height)
            prose = []
            yield markdown.table(cells)
            place += length
        else:
            prose.append(_join_row(rows[place]))
            place += 1
    yield from _paragraphs(prose, line_height)


def _rows(lines: Sequence[Line]) -> list[Row]:
    rows: list[Row] = []
    for line in sorted(lines, key=lambda line: line.center_y):
        if rows and _same_row(rows[-1][-1], line):
            rows[-1].append(line)
        else:
            rows.append([line])
    return [sorted(row, key=lambda line: line.left) for row in rows]


def _same_row(one: Line, other: Line) -> bool:
    overlap = min(one.bottom, other.bottom) - max(one.top, other.top)
    return overlap > SAME_ROW * min(one.height, other.height)


def _join_row(row: Row) -> Line:
    return Line(
        row[0].left,
        min(line.top for line in row),
        max(line.right for line in row),
        max(line.bottom for line in row),
        "  ".join(line.text for line in row),
    )


def _table_at(rows: list[Row], start: int, line_height: float) -> tuple[int, list[list[str]]]:
    """Return how many rows from ``start`` on are a table, and its cells; none without a table."""
    stop = start
    while stop < len(rows) and (
        len(rows[stop]) > 1 or _continues_table(rows, start, stop, line_height)
    ):
        stop += 1
    while stop > start and len(rows[stop - 1]) == 1:
        stop -= 1
    run = rows[start:stop]
    columns = _columns(run, line_height)
    if len(columns) < 2 or (len(run) < TABLE_ROWS and len(columns) * len(run) < TABLE_CELLS):
        return 0, []
    cells: list[list[str]] = []
    for row in run:
        texts = [""] * len(columns)
        for line in row:
            at = _column_of(line, columns)
            texts[at] = f"{texts[at]} {line.text}".strip()
        if len(row) == 1 and cells and not texts[0]:
            at = next(at for at, text in enumerate(texts) if text)
            cells[-1][at] = f"{cells[-1][at]} {texts[at]}".strip()
        else:
            cells.append(texts)
    return len(run), cells


def _continues_table(rows: list[Row], start: int, place: int, line_height: float) -> bool:
    """Whether a row of one line belongs to the table around it."""
    if place == start or place + 1 >= len(rows) or len(rows[place + 1]) < 2:
        return False
    line = rows[place][0]
    above = rows[place - 1]
    near = line.top - max(cell.bottom for cell in above) < line_height
    width = max(cell.right for cell in above) - min(cell.left for cell in above)
    return near and line.width < width / 2


def _columns(run: list[Row], line_height: float) -> list[tuple[float, float]]:
    """Return the x ranges of a table's columns; one for all if there is no gap."""
    if not run:
        return []
    most = max(len(row) for row in run)
    full = [row for row in run if len(row) >= max(2, most - 1)]
    spans = sorted((line.left, line.right) for row in full for line in row)
    columns: list[tuple[float, float]] = []
    for left, right in spans:
        if columns and left < columns[-1][1] + line_height / 4:
            columns[-1] = (columns[-1][0], max(columns[-1][1], right))
        else:
            columns.append((left, right))
    return columns


def _column_of(line: Line, columns: list[tuple[float, float]]) -> int:
    def overlap(place: int) -> float:
        left, right = columns[place]
        return min(line.right, right) - max(line.left, left)

    return max(range(len(columns)), key=overlap)


def _paragraphs(lines: list[Line], line_height: float) -> Iterator[str]:
    if not lines:
        return
    right = max(line.right for line in lines)
    gaps = [below.top - above.bottom for above, below in pairwise(lines)]
    gap = max(median(gaps), 0.0) if gaps else 0.0
    paragraph = [lines[0]]
    for above, below in pairwise(lines):
        if (
            below.top - above.bottom > gap + PARAGRAPH_GAP * line_height
            or _ITEM.match(below.text)
            or _heading_level(above, line_height) != _heading_level(below, line_height)
        ):
            yield _paragraph(paragraph, right, line_height)
            paragraph = []
        paragraph.append(below)
    yield _paragraph(paragraph, right, line_height)


def _heading_level(line: Line, line_height: float) -> int:
    """Return the heading level by the line's height, 0 for none."""
    if line.height >= TITLE_HEIGHT * line_height:
        return 1
    return 2 if line.height >= HEADING_HEIGHT * line_height else 0


def _paragraph(lines: list[Line], right: float, line_height: float) -> str:
    text = lines[0].text
    for above, below in pairwise(lines):
        # The next word would have fitted: the line break is deliberate.
        broken = right - above.right > WIDTH_TOLERANCE * _first_word(below) + line_height
        text = f"{text}\n{below.text}" if broken else _append_text(text, below.text)
    rank = _heading_level(lines[0], line_height)
    if rank and len(text) <= HEADING_CHARS and any(map(str.isalpha, text)):
        return f"{'#' * rank} {markdown.one_line(text)}"
    return _BULLET.sub("- ", text, count=1)


def _first_word(line: Line) -> float:
    word = line.text.split(maxsplit=1)[0] if line.text.strip() else ""
    return line.width * len(word) / max(len(line.text), 1)


def _append_text(text: str, more: str) -> str:
    if text.endswith("-") and text[-2:-1].isalpha() and more[:1].islower():
        return text[:-1] + more
    if _WIDE.match(text[-1:]) and _WIDE.match(more[:1]):
        return text + more
    return f"{text} {more}"
