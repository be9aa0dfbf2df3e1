"""The values of the series of a chart as they are shown: numbers, percentages, dates and texts."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct

from ilios.engines.converters import markdown

DRAWING = "{http://schemas.openxmlformats.org/drawingml/2006/main}"

MAX_POINTS = 100_000
"""Points of all series of a chart; further ones are counted and not read."""
MAX_PLACE = 1_048_576
"""Rows of a sheet, from which the points come."""
MAX_LEVELS = 20
"""Levels of categories."""

_KINDS = ("strCache", "numCache", "strLit", "numLit", "lvl")
_DECORATION = re.compile(r'"[^"]*"|\\.|\[[^\]]*\]|_.|\*.')
_PLACES, _MAX_PLACES = re.compile(r"\.(0+)"), 15
_DATE_1900, _DATE_1904 = datetime(1899, 12, 30), datetime(1904, 1, 1)  # noqa: DTZ001 of no zone
_LAST_DAY = 2_958_465  # 9999-12-31
_MIDNIGHT = 24 * 60 * 60
_EXACT = 1e15
"""Numbers from here on are written with an exponent."""


class Values(Struct, frozen=True):
    """One column of a series: texts by place, of which some may lack."""

    texts: Mapping[int, str] = {}

    def text(self, place: int) -> str:
        return self.texts.get(place, "")

    def filled(self, places: list[int]) -> "Values":
        """Return the text of each place, or of the last before it that has one.

        An outer level of categories has a text only where a group begins.
        """
        texts: dict[int, str] = {}
        last = ""
        for place in places:
            last = self.texts.get(place) or last
            texts[place] = last
        return Values(texts)

    def with_labels(self, labels: Mapping[int, str]) -> "Values":
        """Return them with typed labels of points behind their values."""
        texts = dict(self.texts)
        for place, label in labels.items():
            text = texts.get(place, "")
            if label != text:
                texts[place] = f"{text} ({label})" if text else label
        return Values(texts)


NO_VALUES = Values()


class ValueReader:
    """Reads the points of one chart within its bounds."""

    def __init__(self, *, dates_from_1904: bool) -> None:
        self._epoch = _DATE_1904 if dates_from_1904 else _DATE_1900
        self._left = MAX_POINTS
        self.left_out = 0

    def levels(self, element: Any) -> list[Values]:
        """Return the levels, innermost first, of an element like ``c:cat`` or ``cx:numDim``.

        Copies of cells, literals and levels have their points alike.
        """
        if element is None:
            return []
        levels = [one for one in element.iter() if _name(one) in _KINDS]
        return [self._level(one) for one in levels[:MAX_LEVELS]]

    def first(self, element: Any) -> Values:
        """Return the innermost level."""
        return next(iter(self.levels(element)), NO_VALUES)

    def _level(self, level: Any) -> Values:
        numeric = _name(level).startswith("num") or _name(level.getparent()) == "numDim"
        code = level.get("formatCode", "")
        texts: dict[int, str] = {}
        for child in level:
            if _name(child) == "formatCode":
                code = child.text or ""
            if _name(child) != "pt":
                continue
            place = natural(child.get("idx"))
            if not self._left or place is None or place > MAX_PLACE:
                self.left_out += 1
                continue
            self._left -= 1
            text = markdown.one_line("".join(child.itertext()))
            texts[place] = (
                shown(text, child.get("formatCode") or code, self._epoch) if numeric else text
            )
        return Values(texts)


def shown(text: str, code: str, epoch: datetime = _DATE_1900) -> str:
    """Return a number as its format shows it if it is a percentage, a date or a time.

    Other numbers stay as they are, and so does what is no number, like ``#N/A``.
    """
    try:
        number = float(text)
    except ValueError:
        return text
    if not abs(number) < _EXACT:
        return text
    code = _DECORATION.sub("", code.partition(";")[0]).lower()
    if "%" in code:
        return f"{_with_places(_plain(number * 100, 12), code)}%"
    if any(sign in code for sign in "ymdhs") and "general" not in code and 0 <= number < _LAST_DAY:
        return _date(number, code, epoch)
    return _plain(number, 15)


def _with_places(text: str, code: str) -> str:
    """Return a number with at least the decimal places of its format."""
    places = _PLACES.search(code)
    if places is None or "e" in text:
        return text
    whole, _, decimals = text.partition(".")
    return f"{whole}.{decimals.ljust(min(len(places[1]), _MAX_PLACES), '0')}"


def _plain(number: float, digits: int) -> str:
    """Return a number without the error of its binary form, and without an exponent."""
    text = f"{number:.{digits}g}"
    if "e" in text:
        text = f"{number:.{digits}f}".rstrip("0").rstrip(".") if abs(number) >= 1e-6 else text
    return text


def _date(number: float, code: str, epoch: datetime) -> str:
    """Return a date, a time or both, in the form of ISO 8601; a year alone where no more shows."""
    moment = epoch + timedelta(seconds=round(number * _MIDNIGHT))
    day, time = "y" in code or "d" in code, "h" in code or "s" in code
    if not day and not time:
        day = True
    if set(code) & set("ymdhs") == {"y"}:
        return f"{moment:%Y}"
    clock = f"{moment:%H:%M:%S}" if "s" in code else f"{moment:%H:%M}"
    if not day:
        return clock
    return f"{moment:%Y-%m-%d} {clock}" if time else f"{moment:%Y-%m-%d}"


def natural(text: str | None) -> int | None:
    """Return a number of at most nine digits, None for anything else."""
    return int(text) if text and len(text) < 10 and text.isascii() and text.isdigit() else None


def rich_text(element: Any) -> str:
    """Return the text that is typed into a title or label, on one line; fields are left out."""
    if element is None:
        return ""
    pieces: list[str] = []
    for paragraph in element.iter(f"{DRAWING}p"):
        for child in paragraph:
            if _name(child) == "r":
                pieces.append(child.findtext(f"{DRAWING}t", ""))
            elif _name(child) == "br":
                pieces.append(" ")
        pieces.append(" ")
    return markdown.one_line("".join(pieces))


def _name(element: Any) -> str:
    return str(element.tag).rpartition("}")[2]
