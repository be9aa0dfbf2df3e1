"""Initials: large first letters of a paragraph that reach over several of its lines."""

from collections.abc import Sequence

from msgspec.structs import replace

from .items import Item
from .lines import Line

TALL = 1.8
"""Ratio of the size of an initial to that of the text beside it."""

BESIDE = 1.5
"""Most gap between an initial and the lines beside it, in their size."""


def beside_initials(lines: Sequence[Line]) -> list[Line]:
    """Return the lines; those beside an initial begin where it does."""
    found: list[Line] = []
    initial: Item | None = None
    for line in lines:
        first = line.items[0]
        if initial and _is_beside(line, initial):
            found.append(replace(line, left=initial.left))
            continue
        initial = first if _is_initial(first, line) else None
        found.append(line)
    return found


def _is_initial(item: Item, line: Line) -> bool:
    return (
        len(line.items) > 1
        and len(item.text) == 1
        and item.text.isupper()
        and item.size > TALL * line.size
    )


def _is_beside(line: Line, initial: Item) -> bool:
    return (
        line.middle < initial.bottom
        and -line.size / 2 < line.left - initial.right < BESIDE * line.size
    )
