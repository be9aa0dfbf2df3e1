"""Objects of a page: its images, how much text is drawn in which way, and how many paths."""

import ctypes
from typing import Any

import pypdfium2
import pypdfium2.raw as pdfium
from msgspec import Struct

from ilios.engines.pdf.geometry import Rect, Sheet

MAX_OBJECTS = 20_000
MAX_IMAGES = 200
"""Further objects of a page are not looked at, and of further images only their number."""

FORM_DEPTH = 3
FULL_PAGE = 0.8
"""Share of the page that a page-filling image covers."""


class Picture(Struct, frozen=True):
    """An image as it is shown; ``handle`` is PDFium's, valid while the page is open."""

    rect: Rect
    handle: Any


class PageObjects(Struct, frozen=True):
    """What a page is made of. ``covered_texts`` are drawn before an image that fills the page."""

    pictures: tuple[Picture, ...] = ()
    texts: int = 0
    invisible_texts: int = 0
    covered_texts: int = 0
    paths: int = 0
    area: float = 1.0
    further_images: int = 0

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
    def __init__(self, sheet: Sheet) -> None:
        self.sheet = sheet
        width, height = sheet.size
        self.shown = Rect(0.0, 0.0, width, height)
        self.left = MAX_OBJECTS
        self.pictures: list[Picture] = []
        self.further_images = 0
        self.texts = self.invisible = self.covered = self.paths = 0

    def visit(self, handle: Any, depth: int) -> None:
        if self.left <= 0:
            return
        self.left -= 1
        kind = pdfium.FPDFPageObj_GetType(handle)
        if kind == pdfium.FPDF_PAGEOBJ_TEXT:
            self.texts += 1
            mode = pdfium.FPDFTextObj_GetTextRenderMode(handle)
            self.invisible += mode == pdfium.FPDF_TEXTRENDERMODE_INVISIBLE
        elif kind == pdfium.FPDF_PAGEOBJ_PATH:
            self.paths += 1
        elif kind == pdfium.FPDF_PAGEOBJ_IMAGE:
            if len(self.pictures) < MAX_IMAGES:
                self._picture(handle)
            else:
                self.further_images += 1
        elif kind == pdfium.FPDF_PAGEOBJ_FORM and depth < FORM_DEPTH:
            for index in range(min(pdfium.FPDFFormObj_CountObjects(handle), self.left)):
                self.visit(pdfium.FPDFFormObj_GetObject(handle, index), depth + 1)

    def _picture(self, handle: Any) -> None:
        edges = [ctypes.c_float() for _ in range(4)]
        if not pdfium.FPDFPageObj_GetBounds(handle, *map(ctypes.byref, edges)):
            return
        left, bottom, right, top = (edge.value for edge in edges)
        rect = self.sheet.shown(left, bottom, right, top).common(self.shown)
        if rect.area > 0:
            self.pictures.append(Picture(rect, handle))
            if rect.area > FULL_PAGE * self.shown.area:
                self.covered = self.texts


def page_objects(page: pypdfium2.PdfPage, sheet: Sheet) -> PageObjects:
    """Return what a page is made of; of a damaged one what can be read."""
    walk = _Walk(sheet)
    for index in range(min(pdfium.FPDFPage_CountObjects(page.raw), MAX_OBJECTS)):
        walk.visit(pdfium.FPDFPage_GetObject(page.raw, index), 1)
    return PageObjects(
        tuple(walk.pictures),
        walk.texts,
        walk.invisible,
        walk.covered,
        walk.paths,
        max(walk.shown.area, 1.0),
        walk.further_images,
    )


def pixels(picture: Picture) -> tuple[int, int]:
    """Return the width and height of an image; 0 if it is broken."""
    width, height = ctypes.c_uint(), ctypes.c_uint()
    if not pdfium.FPDFImageObj_GetImagePixelSize(
        picture.handle, ctypes.byref(width), ctypes.byref(height)
    ):
        return 0, 0
    return width.value, height.value
