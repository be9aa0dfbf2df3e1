"""Markdown without links that execute or embed; everything else stays as it is, byte for byte.

Blocks are found by a parser, for code is left alone. Within a block links are found by their
destinations, which takes linear time whatever brackets are around them.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token
from msgspec import Struct

from ilios.engines.converters.link_schemes import ATTRIBUTE, BEGINNING, SCHEME, SCHEMES
from schemas.warnings import PageWarning, page_warning

MAX_LINES = 100_000
MAX_OPENED = 2000
"""Brackets in one paragraph that are looked at. In longer texts, and paragraphs with more, every
such scheme has its colon written as ``%3A``, in code, too: it is none of an address then."""

MAX_PARENTHESES = 32
"""Nested ones in a destination, as parsers of Markdown have it."""

_CODE = re.compile(r"\\.|(`+)", re.DOTALL)
_AUTOLINK = re.compile(rf"<((?:{'|'.join(SCHEMES)}):[^\x00-\x20<>]*+)>", re.IGNORECASE)
_TAG = re.compile(
    r"<[A-Za-z][A-Za-z0-9-]*+"
    r"(?:\s++[A-Za-z_:][\w.:-]*+(?:\s*+=\s*+(?:\"[^\"]*+\"|'[^']*+'|[^\s\"'=<>`]++))?+|\s++(?==))*+"
    r"\s*+/?>",
    re.ASCII,
)
_OPENED = re.compile(r"\\.|(\]\(\s*)|(<)(?=[A-Za-z])|(\[)", re.DOTALL)
_IN_BRACKETS = re.compile(r"<(?:\\.|[^<>\n\\])*+>")
_PARENTHESIS = re.compile(r"\\[^\s]|([()])|([\x00-\x20\x7f])")
_LINK_END = re.compile(
    r"(\s+(?:\"(?:\\.|[^\"\\])*+\"|'(?:\\.|[^'\\])*+'|\((?:\\.|[^()\\])*+\)))?+\s*+\)", re.DOTALL
)
_DEFINITION = re.compile(
    r"\[(?:\\.|[^\[\]\\])*+\]:[ \t]*+(?:\n[ \t>]*+)?(<(?:\\.|[^<>\n\\])*+>|\S++)", re.DOTALL
)
_MAY_HIDE_CODE = re.compile(r"<[^<>\x00-\x20`]*+`[^<>\x00-\x20]*+>|<[!?](?=[^`]*+`)")
_SIGN = re.compile(r"([\\`*_\[\]<&~!])")
_COLON = re.compile(r"\\?(?::|&#[^;:]*;?|&colon;)\Z", re.IGNORECASE)


class Edit(Struct, frozen=True):
    """A piece of text to replace."""

    start: int
    end: int
    text: str


class Extent(Struct, frozen=True):
    """The end of a link from its destination on, or a tag, with what is to be replaced in it."""

    start: int
    end: int
    edits: tuple[Edit, ...] = ()


def without_unsafe_links(text: str) -> tuple[str, int]:
    """Return Markdown without addresses that execute or embed, and how many there were."""
    if not SCHEME.search(text):
        return text, 0
    if text.count("\n") > MAX_LINES:
        return SCHEME.subn(lambda found: _disarmed(found[0]), text)
    environment: dict[str, Any] = {}
    source = _Source(text)
    before = ""
    for token in _parser.parse(text, environment):
        if token.type in ("inline", "html_block"):
            found = _in_html if token.type == "html_block" else _in_text
            edits = list(found(token.content)) if SCHEME.search(token.content) else []
            source.replace(token, edits, in_cell=before in ("td_open", "th_open"))
        before = token.type
    defined = [*environment.get("references", {}).values(), *environment.get("duplicate_refs", [])]
    for definition in defined:
        source.replace_definition(*definition["map"])
    return source.result()


def links_left_out(count: int) -> tuple[PageWarning, ...]:
    """Return the warning about so many unsafe links, if there are any."""
    return (page_warning("links_left_out", f"{count}, that execute or embed"),) if count else ()


class _Source:
    """A text whose pieces are replaced by their places in the contents of tokens."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._starts = [0]
        for found in re.finditer("\n", text):
            self._starts.append(found.end())
        self._starts.append(len(text) + 1)
        self._edits: list[Edit] = []
        self._cell_end = 0

    def replace(self, token: Token, edits: list[Edit], *, in_cell: bool) -> None:
        """Replace pieces of the content of a token."""
        assert token.map is not None
        if in_cell:
            self._replace_in_cell(token.map[0], token.content, edits)
        elif edits:
            place = self._places(token.map[0], token.content)
            self._edits += [Edit(place(one.start), place(one.end), one.text) for one in edits]

    def _places(self, first: int, content: str) -> Callable[[int], int]:
        """Return the function from places in the content to those in the text.

        The lines of a content are those of the text without the marks of quotes and lists.
        """
        begins, places = [], []
        at = 0
        for number, line in enumerate(content.split("\n"), first):
            shown = line.strip(" \t")
            if shown:
                found = self._text.rfind(shown, self._starts[number], self._starts[number + 1])
                begins.append(at)
                places.append(found - line.index(shown))
            at += len(line) + 1

        def place(offset: int) -> int:
            index = bisect_right(begins, offset) - 1
            return places[index] + offset - begins[index]

        return place

    def _replace_in_cell(self, line: int, content: str, edits: list[Edit]) -> None:
        written = content.replace("|", "\\|")
        start = max(self._starts[line], self._cell_end)
        found = self._text.find(written, start, self._starts[line + 1])
        self._cell_end = found + len(written)
        for one in edits:
            before, within = content[: one.start], content[one.start : one.end]
            begin = found + one.start + before.count("|")
            end = begin + len(within) + within.count("|")
            self._edits.append(Edit(begin, end, one.text.replace("|", "\\|")))

    def replace_definition(self, first: int, stop: int) -> None:
        """Empty the destination of a definition that must go."""
        start, end = self._starts[first], self._starts[stop] - 1
        found = _DEFINITION.search(self._text, start, end)
        if found and BEGINNING.match(found[1].removeprefix("<")):
            self._edits.append(Edit(found.start(1), found.end(1), "<>"))

    def result(self) -> tuple[str, int]:
        """Return the text and the number of what was replaced."""
        parts: list[str] = []
        at, count = 0, 0
        for one in sorted(self._edits, key=lambda edit: edit.start):
            if apart := at <= one.start:
                parts += [self._text[at : one.start], one.text]
            count += apart
            at = max(at, one.end)
        return "".join([*parts, self._text[at:]]), count


def _in_html(text: str) -> Iterator[Edit]:
    for found in ATTRIBUTE.finditer(text):
        yield Edit(found.start(), found.end(), f'{found[1]}{found[2]}""')


def _in_text(text: str) -> Iterator[Edit]:
    if text.count("](") + text.count("<") > MAX_OPENED:
        for found in SCHEME.finditer(text):
            yield Edit(found.start(), found.end(), _disarmed(found[0]))
        return
    extents = list(_extents(text, list(_code_spans(text))))
    if _MAY_HIDE_CODE.search(text) or any("`" in text[one.start : one.end] for one in extents):
        # What is code depends on which of these are links and tags: nothing is taken for code.
        extents = list(_extents(text, []))
    for extent in extents:
        yield from extent.edits


def _disarmed(scheme: str) -> str:
    return _COLON.sub("%3A", scheme)


def _code_spans(text: str) -> Iterator[tuple[int, int]]:
    runs = [(found.start(), found.end()) for found in re.finditer("`+", text)]
    last = {end - start: start for start, end in runs}
    at, number = 0, 0
    while opening := _CODE.search(text, at):
        at = opening.end()
        length = len(opening[1] or "")
        if not length or last.get(length, 0) <= opening.start():
            continue
        while runs[number][0] < at or runs[number][1] - runs[number][0] != length:
            number += 1
        at = runs[number][1]
        yield opening.start(), at


def _extents(text: str, code: list[tuple[int, int]]) -> Iterator[Extent]:
    """Yield what may be ends of links and tags; they may be within one another."""
    at, number, bracket = 0, 0, False
    while found := _OPENED.search(text, at):
        at = found.end()
        while number < len(code) and code[number][1] <= found.start():
            number += 1
        if number < len(code) and code[number][0] <= found.start():
            at = code[number][1]
            continue
        bracket = bracket or bool(found[3])
        extent = None
        if found[1] and bracket:
            extent = _link_end(text, found.end())
        elif found[2]:
            extent = _tag(text, found.start())
        if extent:
            yield extent


def _tag(text: str, start: int) -> Extent | None:
    if found := _AUTOLINK.match(text, start):
        # With its bracket, for without it may be an address after what is before it.
        shown = "\\<" + _SIGN.sub(r"\\\1", found[1]) + ">"
        return Extent(start, found.end(), (Edit(start, found.end(), shown),))
    if found := _TAG.match(text, start):
        edits = (Edit(start + one.start, start + one.end, one.text) for one in _in_html(found[0]))
        return Extent(start, found.end(), tuple(edits))
    return None


def _link_end(text: str, start: int) -> Extent | None:
    bracketed = _IN_BRACKETS.match(text, start)
    end = bracketed.end() if bracketed else _bare_end(text, start)
    closing = _LINK_END.match(text, end)
    if not closing:
        return None
    if not BEGINNING.match(text, start + bool(bracketed)):
        return Extent(start, closing.end())
    return Extent(start, closing.end(), (Edit(start, end, "<>" if closing[1] else ""),))


def _bare_end(text: str, start: int) -> int:
    depth = 0
    for found in _PARENTHESIS.finditer(text, start):
        if found[1] == "(":
            depth += 1
        elif found[1]:
            depth -= 1
        if found[2] or depth < 0 or depth > MAX_PARENTHESES:
            return found.start()
    return len(text)


def _make_parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark").enable("table")
    parser.core.ruler.enableOnly(["normalize", "block"])
    # Otherwise a definition of such an address would be a paragraph here, and none elsewhere.
    parser.validateLink = lambda url: True  # type: ignore[method-assign]  # noqa: ARG005
    return parser


_parser = _make_parser()
