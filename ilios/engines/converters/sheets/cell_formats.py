"""Cells as they are shown: a format code applied to a number, a text or a truth value."""

import math

from ilios.engines.converters.sheets.format_codes import Section, Token, parse_code
from ilios.engines.converters.sheets.shown_dates import DAYS_1904, show_date
from ilios.engines.converters.sheets.shown_numbers import LARGEST, show_general, show_number

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


class CellFormat:
    """A format code, parsed; ``from_1904`` counts days from 1904 in place of 1900."""

    def __init__(self, code: str, *, from_1904: bool = False) -> None:
        sections = parse_code(code)
        self._from_1904 = from_1904
        self._text = next((s for s in sections if s.has("text")), None)
        if len(sections) == 4:
            self._text = sections[3]
        self._sections = tuple(s for s in sections[:3] if s is not self._text) or (_GENERAL,)
        self._is_general = self._sections == (_GENERAL,)
        self.is_date = self._sections[0].has("date", "elapsed", "half")
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
        section, negative = self._choose(value)
        if section.has("general"):
            at = next(n for n, token in enumerate(section.tokens) if token.kind == "general")
            before, after = section.tokens[:at], section.tokens[at + 1 :]
            number = show_general(value if negative else abs(value))
            return f"{_literals(before)}{number}{_literals(after)}"
        if section.has("date", "elapsed", "half"):
            shown = show_date(section, value, from_1904=self._from_1904)
            return show_general(value) if shown is None else shown
        if not section.has("digit"):
            minus = negative and value < 0 and bool(section.tokens)
            return f"-{_literals(section.tokens)}" if minus else _literals(section.tokens)
        shown = show_number(section, value)
        minus = negative and value < 0 and any(digit in shown for digit in "123456789")
        return f"-{shown}" if minus else shown

    def _choose(self, value: float) -> tuple[Section, bool]:
        """Return the section for a number, and whether it shows the sign of a negative one."""
        sections = self._sections
        if any(section.condition for section in sections):
            for section in sections:
                if section.condition is None or section.condition.holds(value):
                    only_negative = section.condition and section.condition.only_negative
                    return section, not only_negative
            return _GENERAL, True
        if len(sections) > 1 and value < 0:
            return sections[1], False
        if len(sections) > 2 and value == 0:
            return sections[2], False
        return sections[0], True


def _literals(tokens: tuple[Token, ...]) -> str:
    shown = ("literal", "percent", "slash", "point", "comma")
    return "".join(token.text for token in tokens if token.kind in shown)


_GENERAL = parse_code("General")[0]
