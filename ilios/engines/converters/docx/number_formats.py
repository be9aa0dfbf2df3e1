"""Numbers as texts by the formats of lists, notes and pages (ECMA-376, part 1, 17.18.59)."""

# ruff: noqa: RUF001  the signs are meant, not the letters that look like them

import re
from collections.abc import Callable

from ilios.engines.converters.numerals import repeated_letters, roman

MAX_SPELLED = 30_000
"""Larger numbers are decimal in every format: a text of letters or numerals would be as long."""

_ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen",
    "nineteen",
)  # fmt: skip
_TENS = (
    "zero", "ten", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety",
)  # fmt: skip
_ORDINALS = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth",
    "nine": "ninth", "twelve": "twelfth",
}  # fmt: skip
_CHINESE = "〇一二三四五六七八九"
_RUSSIAN = "абвгдежзиклмнопрстуфхцчшщыэюя"
_HEBREW = "אבגדהוזחטיכלמנסעפצקרשת"
_SEQUENCES = {
    "ideographTraditional": "甲乙丙丁戊己庚辛壬癸",
    "ideographZodiac": "子丑寅卯辰巳午未申酉戌亥",
    "aiueoFullWidth": "アイウエオカキクケコサシスセソタチツテトナニヌネ"
    "ノハヒフヘホマミムメモヤユヨラリルレロワヲン",
    "irohaFullWidth": "イロハニホヘトチリヌルヲワカヨタレソツネナラムウ"
    "ヰノオクヤマケフコエテアサキユメミシヱヒモセス",
    "ganada": "가나다라마바사아자차카타파하",
    "chosung": "ㄱㄴㄷㄹㅁㅂㅅㅇㅈㅊㅋㅌㅍㅎ",
    "arabicAlpha": "أبتثجحخدذرزسشصضطظعغفقكلمنهوي",
    "arabicAbjad": "أبجدهوزحطيكلمنسعفصقرشتثخذضظغ",
    "thaiLetters": "กขคงจฉชซฌญฎฏฐฑฒณดตถทธนบปผฝพฟภมยรลวศษสหฬอฮ",
}
_DIGITS = {
    "hindiNumbers": "٠١٢٣٤٥٦٧٨٩",
    "thaiNumbers": "๐๑๒๓๔๕๖๗๘๙",
    "ideographDigital": _CHINESE,
    "japaneseDigitalTenThousand": _CHINESE,
    "taiwaneseDigital": "○一二三四五六七八九",
    "koreanDigital": "영일이삼사오육칠팔구",
    "koreanDigital2": "零一二三四五六七八九",
    "decimalFullWidth": "\uff10\uff11\uff12\uff13\uff14\uff15\uff16\uff17\uff18\uff19",
    "decimalFullWidth2": "\uff10\uff11\uff12\uff13\uff14\uff15\uff16\uff17\uff18\uff19",
}
_ENCLOSED = {
    "decimalEnclosedCircle": 0x2460,
    "decimalEnclosedCircleChinese": 0x2460,
    "decimalEnclosedParen": 0x2474,
    "decimalEnclosedFullstop": 0x2488,
}
_CHICAGO = "*†‡§"


def format_number(number: int, kind: str, pattern: str = "") -> str:
    """Return a number in a format such as ``lowerRoman``; decimal in an unknown one.

    ``pattern`` is that of the format ``custom``, such as ``001, 002, 003, ...``.
    """
    if kind in ("none", "bullet") or not 0 <= number <= MAX_SPELLED:
        return "" if kind in ("none", "bullet") else str(number)
    if kind == "custom":
        first = re.match(r"\s*(\d+)\s*,", pattern)
        return str(number).zfill(len(first[1]) if first else 1)
    if kind in _DIGITS:
        return str(number).translate({48 + place: sign for place, sign in enumerate(_DIGITS[kind])})
    if kind in _ENCLOSED:
        return chr(_ENCLOSED[kind] + number - 1) if 1 <= number <= 20 else str(number)
    if kind in _SEQUENCES:
        return _in_sequence(number, _SEQUENCES[kind]) if number else "0"
    return _FORMATS.get(kind, str)(number)


def _in_sequence(number: int, signs: str) -> str:
    """Return the sign of a number; after the last one they begin again."""
    return signs[(number - 1) % len(signs)]


def _ordinal(number: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{'th' if 10 < number % 100 < 20 else ending}"


def _cardinal(number: int) -> str:
    if number < 20:
        return _ONES[number]
    if number < 100:
        tens, rest = divmod(number, 10)
        return _TENS[tens] + (f"-{_ONES[rest]}" if rest else "")
    size, name = (1000, "thousand") if number >= 1000 else (100, "hundred")
    count, rest = divmod(number, size)
    return f"{_cardinal(count)} {name}" + (f" {_cardinal(rest)}" if rest else "")


def _ordinal_text(number: int) -> str:
    before, sign, last = _cardinal(number).rpartition("-")
    if not sign:
        before, sign, last = last.rpartition(" ")
    last = f"{last[:-1]}ieth" if last.endswith("y") else _ORDINALS.get(last, f"{last}th")
    return f"{before}{sign}{last}"


def _chinese(number: int) -> str:
    """Return a number as it is counted in Chinese and Japanese."""
    if number == 0:
        return _CHINESE[0]
    text, gap = "", False
    for unit, sign in ((10_000, "万"), (1000, "千"), (100, "百"), (10, "十"), (1, "")):
        digit, number = divmod(number, unit)
        if digit:
            text += ("零" if gap and text else "") + _CHINESE[digit] + sign
        gap = not digit
    return text.removeprefix("一") if text.startswith("一十") else text


def _hebrew(number: int) -> str:
    """Return a number in letters by their values."""
    text = "ת" * (number // 400)
    number %= 400
    text += "" if number < 100 else _HEBREW[17 + number // 100]
    number %= 100
    if number in (15, 16):
        return text + {15: "טו", 16: "טז"}[number]
    text += "" if number < 10 else _HEBREW[8 + number // 10]
    return text + ("" if not number % 10 else _HEBREW[number % 10 - 1])


_FORMATS: dict[str, Callable[[int], str]] = {
    "upperRoman": lambda number: roman(number).upper(),
    "lowerRoman": roman,
    "upperLetter": lambda number: repeated_letters(number).upper(),
    "lowerLetter": repeated_letters,
    "russianLower": lambda number: repeated_letters(number, _RUSSIAN),
    "russianUpper": lambda number: repeated_letters(number, _RUSSIAN).upper(),
    "ordinal": _ordinal,
    "cardinalText": lambda number: _cardinal(number).capitalize(),
    "ordinalText": lambda number: _ordinal_text(number).capitalize(),
    "hex": lambda number: f"{number:X}",
    "decimalZero": lambda number: f"{number:02d}",
    "numberInDash": lambda number: f"- {number} -",
    "chicago": lambda number: (
        _CHICAGO[(number - 1) % 4] * ((number - 1) // 4 + 1) if 0 < number < 400 else str(number)
    ),
    "chineseCounting": _chinese,
    "chineseCountingThousand": _chinese,
    "japaneseCounting": _chinese,
    "taiwaneseCounting": _chinese,
    "taiwaneseCountingThousand": _chinese,
    "koreanCounting": _chinese,
    "ideographEnclosedCircle": lambda number: (
        chr(0x3280 + number - 1) if 1 <= number <= 10 else str(number)
    ),
    "hebrew1": _hebrew,
    "hebrew2": lambda number: _in_sequence(number, _HEBREW) if number else "0",
}
