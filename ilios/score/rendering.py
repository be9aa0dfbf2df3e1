"""Markdown and differences of texts as HTML for the gallery. All of it is escaped."""

import difflib
import re
from collections.abc import Callable, Iterator
from html import escape

from ilios.score import markdown_text

MAX_COMPARED_WORDS = 20_000
CONTEXT = 8  # equal words shown on each side of a difference

_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+(.*)")
_ITEM = re.compile(r"([ \t]*)([-*+]|\d{1,9}[.)])[ \t]+(.*)")
_FENCE = re.compile(r" {0,3}(```+|~~~+)")
_INLINE = (
    (re.compile(r"`([^`]+)`"), r"<code>\1</code>"),
    (re.compile(r"!\[([^\]]*)\]\([^)]*\)"), r"<em>[image \1]</em>"),
    (re.compile(r"\[([^\]]*)\]\(([^)\s]*)\)"), r'<u title="\2">\1</u>'),
    (re.compile(r"\*\*([^*]+)\*\*"), r"<strong>\1</strong>"),
    (re.compile(r"(?<!\*)\*([^*\s][^*]*)\*(?!\*)"), r"<em>\1</em>"),
    (re.compile(r"\\([!-/:-@\[-`{-~])"), r"\1"),
)


def render(markdown: str) -> str:
    """Return HTML for the Markdown of a page: what engines produce, not all of Markdown."""
    return "\n".join(_blocks(markdown.splitlines()))


def _blocks(lines: list[str]) -> Iterator[str]:
    place = 0
    while place < len(lines):
        line, start = lines[place], place
        if not line.strip():
            place += 1
        elif fence := _FENCE.match(line):
            place = _end(lines, place + 1, _is_not(fence[1]))
            yield f"<pre>{escape(chr(10).join(lines[start + 1 : place]))}</pre>"
            place += 1
        elif heading := _HEADING.match(line):
            level = len(heading[1])
            yield f"<h{level}>{_inline(heading[2])}</h{level}>"
            place += 1
        elif line.lstrip().startswith("|"):
            place = _end(lines, place, _is_row)
            yield from map(_table, markdown_text.tables("\n".join(lines[start:place])))
        elif item := _ITEM.match(line):
            indent = len(item[1].expandtabs(4)) * 0.6 + 1
            yield f'<p class="item" style="margin-left:{indent}em">{item[2]} {_inline(item[3])}</p>'
            place += 1
        else:
            place = _end(lines, place + 1, _is_text)
            yield f"<p>{_inline(chr(10).join(lines[start:place]))}</p>"


def _end(lines: list[str], place: int, belongs: Callable[[str], bool]) -> int:
    """Return the place of the first line that does not belong to the block."""
    while place < len(lines) and belongs(lines[place]):
        place += 1
    return place


def _is_not(fence: str) -> Callable[[str], bool]:
    return lambda line: not line.lstrip().startswith(fence)


def _is_row(line: str) -> bool:
    return line.lstrip().startswith("|")


def _is_text(line: str) -> bool:
    others = (_HEADING, _ITEM, _FENCE)
    return (
        bool(line.strip())
        and not line.lstrip().startswith("|")
        and not any(pattern.match(line) for pattern in others)
    )


def _table(rows: markdown_text.Table) -> str:
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table>{body}</table>"


def _inline(text: str) -> str:
    shown = escape(text)
    for pattern, replacement in _INLINE:
        shown = pattern.sub(replacement, shown)
    return shown.replace("\n", "<br>")


def differences(reference: str, produced: str) -> str:
    """Return HTML of the words that only one of two Markdown texts has, with some around them."""
    wanted = markdown_text.plain(reference).split()
    found = markdown_text.plain(produced).split()
    if max(len(wanted), len(found)) > MAX_COMPARED_WORDS:
        return "<p>The texts are too long to compare word by word.</p>"
    matcher = difflib.SequenceMatcher(None, wanted, found, autojunk=False)
    parts = []
    for kind, a, b, c, d in matcher.get_opcodes():
        if kind == "equal":
            parts.append(_shortened(wanted[a:b]))
            continue
        if b > a:
            parts.append(f"<del>{escape(' '.join(wanted[a:b]))}</del>")
        if d > c:
            parts.append(f"<ins>{escape(' '.join(found[c:d]))}</ins>")
    return f"<p>{' '.join(parts)}</p>"


def _shortened(words: list[str]) -> str:
    if len(words) > 2 * CONTEXT:
        words = [*words[:CONTEXT], "…", *words[-CONTEXT:]]
    return escape(" ".join(words))
