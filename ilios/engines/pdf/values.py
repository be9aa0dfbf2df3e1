"""Values of form fields that are no strings, which the parser leaves out: numbers and arrays."""

import ctypes
from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pypdfium2
import pypdfium2.raw as pdfium
from liteparse.types import FormField

EXACT = 1 << 24
"""PDFium gives numbers in single precision, which has no larger integers exactly."""
DIGITS = 9
"""Significant digits that tell all numbers in single precision apart."""

_WITH_TEXT = frozenset({"text", "combobox", "listbox"})


def with_values(
    page: pypdfium2.PdfPage, fields: Iterable[FormField]
) -> tuple[list[FormField], bool]:
    """Return the fields with their numbers as values, and whether there are unreadable values."""
    found: list[FormField] = []
    unreadable = False
    for field in fields:
        number = None
        if field.type in _WITH_TEXT and not field.selected_options:
            annotation = pdfium.FPDFPage_GetAnnot(page.raw, field.annotation_index)
            if annotation:
                number = None if field.value else number_value(annotation)
                unreadable = unreadable or _is_unreadable(annotation, field.value)
                pdfium.FPDFPage_CloseAnnot(annotation)
        found.append(field if number is None else replace(field, value=number))
    return found, unreadable


def number_value(annotation: Any) -> str | None:
    """Return the value of a form field that is a number, as text; None if it is none."""
    if pdfium.FPDFAnnot_GetValueType(annotation, b"V") != pdfium.FPDF_OBJECT_NUMBER:
        return None
    number = _number(annotation)
    if abs(number) > EXACT:
        return None
    if number.is_integer():
        return str(int(number))
    for digits in range(1, DIGITS + 1):
        text = f"{number:.{digits}g}"
        if ctypes.c_float(float(text)).value == number:
            return f"{Decimal(text):f}"
    return None


def _is_unreadable(annotation: Any, value: str | None) -> bool:
    """Whether a value is a large number, or an array of which the first part is all that is read.

    A list of which nothing is chosen has an empty array.
    """
    kind = pdfium.FPDFAnnot_GetValueType(annotation, b"V")
    if kind == pdfium.FPDF_OBJECT_ARRAY:
        return bool(value)
    return kind == pdfium.FPDF_OBJECT_NUMBER and abs(_number(annotation)) > EXACT


def _number(annotation: Any) -> float:
    number = ctypes.c_float()
    pdfium.FPDFAnnot_GetNumberValue(annotation, b"V", ctypes.byref(number))
    return number.value
