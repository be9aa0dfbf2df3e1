"""The plain text of a mail as Markdown."""

import re
from collections.abc import Iterable, Iterator

from ilios.engines.converters import inline, markdown
from ilios.engines.converters.mail.message import Plain

_QUOTE = re.compile(r"^((?:>[ ]?)+)(.*)$")
_ITEM = re.compile(r"^(\s{0,3}(?:[-*+]|\d{1,3}[.)])\s+)(\S.*)$")
_RULE = re.compile(r"^\s*(?:([-=_*~#])\1{2,}|--|==)\s*$")
_WRAPPED = range(60, 81)
"""Widths at which programs wrap the lines of a text."""

MAX_QUOTE_DEPTH = 20

Line = tuple[int, str]
"""How deep a line is quoted, and its text."""


def plain(body: Plain) -> str:
    """Return a plain text: its lines as they are, its quotes as quotes, its lists as lists."""
    lines = list(_unflowed(_lines(body.source)) if body.flowed else _lines(body.source))
    width = _width(lines)
    rendered: list[str] = []
    before, above = 0, ""
    for depth, text in lines:
        if depth != before and rendered:
            rendered.append(">" * min(depth, before))  # or the lines would continue the others
        elif _is_continued(above, text) and (body.flowed or _has_space(above, text, width)):
            rendered[-1] += "  "
        mark = ">" * depth + " " if depth else ""
        rendered.append((mark + _escaped(text)).rstrip())
        before, above = depth, text
    return markdown.clean("\n".join(rendered), hard_breaks=True)


def _width(lines: Iterable[Line]) -> int:
    """Return the width to which the program of the sender has filled lines."""
    widths = (len(text) for _, text in lines)
    return max((width for width in widths if width in _WRAPPED), default=_WRAPPED.start)


def _is_continued(above: str, text: str) -> bool:
    """Whether two lines are of one paragraph."""
    return bool(above.strip() and text.strip()) and not _ITEM.match(text)


def _has_space(above: str, text: str, width: int) -> bool:
    """Whether a program that fills lines would not have ended one: the sender has."""
    return len(above.rstrip()) + 1 + len(text.split(maxsplit=1)[0]) <= width


def _lines(text: str) -> Iterator[Line]:
    for line in text.splitlines():
        quoted = _QUOTE.match(line)
        if quoted:
            yield min(quoted[1].count(">"), MAX_QUOTE_DEPTH), quoted[2]
        else:
            yield 0, line


def _unflowed(lines: Iterator[Line]) -> Iterator[Line]:
    """Join lines that the sender's program has wrapped: they end with a blank (RFC 3676, 4.1)."""
    pieces: list[str] = []
    depth = 0
    for here, text in lines:
        if pieces and here != depth:
            yield depth, "".join(pieces)
            pieces = []
        depth = here
        pieces.append(text.removeprefix(" "))
        if not text.endswith(" ") or text == "-- ":
            yield depth, "".join(pieces)
            pieces = []
    if pieces:
        yield depth, "".join(pieces)


def _escaped(text: str) -> str:
    """Return a line on which nothing but a list item has a meaning in Markdown."""
    if _RULE.match(text):
        return f"\\{text.strip()}"
    item = _ITEM.match(text)
    if item:
        return item[1] + inline.escape(item[2])
    # Four blanks would begin a code block.
    return inline.escape_line_starts(inline.escape(text.strip()))
