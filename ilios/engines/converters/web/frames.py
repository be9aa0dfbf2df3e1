"""Open elements of a page that have blocks in them: lists, quotes, cells, tables."""

import re
from typing import Any

from ilios.engines.converters.blocks import Block, Item, Items, Quote
from ilios.engines.converters.numerals import letters, roman

MAX_LABEL_NUMBER = 4000
_INTEGER = re.compile(r"[+-]?\d{1,9}")


def integer(text: str | None, default: int) -> int:
    """Return the number of an attribute, or ``default``."""
    found = _INTEGER.match((text or "").strip())
    return int(found[0]) if found else default


class Frame:
    """An open element with blocks in it."""

    def __init__(self, element: Any) -> None:
        self.element = element
        self.blocks: list[Block] = []

    def add(self, block: Block) -> None:
        """Add a block at the end."""
        self.blocks.append(block)

    def close_into(self, parent: "Frame") -> None:
        """Give the blocks to the frame around this one."""
        for block in self.blocks:
            parent.add(block)


class QuoteFrame(Frame):
    """A quotation."""

    def close_into(self, parent: Frame) -> None:
        if self.blocks:
            parent.add(Quote(tuple(self.blocks)))


class ListFrame(Frame):
    """A list, with the number of its next item."""

    def __init__(self, element: Any, *, ordered: bool) -> None:
        super().__init__(element)
        self._items: list[tuple[list[Block], int | None, str]] = []
        self._notes: list[Block] = []
        self._ordered = ordered
        self._style = (element.get("type") or "").strip() if ordered else ""
        self._step = 1
        self._number = integer(element.get("start"), 1)
        if ordered and element.get("reversed") is not None:
            self._step = -1
            if element.get("start") is None:
                self._number = sum(1 for child in element if child.tag == "li")

    def add(self, block: Block) -> None:
        """Add a block that is in no item of its own to the last one."""
        if not self._items:
            self._items.append(([], None, ""))
        self._items[-1][0].append(block)

    def add_item(self, blocks: list[Block], value: str | None) -> None:
        """Add an item; ``value`` is the number that it declares."""
        self._number = integer(value, self._number)
        number: int | None = self._number if self._ordered else None
        label = ""
        if number is not None and (label := self._label(number)):
            number = None
        if number is not None and not 0 <= number < 10**9:
            number, label = None, f"{number}."
        self._number += self._step
        if blocks:
            self._items.append((blocks, number, label))

    def add_notes(self, blocks: list[Block]) -> None:
        """Add an item that is a note: its label stands in place of the number."""
        self._notes += blocks
        self._number += self._step

    def close_into(self, parent: Frame) -> None:
        items = [Item(tuple(blocks), number, label) for blocks, number, label in self._items]
        if items:
            parent.add(Items(tuple(items)))
        for note in self._notes:
            parent.add(note)

    def _label(self, number: int) -> str:
        if self._style not in ("a", "A", "i", "I") or not 0 < number < MAX_LABEL_NUMBER:
            return ""
        label = letters(number) if self._style in "aA" else roman(number)
        return f"{label.upper() if self._style.isupper() else label}."


class ItemFrame(Frame):
    """An item of a list."""

    is_note = False

    def close_into(self, parent: Frame) -> None:
        if isinstance(parent, ListFrame) and self.is_note:
            parent.add_notes(self.blocks)
        elif isinstance(parent, ListFrame):
            parent.add_item(self.blocks, self.element.get("value"))
        elif self.blocks:
            parent.add(Items((Item(tuple(self.blocks)),)))


class CellFrame(Frame):
    """A cell of a table."""

    def close_into(self, parent: Frame) -> None:
        if isinstance(parent, TableFrame):
            parent.add_cell(self)
        else:
            super().close_into(parent)


class TableFrame(Frame):
    """A table: its rows of cells by the part of the table they stand in.

    Blocks that are in no cell, such as a caption, stand before it.
    """

    def __init__(self, element: Any) -> None:
        super().__init__(element)
        self.rows: list[tuple[str, list[CellFrame]]] = []

    def begin_row(self, part: str) -> None:
        """Begin a row in ``thead``, ``tbody`` or ``tfoot``."""
        self.rows.append((part, []))

    def add_cell(self, cell: CellFrame) -> None:
        """Add a cell to the row."""
        if not self.rows:
            self.begin_row("tbody")
        self.rows[-1][1].append(cell)
