"""Qualified names of the XML of presentations, and the values of their attributes."""

from typing import Any

P = "{http://schemas.openxmlformats.org/presentationml/2006/main}"
A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
R = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
DIAGRAM = "{http://schemas.openxmlformats.org/drawingml/2006/diagram}"
MATH = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"

_DIGITS = 15


def local(element: Any) -> str:
    """Return the name of an element without its namespace."""
    return str(element.tag).rpartition("}")[2]


def is_on(value: str | None) -> bool:
    """Whether an attribute of type ``xsd:boolean`` is true."""
    return value in ("1", "true")


def integer(value: str | None, default: int = 0) -> int:
    """Return the value of an attribute as a number, ``default`` where it is absent or wrong."""
    digits = (value or "").removeprefix("-")
    if not digits.isascii() or not digits.isdigit() or len(digits) > _DIGITS:
        return default
    return int(value or "")
