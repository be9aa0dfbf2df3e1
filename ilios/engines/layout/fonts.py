"""Fonts of a document: the body text, and the ranks of the sizes above it."""

from collections import Counter
from collections.abc import Iterable

from msgspec import Struct

from .items import PageItems

LARGER = 1.13
"""Ratio to the body size from which a font is that of a heading."""

RANKS = 4
"""Distinct heading levels by size; smaller headings share the level below."""

RANK_STEP = 1.06
"""Ratio between the sizes of two ranks."""


class Fonts(Struct, frozen=True):
    """The usual font of a document, and its heading sizes in descending order."""

    body: float
    bold: bool
    italic: bool
    monospaced: bool
    ranks: tuple[float, ...]

    def level(self, size: float) -> int:
        """Return the level of a heading of this size."""
        for rank, least in enumerate(self.ranks, 1):
            if size * RANK_STEP >= least:
                return rank
        return min(len(self.ranks) + 1, 6)


def rounded(size: float) -> float:
    """Return a size to half a point."""
    return round(size * 2) / 2


def measure(pages: Iterable[PageItems]) -> Fonts:
    """Return the fonts of the pages, weighted by their characters."""
    sizes: Counter[float] = Counter()
    bold = italic = monospaced = total = 0
    for page in pages:
        for item in page.items:
            count = len(item.text)
            sizes[rounded(item.size)] += count
            total += count
            bold += count * item.bold
            italic += count * item.italic
            monospaced += count * item.monospaced
    body = sizes.most_common(1)[0][0] if sizes else 10.0
    ranks: list[float] = []
    for size in sorted((size for size in sizes if size >= body * LARGER), reverse=True):
        if not ranks or size * RANK_STEP < ranks[-1]:
            ranks.append(size)
    half = total / 2
    return Fonts(body, bold > half, italic > half, monospaced > half, tuple(ranks[:RANKS]))
