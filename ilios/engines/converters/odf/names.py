"""Names of OpenDocument elements and attributes, with the prefixes of the standard."""

from functools import lru_cache
from typing import Any

_OASIS = "urn:oasis:names:tc:opendocument:xmlns:"
_NAMESPACES = {
    "office": f"{_OASIS}office:1.0",
    "text": f"{_OASIS}text:1.0",
    "table": f"{_OASIS}table:1.0",
    "draw": f"{_OASIS}drawing:1.0",
    "presentation": f"{_OASIS}presentation:1.0",
    "style": f"{_OASIS}style:1.0",
    "fo": f"{_OASIS}xsl-fo-compatible:1.0",
    "svg": f"{_OASIS}svg-compatible:1.0",
    "chart": f"{_OASIS}chart:1.0",
    "manifest": f"{_OASIS}manifest:1.0",
    "loext": f"{_OASIS}loext:1.0",
    "xlink": "http://www.w3.org/1999/xlink",
    "dc": "http://purl.org/dc/elements/1.1/",
    "math": "http://www.w3.org/1998/Math/MathML",
    "xml": "http://www.w3.org/XML/1998/namespace",
}
_PREFIXES = {uri: prefix for prefix, uri in _NAMESPACES.items()}
_PREFIXES["urn:org:documentfoundation:names:experimental:office:xmlns:loext:1.0"] = "loext"


@lru_cache(maxsize=4096)
def clark(name: str) -> str:
    """Return ``text:p`` as the parser has it."""
    prefix, _, local = name.partition(":")
    return f"{{{_NAMESPACES[prefix]}}}{local}"


@lru_cache(maxsize=4096)
def prefixed(name: str) -> str:
    """Return a name of the parser as ``text:p``; without prefix where the standard has none."""
    uri, _, local = name.removeprefix("{").partition("}")
    return f"{_PREFIXES[uri]}:{local}" if uri in _PREFIXES else local or uri


def tag(element: Any) -> str:
    """Return the name of an element as ``text:p``; empty for what is no element."""
    return prefixed(element.tag) if isinstance(element.tag, str) else ""


def attribute(element: Any, name: str, default: str = "") -> str:
    """Return an attribute by a name such as ``text:style-name``."""
    value = element.get(clark(name))
    return default if value is None else str(value)


def count(element: Any, name: str, most: int, default: int = 1) -> int:
    """Return an attribute that is a positive number, at most ``most``."""
    value = attribute(element, name)
    # More digits than Python converts fast would be more than any bound as well.
    if not value.isascii() or not value.isdigit():
        return default
    return most if len(value) > 9 else min(int(value), most)


def child(element: Any, name: str) -> Any:
    """Return the first child of a name, or None."""
    return None if element is None else element.find(clark(name))
