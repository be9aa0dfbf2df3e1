"""The state of a group of RTF, and what the tables at the beginning of a file define."""

import re

import msgspec
from msgspec import Struct

from ilios.engines.converters.inline import Run

CODE_PAGES = {
    0: "cp1252", 128: "cp932", 129: "cp949", 130: "johab", 134: "gb18030", 136: "cp950",
    161: "cp1253", 162: "cp1254", 163: "cp1258", 177: "cp1255", 178: "cp1256", 186: "cp1257",
    204: "cp1251", 222: "cp874", 238: "cp1250", 255: "cp437", 77: "mac_roman",
}  # fmt: skip
"""Encodings of the character sets of fonts (``\\fcharset``)."""

_PAGES = {437: "cp437", 708: "iso8859_6", 10000: "mac_roman", 932: "cp932", 936: "gb18030",
          949: "cp949", 950: "cp950", 65001: "utf-8"}  # fmt: skip
_KNOWN_PAGES = frozenset(
    (850, 852, 855, 857, 860, 861, 862, 863, 864, 865, 866, 874, *range(1250, 1259))
)
_HEADING = re.compile(r"\s*(?:heading|überschrift|titre)\s*([1-9])\s*;?", re.IGNORECASE)
MAX_HEADING = 6


class Group(Struct, frozen=True):
    """What a group inherits, and what its end restores."""

    run: Run = Run("")
    destination: str = ""
    skipped: bool = False
    hidden: bool = False
    deleted: bool = False
    inserted: bool = False
    font: int = -1
    fallbacks: int = 1
    starred: bool = False

    def styled(self, **changes: object) -> "Group":
        """Return the group with other styles of its text."""
        return msgspec.structs.replace(self, run=msgspec.structs.replace(self.run, **changes))


class Line(Struct, frozen=True):
    """Properties of a paragraph, until it is reset."""

    in_table: bool = False
    nesting: int = 1
    level: int = 0
    outline: int | None = None
    style: int = 0

    def heading(self, styles: dict[int, int]) -> int:
        """Return the level of a heading, from 1; 0 for other text."""
        outline = styles.get(self.style) if self.outline is None else self.outline
        return outline + 1 if outline is not None and 0 <= outline < MAX_HEADING else 0


class Definitions:
    """Fonts and styles of a file."""

    def __init__(self) -> None:
        self.encoding = "cp1252"
        self.fonts: dict[int, str] = {}
        self.outlines: dict[int, int] = {}

    def set_code_page(self, number: int) -> None:
        """Set the encoding of text in fonts without a character set."""
        if number in _KNOWN_PAGES:
            self.encoding = f"cp{number}"
        else:
            self.encoding = _PAGES.get(number, self.encoding)

    def encoding_of(self, font: int) -> str:
        """Return the encoding of text in a font."""
        return self.fonts.get(font, self.encoding)

    def name_style(self, number: int, name: str) -> None:
        """Take a style with the name of a heading for one."""
        if found := _HEADING.fullmatch(name):
            self.outlines.setdefault(number, int(found[1]) - 1)
