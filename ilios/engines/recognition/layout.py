"""Layout of recognised lines: those merged across a gutter are split, then laid out as Markdown."""

from collections.abc import Sequence
from statistics import median

from msgspec.structs import replace

from ilios.engines.converters import markdown
from ilios.engines.layout.document import LaidOutPage, lay_out
from ilios.engines.layout.items import Item, PageItems
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

SPLIT_GAP = 0.4
"""Gap between the halves of a line that was split, as a share of its height."""

GUTTER_ZONE = (0.15, 0.85)
"""Part of the width in which a gutter is searched; the next is the number of steps."""
GUTTER_STEPS = 140


def lay_out_lines(lines: Sequence[Line]) -> LaidOutPage:
    """Return the lines of a page in reading order; its running headers are in the Markdown."""
    if not lines:
        return LaidOutPage(index=0, markdown="")
    gutter = _gutter(lines)
    if gutter is not None:
        lines = _split_merged(lines, gutter)
    page = PageItems(
        index=0,
        width=max(line.right for line in lines),
        height=max(line.bottom for line in lines),
        items=tuple(map(_item, lines)),
    )
    [laid] = lay_out([page], noisy=True)
    text = "\n\n".join(filter(None, (laid.header, laid.markdown, laid.footer)))
    return LaidOutPage(
        index=0,
        markdown=markdown.clean(text),
        headings=tuple(replace(one, text=markdown.clean(one.text)) for one in laid.headings),
        tables=tuple(replace(one, content=markdown.clean(one.content)) for one in laid.tables),
    )


def _item(line: Line) -> Item:
    return Item(
        left=line.left,
        top=line.top,
        right=line.right,
        bottom=line.bottom,
        text=line.text,
        size=line.width if line.is_tall else line.height,
        vertical=line.is_tall,
    )


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
    half = SPLIT_GAP * line.height / 2
    return [
        Line(line.left, line.top, x - half, line.bottom, line.text[:at].rstrip()),
        Line(x + half, line.top, line.right, line.bottom, line.text[at:].lstrip()),
    ]


def _is_prose(column: Sequence[Line]) -> bool:
    if len(column) < COLUMN_LINES:
        return False
    width = max(line.right for line in column) - min(line.left for line in column)
    return (
        median(len(line.text) for line in column) >= PROSE_CHARS
        and median(line.width for line in column) >= PROSE_FILL * width
    )
