"""Leaders: the dots between an entry of a list of contents and its number.

The parser keeps dots that touch, and loses those with blanks between them.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise

from msgspec.structs import replace

from ilios.engines.layout.items import Item

LEAST_GAP = 1.0
"""Gap between an entry and its number, in their size, in which leaders have place."""

BLANK = 0.4
"""Blank between the leaders and the number, in their size."""

MAX_LINE = 300
"""Characters of a line that may be an entry."""

_SPACED = ". . ."
_ENTRY = re.compile(r"(.*[^\s.])(\.?\s*(?:\.\s+){3,}\.?)\s*([^\s.]{1,8})\s*")


def with_leaders(items: Sequence[Item], layer: str) -> list[Item]:
    """Return the items of a page, its entries with the leaders that its text layer has."""
    if _SPACED not in layer:
        return list(items)
    leaders: dict[tuple[str, str], list[str]] = defaultdict(list)
    for line in layer.splitlines():
        match = _ENTRY.fullmatch(line) if _SPACED in line and len(line) <= MAX_LINE else None
        if match:
            leaders[_last(match[1]), match[3]].append(match[2].rstrip())
    found = list(items)
    for at, (one, other) in enumerate(pairwise(items)):
        whole = _SPACED in one.text or _SPACED in other.text
        number = items[at + 2] if _SPACED in other.text and at + 2 < len(items) else other
        waiting = leaders.get((_last(one.text), number.text.strip()))
        if waiting and whole:
            waiting.pop(0)  # these are not lost
        elif waiting and _has_place(one, other):
            text = one.text.rstrip(". ") + waiting.pop(0)
            right = max(one.right, other.left - BLANK * one.size)
            found[at] = replace(one, text=text, right=right)
    return found


def _last(text: str) -> str:
    """Return the last word of an entry without full stops at its end."""
    return text.rstrip(". ").rsplit(" ", 1)[-1]


def _has_place(one: Item, other: Item) -> bool:
    middle = (other.top + other.bottom) / 2
    return other.left - one.right > LEAST_GAP * one.size and one.top < middle < one.bottom
