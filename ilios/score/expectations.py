"""Expectations of a document: lines such as ``contains: text``, as docs/quality.md describes."""

import re
from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct

from ilios.score import markdown_text
from ilios.score.similarity import find

ANY_CELL = "*"
OR = " || "
"""Between two expectations of which one has to hold."""
AROUND = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}
"""Row and column of a neighbouring cell, relative to a cell."""
HEADS = ("top_heading", "left_heading")
"""A cell somewhere above, or somewhere to the left."""


class BadExpectation(Exception):
    """A line is not an expectation; the message has the fault and its place."""


class ReadPage(Struct, frozen=True):
    """A page of a result; ``index`` counts from 0, ``warnings`` are codes."""

    index: int
    markdown: str
    header: str = ""
    footer: str = ""
    warnings: tuple[str, ...] = ()
    method: str = ""

    @property
    def whole(self) -> str:
        """Header, Markdown and footer."""
        return "\n\n".join(filter(None, (self.header, self.markdown, self.footer)))


class Outcome(Struct, frozen=True):
    """What became of a document: its pages, or why it was refused."""

    pages: tuple[ReadPage, ...] = ()
    refusal: str = ""


class Expectation(Struct, frozen=True):
    """One line. ``page`` counts from 1, 0 means any; ``differences`` are characters.

    Where ``otherwise`` holds, this needs not.
    """

    verb: str
    text: str
    page: int = 0
    differences: int = 0
    otherwise: "Expectation | None" = None

    def __str__(self) -> str:
        other = f"{OR}{self.otherwise}" if self.otherwise else ""
        page = f"page {self.page} " if self.page else ""
        allowed = f"~{self.differences}" if self.differences else ""
        return f"{page}{self.verb}{allowed}: {self.text}{other}".rstrip(" ")

    def holds(self, outcome: Outcome) -> bool:
        """Return whether the outcome is as expected."""
        return self._holds_alone(outcome) or (
            self.otherwise is not None and self.otherwise.holds(outcome)
        )

    def _holds_alone(self, outcome: Outcome) -> bool:
        if self.verb == "refused":
            return bool(outcome.refusal) and self.text in outcome.refusal
        if outcome.refusal:
            return False
        pages = outcome.pages
        if self.page:
            pages = tuple(page for page in pages if page.index == self.page - 1)
            if not pages:
                return False
        return CHECKS[self.verb](self, pages)


Check = Callable[[Expectation, Sequence[ReadPage]], bool]

_LINE = re.compile(r"(?:page (\d{1,6}) )?([a-z-]+)(?:~(\d{1,3}))?:(.*)")


def parse(text: str, source: str) -> tuple[Expectation, ...]:
    """Return the expectations of a file named ``source``.

    :raises BadExpectation: a line is none.
    """
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            found.append(_parse_line(line, f"{source}, line {number}"))
    return tuple(found)


def _parse_line(line: str, place: str) -> Expectation:
    first, either, rest = line.partition(OR)
    match = _LINE.fullmatch(first.strip())
    if not match or match[2] not in VERBS:
        raise BadExpectation(f"{place}: expected one of {', '.join(VERBS)}, and a colon")
    page, verb, differences, value = match.groups()
    # Indentation is a part of code.
    value = first.partition(":")[2].removeprefix(" ").rstrip() if verb == "code" else value.strip()
    if not value and verb != "no-warnings":
        raise BadExpectation(f"{place}: nothing is expected after {verb}:")
    if verb in _COUNTS and not value.isdecimal():
        raise BadExpectation(f"{place}: {verb}: takes a number")
    otherwise = _parse_line(rest, place) if either else None
    return Expectation(verb, value, int(page or 0), int(differences or 0), otherwise)


def _contains(expected: Expectation, pages: Sequence[ReadPage]) -> bool:
    return _find(expected, expected.text, _text(page.whole for page in pages)) is not None


def _once(expected: Expectation, pages: Sequence[ReadPage]) -> bool:
    return _text(page.whole for page in pages).count(markdown_text.plain(expected.text)) == 1


def _content(expected: Expectation, pages: Sequence[ReadPage]) -> bool:
    return _find(expected, expected.text, _text(page.markdown for page in pages)) is not None


def _absent(expected: Expectation, pages: Sequence[ReadPage]) -> bool:
    return not _contains(expected, pages)


def _not_content(expected: Expectation, pages: Sequence[ReadPage]) -> bool:
    return not _content(expected, pages)


def _before(expected: Expectation, pages: Sequence[ReadPage]) -> bool:
    text = _text(page.whole for page in pages)
    for part in expected.text.split(" | "):
        end = _find(expected, part, text)
        if end is None:
            return False
        text = text[end:]
    return True


def _paragraph(expected: Expectation, pages: Sequence[ReadPage]) -> bool:
    return any(
        _find(expected, expected.text, markdown_text.plain(block)) is not None
        for page in pages
        for block in markdown_text.blocks(page.markdown)
    )


def _row(expected: Expectation, pages: Sequence[ReadPage]) -> bool:
    parts = [part.strip() for part in f"{expected.text} ".split(" |")]
    wanted = [part if part == ANY_CELL else markdown_text.plain(part) for part in parts]
    return any(
        len(row) == len(wanted)
        and all(
            ask in (ANY_CELL, cell) or _same(expected, ask, cell)
            for ask, cell in zip(wanted, row, strict=True)
        )
        for table in _tables(pages)
        for row in table
    )


def _cell(expected: Expectation, pages: Sequence[ReadPage]) -> bool:
    wanted, *conditions = expected.text.split(" | ")
    return any(
        _same(expected, markdown_text.plain(wanted), text)
        and all(_is_beside(expected, condition, table, y, x) for condition in conditions)
        for table in _tables(pages)
        for y, row in enumerate(table)
        for x, text in enumerate(row)
    )


def _is_beside(
    expected: Expectation, condition: str, table: markdown_text.Table, y: int, x: int
) -> bool:
    """Return whether a condition such as ``left=Boat`` holds at a cell."""
    side, _, value = condition.partition("=")
    wanted = markdown_text.plain(value)
    if side in AROUND:
        down, right = AROUND[side]
        cells = [_cell_at(table, y + down, x + right)]
    elif side == "top_heading":
        cells = [_cell_at(table, above, x) for above in range(y)]
    else:
        cells = [_cell_at(table, y, before) for before in range(x)]
    return any(_same(expected, wanted, cell) for cell in cells)


def _cell_at(table: markdown_text.Table, y: int, x: int) -> str:
    return table[y][x] if 0 <= y < len(table) and 0 <= x < len(table[y]) else ""


def _heading(expected: Expectation, pages: Sequence[ReadPage]) -> bool:
    wanted = markdown_text.plain(expected.text)
    return any(
        _same(expected, wanted, text)
        for page in pages
        for text in markdown_text.headings(page.markdown)
    )


def _not_heading(expected: Expectation, pages: Sequence[ReadPage]) -> bool:
    wanted = markdown_text.plain(expected.text)
    return not any(
        wanted in text for page in pages for text in markdown_text.headings(page.markdown)
    )


def _item(expected: Expectation, pages: Sequence[ReadPage]) -> bool:
    wanted = markdown_text.plain(expected.text)
    return any(
        text.startswith(wanted) for page in pages for text in markdown_text.items(page.markdown)
    )


def _nested(expected: Expectation, pages: Sequence[ReadPage]) -> bool:
    wanted = markdown_text.plain(expected.text)
    return any(
        text.startswith(wanted)
        for page in pages
        for text in markdown_text.nested_items(page.markdown)
    )


def _link(expected: Expectation, pages: Sequence[ReadPage]) -> bool:
    label, _, target = expected.text.partition(" | ")
    wanted = (markdown_text.plain(label), target.strip())
    return any(wanted in markdown_text.links(page.markdown) for page in pages)


def _code(expected: Expectation, pages: Sequence[ReadPage]) -> bool:
    return any(expected.text in markdown_text.code_lines(page.markdown) for page in pages)


def _raw(expected: Expectation, pages: Sequence[ReadPage]) -> bool:
    return any(expected.text in page.markdown for page in pages)


def _header(expected: Expectation, pages: Sequence[ReadPage]) -> bool:
    return _is_moved(expected.text, [(page.header, page) for page in pages])


def _footer(expected: Expectation, pages: Sequence[ReadPage]) -> bool:
    return _is_moved(expected.text, [(page.footer, page) for page in pages])


def _is_moved(text: str, places: Sequence[tuple[str, ReadPage]]) -> bool:
    wanted = markdown_text.plain(text)
    return any(
        wanted in markdown_text.plain(place) and wanted not in markdown_text.plain(page.markdown)
        for place, page in places
    )


def _warning(expected: Expectation, pages: Sequence[ReadPage]) -> bool:
    return any(expected.text in page.warnings for page in pages)


def _no_warnings(_: Expectation, pages: Sequence[ReadPage]) -> bool:
    return not any(page.warnings for page in pages)


def _page_count(expected: Expectation, pages: Sequence[ReadPage]) -> bool:
    return len(pages) == int(expected.text)


def _table_count(expected: Expectation, pages: Sequence[ReadPage]) -> bool:
    return len(_tables(pages)) == int(expected.text)


def _row_count(expected: Expectation, pages: Sequence[ReadPage]) -> bool:
    return sum(map(len, _tables(pages))) == int(expected.text)


def _method(expected: Expectation, pages: Sequence[ReadPage]) -> bool:
    return all(page.method == expected.text for page in pages)


def _text(parts: Iterable[str]) -> str:
    return markdown_text.plain("\n\n".join(parts))


def _find(expected: Expectation, text: str, among: str) -> int | None:
    return find(markdown_text.plain(text), among, expected.differences)


def _same(expected: Expectation, wanted: str, found: str) -> bool:
    if wanted == found:
        return True
    close = abs(len(wanted) - len(found)) <= expected.differences
    return close and find(wanted, found, expected.differences) is not None


def _tables(pages: Sequence[ReadPage]) -> list[markdown_text.Table]:
    return [table for page in pages for table in markdown_text.tables(page.markdown)]


CHECKS: dict[str, Check] = {
    "contains": _contains,
    "once": _once,
    "content": _content,
    "not-content": _not_content,
    "absent": _absent,
    "before": _before,
    "paragraph": _paragraph,
    "row": _row,
    "cell": _cell,
    "rows": _row_count,
    "tables": _table_count,
    "heading": _heading,
    "not-heading": _not_heading,
    "item": _item,
    "nested": _nested,
    "link": _link,
    "code": _code,
    "raw": _raw,
    "header": _header,
    "footer": _footer,
    "warning": _warning,
    "no-warnings": _no_warnings,
    "method": _method,
    "pages": _page_count,
}
VERBS = (*CHECKS, "refused")
_COUNTS = {"rows", "tables", "pages"}
