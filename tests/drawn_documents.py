"""Documents drawn at random, with what has to be in their Markdown.

A document is a list of blocks without a format; ``tests.markup_writers`` writes it in each.
"""

import random
from typing import NamedTuple

SIGNS = (
    "5 < 6", "a & b", "*x*", "_y_", "#z", "50%", "{q}", "~", "^", "é", "€", "日本", "1.", "-", "+",
    "C:\\dir", "$5", "[a](b)", "<b>", "&amp;", "`k`", "~~s~~", "**", "“w”", "ä—ö", "=", "a|b", "!",
)  # fmt: skip
STYLES = ("b", "i", "c", "sub", "sup")


class Piece(NamedTuple):
    """Text in one of ``STYLES``, or in none."""

    text: str
    style: str = ""


Line = tuple[Piece, ...]


class Heading(NamedTuple):
    level: int
    line: Line


class Paragraph(NamedTuple):
    line: Line


class Quote(NamedTuple):
    line: Line


class Listed(NamedTuple):
    """An item with the list below it."""

    line: Line
    below: "Items | None" = None


class Items(NamedTuple):
    first: int | None
    items: tuple[Listed, ...]


class Cell(NamedTuple):
    line: Line
    columns: int = 1
    rows: int = 1


class Table(NamedTuple):
    """Rows of cells; cells that are covered are in no row."""

    rows: tuple[tuple[Cell, ...], ...]
    columns: int


class Code(NamedTuple):
    language: str
    text: str


Block = Heading | Paragraph | Quote | Items | Table | Code
Event = tuple[object, ...]
"""Kind, place and text of what Markdown has, in order."""


class Drawing:
    """Draws documents of the kinds of blocks and styles that a format has."""

    def __init__(self, seed: int, kinds: frozenset[str], styles: frozenset[str]) -> None:
        self._dice = random.Random(seed)
        self._kinds = sorted(kinds)
        self._styles = sorted(styles)
        self._count = 0

    def document(self) -> list[Block]:
        return [self._block() for _ in range(self._dice.randint(3, 12))]

    def _block(self) -> Block:
        match self._dice.choice(self._kinds):
            case "heading":
                return Heading(self._dice.randint(2, 4), (Piece(self._words()),))
            case "quote":
                return Quote(self._line())
            case "list":
                return self._items(0)
            case "table":
                return self._table()
            case "code":
                return self._code()
        return Paragraph(self._line())

    def _word(self) -> str:
        self._count += 1
        return f"w{self._count}x"

    def _words(self) -> str:
        dice = self._dice
        words = [dice.choice(SIGNS) if dice.random() < 0.3 else self._word() for _ in range(3)]
        return " ".join([*words, self._word()])

    def _line(self) -> Line:
        pieces = [Piece(self._words())]
        for _ in range(self._dice.randint(0, 2)):
            styled = Piece(self._word(), self._dice.choice(self._styles))
            pieces += [Piece(" "), styled, Piece(" "), Piece(self._words())]
        return tuple(pieces)

    def _items(self, depth: int) -> Items:
        dice = self._dice
        first = dice.choice((None, 1, 1, 3, 12))
        items = []
        for _ in range(dice.randint(1, 4)):
            below = self._items(depth + 1) if depth < 3 and dice.random() < 0.25 else None
            items.append(Listed(self._line(), below))
        return Items(first, tuple(items))

    def _table(self) -> Table:
        dice = self._dice
        height, width = dice.randint(2, 5), dice.randint(2, 5)
        rows = [[Cell((Piece(self._words()),)) for _ in range(width)] for _ in range(height)]
        y, x = dice.randrange(height - 1), dice.randrange(width - 1)
        match dice.choice(("plain", "columns", "rows", "empty")):
            case "columns":
                rows[y][x] = rows[y][x]._replace(columns=2)
                del rows[y][x + 1]
            case "rows":
                rows[y][x] = rows[y][x]._replace(rows=2)
                del rows[y + 1][x]
            case "empty":
                rows[y + 1][x] = Cell(())
        return Table(tuple(map(tuple, rows)), width)

    def _code(self) -> Code:
        lines = [" " * self._dice.choice((0, 2, 4)) + f"{self._word()} = '`{{}}<&%#\\n'"]
        lines += [self._word() for _ in range(self._dice.randint(0, 2))]
        return Code(self._dice.choice(("", "python")), "\n".join(lines))


def expected(document: list[Block]) -> list[Event]:
    """Return what the Markdown of a document has to have, in order."""
    events: list[Event] = []
    for block in document:
        match block:
            case Heading(level, line):
                events.append(("heading", level, plain(line)))
            case Paragraph(line):
                events.append(("text", plain(line)))
            case Quote(line):
                events.append(("quote", plain(line)))
            case Items():
                events += _items(block, 1)
            case Table():
                events += [("row", *row) for row in grid(block)]
            case Code(language, text):
                events.append(("code", language, text))
    return events


def _items(items: Items, depth: int) -> list[Event]:
    events: list[Event] = []
    for place, item in enumerate(items.items):
        number = None if items.first is None else items.first + place
        events.append(("item", depth, number, plain(item.line)))
        if item.below is not None:
            events += _items(item.below, depth + 1)
    return events


def grid(table: Table) -> list[tuple[str, ...]]:
    """Return the texts of a table, each in the first of its places."""
    texts: dict[tuple[int, int], str] = {}
    for y, row in enumerate(table.rows):
        x = 0
        for cell in row:
            while (y, x) in texts:
                x += 1
            for down in range(cell.rows):
                for right in range(cell.columns):
                    texts[y + down, x + right] = "" if down or right else plain(cell.line)
    return [tuple(texts[y, x] for x in range(table.columns)) for y in range(len(table.rows))]


def plain(line: Line) -> str:
    """Return a line with its styles as tags, and its blanks as a reader takes them."""
    text = "".join(
        f"<{piece.style}>{piece.text}</{piece.style}>" if piece.style else piece.text
        for piece in line
    )
    return " ".join(text.split())
