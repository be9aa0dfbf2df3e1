"""Numbers as a section of a format code shows them: decimals, thousands, exponents, fractions."""

import math
import re
from decimal import ROUND_HALF_UP, Context, Decimal
from fractions import Fraction

from msgspec import Struct

from ilios.engines.converters.sheets.format_codes import Section, Token

GENERAL_CHARS = 11
"""Characters of a number in the format ``General``, with its decimal point."""

LARGEST = 1e300
"""No number of a sheet is larger; the digits of larger ones are not written out."""

MAX_DENOMINATOR_DIGITS = 7
MAX_DECIMALS = 30
MAX_PERCENTS = 4
_FIXED = re.compile(r"([\0%]*)((#,##)?0(?:\.(0{1,30}))?)([\0%]*)")
_SAFE, _NEAR = 1e10, 1e-3
"""Below ten billion, a binary number is off by a millionth at most."""

_EXACT = Context(prec=400, rounding=ROUND_HALF_UP)


def show_general(value: float) -> str:
    """Return a number in the format ``General``."""
    if value == int(value) and abs(value) < 10**GENERAL_CHARS:
        return str(int(value))
    text = repr(value)
    if len(text) <= GENERAL_CHARS and "e" not in text:
        return text
    exponent = math.floor(math.log10(abs(value)))
    if 1 - GENERAL_CHARS < exponent < GENERAL_CHARS - 1:
        decimals = GENERAL_CHARS - 2 - max(exponent, 0)
        exact = _is_near_half(abs(value), decimals)
        text = f"{_rounded(value, decimals):f}" if exact else f"{value:.{decimals}f}"
        text = text.rstrip("0").rstrip(".") if decimals else text
        if exponent >= -4 or float(text) == value:
            return "0" if text == "-0" else text
    if GENERAL_CHARS - 1 <= exponent < GENERAL_CHARS:
        return f"{_rounded(value, 0):f}"
    mantissa, _, power = f"{value:.5E}".partition("E")
    return f"{mantissa.rstrip('0').rstrip('.')}E{power}"


class Fixed(Struct, frozen=True):
    """A section of the most frequent kind: texts around one number with fixed decimals."""

    before: str
    after: str
    decimals: int
    power: int
    form: str
    unit: Decimal

    def show(self, value: float) -> str:
        """Return a number as the section shows it; its sign is not shown."""
        size = abs(value) * 10**self.power
        if not _is_near_half(size, self.decimals):
            return f"{self.before}{size:{self.form}}{self.after}"
        number = _decimal(abs(value))
        if self.power:
            number = _EXACT.scaleb(number, self.power)
        return f"{self.before}{_EXACT.quantize(number, self.unit):{self.form}}{self.after}"


def fixed(section: Section) -> Fixed | None:
    """Return a section as a ``Fixed``; None if it is of another kind."""
    code = "".join("\0" if token.kind == "literal" else token.text for token in section.tokens)
    found = _FIXED.fullmatch(code)
    if found is None:
        return None
    start, end = found.span(2)
    before, after = section.tokens[:start], section.tokens[end:]
    decimals = len(found[4] or "")
    return Fixed(
        "".join(token.text for token in before),
        "".join(token.text for token in after),
        decimals,
        2 * sum(token.kind == "percent" for token in (*before, *after)),
        f"{',' if found[3] else ''}.{decimals}f",
        Decimal(1).scaleb(-decimals),
    )


def show_number(section: Section, value: float) -> str:
    """Return a number as a section without dates and texts shows it; its sign is not shown."""
    if section.has("exponent"):
        return _show_scientific(section.tokens, value)
    if section.has("slash") and (shown := _show_fraction(section.tokens, value)) is not None:
        return shown
    tokens = list(section.tokens)
    percents = sum(token.kind == "percent" for token in tokens)
    return _show_digits(tokens, _scaled(value, 2 * min(percents, MAX_PERCENTS)))


def _scaled(value: float, power: int) -> Decimal:
    return _EXACT.scaleb(_decimal(abs(value)), power)


def _is_near_half(size: float, decimals: int) -> bool:
    """Whether the binary form of a number may be rounded otherwise than its decimal one."""
    scaled = size * float(10**decimals)
    return scaled >= _SAFE or abs(scaled % 1 - 0.5) < _NEAR


def _decimal(value: float) -> Decimal:
    """Return a number with its 15 significant digits, further ones are never shown."""
    return Decimal(f"{value:.15g}")


def _rounded(value: float, decimals: int) -> Decimal:
    return _EXACT.quantize(_decimal(value), Decimal(1).scaleb(-decimals))


def _show_digits(tokens: list[Token], number: Decimal) -> str:
    """Return a number in the places of the tokens for digits."""
    point = next((at for at, token in enumerate(tokens) if token.kind == "point"), len(tokens))
    whole, rest = tokens[:point], tokens[point + 1 :]
    places = [at for at, token in enumerate(whole) if token.kind == "digit"]
    last = places[-1] if places else -1
    commas = [at for at, token in enumerate(whole) if token.kind == "comma"]
    thousands = any(places and places[0] < at < last for at in commas)
    behind = sum(at > last for at in commas) + _commas_behind(rest) if places else 0
    if not places:  # such as .00
        whole = [*whole, Token("digit", "#")]
    decimals = [token.text for token in rest if token.kind == "digit"]
    if behind:
        number = _EXACT.scaleb(number, -3 * behind)
    number = _EXACT.quantize(number, Decimal(1).scaleb(-min(len(decimals), MAX_DECIMALS)))
    integer, _, fraction = f"{number:f}".partition(".")
    shown = _fill_whole(whole, "" if integer == "0" else integer, thousands=thousands)
    if point < len(tokens):
        shown += "." + _fill_decimals(rest, fraction)
    return shown


def _commas_behind(tokens: list[Token]) -> int:
    """Return how many commas are behind the last place for a digit: each is a thousandth."""
    count = 0
    for token in tokens:
        count = 0 if token.kind == "digit" else count + (token.kind == "comma")
    return count


def _fill_whole(tokens: list[Token], digits: str, *, thousands: bool) -> str:
    """Return the tokens with digits from the right; the first place takes all that are left."""
    first = next(at for at, token in enumerate(tokens) if token.kind == "digit")
    shown: list[str] = []
    count = 0

    def put(digit: str) -> None:
        nonlocal count
        if thousands and count and count % 3 == 0 and digit != " ":
            shown.append(",")
        shown.append(digit)
        count += 1

    for at in range(len(tokens) - 1, -1, -1):
        token = tokens[at]
        if token.kind == "digit":
            if digits:
                put(digits[-1])
                digits = digits[:-1]
            elif token.text != "#":
                put("0" if token.text == "0" else " ")
            while at == first and digits:
                put(digits[-1])
                digits = digits[:-1]
        elif token.kind in ("literal", "percent", "slash"):
            shown.append(token.text[::-1])
    return "".join(shown)[::-1]


def _fill_decimals(tokens: list[Token], digits: str) -> str:
    shown: list[str] = []
    needed = len(digits.rstrip("0"))
    at = 0
    for token in tokens:
        if token.kind == "digit":
            if at < needed or token.text == "0":
                shown.append(digits[at : at + 1] or "0")
            elif token.text == "?":
                shown.append(" ")
            at += 1
        elif token.kind in ("literal", "percent", "slash", "point"):
            shown.append(token.text)
    return "".join(shown)


def _show_scientific(tokens: tuple[Token, ...], value: float) -> str:
    at = next(place for place, token in enumerate(tokens) if token.kind == "exponent")
    mantissa, rest = list(tokens[:at]), list(tokens[at + 1 :])
    point = next((place for place, token in enumerate(mantissa) if token.kind == "point"), at)
    step = max(1, sum(token.kind == "digit" for token in mantissa[:point]))
    decimals = min(sum(token.kind == "digit" for token in mantissa[point:]), MAX_DECIMALS)
    number = _scaled(value, 0)
    power = number.adjusted() if number else 0
    power = power // step * step
    scaled = _EXACT.scaleb(number, -power)
    if _EXACT.quantize(scaled, Decimal(1).scaleb(-decimals)) >= 10**step:
        power += step
        scaled = _EXACT.scaleb(number, -power)
    sign = "-" if power < 0 else "+" if tokens[at].text == "E+" else ""
    if not any(token.kind == "digit" for token in rest):
        rest = [Token("digit", "0"), *rest]
    exponent = _fill_whole(rest, str(abs(power)) if power else "", thousands=False)
    return f"{_show_digits(mantissa, scaled)}E{sign}{exponent}"


def _show_fraction(tokens: tuple[Token, ...], value: float) -> str | None:
    """Return a number as a fraction; None if the slash is no fraction's."""
    slash = next(at for at, token in enumerate(tokens) if token.kind == "slash")
    start = slash
    while start and tokens[start - 1].kind == "digit":
        start -= 1
    end = slash + 1
    while end < len(tokens) and (tokens[end].kind == "digit" or tokens[end].text.isdecimal()):
        end += 1
    bottom = "".join(token.text for token in tokens[slash + 1 : end])
    if start == slash or not bottom:
        return None
    exact = Fraction(_decimal(abs(value)))
    if fixed := int(bottom) if bottom.isdecimal() else 0:
        near = Fraction(round(exact * fixed), fixed)
        top, below = round(exact * fixed), fixed
    else:
        most = 10 ** min(len(bottom), MAX_DENOMINATOR_DIGITS) - 1
        near = _approximated(exact, most)
        top, below = near.numerator, near.denominator
    whole = [token for token in tokens[:start] if token.kind == "digit"]
    head = list(tokens[:start])
    tail = "".join(token.text for token in tokens[end:] if token.kind == "literal")
    if not whole:
        literal = "".join(token.text for token in head if token.kind == "literal")
        return f"{literal}{top}/{below}{tail}"
    integer = near.numerator // near.denominator
    top -= integer * below
    digits = str(integer) if integer else "" if top else "0"
    shown = _fill_whole(head, digits, thousands=False)
    return f"{shown}{top}/{below}{tail}" if top else f"{shown.rstrip()}{tail}"


def _approximated(exact: Fraction, most: int) -> Fraction:
    """Return the last convergent of the continued fraction with such a denominator."""
    before, found = (0, 1), (1, 0)
    rest = exact
    while True:
        whole = rest.numerator // rest.denominator
        following = (whole * found[0] + before[0], whole * found[1] + before[1])
        if following[1] > most:
            return Fraction(*found)
        before, found = found, following
        if rest == whole:
            return Fraction(*found)
        rest = 1 / (rest - whole)
