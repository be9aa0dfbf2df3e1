"""Trees of pages: HTML as browsers read it, and XHTML of books."""

import re
from html import unescape
from html.entities import html5
from typing import Any

from lxml import etree, html
from msgspec import Struct

from ilios.engines.converters.encodings import decode_markup
from ilios.engines.converters.web.walk import name_of
from ilios.engines.converters.xml_trees import CONTENT_ONLY

_TOO_DEEP = ("ERR_RESOURCE_LIMIT", "ERR_INTERNAL_ERROR", "ERR_NAME_TOO_LONG")
_XML_INVALID = re.compile("[\x00-\x08\x0b\x0e-\x1f\ufffe\uffff\ud800-\udfff]")
_ENTITY = re.compile(r"&([A-Za-z][A-Za-z0-9]{1,31});")
_OF_XML = frozenset({"amp", "lt", "gt", "quot", "apos"})
_DOCTYPE_START = re.compile(r"<!DOCTYPE", re.IGNORECASE)
_DOCTYPE = re.compile(r"<!DOCTYPE[^\[>]*(?:\[.{0,10000}?\]\s*)?>", re.DOTALL | re.IGNORECASE)
_NOT_SHOWN = re.compile(
    r"<(script|style|template|head)\b.*?(?:</\1\s*>|\Z)|<!--.*?(?:-->|\Z)",
    re.DOTALL | re.IGNORECASE,
)
_BLOCK_TAG = re.compile(
    r"</?(?:p|div|br|li|ul|ol|h[1-6]|tr|td|th|table|blockquote|pre|section|article|dd|dt|hr)\b[^>]*>",
    re.IGNORECASE,
)
_TAG = re.compile(r"</?[A-Za-z][^>]*>")


class Page(Struct, frozen=True):
    """The tree of a page; one that is ``flat`` has only its text, in paragraphs."""

    root: Any
    flat: bool = False


def parse_html(data: bytes) -> Page:
    """Parse HTML. Nothing that it refers to is loaded."""
    text = _XML_INVALID.sub("\ufffd", decode_markup(data).text)
    parser = html.HTMLParser(
        encoding="utf-8",
        remove_comments=True,
        remove_pis=True,
        no_network=True,
        huge_tree=False,
    )
    try:
        root = html.document_fromstring(text.encode(), parser=parser)
    except etree.ParserError:  # there is nothing but comments
        return Page(html.Element("html"))
    errors = parser.error_log
    if any(error.type_name in _TOO_DEEP for error in errors):
        return Page(_flat(text), flat=True)
    return Page(root)


def parse_xhtml(data: bytes) -> Page:
    """Parse XHTML, or what is meant as such as HTML."""
    text = _XML_INVALID.sub("\ufffd", decode_markup(data).text)
    text = _ENTITY.sub(_entity, _without_doctype(text))
    parser = etree.XMLParser(**CONTENT_ONLY)
    start = text.find("?>") + 2 if text.lstrip("\ufeff \n\r\t").startswith("<?xml") else 0
    try:
        return Page(etree.fromstring(text[start:].strip().encode(), parser))
    except etree.XMLSyntaxError:
        return parse_html(_without_doctype(text).encode("utf-8-sig"))


def _without_doctype(text: str) -> str:
    """Return markup without its first declaration of a type, which may declare entities."""
    start = _DOCTYPE_START.search(text)
    found = _DOCTYPE.match(text, start.start()) if start else None
    return text[: found.start()] + text[found.end() :] if found else text


def title_of(root: Any) -> str:
    """Return the title of a page, which browsers show above it."""
    for element in root.iter():
        if name_of(element) == "title":
            return " ".join("".join(element.itertext()).split())
        if name_of(element) in ("body", "svg"):
            break
    return ""


def _entity(found: re.Match[str]) -> str:
    name = found[1]
    return found[0] if name in _OF_XML else html5.get(f"{name};", found[0])


def _flat(text: str) -> Any:
    """Return the text of a page whose elements are nested too deep for a tree."""
    text = _BLOCK_TAG.sub("\n\n", _NOT_SHOWN.sub(" ", text))
    root = html.Element("body")
    for paragraph in _TAG.sub("", text).split("\n\n"):
        if paragraph.strip():
            etree.SubElement(root, "p").text = unescape(paragraph)
    return root
