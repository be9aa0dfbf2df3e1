"""Dates and times of spreadsheets, which are numbers of days, as a section of a code shows them."""

import math
from datetime import date, timedelta
from typing import NamedTuple

from ilios.engines.converters.sheets.format_codes import Section

DAY_SECONDS = 86_400
DAYS_1904 = 1462
"""The first day of the calendar of 1904 in that of 1900."""

LAST_DAY = 2_958_465
"""31 December 9999."""

_BUDDHIST = 543
"""Years of the Buddhist era before that of Christ."""

_NO_LEAP_DAY = 60
"""29 February 1900, which the calendar of 1900 has."""

_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
# By the primary language of a Windows language id (MS-LCID).
_NAMES = {
    0x07: (
        "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
        "Montag Dienstag Mittwoch Donnerstag Freitag Samstag Sonntag",
    ),
    0x0A: (
        "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
        "lunes martes miércoles jueves viernes sábado domingo",
    ),
    0x0C: (
        "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
        "lundi mardi mercredi jeudi vendredi samedi dimanche",
    ),
    0x10: (
        (
            "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre "
            "novembre dicembre"
        ),
        "lunedì martedì mercoledì giovedì venerdì sabato domenica",
    ),
    0x13: (
        "januari februari maart april mei juni juli augustus september oktober november december",
        "maandag dinsdag woensdag donderdag vrijdag zaterdag zondag",
    ),
    0x16: (
        "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
        "segunda-feira terça-feira quarta-feira quinta-feira sexta-feira sábado domingo",
    ),
}


class Moment(NamedTuple):
    """A day and a time of day; ``weekday`` counts from Monday as 0."""

    year: int
    month: int
    day: int
    weekday: int
    hour: int
    minute: int
    second: int
    split: str


def show_date(section: Section, value: float, *, from_1904: bool) -> str | None:
    """Return a number of days as a section shows it; None if it is no date."""
    elapsed = section.has("elapsed")
    if value < 0 and not elapsed:
        return None
    digits = max((len(t.text) - 1 for t in section.tokens if t.kind == "split"), default=0)
    unit = 10**digits
    parts = math.floor(abs(value) * DAY_SECONDS * unit + 0.5)
    days, rest = divmod(parts, DAY_SECONDS * unit)
    if days > LAST_DAY or (days + DAYS_1904 > LAST_DAY and from_1904):
        return None
    year, month, day, weekday = _calendar(days + DAYS_1904 * from_1904)
    seconds, split = divmod(rest, unit)
    moment = Moment(
        year,
        month,
        day,
        weekday,
        seconds // 3600,
        seconds // 60 % 60,
        seconds % 60,
        f"{split:0{digits}}" if digits else "",
    )
    halves = section.has("half")
    shown = []
    for token in section.tokens:
        match token.kind:
            case "date":
                shown.append(_field(token.text, moment, section.language, halves=halves))
            case "elapsed":
                shown.append(_elapsed(token.text, parts // unit))
            case "half":
                morning, evening = ("AM", "PM") if len(token.text) > 3 else ("A", "P")
                shown.append(morning if moment.hour < 12 else evening)
            case "split":
                shown.append(f".{moment.split[: len(token.text) - 1]}")
            case "literal":
                shown.append(token.text)
    return ("-" if value < 0 and parts else "") + "".join(shown)


def _calendar(days: int) -> tuple[int, int, int, int]:
    if days == 0:
        return 1900, 1, 0, 5
    if days == _NO_LEAP_DAY:
        return 1900, 2, 29, 2
    found = date(1899, 12, 31 if days < _NO_LEAP_DAY else 30) + timedelta(days)
    # The calendar's leap day of 1900 moves the days of the week before it.
    weekday = (found.weekday() - (days < _NO_LEAP_DAY)) % 7
    return found.year, found.month, found.day, weekday


def _elapsed(letters: str, seconds: int) -> str:
    unit = {"h": 3600, "m": 60, "s": 1}[letters[0]]
    return f"{seconds // unit:0{len(letters)}}"


def _field(letters: str, moment: Moment, language: int, *, halves: bool) -> str:
    count = len(letters)
    months, days = _NAMES.get(language & 0x3FF, ("", ""))
    first = letters[0]
    if first == "m" and count > 2:
        return _name((months.split() or _MONTHS)[moment.month - 1], count)
    if first == "d" and count > 2:
        return _name((days.split() or _DAYS)[moment.weekday], count)
    if first in "yeb":
        year = moment.year + _BUDDHIST * (first == "b")
        return f"{year % 100:02}" if count <= 2 and first != "e" else f"{year:04}"
    hour = (moment.hour % 12 or 12) if halves else moment.hour
    numbers = {"m": moment.month, "d": moment.day, "h": hour, "n": moment.minute}
    number = moment.second if first == "s" else numbers.get(first)
    return "" if number is None else f"{number:0{min(count, 2)}}"


def _name(name: str, count: int) -> str:
    """Return a name of a month or day in full, as three letters, or as one."""
    return name[:3] if count == 3 else name[:1] if count == 5 else name
