"""Names and simple values of WordprocessingML (ECMA-376, part 1, clause 17)."""

from typing import Any

Element = Any
"""An element of lxml, which has no types."""

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
M = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
R = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
W14 = "{http://schemas.microsoft.com/office/word/2010/wordml}"
VAL = f"{W}val"

OFF = frozenset({"0", "false", "off", "none"})
MAX_NUMBER = 2**31 - 1


def value(parent: Element, name: str) -> str | None:
    """Return ``w:val`` of a child; None without the child or the attribute."""
    if parent is None:
        return None
    child = parent.find(W + name)
    return None if child is None else child.get(VAL)


def is_on(child: Element) -> bool:
    """Whether a switch such as ``w:b`` is on, which it is without a value."""
    return child.get(VAL, "1") not in OFF


def switch(parent: Element, name: str) -> bool | None:
    """Return whether a child switch is on; None without it."""
    if parent is None:
        return None
    child = parent.find(W + name)
    return None if child is None else is_on(child)


def integer(text: str | None) -> int | None:
    """Return a whole number of a file, within 32 bits; None for anything else."""
    if text is None or len(text) > 20:
        return None
    try:
        return max(-MAX_NUMBER, min(int(float(text)), MAX_NUMBER))
    except (ValueError, OverflowError):
        return None


def local_name(element: Element) -> str:
    """Return the name of an element without its namespace; empty for what is no element."""
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def twips(properties: Element) -> int | None:
    """Return the left indentation that paragraph properties set, in twentieths of a point."""
    indent = None if properties is None else properties.find(f"{W}ind")
    if indent is None:
        return None
    left = indent.get(f"{W}left", indent.get(f"{W}start"))
    return integer(left)
