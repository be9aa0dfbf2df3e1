"""Marked content: which element of a tagged page the text at a place belongs to.

The native parser joins neighbouring texts, such as the cells of a table, under the id of the first.
PDFium has the objects that are drawn one by one, by which such a phrase is parted again.
"""

import ctypes
import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Any

import pypdfium2
import pypdfium2.raw as pdfium
from msgspec import Struct
from msgspec.structs import replace

from ilios.engines.layout.items import ARTIFACT, Element, Figure, Item, PageItems
from ilios.engines.layout.tree import elements, ids
from ilios.engines.pdf.geometry import Rect, Sheet, View
from ilios.engines.pdf.raised import LOWERED

MAX_OBJECTS = 20_000
"""The tree of a page with more objects is not used."""

MAX_MARKS = 8
MAX_LOOKS = 400_000
"""Objects beside the phrases of a page, for each phrase: with more the tree is not used."""

MAX_TEXT_LOOKS = 20_000_000
"""Characters of a page, for each object whose text is read: PDFium searches all of them."""

MAX_MISSING = 2
"""Characters that are drawn and not in the phrase at their place, such as a mark above it."""

BLANK = 0.25
"""Width of a blank, in the size of the font."""

TEXT_BYTES = 4_096
MARGIN = 2.0
"""Points by which an object may stand out of its phrase: boxes of glyphs and of fonts differ."""

MAX_FIGURES = 200
_IMAGE = re.compile(r"!\[[^\]\n]*(?=\]\()")
_SPECIAL = re.compile(r"[\[\]<>`\\]")


class _Drawn(Struct):
    """A text that is drawn, by the middle of its height; its text without blanks."""

    middle: float
    rect: Rect
    content: int | None
    handle: Any


class Contents(Struct):
    """The texts of a page by their height, and the images with an id."""

    texts: list[_Drawn]
    images: dict[int, Rect]


def with_tree(
    items: PageItems,
    tree: Sequence[Element],
    contents: Contents,
    textpage: pypdfium2.PdfTextPage,
) -> PageItems:
    """Return a tagged page with its tree, and its items with the ids of their content."""
    middles = [one.middle for one in contents.texts]
    marked: list[Item] = []
    looks = MAX_LOOKS
    letters = sum(len(item.text) for item in items.items)
    texts = MAX_TEXT_LOOKS
    for item in items.items:
        start = bisect_left(middles, item.top)
        stop = bisect_left(middles, item.bottom, lo=start)
        looks -= stop - start
        if looks < 0:
            return items
        near = [one for one in contents.texts[start:stop] if _is_in(one.rect, item)]
        several = len({one.content for one in near}) > 1
        texts -= len(near) * letters * several
        if texts < 0:
            return items
        marked.append(_parted(item, near, textpage) if several else _marked(item, near))
    return replace(items, items=tuple(marked), tree=tuple(tree))


def _is_in(rect: Rect, item: Item) -> bool:
    middle = (rect.left + rect.right) / 2
    return item.left - MARGIN <= middle <= item.right + MARGIN


def read_contents(page: pypdfium2.PdfPage, sheet: Sheet) -> Contents:
    """Return the objects of a page's content; none if there are too many."""
    found = Contents([], {})
    count = pdfium.FPDFPage_CountObjects(page.raw)
    if count > MAX_OBJECTS:
        return found
    edges = [ctypes.c_float() for _ in range(4)]
    places = [ctypes.byref(edge) for edge in edges]
    for index in range(count):
        handle = pdfium.FPDFPage_GetObject(page.raw, index)
        kind = pdfium.FPDFPageObj_GetType(handle)
        if kind not in {pdfium.FPDF_PAGEOBJ_TEXT, pdfium.FPDF_PAGEOBJ_IMAGE}:
            continue
        content = pdfium.FPDFPageObj_GetMarkedContentID(handle)
        if not pdfium.FPDFPageObj_GetBounds(handle, *places):
            continue
        rect = sheet.shown(*(edge.value for edge in edges))
        if kind == pdfium.FPDF_PAGEOBJ_IMAGE:
            if content >= 0:
                found.images[content] = rect
            continue
        known = content if content >= 0 else _artifact(handle)
        found.texts.append(_Drawn((rect.top + rect.bottom) / 2, rect, known, handle))
    found.texts.sort(key=lambda one: (one.middle, one.rect.left))
    return found


def _artifact(handle: Any) -> int | None:
    """Return that an object is an artifact; None if it is not."""
    name = ctypes.create_string_buffer(32)
    size = ctypes.c_ulong()
    for at in range(min(pdfium.FPDFPageObj_CountMarks(handle), MAX_MARKS)):
        mark = pdfium.FPDFPageObj_GetMark(handle, at)
        place = ctypes.cast(name, ctypes.POINTER(ctypes.c_ushort))
        if pdfium.FPDFPageObjMark_GetName(mark, place, 32, ctypes.byref(size)) and (
            name.raw[: max(size.value - 2, 0)].decode("utf-16-le", "replace") == "Artifact"
        ):
            return ARTIFACT
    return None


def _marked(item: Item, near: Sequence[_Drawn]) -> Item:
    return replace(item, content=near[0].content) if near else item


def _parted(item: Item, near: Sequence[_Drawn], textpage: pypdfium2.PdfTextPage) -> Item:
    """Return an item with its parts, by the texts that are drawn at its place."""
    parts: list[_Part] = []
    places = [at for at, sign in enumerate(item.text) if not sign.isspace()]
    letters = "".join(item.text.split()).translate(LOWERED)
    start = missing = 0
    for one in sorted(near, key=lambda one: one.rect.left):
        text = "".join(_text(one.handle, textpage).split()).translate(LOWERED)
        at = letters.find(text, start) if text else -1
        if at < 0:
            missing += len(text) if all(one.content != part.content for part in parts) else 0
            continue  # one that is drawn twice has no text of its own
        start = at + len(text)
        if parts and parts[-1].content == one.content:
            parts[-1].right = one.rect.right
        else:
            begin = places[at] if parts else 0
            parts.append(_Part(begin, one.rect.left, one.rect.right, one.content))
    if missing > MAX_MISSING:
        return item
    if len(parts) == 1:
        return replace(item, content=parts[0].content)
    return replace(item, parts=tuple(_split(item, parts))) if parts else item


class _Part(Struct):
    """A part of an item: where its text begins, its left and right edge, and its content."""

    start: int
    left: float
    right: float
    content: int | None


def _split(item: Item, parts: Sequence[_Part]) -> Iterator[Item]:
    """Yield the parts of an item, as far apart as they are drawn, or as blanks between them."""
    left = item.left
    for at, part in enumerate(parts):
        last = at + 1 == len(parts)
        text = item.text[part.start : len(item.text) if last else parts[at + 1].start]
        right, following = item.right, item.right
        if not last:
            following = min(max(parts[at + 1].left, left), item.right)
            spaced = following - BLANK * item.size
            right = min(part.right, spaced) if text[-1:].isspace() else following
        yield replace(
            item, text=text.strip(), left=left, right=max(right, left), content=part.content
        )
        left = following


def _text(handle: Any, textpage: pypdfium2.PdfTextPage) -> str:
    buffer = ctypes.create_string_buffer(TEXT_BYTES)
    place = ctypes.cast(buffer, ctypes.POINTER(ctypes.c_ushort))
    size = pdfium.FPDFTextObj_GetText(handle, textpage.raw, place, TEXT_BYTES)
    if not 2 < size <= TEXT_BYTES:
        return ""
    return buffer.raw[: size - 2].decode("utf-16-le", "replace")


def with_alternatives(
    figures: Sequence[Figure], tree: Sequence[Element], contents: Contents, view: View
) -> list[Figure]:
    """Return the images of a page with the texts that describe them."""
    if not contents.images:
        return list(figures)
    described = [
        (view.place(contents.images[content]), element.alternative)
        for element in elements(tree)
        if element.alternative
        for content in ids([element])
        if content in contents.images
    ][:MAX_FIGURES]
    return [_described(figure, described) for figure in figures]


def _described(figure: Figure, described: Sequence[tuple[Rect, str]]) -> Figure:
    match = _IMAGE.match(figure.markdown)
    if match is None:
        return figure
    for rect, text in described:
        apart = max(abs(rect.left - figure.left), abs(rect.top - figure.top))
        if apart < MARGIN and abs(rect.right - figure.right) < MARGIN:
            label = _SPECIAL.sub(r"\\\g<0>", " ".join(text.split()))
            return replace(figure, markdown=f"![{label}{figure.markdown[match.end() :]}")
    return figure
