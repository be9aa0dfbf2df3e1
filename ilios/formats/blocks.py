"""Blocks of Markdown by their lines, in linear time: what can be rendered or cut on its own.

They are those of CommonMark and of tables of GitHub's, as far as their first lines tell them
apart; what is inside of a block is the business of a parser.
"""

import re
from collections.abc import Iterator
from enum import Enum, auto

from msgspec import Struct

MAX_COLUMNS = 10_000
"""A line with more cells is no row of a table."""

_HEADING = re.compile(r" {0,3}(#{1,6})(?=[ \t]|\r?$)")
_UNDERLINE = re.compile(r" {0,3}(?:=+|-+)[ \t]*\r?$")
_RULE = re.compile(r" {0,3}([-*_])(?:[ \t]*\1){2,}[ \t]*\r?$")
_FENCE = re.compile(r"([ \t]*)(`{3,}(?=[^`]*$)|~{3,})")
_ITEM = re.compile(r"[ \t]*(?:[-+*]|\d{1,9}[.)])(?=[ \t]|\r?$)")
_HTML_TABLE = re.compile(r" {0,3}</?table(?=[\s>/])", re.IGNORECASE)
_DEFINITION = re.compile(
    r"^ {0,3}\[(?!\^)(?P<label>[^\[\]]{1,200})\]:[ \t]+<?(?P<url>(?:https?:|mailto:|#)[^\s<>]+)>?"
    r"(?:[ \t]+(?:\"[^\"]*\"|'[^']*'|\([^()]*\)))?[ \t]*\r?$",
    re.IGNORECASE | re.MULTILINE,
)
_DELIMITER_SIGNS = frozenset("|:- \t\r")
_DELIMITER = re.compile(r":?-+:?")
_CELL_END = re.compile(r"(?<!\\)\|")


class Kind(Enum):
    """The kind of a block."""

    HEADING = auto()
    PARAGRAPH = auto()
    ITEM = auto()
    FENCE = auto()
    TABLE = auto()
    HTML_TABLE = auto()
    DEFINITION = auto()
    RULE = auto()


class Block(Struct, frozen=True):
    """A block from ``start`` to ``end`` of a text, without the empty lines after it.

    ``head`` is where the header of a table ends, or the first line of a fence. ``is_apart``: it
    stands after an empty line and without indentation, so that it is in no list.
    """

    kind: Kind
    start: int
    end: int
    is_apart: bool
    level: int = 0
    head: int = 0


class _Line(Struct, frozen=True):
    start: int
    end: int
    text: str

    @property
    def is_empty(self) -> bool:
        return not self.text or self.text.isspace()


def blocks(text: str) -> Iterator[Block]:
    """Yield the blocks of a page's Markdown, in order."""
    return _Scanner(text).scan()


class _Scanner:
    """The place in a text up to which its blocks are found."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._line: _Line | None = self._read(0)
        self._is_apart = True  # the block that begins

    def scan(self) -> Iterator[Block]:
        after_empty = True
        while (line := self._line) is not None:
            if line.is_empty:
                after_empty = True
                self._advance()
                continue
            self._is_apart = after_empty and not line.text[0].isspace()
            after_empty = False
            yield self._block(line)

    def _block(self, line: _Line) -> Block:
        if fence := _FENCE.match(line.text):
            return self._fence(line, fence[2])
        if self._begins_table(line):
            return self._table(line)
        if _HTML_TABLE.match(line.text):
            end = self._skip_to_empty(line)
            return Block(Kind.HTML_TABLE, line.start, end, is_apart=True)
        return self._line_block(line) or self._text_block(line)

    def _line_block(self, line: _Line) -> Block | None:
        """Return a block of one line, if the line is one."""
        if heading := _HEADING.match(line.text):
            kind, level, is_apart = Kind.HEADING, len(heading[1]), True
        elif _DEFINITION.match(line.text):
            kind, level, is_apart = Kind.DEFINITION, 0, True
        elif _RULE.match(line.text):
            kind, level, is_apart = Kind.RULE, 0, self._is_apart
        else:
            return None
        self._advance()
        return Block(kind, line.start, line.end, is_apart=is_apart, level=level)

    def _text_block(self, line: _Line) -> Block:
        if _ITEM.match(line.text):
            return Block(Kind.ITEM, line.start, self._skip_text(line), is_apart=False)
        return self._paragraph(line)

    def _paragraph(self, line: _Line) -> Block:
        end = self._skip_text(line)
        following = self._line
        # Not after an item, where a line of dashes is a rule.
        if self._is_apart and following is not None and _UNDERLINE.match(following.text):
            self._advance()
            level = 1 if "=" in following.text else 2
            return Block(Kind.HEADING, line.start, following.end, is_apart=True, level=level)
        return Block(Kind.PARAGRAPH, line.start, end, is_apart=self._is_apart)

    def _fence(self, line: _Line, sign: str) -> Block:
        end = line.end
        while (following := self._advance()) is not None:
            end = following.end
            stripped = following.text.strip()
            if len(stripped) >= len(sign) and not stripped.strip(sign[0]):
                self._advance()
                break
        return Block(Kind.FENCE, line.start, end, is_apart=self._is_apart, head=line.end)

    def _table(self, line: _Line) -> Block:
        delimiter = self._advance()
        assert delimiter is not None
        end = delimiter.end
        while (row := self._advance()) is not None and "|" in row.text:
            if _FENCE.match(row.text) or _HEADING.match(row.text) or _HTML_TABLE.match(row.text):
                break
            end = row.end
        return Block(Kind.TABLE, line.start, end, is_apart=True, head=delimiter.end)

    def _begins_table(self, line: _Line) -> bool:
        if "|" not in line.text:
            return False
        following = self._read(line.end + 1)
        if following is None or not is_delimiter(following.text):
            return False
        return len(cells(line.text)) == len(cells(following.text)) <= MAX_COLUMNS

    def _skip_text(self, line: _Line) -> int:
        """Skip the lines that go on with a paragraph or an item; return where the last ends."""
        end = line.end
        while (following := self._advance()) is not None and not self._interrupts(following):
            end = following.end
        return end

    def _interrupts(self, line: _Line) -> bool:
        return (
            line.is_empty
            or _UNDERLINE.match(line.text) is not None
            or _HEADING.match(line.text) is not None
            or _FENCE.match(line.text) is not None
            or _RULE.match(line.text) is not None
            or _ITEM.match(line.text) is not None
            or _HTML_TABLE.match(line.text) is not None
            or self._begins_table(line)
        )

    def _skip_to_empty(self, line: _Line) -> int:
        end = line.end
        while (following := self._advance()) is not None and not following.is_empty:
            end = following.end
        return end

    def _advance(self) -> _Line | None:
        assert self._line is not None
        self._line = self._read(self._line.end + 1)
        return self._line

    def _read(self, start: int) -> _Line | None:
        if start >= len(self._text):
            return None
        end = self._text.find("\n", start)
        if end < 0:
            end = len(self._text)
        return _Line(start, end, self._text[start:end])


def is_delimiter(line: str) -> bool:
    """Whether a line stands between the header and the rows of a table."""
    if "-" not in line or not _DELIMITER_SIGNS.issuperset(line):
        return False
    return all(map(_DELIMITER.fullmatch, cells(line)))


def cells(line: str) -> list[str]:
    """Return the cells of a row of a table, without the escapes of their bars."""
    line = line.strip().removeprefix("|")
    if line.endswith("|") and not line.endswith("\\|"):
        line = line[:-1]
    return [cell.strip().replace("\\|", "|") for cell in _CELL_END.split(line)]


def definitions(text: str) -> Iterator[tuple[str, str]]:
    """Yield label and address of the links that are defined apart from where they are used."""
    for match in _DEFINITION.finditer(text):
        yield match["label"], match["url"]


def heading_text(block: str) -> str:
    """Return the text of a heading without its signs."""
    first = block.partition("\n")[0].strip()
    if _HEADING.match(first):
        first = first.lstrip("#").strip()
        without = first.rstrip("#")
        # Signs at the end belong to the heading unless a blank is before them.
        first = without.rstrip() if without.endswith((" ", "\t")) or not without else first
    return first
