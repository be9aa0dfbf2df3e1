"""Escapes control characters in text from outside, so that a terminal does not interpret them.

Not only those of ASCII: those of Latin-1 begin sequences as well, and those of bidirectional text
make a line read as another one.
"""

import unicodedata


def visible(text: str, *, lines: bool = False) -> str:
    r"""Escape what is not printable (as ``\x1b``), except white space where ``lines``."""
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
