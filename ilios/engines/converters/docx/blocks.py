"""Blocks of a document: what stands below one another, before it becomes Markdown."""

from typing import Literal, TypeAlias

from msgspec import Struct

from ilios.engines.converters.inline import Run


class Paragraph(Struct, frozen=True):
    """A paragraph of text. ``mark`` is a label that is no number of a list."""

    runs: tuple[Run, ...]
    quote: bool = False


class Heading(Struct, frozen=True):
    """A heading of level 1 to 6, with the names of its bookmarks."""

    level: int
    runs: tuple[Run, ...]
    bookmarks: tuple[str, ...] = ()


class Item(Struct, frozen=True):
    """An item of a list. ``label`` is the number that Word shows, empty for a bullet."""

    runs: tuple[Run, ...]
    level: int
    label: str = ""
    list_id: str = ""
    indent: int | None = None


class Code(Struct, frozen=True):
    """A line of code, or several; ``indent`` are its twentieths of a point from the margin."""

    text: str
    indent: int = 0


class Display(Struct, frozen=True):
    """Markdown that stands for itself: an equation, the data of a chart."""

    markdown: str


class Cell(Struct, frozen=True):
    """A cell of a table that covers ``columns``; ``merge`` is that of ``w:vMerge``."""

    blocks: "tuple[Block, ...]"
    columns: int = 1
    merge: Literal["", "restart", "continue"] = ""


class Row(Struct, frozen=True):
    """A row of a table with the columns that it leaves out before its first cell."""

    cells: tuple[Cell, ...]
    before: int = 0
    after: int = 0


class Table(Struct, frozen=True):
    """A table."""

    rows: tuple[Row, ...]


Block: TypeAlias = Paragraph | Heading | Item | Code | Display | Table


def texts(runs: tuple[Run, ...]) -> str:
    """Return the text of runs without their style."""
    return "".join(run.text for run in runs)
