"""Plain text of the HTML of a page, as it comes in pieces.

Blocks are parted by empty lines, cells by tabs. List items have their numbers or a dash, since a
text refers to them. A raised or lowered text stays one: 10 to the 6 is no 106.
"""

import re
from html import unescape
from html.parser import HTMLParser

MAX_EMPTY_CELLS = 100  # that a spanning cell stands for
MAX_INDENTATION = 20  # levels of lists

_ROW = re.compile(r"<tr>(?:<td(?: class=\"\w+\")?>[^<]*</td>)+</tr>")
_CELL = re.compile(r">([^<]*)</td>")
_BLOCKS = frozenset(("p", "ul", "ol", "li", "blockquote", "pre", "table", "caption", "hr"))
_HEADINGS = frozenset(("h1", "h2", "h3", "h4", "h5", "h6"))
_RAISED = str.maketrans("0123456789+-=()n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿ")
_LOWERED = str.maketrans("0123456789+-=()", "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎")


class PlainText(HTMLParser):
    """A converter of sanitised HTML; ``take`` returns the text of what was added."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._written: list[str] = []
        self._is_empty = True  # of the whole text
        self._breaks = 0  # line breaks before the next text
        self._lists: list[int | None] = []  # the next number of an ordered one
        self._mark = ""  # of a list item that begins
        self._code = 0
        self._tables = 0
        self._row: list[str] = []
        self._cell: list[str] = []
        self._columns = 1  # of the cell
        self._raised: list[tuple[str, list[str]]] = []
        self._is_note = False

    def add(self, fragment: str) -> None:
        """Take a piece of HTML that ends with an element.

        The rows of a long table are most of a spreadsheet, and are read in a sixth of the time.
        """
        if not fragment.startswith(("<tbody>", "<tr>")):
            self.feed(fragment)
            return
        for line in fragment.split("\n"):
            if _ROW.fullmatch(line):
                self._row = [" ".join(unescape(cell).split()) for cell in _CELL.findall(line)]
                self._end_row()
            else:
                self.feed(line + "\n")

    def take(self) -> str:
        """Return the text since the last time."""
        written, self._written = self._written, []
        return "".join(written)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take the beginning of an element."""
        given = dict(attrs)
        match tag:
            case "br" | "img":
                self._write("\n" if tag == "br" else given.get("alt") or "")
            case "sup" | "sub":
                self._is_note = "id" in given
                self._raised.append((tag, []))
            case "a" if (given.get("href") or "").startswith("#note-"):
                self._is_note = True
            case "table":
                self._break(2)
                self._tables += 1
            case "td" | "th":
                self._begin_cell(given.get("colspan") or "1")
            case "ul" | "ol":
                self._begin_list(given.get("start") or "1" if tag == "ol" else None)
            case "li":
                self._begin_item(given.get("value"))
            case _ if tag in _BLOCKS or tag in _HEADINGS:
                self._break(2 if not self._lists else 1)
                self._code += tag == "pre"

    def handle_endtag(self, tag: str) -> None:
        """Take the end of an element."""
        match tag:
            case "sup" | "sub" if self._raised:
                self._end_raised()
            case "table":
                self._tables = max(0, self._tables - 1)
                self._break(2)
            case "tr" if self._tables == 1:
                self._end_row()
            case "ul" | "ol" if self._lists:
                self._lists.pop()
                self._mark = ""
                self._break(1 if self._lists else 2)
            case _ if tag in _BLOCKS or tag in _HEADINGS:
                self._code = max(0, self._code - (tag == "pre"))
                self._break(2 if not self._lists else 1)

    def handle_data(self, data: str) -> None:
        """Take text."""
        self._write(data)

    def _write(self, text: str) -> None:
        text = text.replace("\f", " ")
        if self._raised:
            self._raised[-1][1].append(text)
        elif self._tables:
            if self._cell:
                self._cell.append(text)
            elif text.strip():  # a caption, or what has lost its cell
                self._put(text.strip())
        elif text.isspace() and (self._breaks or self._is_empty) and not self._code:
            pass  # between two blocks
        else:
            self._put(text)

    def _put(self, text: str) -> None:
        if not text:
            return
        if not self._is_empty:
            self._written.append("\n" * self._breaks)
        if self._lists and (self._breaks or self._is_empty):
            indentation = "  " * min(len(self._lists) - 1, MAX_INDENTATION)
            self._written.append(indentation + (self._mark or "  "))
            self._mark = ""
        if self._breaks and not self._code:
            text = text.lstrip()
        without = text.rstrip("\n")
        self._is_empty, self._breaks = False, len(text) - len(without)
        self._written.append(without)

    def _break(self, lines: int) -> None:
        if self._tables:
            if self._cell:
                self._cell.append(" ")
            return
        self._breaks = max(self._breaks, lines)

    def _begin_list(self, start: str | None) -> None:
        self._break(1 if self._lists else 2)
        self._lists.append(int(start) if start is not None else None)

    def _begin_item(self, value: str | None) -> None:
        self._break(1)
        if self._lists and (number := self._lists[-1]) is not None:
            number = int(value) if value else number
            self._lists[-1] = number + 1
            self._mark = f"{number}. "
        else:
            self._mark = "- "

    def _begin_cell(self, columns: str) -> None:
        if self._tables > 1 and self._cell:  # a table in a cell is a part of its text
            self._cell.append(" ")
            return
        self._end_cell()
        self._cell = [""]
        self._columns = min(int(columns), MAX_EMPTY_CELLS) if columns.isdecimal() else 1

    def _end_cell(self) -> None:
        if self._cell:
            self._row.append(" ".join("".join(self._cell).split()))
            self._row += [""] * (self._columns - 1)
        self._cell = []

    def _end_row(self) -> None:
        self._end_cell()
        row, self._row = "\t".join(self._row), []
        if not self._is_empty:
            self._written.append("\n" * max(1, self._breaks))
        self._breaks, self._is_empty = 0, False
        self._written.append(row)

    def _end_raised(self) -> None:
        tag, pieces = self._raised.pop()
        text = "".join(pieces)
        if self._is_note:
            self._is_note = False
            self._write(f"[{text}]")
            return
        signs = _RAISED if tag == "sup" else _LOWERED
        if text and all(ord(sign) in signs for sign in text):
            self._write(text.translate(signs))
        elif text:
            self._write(f"{'^' if tag == 'sup' else '_'}({text})")
