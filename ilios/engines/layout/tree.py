"""The structure tree of a tagged page as pieces: what its elements name, in their order."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

from msgspec import Struct

from .items import Element, Item
from .lines import rows
from .lists import is_marker

HEADINGS = {"H": 0, "Title": 1} | {f"H{level}": level for level in range(1, 7)}
"""Roles of headings and their levels; 0 is one that the tree does not name."""

LEAVES = frozenset({"P", "Caption", "BibEntry"})
NOTES = frozenset({"Note", "FENote"})
"""Roles of paragraphs, and of footnotes."""

INLINE = frozenset({"Span", "Link", "Em", "Strong", "Quote", "Reference", "Sub", "Annot", "Lbl"})
"""Roles of parts of a line."""

CONTENTS = frozenset({"TOC", "TOCI"})
"""Roles of lists of contents, which the layout reads better."""

MAX_CELLS = 5_000
MAX_PLACES = 20_000
FRAME_WORDS = 120
MAX_FRAMED = 0.3
"""Cells of a table, and their places; one with a cell of more words, or with tables in a larger
share of its cells, lays out other content."""

PARTS = frozenset({"LI", "TR"})
"""Roles of the parts of a cell: items of a list, rows of a table inside it."""

Kind = Literal["paragraph", "heading", "item", "code", "quote", "table", "loose", "figure"]


class Cell(Struct):
    """A cell of a table and how many rows and columns it spans.

    Items of a list, and rows of a table inside it, are ``parts`` of their own.
    """

    parts: list[list[Item]]
    rows: int
    columns: int
    head: bool

    @property
    def items(self) -> list[Item]:
        """All items."""
        return [item for part in self.parts for item in part]


class Piece(Struct):
    """What is laid out by itself: its items by paragraphs, or the cells of a table by rows.

    The items of a ``loose`` piece are laid out by their places, as those of a page without tags.
    """

    kind: Kind
    paragraphs: list[list[Item]] = []
    level: int = 0
    rows: list[list[Cell]] = []
    figure: int = -1

    @property
    def items(self) -> list[Item]:
        """All items."""
        if self.rows:
            return [item for row in self.rows for cell in row for item in cell.items]
        return [item for items in self.paragraphs for item in items]


def elements(tree: Iterable[Element]) -> Iterator[Element]:
    """Yield the elements of a tree, in no order."""
    waiting = list(tree)
    while waiting:
        element = waiting.pop()
        yield element
        waiting += (child for child in element.children if isinstance(child, Element))


def ids(tree: Iterable[Element]) -> Iterator[int]:
    """Yield the ids of the content that elements name."""
    for element in elements(tree):
        yield from (child for child in element.children if isinstance(child, int))


class Collector:
    """Collects the pieces of a page; ``repeated`` is whether a content is named twice.

    On a ``monospaced`` page, code looks like all other text.
    """

    def __init__(self, contents: Mapping[int, Sequence[Item]], *, monospaced: bool) -> None:
        self._contents = contents
        self._monospaced = monospaced
        self._counts = {
            content: sum(len(item.text.split()) for item in items)
            for content, items in contents.items()
        }
        self._open: Piece | None = None
        self._notes: list[Element] = []
        self._reached: set[int] = set()
        self.pieces: list[Piece] = []
        self.repeated = False

    def collect(self, tree: Iterable[Element]) -> list[Piece]:
        """Return the pieces of a tree that have items."""
        for element in tree:
            self._visit(element, "loose", 0)
        self._open = None
        for note in self._notes:
            self._piece("paragraph", self._all(note))
        self.pieces = [piece for piece in self.pieces if piece.items]
        return self.pieces

    @property
    def reached(self) -> set[int]:
        """The ids of content that the tree names."""
        return self._reached

    def _visit(self, element: Element, kind: Kind, depth: int) -> None:
        role = element.role
        if role in HEADINGS and kind != "item":
            self._piece("heading", self._all(element), HEADINGS[role])
        elif role == "L":
            self._apart(element, "loose" if kind == "item" else kind, depth + 1)
        elif role == "LI" and depth:
            self._begin("item", depth - 1)
            self._children(element, "item", depth)
            self._open = None
        elif role == "Table":
            self._table(element, kind, depth)
        elif role == "BlockQuote":
            self._apart(element, "quote", depth)
        elif role == "Code" and kind not in {"item", "paragraph"}:
            self._piece("code", self._all(element))
        elif role in LEAVES | NOTES:
            self._leaf(element, kind, depth)
        elif kind == "item" and self._is_code(element):
            self._piece("code", self._all(element))
        elif kind in {"item", "paragraph"} or role in INLINE:
            self._children(element, kind, depth)
        else:
            self._apart(element, kind, depth)

    def _leaf(self, element: Element, kind: Kind, depth: int) -> None:
        """Visit a paragraph, which may be that of an item or of a quotation, or a footnote."""
        if element.role in NOTES and self._open:
            self._notes.append(element)
        elif kind == "item":
            if self._open and len(self._open.items) > 1:
                self._open.paragraphs.append([])
            self._children(element, kind, depth)
        else:
            self._begin("quote" if kind == "quote" else "paragraph", 0)
            self._children(element, "paragraph", depth)
            self._open = None

    def _apart(self, element: Element, kind: Kind, depth: int) -> None:
        self._open = None
        self._children(element, kind, depth)
        self._open = None

    def _children(self, element: Element, kind: Kind, depth: int) -> None:
        for child in element.children:
            if isinstance(child, Element):
                self._visit(child, kind, depth)
                continue
            if self._open is None:
                self._begin("paragraph" if kind == "item" else kind, 0)
            if self._open is not None:
                self._open.paragraphs[-1].extend(self._take(child))

    def _is_code(self, element: Element) -> bool:
        """Whether an element has lines of code that stand below the text of an item."""
        text = self._open.items if self._open else []
        if self._monospaced or all(is_marker(item.text.strip()) for item in text):
            return False
        found = [item for content in ids([element]) for item in self._contents.get(content, ())]
        if not found or not (element.role == "Code" or all(item.monospaced for item in found)):
            return False
        middle = (text[-1].top + text[-1].bottom) / 2
        return min(item.top for item in found) > middle and len(rows(found)) > 1

    def _begin(self, kind: Kind, level: int) -> None:
        self._open = Piece(kind, [[]], level)
        self.pieces.append(self._open)

    def _piece(self, kind: Kind, items: list[Item], level: int = 0) -> None:
        self.pieces.append(Piece(kind, [items], level))
        self._open = None

    def _take(self, content: int) -> Sequence[Item]:
        if content in self._reached:
            self.repeated = True
            return ()
        self._reached.add(content)
        return self._contents.get(content, ())

    def _all(self, element: Element) -> list[Item]:
        """Return the items of an element and of those below it."""
        found: list[Item] = []
        for child in element.children:
            found += self._all(child) if isinstance(child, Element) else self._take(child)
        return found

    def _table(self, table: Element, kind: Kind, depth: int) -> None:
        self._open = None
        rows = list(_rows(table))
        if not self._is_grid(table, rows):
            self._apart(table, kind, depth)
            return
        for caption in (one for one in table.children if isinstance(one, Element)):
            if caption.role == "Caption":
                self._piece("paragraph", self._all(caption))
        cells = [
            [
                Cell(self._parts(cell), cell.rows, cell.columns, cell.role == "TH")
                for cell in row.children
                if isinstance(cell, Element)
            ]
            for row in rows
        ]
        self.pieces.append(Piece("table", rows=[row for row in cells if row]))

    def _parts(self, cell: Element) -> list[list[Item]]:
        """Return the items of a cell by the parts it has."""
        parts: list[list[Item]] = [[]]
        waiting: list[Element | int | None] = [*reversed(cell.children)]
        while waiting:
            child = waiting.pop()
            if isinstance(child, int):
                parts[-1] += self._take(child)
                continue
            if child is None:
                parts.append([])
            elif child.role in PARTS:
                parts.append([])
                waiting.append(None)
                waiting += reversed(child.children)
            else:
                waiting += reversed(child.children)
        return [part for part in parts if part]

    def _is_grid(self, table: Element, rows: list[Element]) -> bool:
        """Whether a table has rows and columns of texts, and is no frame around other content."""
        cells = [cell for row in rows for cell in row.children if isinstance(cell, Element)]
        if not all(cell.role in {"TH", "TD"} for cell in cells) or len(cells) > MAX_CELLS:
            return False
        framed = sum(any(one.role == "Table" for one in elements([cell])) for cell in cells)
        if framed > MAX_FRAMED * len(cells):
            return False
        beside = (child for row in (table, *rows) for child in row.children)
        if any(isinstance(child, int) and child in self._contents for child in beside):
            return False
        if max((self._words(cell) for cell in cells), default=0) > FRAME_WORDS:
            return False
        return (
            len(rows) > 1
            and max(sum(isinstance(one, Element) for one in row.children) for row in rows) > 1
        )

    def _words(self, cell: Element) -> int:
        return sum(self._counts.get(content, 0) for content in ids([cell]))


def _rows(table: Element) -> Iterator[Element]:
    """Yield the rows of a table, also those in a part of it."""
    for child in table.children:
        if isinstance(child, Element):
            if child.role == "TR":
                yield child
            elif child.role in {"THead", "TBody", "TFoot"}:
                yield from _rows(child)


def grid(rows: Sequence[Sequence[Cell]]) -> list[list[Cell | None]]:
    """Return the cells of a table at their places; one that spans rows is in each of them.

    One that spans columns is in the first of them, and in each where it is the head of some.
    Columns in which no cell with a text begins are left out.
    """
    placed: dict[tuple[int, int], Cell | None] = {}
    begun: set[int] = set()
    for at, row in enumerate(rows):
        column = 0
        for cell in row:
            while (at, column) in placed:
                column += 1
            if cell.items:
                begun.add(column)
            for below in range(at, min(at + cell.rows, len(rows))):
                for right in range(column, column + cell.columns):
                    repeated = right == column or ((cell.head or not at) and len(row) > 1)
                    placed.setdefault((below, right), cell if repeated else None)
            if len(placed) > MAX_PLACES:
                return []
            column += cell.columns
    return [[placed.get((at, column)) for column in sorted(begun)] for at in range(len(rows))]
