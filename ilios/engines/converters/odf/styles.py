"""Styles of an OpenDocument file: what they make of a text, a paragraph or a list."""

from typing import Any

from msgspec import Struct, structs

from ilios.engines.converters.inline import Run
from ilios.engines.converters.odf.names import attribute, child, clark, count, tag

MAX_PARENTS = 30
"""Styles that inherit from each other; a cycle ends there."""

MAX_LEVEL = 10
BOLD_FROM = 600


class TextStyle(Struct, frozen=True):
    """Properties of a text; None where a style does not have them."""

    bold: bool | None = None
    italic: bool | None = None
    strike: bool | None = None
    position: str | None = None
    hidden: bool | None = None

    def over(self, other: "TextStyle") -> "TextStyle":
        """Return this style over another one."""
        own = {name: value for name, value in structs.asdict(self).items() if value is not None}
        return structs.replace(other, **own)

    def run(self, text: str, link: str = "") -> Run:
        """Return a text in this style."""
        return Run(
            text,
            bold=bool(self.bold),
            italic=bool(self.italic),
            strike=bool(self.strike),
            subscript=self.position == "sub",
            superscript=self.position == "super",
            link=link,
        )


PLAIN = TextStyle()


class Level(Struct, frozen=True):
    """One level of a list style: a number as in ``format``, or a bullet where that is None."""

    format: str | None = None
    prefix: str = ""
    suffix: str = ""
    start: int = 1
    shown_levels: int = 1


class Styles:
    """The styles of a document, found by family and name."""

    def __init__(self, roots: list[Any]) -> None:
        self._styles: dict[tuple[str, str], Any] = {}
        self._lists: dict[str, dict[int, Level]] = {}
        self.outline: dict[int, Level] = {}
        self._texts: dict[tuple[str, str], TextStyle] = {}
        self._automatic: set[tuple[str, str]] = set()
        self._chains: dict[tuple[str, str], list[Any]] = {}
        self._names: dict[tuple[str, str], list[str]] = {}
        for root in roots:
            for place in ("office:styles", "office:automatic-styles"):
                for style in child(root, place) if child(root, place) is not None else ():
                    self._add(style, automatic=place == "office:automatic-styles")

    def _add(self, style: Any, *, automatic: bool) -> None:
        match tag(style):
            case "style:style":
                key = attribute(style, "style:family"), attribute(style, "style:name")
                self._styles[key] = style
                if automatic:
                    self._automatic.add(key)
            case "text:list-style":
                self._lists[attribute(style, "style:name")] = _levels(style)
            case "text:outline-style":
                self.outline = _levels(style)

    def text(self, name: str, family: str = "text") -> TextStyle:
        """Return what a style makes of text, its parents included.

        Of a paragraph only what an author has set by hand: all captions may be italic.
        """
        found = self._texts.get((family, name))
        if found is None:
            found = PLAIN
            for style in reversed(self._chain(family, name)):
                key = family, attribute(style, "style:name")
                if family == "text" or key in self._automatic:
                    found = _text_style(style).over(found)
            self._texts[family, name] = found
        return found

    def list_style(self, paragraph_style: str) -> str | None:
        """Return the list style of a paragraph style: empty for none, None where it names none."""
        for style in self._chain("paragraph", paragraph_style):
            name = style.get(clark("style:list-style-name"))
            if name is not None:
                return str(name)
        return None

    def levels(self, style: str) -> dict[int, Level]:
        """Return the levels of a list style."""
        return self._lists.get(style, {})

    def names(self, name: str, family: str = "paragraph") -> list[str]:
        """Return the names of a style and its parents, without the encoding of blanks."""
        found = self._names.get((family, name))
        if found is None:
            chain = self._chain(family, name)
            names = [name, *(attribute(style, "style:parent-style-name") for style in chain)]
            found = [one.replace("_20_", " ") for one in names if one]
            self._names[family, name] = found
        return found

    def outline_level(self, name: str) -> int:
        """Return the level of headings in a paragraph style, 0 for other paragraphs."""
        for style in self._chain("paragraph", name):
            if level := count(style, "style:default-outline-level", MAX_LEVEL, 0):
                return level
        return 0

    def property(self, family: str, name: str, group: str, wanted: str) -> str:
        """Return a property of a style or the nearest of its parents that has it."""
        for style in self._chain(family, name):
            properties = child(style, f"style:{group}-properties")
            if properties is not None and (value := attribute(properties, wanted)):
                return value
        return ""

    def _chain(self, family: str, name: str) -> list[Any]:
        found = self._chains.get((family, name))
        if found is None:
            found = self._chains[family, name] = self._parents(family, name)
        return found

    def _parents(self, family: str, name: str) -> list[Any]:
        chain: list[Any] = []
        while name and len(chain) < MAX_PARENTS:
            style = self._styles.get((family, name))
            if style is None:
                break
            chain.append(style)
            name = attribute(style, "style:parent-style-name")
        return chain


def _text_style(style: Any) -> TextStyle:
    found = child(style, "style:text-properties")
    if found is None:
        return PLAIN
    weight = attribute(found, "fo:font-weight")
    slant = attribute(found, "fo:font-style")
    line = attribute(found, "style:text-line-through-style") or attribute(
        found, "style:text-line-through-type"
    )
    position = attribute(found, "style:text-position").split(" ")[0]
    if position.endswith("%"):
        shift = position[:-1].lstrip("-").replace(".", "")
        zero = not shift.strip("0")
        position = "" if zero else "sub" if position.startswith("-") else "super"
    return TextStyle(
        bold=_is_bold(weight) if weight else None,
        italic=slant in ("italic", "oblique") if slant else None,
        strike=line != "none" if line else None,
        position=position or None,
        hidden=attribute(found, "text:display") == "none" or None,
    )


def _is_bold(weight: str) -> bool:
    return weight == "bold" or (weight.isdigit() and len(weight) < 5 and int(weight) >= BOLD_FROM)


def _levels(style: Any) -> dict[int, Level]:
    levels = {}
    for one in style:
        level = count(one, "text:level", MAX_LEVEL)
        match tag(one):
            case "text:list-level-style-number" | "text:outline-level-style":
                levels[level] = Level(
                    attribute(one, "style:num-format"),
                    attribute(one, "style:num-prefix"),
                    attribute(one, "style:num-suffix"),
                    count(one, "text:start-value", 10**9, 1),
                    count(one, "text:display-levels", MAX_LEVEL, 1),
                )
            case "text:list-level-style-bullet" | "text:list-level-style-image":
                levels[level] = Level()
    return levels
