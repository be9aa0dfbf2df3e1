"""Styles of a document: what a paragraph or a run inherits (ECMA-376, part 1, 17.7)."""

import re

import msgspec
from msgspec import Struct

from ilios.engines.converters.docx.wordml import VAL, Element, W, integer, is_on, twips, value

MAX_CHAIN = 50
"""Styles that are based on one another; a file may have a loop."""

HEADING_LEVELS = 6
BODY_OUTLINE = 9
"""The outline level of text that is no heading."""

_HEADING = re.compile(r"heading ([1-9])")
_CONTENTS = re.compile(r"toc ([1-9])")
_CODE = re.compile(
    r"(source ?code|code|code ?block|html (preformatted|code|sample|typewriter)"
    r"|preformatted( text)?|verbatim( char)?|source text|program ?listing|listing|inline code)"
)
_MONOSPACED = re.compile(
    r"\bmono\b|courier|consolas|lucida console|menlo|monaco|inconsolata|\bcode\b|typewriter"
    r"|fixedsys|lucida sans typewriter|letter gothic",
    re.IGNORECASE,
)
_QUOTES = frozenset({"quote", "intense quote", "block text", "quotations", "blockquote"})


class RunFormat(Struct, frozen=True):
    """The look of a run as far as Markdown shows it; None is inherited."""

    bold: bool | None = None
    italic: bool | None = None
    strike: bool | None = None
    vertical: str | None = None
    caps: bool | None = None
    hidden: bool | None = None
    font: str | None = None
    code: bool | None = None

    @property
    def is_monospaced(self) -> bool:
        """Whether all characters have the same width."""
        return bool(self.code) or bool(self.font and is_monospaced(self.font))


PLAIN = RunFormat()


class ParagraphStyle(Struct, frozen=True):
    """What a paragraph inherits from its style.

    ``heading`` is 1 to 6, 0 for text. ``contents`` is the level of an entry of a table of contents.
    ``numbered_by`` are the ids of the styles from this one to that which sets ``number_id``.
    """

    heading: int = 0
    contents: int = 0
    code: bool = False
    quote: bool = False
    number_id: str | None = None
    number_level: int | None = None
    numbered_by: tuple[str, ...] = ()
    indent: int | None = None
    format: RunFormat = PLAIN


def is_monospaced(font: str) -> bool:
    """Whether the name of a font is that of a monospaced one."""
    return bool(_MONOSPACED.search(font))


def joined(base: RunFormat, over: RunFormat) -> RunFormat:
    """Return a format with another one over it."""
    if over is PLAIN or base is PLAIN:
        return base if over is PLAIN else over
    return RunFormat(
        *(
            getattr(base, name) if getattr(over, name) is None else getattr(over, name)
            for name in RunFormat.__struct_fields__
        )
    )


def read_format(properties: Element) -> RunFormat:
    """Return the format that ``w:rPr`` sets."""
    if properties is None:
        return PLAIN
    found: dict[str, bool | str | None] = {}
    for child in properties:
        name = _MEMBERS.get(child.tag)
        if name == "font":
            font = child.get(f"{W}ascii") or child.get(f"{W}hAnsi")
            if font:
                found["font"] = font
        elif name == "vertical":
            found["vertical"] = child.get(VAL, "")
        elif name:
            found[name] = is_on(child)
    return msgspec.convert(found, RunFormat) if found else PLAIN


_MEMBERS = {
    f"{W}b": "bold",
    f"{W}i": "italic",
    f"{W}strike": "strike",
    f"{W}dstrike": "strike",
    f"{W}vertAlign": "vertical",
    f"{W}caps": "caps",
    f"{W}vanish": "hidden",
    f"{W}rFonts": "font",
}


class Styles:
    """The styles of a document by their ids."""

    def __init__(self, root: Element | None) -> None:
        self._styles: dict[str, Element] = {}
        self._paragraphs: dict[str, ParagraphStyle] = {}
        self._characters: dict[str, RunFormat] = {}
        self._default = ""
        defaults = None
        for style in () if root is None else root:
            name = style.get(f"{W}styleId")
            if style.tag == f"{W}style" and name:
                self._styles[name] = style
                kind, default = style.get(f"{W}type"), style.get(f"{W}default", "0")
                if kind == "paragraph" and default in ("1", "true", "on"):
                    self._default = name
            elif style.tag == f"{W}docDefaults":
                defaults = style.find(f"{W}rPrDefault/{W}rPr")
        self._defaults = read_format(defaults)
        usual = joined(self._defaults, self.paragraph(None).format)
        self.usually_monospaced = usual.is_monospaced
        """Whether ordinary text is monospaced, which then means nothing."""

    def paragraph(self, style_id: str | None) -> ParagraphStyle:
        """Return what a paragraph of this style inherits; of the default style for None."""
        name = style_id if style_id in self._styles else self._default
        found = self._paragraphs.get(name)
        if found is None:
            found = self._paragraphs[name] = self._read_paragraph(name)
        return found

    def character(self, style_id: str) -> RunFormat:
        """Return what a run of this style inherits."""
        found = self._characters.get(style_id)
        if found is None:
            found = PLAIN
            for style in reversed(self._chain(style_id)):
                found = joined(found, read_format(style.find(f"{W}rPr")))
                if _CODE.fullmatch(_name(style)):
                    found = msgspec.structs.replace(found, code=True)
            self._characters[style_id] = found
        return found

    def number_id(self, style_id: str) -> str | None:
        """Return the id of the numbering that a style of the kind ``numbering`` names."""
        style = self._styles.get(style_id)
        return None if style is None else value(style.find(f"{W}pPr/{W}numPr"), "numId")

    def _chain(self, style_id: str) -> list[Element]:
        """Return a style and those it is based on."""
        chain: list[Element] = []
        style = self._styles.get(style_id)
        while style is not None and len(chain) < MAX_CHAIN and style not in chain:
            chain.append(style)
            style = self._styles.get(value(style, "basedOn") or "")
        return chain

    def _read_paragraph(self, style_id: str) -> ParagraphStyle:
        chain = self._chain(style_id)
        names = [_name(style) for style in chain]
        number_id, number_level, numbered_by = _numbering(chain)
        shown = PLAIN
        for style in reversed(chain):
            shown = joined(shown, read_format(style.find(f"{W}rPr")))
        indents = (twips(style.find(f"{W}pPr")) for style in chain)
        contents = _CONTENTS.fullmatch(names[0]) if names else None
        listed = bool(names) and names[0] == "table of figures"
        return ParagraphStyle(
            heading=_heading(chain, names),
            contents=int(contents[1]) if contents else int(listed),
            code=any(_CODE.fullmatch(name) for name in names),
            quote=any(name in _QUOTES for name in names),
            number_id=number_id,
            number_level=number_level,
            numbered_by=numbered_by,
            indent=next((one for one in indents if one is not None), None),
            # A whole paragraph that is bold or italic is shown by the kind of its block.
            format=msgspec.structs.replace(shown, bold=None, italic=None),
        )


def heading_of(outline: str | None) -> int | None:
    """Return the heading level of ``w:outlineLvl``: 0 for text, None without one."""
    level = integer(outline)
    if level is None or level < 0:
        return None
    return 0 if level >= BODY_OUTLINE else min(level + 1, HEADING_LEVELS)


def _name(style: Element) -> str:
    return (value(style, "name") or style.get(f"{W}styleId", "")).strip().lower()


def _heading(chain: list[Element], names: list[str]) -> int:
    if names[:1] == ["title"]:
        return 1
    if names[:1] == ["subtitle"]:
        return 2
    for style, name in zip(chain, names, strict=True):
        if name.startswith("toc "):
            return 0
        level = heading_of(value(style.find(f"{W}pPr"), "outlineLvl"))
        if level is not None:
            return level
        if found := _HEADING.fullmatch(name):
            return min(int(found[1]), HEADING_LEVELS)
    return 0


def _numbering(chain: list[Element]) -> tuple[str | None, int | None, tuple[str, ...]]:
    level: int | None = None
    ids: list[str] = []
    for style in chain:
        ids.append(style.get(f"{W}styleId", ""))
        numbering = style.find(f"{W}pPr/{W}numPr")
        if numbering is None:
            continue
        if level is None:
            level = integer(value(numbering, "ilvl"))
        number_id = value(numbering, "numId")
        if number_id is not None:
            return number_id, level, tuple(ids)
    return None, None, ()
