"""Fonts of a document: the body text, and what differs enough from it for a heading."""

from collections import Counter
from collections.abc import Iterable

from msgspec import Struct

from .items import PageItems

LARGER = 1.13
NOISY_LARGER = 1.45
"""Ratio to the body size from which a font is that of a heading, also where sizes vary."""

SAME_SIZE = 0.12
NOISY_SAME_SIZE = 0.3
"""Difference of two sizes, relative to the larger, up to which lines are of one font."""

BODY_SPREAD = 0.06
BODY_SHARE = 0.4
"""Sizes are noisy, as those of recognised text are, if fewer characters than this share differ by
less than the spread from the body size."""

TYPEWRITTEN = 0.8
"""Share of monospaced characters from which they are the text, and not code in it."""


class Fonts(Struct, frozen=True):
    """The usual font of a document; ``rtl`` means a column written from right to left."""

    body: float
    bold: bool
    italic: bool
    monospaced: bool
    noisy: bool
    rtl: bool = False

    @property
    def heading(self) -> float:
        """The least size that is by itself that of a heading."""
        return self.body * (NOISY_LARGER if self.noisy else LARGER)

    def differ(self, one: float, other: float) -> bool:
        """Whether two sizes are those of different fonts."""
        tolerance = NOISY_SAME_SIZE if self.noisy else SAME_SIZE
        return abs(one - other) > tolerance * max(one, other)


def rounded(size: float) -> float:
    """Return a size to half a point, a small one to a tenth."""
    return round(size * 2) / 2 if size >= 5 else round(size, 1)


def measure(pages: Iterable[PageItems], *, noisy: bool = False) -> Fonts:
    """Return the fonts of the pages, weighted by their characters.

    :param noisy: whether the sizes are only the heights of recognised lines.
    """
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
    if not total:
        return Fonts(10.0, bold=False, italic=False, monospaced=False, noisy=False)
    body = sizes.most_common(1)[0][0]
    near = sum(n for size, n in sizes.items() if abs(size - body) <= BODY_SPREAD * body)
    noisy = noisy or near < BODY_SHARE * total
    if noisy:
        body = _median(sizes, total)
    half = total / 2
    typewritten = monospaced > TYPEWRITTEN * total
    return Fonts(body, bold > half, italic > half, typewritten, noisy)


def _median(sizes: Counter[float], total: int) -> float:
    count = 0
    for size in sorted(sizes):
        count += sizes[size]
        if 2 * count >= total:
            return size
    return 10.0
