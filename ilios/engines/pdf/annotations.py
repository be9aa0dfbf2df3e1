"""Annotations that a reader sees: text typed onto a page, stamps, and comments."""

import ctypes
import html
import math
import re
from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pypdfium2
import pypdfium2.raw as pdfium
from msgspec import Struct

from ilios.engines.converters import markdown
from ilios.engines.layout.items import Figure, Item
from ilios.engines.pdf.appearances import MAX_TEXTS, drawn_texts
from ilios.engines.pdf.geometry import Rect, View
from ilios.engines.pdf.strings import AnnotationStrings, read_string
from ilios.engines.pdf.values import number_value

MAX_ANNOTATIONS = 1_000
"""Further annotations of a page are left out."""

USUAL_SIZE = 12.0
SMALLEST_SIZE = 0.5
"""Lines for which a rectangle has less room than this are joined."""

LINE_HEIGHT = 1.2
"""Distance of lines in font sizes."""

BOXES = {True: "\u2611", False: "\u2610"}
"""A checkbox or radio button that is checked, and one that is not."""

TEXT_FLAG_PASSWORD = 1 << 13
_PUSH_BUTTON = 1 << 16
_HIDDEN = pdfium.FPDF_ANNOT_FLAG_HIDDEN | pdfium.FPDF_ANNOT_FLAG_NOVIEW
_COMMENTED = frozenset(
    {
        pdfium.FPDF_ANNOT_TEXT,
        pdfium.FPDF_ANNOT_LINE,
        pdfium.FPDF_ANNOT_SQUARE,
        pdfium.FPDF_ANNOT_CIRCLE,
        pdfium.FPDF_ANNOT_POLYGON,
        pdfium.FPDF_ANNOT_POLYLINE,
        pdfium.FPDF_ANNOT_HIGHLIGHT,
        pdfium.FPDF_ANNOT_UNDERLINE,
        pdfium.FPDF_ANNOT_SQUIGGLY,
        pdfium.FPDF_ANNOT_STRIKEOUT,
        pdfium.FPDF_ANNOT_CARET,
        pdfium.FPDF_ANNOT_INK,
        pdfium.FPDF_ANNOT_FILEATTACHMENT,
    }
)
_TYPED = frozenset({pdfium.FPDF_ANNOT_FREETEXT, pdfium.FPDF_ANNOT_STAMP})
_IN_FLOW = frozenset({pdfium.FPDF_ANNOT_FREETEXT, pdfium.FPDF_ANNOT_WIDGET})
_UNDRAWN = frozenset({pdfium.FPDF_ANNOT_LINK, pdfium.FPDF_ANNOT_POPUP})
_FONT_SIZE = re.compile(r"(\d{1,4}(?:\.\d+)?)\s+Tf\b")
_BREAK = re.compile(r"</p>|<br\b[^>]*>", re.IGNORECASE)
_TAG = re.compile(r"<[^>]*>")
_STAMP_NAME = re.compile(r"(?<=[a-z])(?=[A-Z])")


class Drawn(Struct, frozen=True):
    """An annotation whose appearance may have further text than ``text``.

    ``rect`` is on the page as it is shown. ``typed`` are the lines of ``text``, which stand at
    their true places if the appearance has the same text, and ``name`` stands for one without text.
    """

    rect: Rect
    text: str = ""
    typed: tuple[Item, ...] = ()
    name: tuple[Item, ...] = ()
    in_flow: bool = False


class Annotations(Struct, frozen=True):
    """Text typed onto a page, at its place, and the comments on it, as Markdown.

    ``drawn`` are annotations with an appearance by their numbers, ``left_out`` the number of those
    that were not looked at, ``cut`` that of the characters of the others that are not given.
    """

    typed: tuple[Item, ...] = ()
    comments: tuple[Figure, ...] = ()
    drawn: dict[int, Drawn] = {}
    left_out: int = 0
    cut: int = 0


def read_annotations(
    page: pypdfium2.PdfPage,
    view: View,
    fields: Container[int] = (),
    filled: Container[int] = (),
) -> Annotations:
    """Return the visible annotations of a page.

    :param fields: the numbers of the form fields that are read already.
    :param filled: those of them whose appearance is of no interest.
    """
    typed: list[Item] = []
    comments: list[Figure] = []
    drawn: dict[int, Drawn] = {}
    count = pdfium.FPDFPage_GetAnnotCount(page.raw)
    strings = AnnotationStrings()
    left_out, budget = max(count - MAX_ANNOTATIONS, 0), MAX_TEXTS
    for number in range(min(count, MAX_ANNOTATIONS)):
        with _annotation(page, number) as found:
            if not found or pdfium.FPDFAnnot_GetFlags(found) & _HIDDEN:
                continue
            kind = pdfium.FPDFAnnot_GetSubtype(found)
            rect = _rect(found, view)
            text = ""
            own: tuple[Item, ...] = ()
            name: tuple[Item, ...] = ()
            if kind in _TYPED and rect:
                text = _typed(found, strings)
                styled = _FONT_SIZE.search(read_string(found, b"DA"))
                own = tuple(text_at(rect, text, float(styled[1]) if styled else 0.0))
                if kind == pdfium.FPDF_ANNOT_STAMP and not text:
                    name = tuple(text_at(rect, _name(found)))
            elif kind == pdfium.FPDF_ANNOT_WIDGET and rect and number not in fields:
                text = _own_value(found, strings)
                own = tuple(text_at(rect, text))
            elif kind in _COMMENTED and (text := _comment(found, strings)):
                box = rect or Rect(0.0, 0.0, 0.0, 0.0)
                comments.append(Figure(box.left, box.top, box.right, box.bottom, text))
            if kind in _UNDRAWN or number in filled or rect is None:
                typed += own
                continue
            texts = 0 if text in BOXES.values() else drawn_texts(found, budget)
            if texts >= budget:
                left_out += 1
                typed += own
            elif texts:
                budget -= texts
                shown = _rect(found, View(view.sheet)) or rect
                drawn[number] = Drawn(shown, text, own, name, kind in _IN_FLOW)
            else:
                typed += own or name
    return Annotations(tuple(typed), tuple(comments), drawn, left_out, strings.left_out)


def hidden_annotations(page: pypdfium2.PdfPage, indices: Iterable[int]) -> frozenset[int]:
    """Return those of the annotations that are not shown."""
    hidden = set()
    for index in indices:
        with _annotation(page, index) as found:
            if found and pdfium.FPDFAnnot_GetFlags(found) & _HIDDEN:
                hidden.add(index)
    return frozenset(hidden)


@contextmanager
def _annotation(page: pypdfium2.PdfPage, index: int) -> Iterator[Any]:
    found = pdfium.FPDFPage_GetAnnot(page.raw, index)
    try:
        yield found
    finally:
        if found:
            pdfium.FPDFPage_CloseAnnot(found)


def _typed(annotation: Any, strings: AnnotationStrings) -> str:
    text = strings.read(annotation, b"Contents")
    if not text.strip():
        text = html.unescape(_TAG.sub("", _BREAK.sub("\n", strings.read(annotation, b"RC"))))
    return text.strip()


def _own_value(annotation: Any, strings: AnnotationStrings) -> str:
    """Return the value of a form field that does not inherit it."""
    kind = read_string(annotation, b"FT")
    flags = ctypes.c_float()
    pdfium.FPDFAnnot_GetNumberValue(annotation, b"Ff", ctypes.byref(flags))
    if kind == "Btn":
        checked = read_string(annotation, b"AS") not in {"", "Off"}
        return "" if int(flags.value) & _PUSH_BUTTON else BOXES[checked]
    is_secret = kind == "Tx" and int(flags.value) & TEXT_FLAG_PASSWORD
    if is_secret:
        return ""
    return strings.read(annotation, b"V").strip() or number_value(annotation) or ""


def _name(annotation: Any) -> str:
    """Return the name of the picture on a stamp."""
    return _STAMP_NAME.sub(" ", read_string(annotation, b"Name").lstrip("#/"))


def _rect(annotation: Any, view: View) -> Rect | None:
    box = pdfium.FS_RECTF()
    if not pdfium.FPDFAnnot_GetRect(annotation, ctypes.byref(box)):
        return None
    left, right = sorted((box.left, box.right))
    bottom, top = sorted((box.bottom, box.top))
    return view.place(view.sheet.shown(left, bottom, right, top))


def text_at(rect: Rect, text: str, size: float = 0.0) -> Iterator[Item]:
    """Yield the lines of a text that stands in a rectangle.

    :param size: of the font; 0 fits the lines in.
    """
    lines = [line for line in markdown.clean(text).split("\n") if line.strip()]
    if not lines:
        return
    joined = math.ceil(len(lines) * SMALLEST_SIZE / max(rect.height, 1.0))
    if joined > 1:
        lines = [" ".join(lines[at : at + joined]) for at in range(0, len(lines), joined)]
    room = max(rect.height, 1.0) / len(lines)
    size = min(size or USUAL_SIZE, USUAL_SIZE, room)
    pitch = min(room, LINE_HEIGHT * size) if len(lines) > 1 else room
    for number, line in enumerate(lines):
        top = rect.top + number * pitch + max(pitch - size, 0) / 2
        yield Item(
            left=rect.left,
            top=top,
            right=max(rect.right, rect.left + 1),
            bottom=top + size,
            text=markdown.one_line(line),
            size=size,
        )


def _comment(annotation: Any, strings: AnnotationStrings) -> str:
    """Return a comment as a quotation with its author; "" for a mark of review."""
    text = markdown.clean(strings.read(annotation, b"Contents")).strip()
    if not text or read_string(annotation, b"StateModel"):
        return ""
    author = markdown.one_line(strings.read(annotation, b"T"))
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    if author:
        lines[0] = f"**{author}:** {lines[0]}"
    return markdown.quoted("\n".join(lines))
