"""Coordinates: from those of PDF to those of the page as it is shown, and turned upright."""

from typing import Self

import pypdfium2
from msgspec import Struct


class Rect(Struct, frozen=True):
    """A rectangle in points; y grows downwards."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        """Width in points."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """Height in points."""
        return self.bottom - self.top

    @property
    def area(self) -> float:
        """Area; 0 of one turned inside out."""
        return max(self.width, 0.0) * max(self.height, 0.0)

    def common(self, other: "Rect") -> "Rect":
        """Return the common part with another one."""
        return Rect(
            max(self.left, other.left),
            max(self.top, other.top),
            min(self.right, other.right),
            min(self.bottom, other.bottom),
        )


class Sheet(Struct, frozen=True):
    """A page: its crop box in PDF's coordinates, and its rotation clockwise in degrees."""

    left: float
    bottom: float
    right: float
    top: float
    rotation: int

    @classmethod
    def of(cls, page: pypdfium2.PdfPage) -> Self:
        """Return the sheet of a page: its crop box as far as it is on the media box."""
        crop, media = page.get_cropbox(), page.get_mediabox()
        left, bottom = max(crop[0], media[0]), max(crop[1], media[1])
        right, top = min(crop[2], media[2]), min(crop[3], media[3])
        if right <= left or top <= bottom:
            left, bottom, right, top = media
        return cls(left, bottom, right, top, page.get_rotation())

    @property
    def size(self) -> tuple[float, float]:
        """Width and height as shown."""
        width, height = self.right - self.left, self.top - self.bottom
        return (height, width) if self.rotation in {90, 270} else (width, height)

    def shown(self, left: float, bottom: float, right: float, top: float) -> Rect:
        """Return where a rectangle of PDF's coordinates is shown."""
        if self.rotation == 90:
            return Rect(
                bottom - self.bottom, left - self.left, top - self.bottom, right - self.left
            )
        if self.rotation == 180:
            return Rect(
                self.right - right, bottom - self.bottom, self.right - left, top - self.bottom
            )
        if self.rotation == 270:
            return Rect(self.top - top, self.right - right, self.top - bottom, self.right - left)
        return Rect(left - self.left, self.top - top, right - self.left, self.top - bottom)

    def stored(self, rect: Rect) -> tuple[float, float, float, float]:
        """Return left, bottom, right and top in PDF's coordinates: what ``shown`` undoes."""
        if self.rotation == 90:
            return (
                self.left + rect.top,
                self.bottom + rect.left,
                self.left + rect.bottom,
                self.bottom + rect.right,
            )
        if self.rotation == 180:
            return (
                self.right - rect.right,
                self.bottom + rect.top,
                self.right - rect.left,
                self.bottom + rect.bottom,
            )
        if self.rotation == 270:
            return (
                self.right - rect.bottom,
                self.top - rect.right,
                self.right - rect.top,
                self.top - rect.left,
            )
        return (
            self.left + rect.left,
            self.top - rect.bottom,
            self.left + rect.right,
            self.top - rect.top,
        )


def turn(rect: Rect, quarters: int, width: float, height: float) -> Rect:
    """Return a rectangle after its page, of this size, is turned clockwise by quarter turns."""
    left, top, right, bottom = rect.left, rect.top, rect.right, rect.bottom
    if quarters == 1:
        return Rect(height - bottom, left, height - top, right)
    if quarters == 2:
        return Rect(width - right, height - bottom, width - left, height - top)
    if quarters == 3:
        return Rect(top, width - right, bottom, width - left)
    return rect


class View(Struct, frozen=True):
    """A page as it is read: turned clockwise by quarter turns from how it is shown."""

    sheet: Sheet
    quarters: int = 0

    @property
    def size(self) -> tuple[float, float]:
        """Width and height."""
        return turned_size(self.quarters, *self.sheet.size)

    def place(self, rect: Rect) -> Rect:
        """Return where a rectangle of the page as shown is."""
        return turn(rect, self.quarters, *self.sheet.size)

    def stored(self, rect: Rect) -> tuple[float, float, float, float]:
        """Return left, bottom, right and top of a rectangle in PDF's coordinates."""
        return self.sheet.stored(turn(rect, -self.quarters % 4, *self.size))


def turned_size(quarters: int, width: float, height: float) -> tuple[float, float]:
    """Return the size of a page after quarter turns."""
    return (height, width) if quarters % 2 else (width, height)
