"""Format codes of numbers in spreadsheets (ECMA-376-1, 18.8.31), parsed into sections of tokens."""

import re
from typing import Literal

from msgspec import Struct

MAX_CODE_CHARS = 1000
"""Excel allows 255; a longer code is read as ``General``."""

Kind = Literal[
    "literal",
    "digit",  # 0 # ?
    "point",
    "comma",
    "percent",
    "exponent",  # E+ E-
    "slash",
    "text",  # @
    "general",
    "date",  # yyyy mm dd hh ss, in lower case
    "elapsed",  # the letters of [h] [mm] [ss]
    "half",  # AM/PM A/P
    "split",  # the decimals of seconds: .00
]
Operator = Literal["<", "<=", ">", ">=", "=", "<>"]


class Token(Struct, frozen=True):
    """One part of a format code."""

    kind: Kind
    text: str


class Condition(Struct, frozen=True):
    """The numbers a section is for."""

    operator: Operator
    limit: float

    def holds(self, value: float) -> bool:
        """Whether the section is for this number."""
        match self.operator:
            case "<":
                return value < self.limit
            case "<=":
                return value <= self.limit
            case ">":
                return value > self.limit
            case ">=":
                return value >= self.limit
            case "=":
                return value == self.limit
            case "<>":
                return value != self.limit

    @property
    def only_negative(self) -> bool:
        """Whether no positive number and no zero is meant."""
        return (self.operator == "<" and self.limit <= 0) or (
            self.operator == "<=" and self.limit < 0
        )


class Section(Struct, frozen=True):
    """One of the at most four sections of a code; ``language`` is a Windows language id or 0."""

    tokens: tuple[Token, ...]
    condition: Condition | None = None
    language: int = 0

    def has(self, *kinds: Kind) -> bool:
        """Whether there is a token of one of these kinds."""
        return any(token.kind in kinds for token in self.tokens)


_CONDITION = re.compile(r"(<=|>=|<>|<|>|=)\s*(-?[0-9.]+(?:[eE][-+]?[0-9]+)?)")
_CURRENCY = re.compile(r"\$([^-\]]*)(?:-([0-9A-Fa-f]{1,8}))?.*")
_TOKEN = re.compile(
    r"""(?P<general>General)
    |"(?P<quoted>[^"]*)"?
    |\\(?P<escaped>.)
    |_(?P<blank>.)
    |\*(?P<fill>.)
    |\[(?P<bracket>[^\]]*)\]
    |(?P<half>AM/PM|A/P)
    |(?P<exponent>E[+-])
    |(?P<date>y+|m+|d+|h+|s+|b+|e+|g+)
    |(?P<other>.)""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
_SIGNS: dict[str, Kind] = {
    **dict.fromkeys("0#?", "digit"),
    ".": "point",
    ",": "comma",
    "%": "percent",
    "/": "slash",
    "@": "text",
}


def parse_code(code: str) -> tuple[Section, ...]:
    """Return the sections of a format code, at least one and at most four."""
    if len(code) > MAX_CODE_CHARS:
        code = "General"
    sections: list[Section] = []
    tokens: list[Token] = []
    condition, language = None, 0
    for match in _TOKEN.finditer(code):
        kind, text = match.lastgroup or "other", match[match.lastgroup or 0] or ""
        if kind == "other" and text == ";":
            sections.append(_section(tokens, condition, language))
            tokens, condition, language = [], None, 0
        elif kind == "bracket":
            condition = _parse_condition(text) or condition
            if currency := _CURRENCY.fullmatch(text):
                tokens.append(Token("literal", currency[1]))
                language = int(currency[2] or "0", 16) & 0xFFFF
            elif text and not text.lower().strip(text[0].lower()) and text[0] in "hmsHMS":
                tokens.append(Token("elapsed", text.lower()))
        elif kind != "fill":  # a character that fills the column
            tokens.append(_token(kind, text))
    sections.append(_section(tokens, condition, language))
    return tuple(sections[:4])


def _token(kind: str, text: str) -> Token:
    match kind:
        case "general":
            return Token("general", "")
        case "blank":
            return Token("literal", " ")
        case "half":
            return Token("half", text)
        case "exponent":
            return Token("exponent", text.upper())
        case "date":
            return Token("date", text.lower())
    return Token(_SIGNS.get(text, "literal") if kind == "other" else "literal", text)


def _parse_condition(text: str) -> Condition | None:
    found = _CONDITION.fullmatch(text.strip())
    if found is None:
        return None
    try:
        return Condition(found[1], float(found[2]))  # type: ignore[arg-type]  # by the pattern
    except ValueError:
        return None


def _section(tokens: list[Token], condition: Condition | None, language: int) -> Section:
    if any(token.kind in ("date", "elapsed", "half") for token in tokens):
        tokens = _date_tokens(tokens)
    return Section(tuple(tokens), condition, language)


def _date_tokens(tokens: list[Token]) -> list[Token]:
    """Return the tokens of a date: months are not minutes, signs of numbers as literals."""
    made: list[Token] = []
    for place, token in enumerate(tokens):
        if token.kind == "point" and _is_split(tokens, place):
            digits = 0
            while place + 1 + digits < len(tokens) and tokens[place + 1 + digits].text == "0":
                digits += 1
            made.append(Token("split", "." + "0" * digits))
        elif token.kind == "digit" and made and made[-1].kind == "split":
            continue
        elif token.kind == "date" and token.text in ("m", "mm") and _are_minutes(tokens, place):
            made.append(Token("date", token.text.replace("m", "n")))
        elif token.kind in ("date", "elapsed", "half", "text"):
            made.append(token)
        else:
            made.append(Token("literal", token.text))
    return made


def _is_split(tokens: list[Token], place: int) -> bool:
    following = tokens[place + 1 : place + 2]
    return bool(following) and following[0].text == "0"


def _are_minutes(tokens: list[Token], place: int) -> bool:
    """Whether the letters are minutes: after hours, or before seconds."""
    dates = [at for at, token in enumerate(tokens) if token.kind in ("date", "elapsed")]
    at = dates.index(place)
    before = tokens[dates[at - 1]].text if at else ""
    after = tokens[dates[at + 1]].text if at + 1 < len(dates) else ""
    return before.startswith("h") or after.startswith("s")
