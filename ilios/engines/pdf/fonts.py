"""Styles of fonts by their names: weights and flags are often missing or wrong."""

import re
from functools import lru_cache

from msgspec import Struct

BOLD_WEIGHT = 600

_BOLD = re.compile(r"bold|black|heavy|semib|demi|medi|cmbx|sfbx|cmb10|-bd\b|,b\b")
_NOT_BOLD = re.compile(r"medieval|medius")
_ITALIC = re.compile(r"ital|obliq|slant|kursiv|cmti|cmsl|cmmi|sfti|sfsl|-it\b|bdit\b")
_MONOSPACED = re.compile(
    r"courier|mono|consol|cmtt|sftt|txtt|typewriter|menlo|monaco|inconsolata|nimbusmon|nimmon"
    r"|lucidasanstyp|fixed|terminal|lettergothic|ocr-?[ab]|sourcecode|firacode|hack-"
)
_NOT_MONOSPACED = re.compile(r"monotype|cmmono|monosans")


class Style(Struct, frozen=True):
    """How a font looks beside the regular one of its family."""

    bold: bool
    italic: bool
    monospaced: bool


@lru_cache(maxsize=4096)
def font_style(name: str | None, weight: int | None) -> Style:
    """Return the style of a font by its PostScript name and its weight."""
    # The tag of a subset, ABCDEF+, may itself spell a style.
    plain = (name or "").rpartition("+")[2].lower()
    return Style(
        bold=(weight or 0) >= BOLD_WEIGHT
        or bool(_BOLD.search(plain) and not _NOT_BOLD.search(plain)),
        italic=bool(_ITALIC.search(plain)),
        monospaced=bool(_MONOSPACED.search(plain) and not _NOT_MONOSPACED.search(plain)),
    )
