"""Cells as they are shown: a format code applied to a number, a text or a truth value."""

import math
import re
from typing import Literal

from msgspec import Struct

from ilios.engines.converters.sheets.format_codes import Section, Token, parse_code
from ilios.engines.converters.sheets.shown_dates import DAYS_1904, show_date
from ilios.engines.converters.sheets.shown_numbers import (
    LARGEST,
    Fixed,
    fixed,
    show_general,
    show_number,
)

_ISO, _ISO_TIME = "yyyy-mm-dd", "yyyy-mm-dd h:mm"
_ACCOUNTING = '_(* #,##0{0}_);_(* \\(#,##0{0}\\);_(* "-"{1}_);_(@_)'
_DOLLARS = '_("$"* #,##0{0}_);_("$"* \\(#,##0{0}\\);_("$"* "-"{1}_);_(@_)'

BUILT_IN = {
    0: "General",
    1: "0",
    2: "0.00",
    3: "#,##0",
    4: "#,##0.00",
    5: '"$"#,##0_);\\("$"#,##0\\)',
    6: '"$"#,##0_);\\("$"#,##0\\)',
    7: '"$"#,##0.00_);\\("$"#,##0.00\\)',
    8: '"$"#,##0.00_);\\("$"#,##0.00\\)',
    9: "0%",
    10: "0.00%",
    11: "0.00E+00",
    12: "# ?/?",
    13: "# ??/??",
    15: "d-mmm-yy",
    16: "d-mmm",
    17: "mmm-yy",
    18: "h:mm AM/PM",
    19: "h:mm:ss AM/PM",
    20: "h:mm",
    21: "h:mm:ss",
    **dict.fromkeys((14, *range(27, 32), 36, *range(50, 59)), _ISO),
    22: _ISO_TIME,
    **dict.fromkeys((32, 34), "h:mm"),
    **dict.fromkeys((33, 35), "h:mm:ss"),
    **dict.fromkeys((37, 38), "#,##0 ;(#,##0)"),
    **dict.fromkeys((39, 40), "#,##0.00;(#,##0.00)"),
    41: _ACCOUNTING.format("", ""),
    42: _DOLLARS.format("", ""),
    43: _ACCOUNTING.format(".00", "??"),
    44: _DOLLARS.format(".00", "??"),
    45: "mm:ss",
    46: "[h]:mm:ss",
    47: "mm:ss.0",
    48: "##0.0E+0",
    49: "@",
}
"""Codes of the formats that files refer to by number alone (ECMA-376-1, 18.8.30).

Numbers 14, 22 and those of East Asia stand for the date format of the reader's region: that of
ISO 8601 is used, which everybody reads the same way.
"""


_NOT_ZERO = re.compile("[1-9]")


class _Prepared(Struct, frozen=True):
    """A section with what it shows."""

    section: Section
    kind: Literal["general", "date", "number", "literals"]
    fixed: Fixed | None = None


def _prepare(section: Section) -> _Prepared:
    if section.has("general"):
        return _Prepared(section, "general")
    if section.has("date", "elapsed", "half"):
        return _Prepared(section, "date")
    if section.has("digit"):
        return _Prepared(section, "number", fixed(section))
    return _Prepared(section, "literals")


class CellFormat:
    """A format code, parsed; ``from_1904`` counts days from 1904 in place of 1900."""

    def __init__(self, code: str, *, from_1904: bool = False) -> None:
        sections = parse_code(code)
        self._from_1904 = from_1904
        self._text = next((s for s in sections if s.has("text")), None)
        if len(sections) == 4:
            self._text = sections[3]
        numbers = [_prepare(s) for s in sections[:3] if s is not self._text]
        self._prepared = numbers or [_GENERAL]
        self._has_conditions = any(one.section.condition for one in self._prepared)
        self._is_general = self._prepared == [_GENERAL]
        self.is_date = self._prepared[0].kind == "date"
        self.shows_texts_as_they_are = self._text is None or [
            token.kind for token in self._text.tokens
        ] in (["text"], ["general"])

    def show_text(self, text: str) -> str:
        """Return a text as it is shown."""
        if self._text is None:
            return text
        return "".join(
            text if token.kind in ("text", "general") else token.text
            for token in self._text.tokens
            if token.kind in ("text", "general", "literal")
        )

    def show_days(self, days: float) -> str:
        """Return a number of days of the calendar of 1900 as it is shown."""
        return self.show(days - DAYS_1904 * self._from_1904)

    def show(self, value: float) -> str:
        """Return a number as it is shown."""
        if not math.isfinite(value) or abs(value) > LARGEST:
            return repr(value)
        if self._is_general:
            return show_general(value)
        chosen, negative = self._choose(value)
        section = chosen.section
        match chosen.kind:
            case "number":
                simple = chosen.fixed
                shown = show_number(section, value) if simple is None else simple.show(value)
                minus = negative and value < 0 and _NOT_ZERO.search(shown) is not None
                return f"-{shown}" if minus else shown
            case "date":
                date = show_date(section, value, from_1904=self._from_1904)
                return show_general(value) if date is None else date
            case "general":
                at = next(n for n, token in enumerate(section.tokens) if token.kind == "general")
                before, after = section.tokens[:at], section.tokens[at + 1 :]
                number = show_general(value if negative else abs(value))
                return f"{_literals(before)}{number}{_literals(after)}"
        minus = negative and value < 0 and bool(section.tokens)
        return f"-{_literals(section.tokens)}" if minus else _literals(section.tokens)

    def _choose(self, value: float) -> tuple[_Prepared, bool]:
        """Return the section for a number, and whether it shows the sign of a negative one."""
        prepared = self._prepared
        if self._has_conditions:
            for one in prepared:
                condition = one.section.condition
                if condition is None or condition.holds(value):
                    return one, condition is None or not condition.only_negative
            return _GENERAL, True
        if len(prepared) > 1 and value < 0:
            return prepared[1], False
        if len(prepared) > 2 and value == 0:
            return prepared[2], False
        return prepared[0], True


def _literals(tokens: tuple[Token, ...]) -> str:
    shown = ("literal", "percent", "slash", "point", "comma")
    return "".join(token.text for token in tokens if token.kind in shown)


_GENERAL = _prepare(parse_code("General")[0])
