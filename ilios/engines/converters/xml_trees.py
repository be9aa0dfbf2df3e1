"""XML of a document as a tree. Nothing that it declares or refers to is loaded."""

from typing import Any

from lxml import etree

WITHOUT_REFERENCES = {
    "resolve_entities": False,
    "no_network": True,
    "load_dtd": False,
    "huge_tree": False,
}
"""Settings of a parser, none of which may be left to the library: the document is a stranger's."""

CONTENT_ONLY = WITHOUT_REFERENCES | {"remove_comments": True, "remove_pis": True}
"""Settings of a parser whose tree has elements and texts only."""


def parse_xml(data: bytes) -> Any:  # lxml has no types
    """Return the root element of XML, without entities, comments and external references.

    None where it is not well-formed, deeper than 256 elements, or has no root.
    """
    try:
        return etree.fromstring(data, etree.XMLParser(**CONTENT_ONLY))
    except (etree.XMLSyntaxError, ValueError):
        return None
