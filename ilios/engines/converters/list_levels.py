"""Lists out of paragraphs that each have a level and a label, as word processors write them."""

import re
from collections.abc import Sequence

from ilios.engines.converters.blocks import MAX_DEPTH, Block, Item, Items

_NUMBER = re.compile(r"(\d{1,9})[.):]?")
_SYMBOL = re.compile(r"\W{0,3}|o|[\ue000-\uf8ff]", re.DOTALL)


class ListLevels:
    """A list in the making, with the lists in it."""

    def __init__(self) -> None:
        self._open: list[list[Item]] = []

    def add(self, level: int, label: str, blocks: Sequence[Block]) -> None:
        """Add an item at a level from 0; ``label`` is what stands before it."""
        level = max(0, min(level, len(self._open), MAX_DEPTH - 1))
        while len(self._open) > level + 1:
            self._close()
        if len(self._open) <= level:
            self._open.append([])
        label = label.strip()
        number = _NUMBER.fullmatch(label)
        text = "" if number or _SYMBOL.fullmatch(label) else label
        self._open[-1].append(Item(tuple(blocks), int(number[1]) if number else None, text))

    def take(self) -> list[Block]:
        """Return the list, if there is one, and begin another."""
        while len(self._open) > 1:
            self._close()
        items = self._open.pop() if self._open else []
        return [Items(tuple(items))] if items else []

    def _close(self) -> None:
        items = Items(tuple(self._open.pop()))
        last = self._open[-1][-1]
        self._open[-1][-1] = Item((*last.blocks, items), last.number, last.label)
