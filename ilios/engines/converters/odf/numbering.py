"""Numbers of list items and headings."""

from ilios.engines.converters.numerals import letters, roman
from ilios.engines.converters.odf.styles import MAX_LEVEL, Level

MAX_ROMAN = 5000
MAX_LETTERS = 5000


class Counters:
    """Numbers of the levels of one list, or of the headings."""

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}

    def next(self, level: int, settings: Level, start: int | None = None) -> int:
        """Count an item on a level, which ends the count of those below."""
        before = self._numbers.get(level, settings.start - 1)
        self._numbers[level] = before + 1 if start is None else start
        for lower in range(level + 1, MAX_LEVEL + 1):
            self._numbers.pop(lower, None)
        return self._numbers[level]

    def label(self, level: int, levels: dict[int, Level]) -> str:
        """Return the number of the item counted last on a level, with those it is within."""
        settings = levels.get(level, Level())
        if not settings.format:
            return ""
        shown = []
        for one in range(max(level - settings.shown_levels + 1, 1), level + 1):
            own = levels.get(one, Level())
            if own.format:
                shown.append(number(self._numbers.get(one, own.start), own.format))
        return f"{settings.prefix}{'.'.join(shown)}{settings.suffix}".strip()


def number(value: int, form: str) -> str:
    """Return a number in a format of OpenDocument: ``1``, ``a``, ``A``, ``i``, ``I``."""
    if form in ("i", "I") and 0 < value < MAX_ROMAN:
        text = roman(value)
    elif form in ("a", "A") and 0 < value < MAX_LETTERS:
        text = letters(value)
    else:
        return str(value)
    return text.upper() if form.isupper() else text
