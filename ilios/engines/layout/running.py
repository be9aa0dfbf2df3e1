"""Running headers and footers: the lines that stand on several pages but for the page's number."""

import re
from collections import defaultdict
from collections.abc import Sequence
from itertools import takewhile

from msgspec import Struct

from . import imprints
from .fonts import Fonts
from .items import PageItems
from .lines import Line, cells, make_line, rows

ZONE = 0.15
"""Share of the height of a page at its top, and at its bottom, in which running lines stand."""

EDGE = 0.1
"""Share in which a lone page number stands."""

LEAST_PAGES = 3
"""So many pages have a running line, or all where there are fewer."""

SAME_HEIGHT = 3.0
"""Vertical distance within which lines stand at the same place."""

SAME_SIZE = 1.05
LARGEST = 1.2
"""Most size, by that of the body, of a running line and of an imprint."""

MAX_LINES = 5
MAX_CELLS = 50
MAX_ZONE_ITEMS = 400
"""Running lines of a page; a zone with more items is not searched."""

MAX_KEYED_CHARS = 300
"""A longer line is no running line but for the same text on each page."""

APART = 3.0
"""Gap between the page's own number and other text, in the size of the font."""

ISOLATED = 1.0
"""Gap between a lone page number and the text, in the size of the body."""

APART_IMPRINT = 1.5
"""Gap between an imprint and the text, in the size of the body."""

_NUMBER = re.compile(r"\d+|(?<![^\W\d_])[ivxlc]{1,7}(?![^\W\d_])")
_PAGE = re.compile(
    r"(?:p|pp|page|pages|s|seite|blatt|pagina|p\u00e1gina|pag|side|sida|sivu|strona|str|"
    r"\u0441\u0442\u0440|\u0441\u0442\u0440\u0430\u043d\u0438\u0446\u0430|\u7b2c)\.?\s*$",
    re.IGNORECASE,
)
_LONE = re.compile(
    r"(?:[-\u2013\u2014|\[(]\s*)?(?:(?:p|page|s|seite|blatt|p\u00e1gina|pagina|side|sida|strona)"
    r"\.?\s*)?(?:\d{1,4}|[ivxlc]{1,7})(?:\s*(?:/|of|von|de|di|av|sur|z)\s*\d{1,4})?"
    r"(?:\s*[-\u2013\u2014|\])])?|\u7b2c\s*\d{1,4}\s*[\u9875\u9801]",
    re.IGNORECASE,
)
_COUNTED = re.compile(
    r"(?:\b(?:no|nos|nr|num|number|nummer|id)\b\.?|[#:\u2116])\s*$", re.IGNORECASE
)
"""What stands before the number of something else than the page."""

_TOTAL = re.compile(r"\s*(?:/|of\b|von\b|de\b|di\b|av\b|sur\b|z\b)\s*\d", re.IGNORECASE)
_ROMAN = {"i": 1, "v": 5, "x": 10, "l": 50, "c": 100}


class Running(Struct):
    """The items of a page's header and footer, and their text."""

    header: str | None
    footer: str | None
    items: frozenset[int]


class _Row(Struct):
    """A line near the edge of a page."""

    page: int
    line: Line
    place: float
    keys: tuple[str, ...]


def find_running(pages: Sequence[PageItems], fonts: Fonts) -> list[Running]:
    """Return the headers and footers of the pages."""
    edges = [
        (_edge_rows(page, fonts, at_top=True), _edge_rows(page, fonts, at_top=False))
        for page in pages
    ]
    shared_heads = _shared([head for head, _ in edges], len(pages))
    shared_feet = _shared([foot for _, foot in edges], len(pages))
    return [
        _running(page, head, foot, shared_heads, shared_feet, fonts)
        for page, (head, foot) in zip(pages, edges, strict=True)
    ]


def same_running(page: PageItems, header: str | None, footer: str | None, fonts: Fonts) -> Running:
    """Return the lines of a page that are those of the given header and footer."""
    headers = _lines_of(header, _edge_rows(page, fonts, at_top=True))
    footers = _lines_of(footer, _edge_rows(page, fonts, at_top=False))
    used = frozenset(id(item) for row in headers + footers for item in row.line.items)
    return Running(_text(headers), _text(footers[::-1]), used)


def _lines_of(text: str | None, found: list[_Row]) -> list[_Row]:
    """Return the rows from the edge of the page on that are lines of a text."""
    lines = {"".join(line.split()) for line in (text or "").splitlines()}
    return list(takewhile(lambda row: "".join(row.line.text.split()) in lines, found))


def _running(
    page: PageItems,
    head: list[_Row],
    foot: list[_Row],
    shared_heads: set[int],
    shared_feet: set[int],
    fonts: Fonts,
) -> Running:
    headers = _outermost(head, shared_heads)
    footers = _outermost(foot, shared_feet)
    headers = head[: _imprints(page, head, len(headers), fonts, at_top=True)]
    footers = foot[: _imprints(page, foot, len(footers), fonts, at_top=False)]
    if not headers and head and _is_lone_number(page, head, fonts, at_top=True):
        headers = head[:1]
    if not footers and foot and _is_lone_number(page, foot, fonts, at_top=False):
        footers = foot[:1]
    used = frozenset(id(item) for row in headers + footers for item in row.line.items)
    if len(used) == len(page.items) and not (shared_heads or shared_feet):
        return Running(None, None, frozenset())
    return Running(_text(headers), _text(footers[::-1]), used)


def _text(found: list[_Row]) -> str | None:
    return "\n".join(row.line.text for row in found) or None


def _outermost(found: list[_Row], shared: set[int]) -> list[_Row]:
    """Return the rows from the edge of the page on that are running lines."""
    count = 0
    while count < len(found) and id(found[count]) in shared:
        count += 1
    if count == MAX_LINES:
        return []  # pages of the same content
    while 0 < count < len(found) and _heads_table(found[count - 1].line, found[count].line):
        count -= 1
    return found[:count]


def _imprints(page: PageItems, found: list[_Row], count: int, fonts: Fonts, *, at_top: bool) -> int:
    """Return how many rows are running lines, of which ``count`` are, or imprints after these."""
    start = count
    while (
        count < len(found)
        and _distance(page, found[count].line, at_top=at_top) <= EDGE * page.height
        and imprints.is_imprint(found[count].line, fonts)
    ):
        count += 1
    while count > start and not (
        imprints.is_stamp(found[count - 1].line.text)
        or _gap(page, found[:count], at_top=at_top) > APART_IMPRINT * fonts.body
    ):
        count -= 1
    return count


def _distance(page: PageItems, line: Line, *, at_top: bool) -> float:
    """Return how far a line reaches from the edge of the page."""
    return line.bottom if at_top else page.height - line.top


def _gap(page: PageItems, outer: list[_Row], *, at_top: bool) -> float:
    """Return the space between the outermost lines of a page and all else on it."""
    own = {id(item) for row in outer for item in row.line.items}
    others = [item for item in page.items if id(item) not in own]
    if not others:
        return 0.0
    if at_top:
        return min(item.top for item in others) - max(row.line.bottom for row in outer)
    return min(row.line.top for row in outer) - max(item.bottom for item in others)


def _heads_table(line: Line, inner: Line) -> bool:
    """Whether two lines close to each other have cells of the same columns."""
    if max(inner.top - line.bottom, line.top - inner.bottom) > line.size:
        return False
    lefts = [cell.left for cell in cells(line)]
    others = [cell.left for cell in cells(inner)]
    shared = sum(any(abs(left - other) < 2 for other in others[:MAX_CELLS]) for left in lefts)
    return len(lefts) > 1 and shared > 1


def _edge_rows(page: PageItems, fonts: Fonts, *, at_top: bool) -> list[_Row]:
    """Return the lines near an edge of a page, the outermost first."""
    limit = page.height * (ZONE if at_top else 1 - ZONE)
    items = [
        item
        for item in page.items
        if (item.bottom < limit if at_top else item.top > limit) and not item.vertical
    ]
    if len(items) > MAX_ZONE_ITEMS:
        return []
    lines = sorted(map(make_line, rows(items)), key=lambda line: line.top, reverse=not at_top)
    found = []
    for line in lines[:MAX_LINES]:
        largest = max(item.size for item in line.items) / fonts.body
        if largest > LARGEST:
            break
        keys = _keys(line, page.index) if largest <= SAME_SIZE else ()
        found.append(_Row(page.index, line, (line.top + line.bottom) / 2, keys))
    return found


def _keys(line: Line, index: int) -> tuple[str, ...]:
    """Return the texts by which a line is compared with those of other pages.

    The first is its whole text; each further one has a number that may be the page's own replaced
    by its distance from the index of the page.
    """
    keys = [line.text]
    if len(line.text) > MAX_KEYED_CHARS:
        return tuple(keys)
    alone = {cell.text for cell in cells(line, APART)}
    for match in _NUMBER.finditer(line.text):
        value = _value(match[0])
        before = line.text[: match.start()]
        after = line.text[match.end() :]
        own = (
            (match[0] in alone and not _COUNTED.search(before))
            or _PAGE.search(before)
            or _TOTAL.match(after)
            or (re.search(r"[|\u2022\u00b7\u2013\u2014-]\s*$", before) and not after.strip())
            or (re.match(r"\s*[|\u2022\u00b7]", after) and not before.strip())
        )
        if value is not None and own:
            keys.append(f"{before}#{value - index}#{after}")
    return tuple(keys)


def _value(number: str) -> int | None:
    if number.isdecimal():
        return int(number) if len(number) <= 6 else None
    values = [_ROMAN[letter] for letter in number]
    return sum(
        -one if one < other else one for one, other in zip(values, [*values[1:], 0], strict=True)
    )


def _shared(pages: list[list[_Row]], count: int) -> set[int]:
    """Return the identities of the rows that enough pages have at the same place."""
    groups: dict[str, list[_Row]] = defaultdict(list)
    for found in pages:
        for row in found:
            for key in row.keys:
                groups[key].append(row)
    shared: set[int] = set()
    least = max(2, min(LEAST_PAGES, count))
    for group in groups.values():
        if len(group) < least:
            continue
        group.sort(key=lambda row: row.place)
        runs: list[list[_Row]] = []
        for row in group:
            if runs and row.place - runs[-1][-1].place <= SAME_HEIGHT:
                runs[-1].append(row)
            else:
                runs.append([row])
        for run in runs:
            if len({row.page for row in run}) >= least:
                shared.update(map(id, run))
    return shared


def _is_lone_number(page: PageItems, found: list[_Row], fonts: Fonts, *, at_top: bool) -> bool:
    """Whether the outermost line of a page is nothing but a page number, away from the text."""
    line = found[0].line
    if (
        not found[0].keys
        or not _LONE.fullmatch(line.text)
        or (len(line.text) < 2 and not line.text.isdecimal())
    ):
        return False
    if _distance(page, line, at_top=at_top) > EDGE * page.height:
        return False
    return _gap(page, found[:1], at_top=at_top) > ISOLATED * fonts.body
