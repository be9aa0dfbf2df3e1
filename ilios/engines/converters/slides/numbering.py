"""Automatic numbers of paragraphs, in the schemes of ``a:buAutoNum``, as marks of Markdown."""

import re
from collections.abc import Sequence

from msgspec import Struct

from ilios.engines.converters.numerals import repeated_letters, roman

APART = "<!-- -->"
"""Between two lists that Markdown would number as one."""

_NUMBER = re.compile(r"(\d{1,10})([.)])")

_MAX_LETTERED, _MAX_ROMAN = 26 * 20, 4000


class Scheme(Struct, frozen=True):
    """A scheme, such as ``romanLcPeriod``, and the number it begins with."""

    name: str
    start: int


class Item(Struct, frozen=True):
    """The mark of a list item, and its level."""

    level: int
    mark: str

    @property
    def width(self) -> int:
        """How far the text of the item is from the beginning of its mark."""
        return len(self.mark.split()[0]) + 1

    @property
    def interrupts(self) -> bool:
        """Whether it begins a list below a paragraph without an empty line (CommonMark, 5.3)."""
        number = _NUMBER.fullmatch(self.mark)
        return number is None or int(number[1]) == 1

    def goes_on(self, before: "Item") -> bool:
        """Whether Markdown shows its number after the item before, or begins a list by itself."""
        mine, other = _NUMBER.fullmatch(self.mark), _NUMBER.fullmatch(before.mark)
        if mine is None or other is None or mine[2] != other[2]:
            return True
        return int(mine[1]) == int(other[1]) + 1


class Counters:
    """The numbers of the paragraphs of one text, by level."""

    def __init__(self) -> None:
        self._counts: dict[int, tuple[Scheme, int]] = {}

    def next(self, level: int, scheme: Scheme) -> int:
        """Return the number of the next numbered paragraph at a level."""
        self._counts = {at: one for at, one in self._counts.items() if at <= level}
        before, number = self._counts.get(level, (None, 0))
        number = number + 1 if before == scheme else scheme.start
        self._counts[level] = (scheme, number)
        return number

    def interrupt(self, level: int) -> None:
        """Begin again at this level and below: a paragraph without a number stands there."""
        self._counts = {at: one for at, one in self._counts.items() if at < level}


def keep_apart(blocks: Sequence[str]) -> list[str]:
    """Return texts of shapes with a sign between those whose numbers Markdown would join."""
    joined: list[str] = []
    for block in blocks:
        first = block.partition("\n")[0].partition(" ")[0]
        numbered = _NUMBER.fullmatch(first)
        if joined and numbered:
            lines = joined[-1].split("\n")
            marks = [line.partition(" ")[0] for line in lines if not line.startswith(" ")]
            if marks and not Item(0, first).goes_on(Item(0, marks[-1])):
                joined.append(APART)
        joined.append(block)
    return joined


def marker(scheme: str, number: int) -> str:
    """Return the mark of a list item in Markdown, which has lists with digits only.

    Other numbers, and those in parentheses, are the text of an item with a bullet.
    """
    if scheme.startswith("alpha") and 0 < number <= _MAX_LETTERED:
        text = repeated_letters(number)
    elif scheme.startswith("roman") and 0 < number < _MAX_ROMAN:
        text = roman(number)
    else:
        text = str(number)
    if scheme.startswith(("alphaUc", "romanUc")):
        text = text.upper()
    if scheme.endswith("ParenBoth"):
        return f"- ({text})"
    text += ")" if scheme.endswith("ParenR") else "."
    return text if text[0].isdigit() else f"- {text}"
