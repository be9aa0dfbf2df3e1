"""Parts of a page that are placed as a whole, and the corridors between them."""

import re

from msgspec import Struct

from .items import Item

PROSE_WORDS = 4
"""Words of a line of running text."""

_NUMBERS = re.compile(r"(?=\D*\d)(?:[\W\d_]|(?<![^\W\d_])[^\W\d_](?![^\W\d_]))*")
"""Numbers with their signs and units of one letter."""


class Part(Struct):
    """Something that is placed as a whole: an item of text, or a table with its items."""

    left: float
    top: float
    right: float
    bottom: float
    size: float
    item: Item | None = None
    table: int = -1
    code: bool = False
    figure: int = -1


Run = tuple[float, float, float]
"""The x, the top and the bottom of a corridor."""


def goes_on(part: Part) -> bool:
    """Whether a part is text that goes on in the midst of a sentence."""
    return part.item is not None and part.item.text[:1].islower() and not part.code


def words_of(part: Part) -> int:
    """Return how many words of text a part has; a table and a line of contents count as prose."""
    if part.item is None:
        return PROSE_WORDS
    text = part.item.text
    if part.code:
        return 0
    if "...." in text or ". . . ." in text:
        return PROSE_WORDS  # a line of a list of contents
    spaces = text.count(" ") + 1
    if _NUMBERS.fullmatch(text):
        return 0  # cells of a table
    # Scripts without spaces between words have about two letters to a word.
    return spaces if text.isascii() or spaces > 1 else max(spaces, _wide(text) // 2)


def _wide(text: str) -> int:
    return sum("\u3040" <= char <= "\u9fff" for char in text)
