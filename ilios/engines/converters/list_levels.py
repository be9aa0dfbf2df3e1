"""Lists out of paragraphs that each have a level and a label, as word processors write them."""

import re
from collections.abc import Sequence

from ilios.engines.converters.blocks import APART, MAX_DEPTH, Block, Item, Items

_NUMBER = re.compile(r"(\d{1,9})[.):]?")
_NUMBERED = re.compile(r"(\d{1,9})([.)])(?=\s|$)")
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


def followed(before: Sequence[str], text: str, *, typed: bool) -> str:
    """Return a block whose first number Markdown shows as it is, after another block.

    Where Markdown would count on, a typed number is escaped, and a list is kept apart.
    """
    number = _NUMBERED.match(text)
    if not number or not before:
        return text
    lines = reversed(before[-1].split("\n"))
    last = _NUMBERED.match(next((line for line in lines if line[:1] not in ("", " ")), ""))
    if not last or number[2] != last[2] or int(number[1]) == int(last[1]) + 1:
        return text
    if typed:
        return f"{number[1]}\\{number[2]}{text[number.end() :]}"
    return f"{APART}\n\n{text}"
