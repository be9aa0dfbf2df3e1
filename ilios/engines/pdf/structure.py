"""The structure tree of a tagged PDF: what a page's marked content is, read within bounds.

A tree whose elements share children has a number of paths that doubles with each level. PDFium
stores each element once; a walk of the tree, such as that of the native parser, visits every path.
"""

import ctypes
from collections.abc import Callable, Iterable
from typing import Any

import pypdfium2
import pypdfium2.raw as pdfium

from ilios.engines.layout.items import Element
from ilios.engines.pdf.document import open_page

MAX_ELEMENTS = 10_000
MAX_CHILDREN = 30_000
MAX_DEPTH = 60
"""Elements of a page's tree by all paths, their children, also those on other pages, and levels."""

MAX_ATTRIBUTES = 8
MAX_SPAN = 100
"""Attribute objects of a cell, and rows or columns that it spans."""

FIGURES = frozenset({"Figure", "Formula"})
CELLS = frozenset({"TH", "TD"})
"""Roles of elements of which more is read."""

TEXT_BYTES = 2_000
"""Bytes of the role or of a text of an element that are read."""


Tree = tuple[Element, ...]
"""The roots of the tree of a page."""


class _TooLarge(Exception):
    """The tree of a page has more paths than may be walked."""


def is_tagged(document: pypdfium2.PdfDocument) -> bool:
    """Whether PDFium reads the structure tree of a document."""
    return bool(pdfium.FPDFCatalog_IsTagged(document.raw))


def read_trees(document: pypdfium2.PdfDocument, indices: Iterable[int]) -> dict[int, Tree | None]:
    """Return the trees of pages that have one by their index; None where it is too large."""
    trees: dict[int, Tree | None] = {}
    if is_tagged(document):
        for index in indices:
            with open_page(document, index) as page:
                try:
                    tree = _read(page) if page else ()
                except _TooLarge:
                    tree = None
            if tree != ():
                trees[index] = tree
    return trees


def _read(page: pypdfium2.PdfPage) -> Tree:
    tree = pdfium.FPDF_StructTree_GetForPage(page.raw)
    if not tree:
        return ()
    try:
        return tuple(_Walk().roots(tree))
    finally:
        pdfium.FPDF_StructTree_Close(tree)


class _Walk:
    def __init__(self) -> None:
        self._elements = MAX_ELEMENTS
        self._children = MAX_CHILDREN
        self._buffer = ctypes.create_string_buffer(TEXT_BYTES)

    def roots(self, tree: Any) -> list[Element]:
        found: list[Element] = []
        waiting: list[tuple[Element, Any, int]] = []
        for at in range(self._counted(pdfium.FPDF_StructTree_CountChildren(tree))):
            handle = pdfium.FPDF_StructTree_GetChildAtIndex(tree, at)
            if handle:
                found.append(self._element(handle))
                waiting.append((found[-1], handle, 1))
        while waiting:
            element, parent, depth = waiting.pop()
            if depth > MAX_DEPTH:
                raise _TooLarge
            for at in range(self._counted(pdfium.FPDF_StructElement_CountChildren(parent))):
                handle = pdfium.FPDF_StructElement_GetChildAtIndex(parent, at)
                if handle:
                    child = self._element(handle)
                    element.children.append(child)
                    waiting.append((child, handle, depth + 1))
                else:
                    content = pdfium.FPDF_StructElement_GetChildMarkedContentID(parent, at)
                    if content >= 0:
                        element.children.append(content)
        return found

    def _counted(self, children: int) -> int:
        self._children -= max(children, 0)
        if self._children < 0:
            raise _TooLarge
        return children

    def _element(self, handle: Any) -> Element:
        self._elements -= 1
        if self._elements < 0:
            raise _TooLarge
        role = self._text(pdfium.FPDF_StructElement_GetType, handle)
        element = Element(role)
        if role in FIGURES:
            element.alternative = self._text(pdfium.FPDF_StructElement_GetAltText, handle)
        elif role in CELLS:
            self._span(handle, element)
        return element

    def _span(self, handle: Any, cell: Element) -> None:
        """Read how many rows and columns a cell spans."""
        number = ctypes.c_float()
        for at in range(min(pdfium.FPDF_StructElement_GetAttributeCount(handle), MAX_ATTRIBUTES)):
            attributes = pdfium.FPDF_StructElement_GetAttributeAtIndex(handle, at)
            for name in (b"RowSpan", b"ColSpan"):
                value = pdfium.FPDF_StructElement_Attr_GetValue(attributes, name)
                if not value or not pdfium.FPDF_StructElement_Attr_GetNumberValue(
                    value, ctypes.byref(number)
                ):
                    continue
                span = int(min(max(number.value, 1), MAX_SPAN))
                if name == b"RowSpan":
                    cell.rows = span
                else:
                    cell.columns = span

    def _text(self, read: Callable[..., int], handle: Any) -> str:
        size = read(handle, self._buffer, TEXT_BYTES)
        if not 2 < size <= TEXT_BYTES:
            return ""
        return self._buffer.raw[: size - 2].decode("utf-16-le", "replace")
