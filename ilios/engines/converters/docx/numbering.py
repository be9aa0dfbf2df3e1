"""Numbering of paragraphs as Word shows it (ECMA-376, part 1, 17.9)."""

import re
from collections.abc import Callable

from msgspec import Struct

from ilios.engines.converters.docx.number_formats import format_number
from ilios.engines.converters.docx.wordml import Element, W, integer, is_on, twips, value

LEVELS = 9
MAX_LINKS = 10
"""Definitions that lead to another one by a style; a file may have a loop."""

MAX_TEXT = 200
"""Characters of the text around the numbers of a level."""

_BOXES = {"\u2610": False, "\u2611": True, "\u2612": True, "\u2705": True}

_PLACE = re.compile(r"%([1-9])")
_SUFFIXES = {"nothing": "", "space": " ", "tab": " "}


class Level(Struct, frozen=True):
    """One level of a list. ``restart`` is the level, from 1, after which it begins again."""

    start: int = 1
    kind: str = "decimal"
    pattern: str = ""
    text: str = ""
    suffix: str = " "
    legal: bool = False
    restart: int | None = None
    style: str | None = None
    indent: int | None = None


class Label(Struct, frozen=True):
    """The number or bullet of a paragraph.

    ``text`` is what Word shows, empty for a bullet. ``list_id`` is that of the definition.
    ``ticked`` is None unless the bullet is a box to tick.
    """

    text: str
    level: int
    list_id: str
    suffix: str
    indent: int | None
    bullet: bool = False
    ticked: bool | None = None


class _Number(Struct):
    """A use of a definition, with what it changes."""

    definition: str
    starts: dict[int, int]
    levels: dict[int, Level]


class Numbering:
    """Definitions of lists and how far each has been counted.

    All uses of one definition count together, as in Word, where a use may begin again.
    """

    def __init__(self, root: Element | None, number_id: Callable[[str], str | None]) -> None:
        self._definitions: dict[str, dict[int, Level]] = {}
        self._numbers: dict[str, _Number] = {}
        self._counts: dict[str, list[int | None]] = {}
        self._begun: set[tuple[str, int]] = set()
        links: dict[str, str] = {}
        for child in () if root is None else root:
            if child.tag == f"{W}abstractNum":
                name = child.get(f"{W}abstractNumId", "")
                self._definitions[name] = _levels(child)
                if link := value(child, "numStyleLink"):
                    links[name] = link
            elif child.tag == f"{W}num":
                self._numbers[child.get(f"{W}numId", "")] = _number(child)
        for number in self._numbers.values():
            for _ in range(MAX_LINKS):
                linked = number_id(links.get(number.definition, ""))
                other = self._numbers.get(linked or "")
                if other is None or self._definitions.get(number.definition):
                    break
                number.definition = other.definition

    def level_of_style(self, number_id: str, style_ids: tuple[str, ...]) -> int | None:
        """Return the level that a definition links to one of these styles."""
        number = self._numbers.get(number_id)
        if number is None:
            return None
        levels = self._definitions.get(number.definition, {}) | number.levels
        linked = {one.style: place for place, one in levels.items() if one.style}
        return next((linked[one] for one in style_ids if one in linked), None)

    def count(self, number_id: str, level: int) -> Label | None:
        """Count a paragraph and return its label; None where nothing defines one."""
        number = self._numbers.get(number_id)
        level = min(max(level, 0), LEVELS - 1)
        if number is None:
            return None
        levels = self._definitions.get(number.definition, {}) | number.levels
        if not levels:
            return None
        here = levels.get(level, Level(text=f"%{level + 1}."))
        counts = self._counts.setdefault(number.definition, [None] * LEVELS)
        self._advance(number_id, number, levels, level)
        if here.kind == "bullet":
            ticked = _BOXES.get(here.text.strip())
            return Label(
                "", level, number.definition, here.suffix, here.indent, bullet=True, ticked=ticked
            )
        text = _shown(levels, counts, level)
        return Label(text, level, number.definition, here.suffix, here.indent)

    def _advance(
        self, number_id: str, number: _Number, levels: dict[int, Level], level: int
    ) -> None:
        counts = self._counts[number.definition]
        first = (number_id, level) not in self._begun
        self._begun.add((number_id, level))
        count = counts[level]
        if first and level in number.starts:
            counts[level] = number.starts[level]
        elif count is None:
            counts[level] = number.starts.get(level, levels.get(level, Level()).start)
        else:
            counts[level] = count + 1
        for deeper in range(level + 1, LEVELS):
            restart = levels.get(deeper, Level()).restart
            if restart is None or level < restart:
                counts[deeper] = None


def _shown(levels: dict[int, Level], counts: list[int | None], level: int) -> str:
    here = levels.get(level, Level(text=f"%{level + 1}."))

    def number(place: re.Match[str]) -> str:
        index = int(place[1]) - 1
        if index > level:
            return ""
        one = levels.get(index, Level())
        count = counts[index]
        kind = "decimal" if here.legal and one.kind not in ("none", "bullet") else one.kind
        return format_number(one.start if count is None else count, kind, one.pattern)

    return " ".join(_PLACE.sub(number, here.text).split())


def _number(element: Element) -> _Number:
    number = _Number(value(element, "abstractNumId") or "", {}, {})
    for override in element.findall(f"{W}lvlOverride"):
        level = integer(override.get(f"{W}ilvl"))
        if level is None or not 0 <= level < LEVELS:
            continue
        start = integer(value(override, "startOverride"))
        if start is not None:
            number.starts[level] = start
        own = override.find(f"{W}lvl")
        if own is not None:
            number.levels[level] = _level(own)
    return number


def _levels(definition: Element) -> dict[int, Level]:
    found = {}
    for element in definition.findall(f"{W}lvl"):
        place = integer(element.get(f"{W}ilvl"))
        if place is not None and 0 <= place < LEVELS:
            found[place] = _level(element)
    return found


def _level(element: Element) -> Level:
    start = integer(value(element, "start"))
    kind = element.find(f"{W}numFmt")
    legal = element.find(f"{W}isLgl")
    return Level(
        start=0 if start is None else start,
        kind="decimal" if kind is None else kind.get(f"{W}val", "decimal"),
        pattern="" if kind is None else kind.get(f"{W}format", ""),
        text=(value(element, "lvlText") or "")[:MAX_TEXT],
        suffix=_SUFFIXES.get(value(element, "suff") or "tab", " "),
        legal=legal is not None and is_on(legal),
        restart=integer(value(element, "lvlRestart")),
        style=value(element, "pStyle"),
        indent=twips(element.find(f"{W}pPr")),
    )
