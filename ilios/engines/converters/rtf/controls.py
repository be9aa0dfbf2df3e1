"""Control words of RTF and what they change."""

import msgspec

from ilios.engines.converters.rtf.state import Group, Line
from ilios.engines.converters.rtf.tables import RowDefinition

SKIPPED = frozenset({
    "info", "themedata", "colorschememapping", "datastore", "latentstyles", "listtable",
    "listoverridetable", "rsidtbl", "generator", "xmlnstbl", "mmathPr", "nonshppict",
    "nonesttables", "objdata", "objclass", "objname", "bkmkstart", "bkmkend", "pgptbl",
    "revtbl", "atnid", "atntime", "atndate", "atnref", "atnparent",
    "colortbl", "filetbl", "pn", "pnseclvl", "ftnsep", "ftnsepc", "aftnsep", "aftnsepc",
    "ftncn", "aftncn", "template", "background", "wgrffmtfilter", "userprops", "xe", "tc",
    "tcn", "private", "fontemb", "fontfile", "blipuid", "passwordhash", "formfield",
    "datafield", "falt", "panose", "mmathPict", "ffname", "listname", "keepn",
})  # fmt: skip
"""Destinations whose text is not shown."""

STARRED = frozenset({
    "annotation", "atnauthor",
    "fldinst", "shppict", "shpinst", "picprop", "listtext", "pntext", "nesttableprops", "ud",
    "footnote", "shptxt", "sp", "sn", "sv", "cs", "moMath", "mr", "momath",
})  # fmt: skip
"""Destinations for newer readers that are read here; all others are skipped."""

DESTINATIONS = frozenset({
    "annotation", "atnauthor",
    "fonttbl", "stylesheet", "field", "fldinst", "fldrslt", "listtext", "pntext", "sn", "sv",
    "pict", "footnote", "upr", "header", "headerl", "headerr", "headerf", "footer", "footerl",
    "footerr", "footerf",
})  # fmt: skip
TABLES_OF_FILE = frozenset({"fonttbl", "stylesheet"})
CAPTURED = frozenset(
    {"atnauthor", "fldinst", "listtext", "pntext", "sn", "sv", "stylesheet", "pict"}
)
SILENT = frozenset({"fonttbl"})

CHARACTERS = {
    "tab": " ", "line": "\n", "lbr": "\n", "emdash": "\u2014", "endash": "\u2013",
    "lquote": "\u2018", "rquote": "\u2019", "ldblquote": "\u201c", "rdblquote": "\u201d",
    "bullet": "\u2022", "~": "\u00a0", "_": "\u2011", "-": "\u00ad", "emspace": " ",
    "enspace": " ", "qmspace": " ", "\\": "\\", "{": "{", "}": "}", "\t": " ", "zwj": "\u200d",
    "zwnj": "\u200c",
}  # fmt: skip

_PLAIN: dict[str, object] = dict.fromkeys(
    ("bold", "italic", "strike", "subscript", "superscript"), False
)
_STYLES = {"b": "bold", "i": "italic", "strike": "strike", "striked": "strike"}
_LINE_MEMBERS = {"ilvl": "level", "outlinelevel": "outline", "s": "style"}
_MEMBERS = {"v": "hidden", "deleted": "deleted", "revised": "inserted"}


def styled(group: Group, name: str, number: int | None) -> Group | None:
    """Return the group after a control of characters, or None for another control."""
    on = number != 0
    styles: dict[str, object] = {}
    members: dict[str, object] = {}
    if name in _STYLES:
        styles = {_STYLES[name]: on}
    elif name in _MEMBERS:
        members = {_MEMBERS[name]: on}
    elif name in ("sub", "super", "nosupersub"):
        styles = {"subscript": name == "sub" and on, "superscript": name == "super" and on}
    elif name == "plain":
        styles, members = _PLAIN, {"hidden": False}
    elif name == "f":
        members = {"font": -1 if number is None else number}
    elif name == "uc":
        members = {"fallbacks": min(max(1 if number is None else number, 0), 100)}
    else:
        return None
    return msgspec.structs.replace(group.styled(**styles), **members)


def lined(line: Line, name: str, number: int | None) -> Line:
    """Return the properties of a paragraph after a control."""
    changes: dict[str, object] = {}
    match name:
        case "pard":
            return Line()
        case "intbl":
            changes = {"in_table": True}
        case "itap" if number is not None:
            changes = {"nesting": number, "in_table": number > 0}
        case "ilvl" | "outlinelevel" | "s" if number is not None:
            changes = {_LINE_MEMBERS[name]: number}
    return msgspec.structs.replace(line, **changes) if changes else line


def new_row() -> RowDefinition:
    """Return the definition of a row without cells."""
    return RowDefinition()


def define_row(row: RowDefinition, name: str, number: int | None) -> None:
    """Read a control of the definition of a row."""
    match name:
        case "trleft" if number is not None:
            row.left = number
        case "clmrg":
            row.continue_row()
        case "clvmrg":
            row.continue_column()
        case "cellx" if number is not None:
            row.end_cell(number)
