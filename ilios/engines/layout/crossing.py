"""Phrases that cross a vertical rule: cells of a table that a parser took for one text."""

import re
from collections.abc import Iterable, Sequence
from itertools import accumulate

from msgspec.structs import replace

from .items import Item
from .lines import is_rtl
from .strokes import Grid

INSIDE = 0.5
"""Least distance, in the size of the font, of a rule from the ends of a phrase that crosses it."""

NEAR = 0.8
"""Most distance of a blank from the rule at which it parts two cells."""

BLANK = 0.4
"""White between the pieces, in the size of the font."""

_NARROW = re.compile(r"[\sfijlrtI.,:;'\u2018\u2019|!()\[\]-]")
_WIDE = re.compile(r"[mwMW@%\u2014]|[^\W\d_a-z]")


def split_at_rules(items: Sequence[Item], grid: Grid) -> list[Item]:
    """Return the items; one that crosses a vertical rule of the grid is parted at a blank there."""
    found: list[Item] = []
    for item in items:
        middle = (item.top + item.bottom) / 2
        if not (
            grid.top < middle < grid.bottom
            and item.left < grid.right
            and item.right > grid.left
            and " " in item.text
        ):
            found.append(item)
            continue
        margin = INSIDE * item.size
        crossed = {
            rule.at
            for rule in grid.verticals
            if rule.start <= middle <= rule.end
            and item.left + margin < rule.at < item.right - margin
        }
        found += _parted(item, crossed) if crossed and not is_rtl([item.text]) else [item]
    return found


def letter_ends(item: Item) -> list[float]:
    """Return about where each letter of a phrase ends."""
    widths = [0.5 if _NARROW.match(one) else 1.3 if _WIDE.match(one) else 1.0 for one in item.text]
    scale = (item.right - item.left) / sum(widths)
    return [item.left + scale * width for width in accumulate(widths)]


def _parted(item: Item, rules: Iterable[float]) -> list[Item]:
    """Return the pieces of an item between the rules; its letters stand about at these places."""
    ends = letter_ends(item)
    blanks = [at for at, one in enumerate(item.text) if one == " "]
    cuts: dict[int, float] = {}
    for rule in rules:
        nearest = min(blanks, key=lambda at: abs(ends[at] - rule))
        if abs(ends[nearest] - rule) <= NEAR * item.size:
            cuts[nearest] = rule
    pieces: list[Item] = []
    start, left = 0, item.left
    for at in sorted(cuts):
        half = BLANK * item.size / 2
        pieces.append(replace(item, text=item.text[start:at], left=left, right=cuts[at] - half))
        start, left = at + 1, cuts[at] + half
    return [*pieces, replace(item, text=item.text[start:], left=left)]
