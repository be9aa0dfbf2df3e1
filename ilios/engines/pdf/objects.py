"""Objects of a page: its images, how much text is drawn in which way, and how many paths."""

import ctypes
from collections.abc import Sequence
from typing import Any

import pypdfium2
import pypdfium2.raw as pdfium
from msgspec import Struct

from ilios.engines.pdf.geometry import Rect, Sheet

MAX_OBJECTS = 20_000
MAX_IMAGES = 200
"""Further objects of a page are not looked at, and of further images only their number."""

MAX_FILLS, MAX_PATHS = 200, 2_000
"""Filled areas of a page that are looked at, among its first paths."""

LEAST_FILL = 4.0
"""Points of the sides of an area on which text may stand, or that may cover one."""

PALE = 230
"""Value of all colours from which on one is hardly seen on paper, of 255."""

OPAQUE, FAINT_OPACITY = 250, 12
MAX_MARKS = 8
FORM_DEPTH = 3
FULL_PAGE = 0.8
"""Share of the page that a page-filling image covers."""


class Picture(Struct, frozen=True):
    """An image as it is shown; ``handle`` is PDFium's, valid while the page is open."""

    rect: Rect
    handle: Any


class Fill(Struct, frozen=True):
    """An opaque area, by the number of objects drawn before it."""

    order: int
    rect: Rect
    is_pale: bool


class Text(Struct, frozen=True):
    """A drawn text: its number among the objects, and its place among those of its parents.

    ``layer`` names the optional content that it belongs to or may belong to, None of other text.
    One that ``is_faint`` has about the colour of paper, or no opacity.
    """

    handle: Any
    order: int
    place: tuple[int, ...]
    is_invisible: bool
    is_faint: bool
    layer: str | None


class PageObjects(Struct, frozen=True):
    """What a page is made of. ``covered_texts`` are drawn before an image that fills the page.

    Some of the texts that are ``drawn`` are not seen, perhaps, if the page ``is_suspect``.
    """

    pictures: tuple[Picture, ...] = ()
    texts: int = 0
    invisible_texts: int = 0
    covered_texts: int = 0
    paths: int = 0
    area: float = 1.0
    further_images: int = 0
    drawn: Sequence[Text] = ()
    fills: Sequence[Fill] = ()
    is_suspect: bool = False

    @property
    def largest(self) -> float:
        """Share of the page that the largest image covers."""
        return max((one.rect.area for one in self.pictures), default=0.0) / self.area

    @property
    def hides_text(self) -> bool:
        """Whether an image fills the page, and most of the text is not seen."""
        return (
            self.largest > FULL_PAGE
            and 2 * max(self.invisible_texts, self.covered_texts) > self.texts > 0
        )


class _Walk:
    def __init__(self, sheet: Sheet, *, layered_forms: bool) -> None:
        self.sheet = sheet
        self.layered_forms = layered_forms
        width, height = sheet.size
        self.shown = Rect(0.0, 0.0, width, height)
        self.left = MAX_OBJECTS
        self.pictures: list[Picture] = []
        self.further_images = 0
        self.texts = self.invisible = self.covered = self.paths = 0
        self.drawn: list[Text] = []
        self.fills: list[Fill] = []
        self.is_suspect = False
        self.paint = _Paint()

    def visit(self, handle: Any, place: tuple[int, ...], layer: str | None = None) -> None:
        if self.left <= 0:
            return
        self.left -= 1
        kind = pdfium.FPDFPageObj_GetType(handle)
        if kind == pdfium.FPDF_PAGEOBJ_TEXT:
            self.texts += 1
            mode = pdfium.FPDFTextObj_GetTextRenderMode(handle)
            is_invisible = mode == pdfium.FPDF_TEXTRENDERMODE_INVISIBLE
            self.invisible += is_invisible
            is_faint = self.paint.is_faint(handle)
            within = layer or _layer(handle)
            order = MAX_OBJECTS - self.left
            self.drawn.append(Text(handle, order, place, is_invisible, is_faint, within))
            self.is_suspect |= is_invisible or is_faint or within is not None
        elif kind == pdfium.FPDF_PAGEOBJ_PATH:
            self.paths += 1
            if self.paths <= MAX_PATHS and len(self.fills) < MAX_FILLS:
                self._fill(handle)
        elif kind == pdfium.FPDF_PAGEOBJ_IMAGE:
            if len(self.pictures) < MAX_IMAGES:
                self._picture(handle)
            else:
                self.further_images += 1
        elif kind == pdfium.FPDF_PAGEOBJ_FORM and len(place) < FORM_DEPTH:
            within = layer or _layer(handle)
            if within is None and self.layered_forms:
                within = f"form {place}"
            for index in range(min(pdfium.FPDFFormObj_CountObjects(handle), self.left)):
                self.visit(pdfium.FPDFFormObj_GetObject(handle, index), (*place, index), within)

    def _fill(self, handle: Any) -> None:
        mode, stroke = ctypes.c_int(), ctypes.c_int()
        if not pdfium.FPDFPath_GetDrawMode(handle, ctypes.byref(mode), ctypes.byref(stroke)):
            return
        if mode.value == pdfium.FPDF_FILLMODE_NONE:
            return
        rect = bounds(handle, self.sheet)
        if rect is None or min(rect.width, rect.height) < LEAST_FILL:
            return
        opacity, darkest = self.paint.of(handle)
        if opacity >= OPAQUE:
            self.fills.append(Fill(MAX_OBJECTS - self.left, rect, darkest >= PALE))

    def _picture(self, handle: Any) -> None:
        rect = bounds(handle, self.sheet)
        rect = rect.common(self.shown) if rect else None
        if rect and rect.area > 0:
            self.pictures.append(Picture(rect, handle))
            if rect.area > FULL_PAGE * self.shown.area:
                self.covered = self.texts


def page_objects(
    page: pypdfium2.PdfPage, sheet: Sheet, *, layered_forms: bool = False
) -> PageObjects:
    """Return what a page is made of; of a damaged one what can be read.

    :param layered_forms: forms of the document may be optional content themselves, which PDFium
        does not tell: each counts as a layer of its own.
    """
    walk = _Walk(sheet, layered_forms=layered_forms)
    for index in range(min(pdfium.FPDFPage_CountObjects(page.raw), MAX_OBJECTS)):
        walk.visit(pdfium.FPDFPage_GetObject(page.raw, index), (index,))
    return PageObjects(
        tuple(walk.pictures),
        walk.texts,
        walk.invisible,
        walk.covered,
        walk.paths,
        max(walk.shown.area, 1.0),
        walk.further_images,
        walk.drawn,
        walk.fills,
        walk.is_suspect,
    )


def bounds(handle: Any, sheet: Sheet) -> Rect | None:
    """Return where an object is shown."""
    edges = [ctypes.c_float() for _ in range(4)]
    if not pdfium.FPDFPageObj_GetBounds(handle, *map(ctypes.byref, edges)):
        return None
    return sheet.shown(*(edge.value for edge in edges))


class _Paint:
    """The colours in which objects are filled."""

    def __init__(self) -> None:
        self._values = [ctypes.c_uint() for _ in range(4)]
        self._places = [ctypes.byref(value) for value in self._values]

    def of(self, handle: Any) -> tuple[int, int]:
        """Return the opacity of an object and the least of its colours, 0 of a pattern."""
        if not pdfium.FPDFPageObj_GetFillColor(handle, *self._places):
            return 255, 0
        red, green, blue, opacity = self._values
        return opacity.value, min(red.value, green.value, blue.value)

    def is_faint(self, handle: Any) -> bool:
        """Whether an object is not seen on paper."""
        opacity, darkest = self.of(handle)
        return darkest >= PALE or opacity <= FAINT_OPACITY


def _layer(handle: Any) -> str | None:
    """Return the name of the optional content that an object belongs to; None without."""
    for at in range(min(pdfium.FPDFPageObj_CountMarks(handle), MAX_MARKS)):
        mark = pdfium.FPDFPageObj_GetMark(handle, at)
        if _string(pdfium.FPDFPageObjMark_GetName, mark) == "OC":
            return _string(pdfium.FPDFPageObjMark_GetParamStringValue, mark, b"Name")
    return None


def _string(function: Any, *of: Any) -> str:
    buffer = ctypes.create_string_buffer(256)
    size = ctypes.c_ulong()
    place = ctypes.cast(buffer, ctypes.POINTER(ctypes.c_ushort))
    if not function(*of, place, 256, ctypes.byref(size)):
        return ""
    return buffer.raw[: max(size.value - 2, 0)].decode("utf-16-le", "replace")


def pixels(picture: Picture) -> tuple[int, int]:
    """Return the width and height of an image; 0 if it is broken."""
    width, height = ctypes.c_uint(), ctypes.c_uint()
    if not pdfium.FPDFImageObj_GetImagePixelSize(
        picture.handle, ctypes.byref(width), ctypes.byref(height)
    ):
        return 0, 0
    return width.value, height.value
