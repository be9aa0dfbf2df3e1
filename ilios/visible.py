"""Text from outside made fit to show: control characters escaped, file names cleaned.

A terminal interprets more than those of ASCII: those of Latin-1 begin sequences as well, and those
of bidirectional text make a line read as another one.
"""

import re
import unicodedata

MAX_NAME_BYTES = 255
UNNAMED = "document"

# Control characters break headers and terminals; bidirectional ones make "fdp.exe" look like a PDF;
# surrogates are bytes that were not UTF-8 and cannot be encoded again.
_UNWANTED = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)


def visible(text: str, *, lines: bool = False) -> str:
    r"""Escape unprintable characters (as ``\x1b``), except white space where ``lines``."""
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or (lines and _is_harmless(c)) else c.encode("unicode_escape").decode()
        for c in text
    )


def _is_harmless(character: str) -> bool:
    return character in "\n\t" or unicodedata.category(character) == "Zs"


def visible_json(text: str) -> str:
    """Escape JSON on one line; it remains JSON with the same value."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    pairs = (units[at : at + 2] for at in range(0, len(units), 2))
    return "".join(f"\\u{unit.hex()}" for unit in pairs)


def clean_name(name: str) -> str:
    """Return the last component of ``name`` in NFC, at most 255 bytes, with nothing unprintable.

    For display: it is never used as a path.
    """
    name = re.split(r"[/\\]", _UNWANTED.sub("", name))[-1]
    name = unicodedata.normalize("NFC", name).strip()
    if not name.strip("."):
        return UNNAMED
    if len(name.encode()) > MAX_NAME_BYTES:
        stem, dot, suffix = name.rpartition(".")
        if not stem or len(suffix) > 10:
            stem, dot, suffix = name, "", ""
        room = MAX_NAME_BYTES - len((dot + suffix).encode())
        name = stem.encode()[:room].decode(errors="ignore") + dot + suffix
    return name
