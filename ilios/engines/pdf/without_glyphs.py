"""Texts in fonts that are neither in the file nor on this machine.

PDFium has no glyphs for them, so it neither draws them nor has them in the text layer.
"""

import ctypes
from collections import Counter
from collections.abc import Iterable

import pypdfium2.raw as pdfium

from ilios.engines.pdf.objects import Text

LEAST_TEXTS = 3
"""Texts without extent in a font that has no other: a few may be blanks."""

MAX_LISTED = 3
SYMBOLIC = 4
"""The flag of fonts with other letters than the standard Latin ones."""


def fonts_without_glyphs(drawn: Iterable[Text]) -> str:
    """Return the names of the fonts of a page whose texts are all without extent, for a warning."""
    edges = [ctypes.c_float() for _ in range(4)]
    places = [ctypes.byref(edge) for edge in edges]
    empty: Counter[str] = Counter()
    used: set[str] = set()
    candidates = []
    for text in drawn:
        if pdfium.FPDFPageObj_GetBounds(text.handle, *places):
            left, bottom, right, top = edges
            if left.value == right.value and bottom.value == top.value:
                candidates.append(text)
    if len(candidates) < LEAST_TEXTS:
        return ""
    seen = {id(text) for text in candidates}
    for text in drawn:
        font = pdfium.FPDFTextObj_GetFont(text.handle)
        if font and _is_foreign(font) and not pdfium.FPDFFont_GetIsEmbedded(font):
            name = _name(font)
            if id(text) in seen:
                empty[name] += 1
            else:
                used.add(name)
    lost = [name for name, count in empty.items() if count >= LEAST_TEXTS and name not in used]
    return ", ".join(sorted(lost)[:MAX_LISTED])


def _is_foreign(font: object) -> bool:
    """Whether a font has other letters than the standard Latin ones, for which there are glyphs."""
    return bool(pdfium.FPDFFont_GetFlags(font) & SYMBOLIC)


def _name(font: object) -> str:
    buffer = ctypes.create_string_buffer(128)
    size = pdfium.FPDFFont_GetBaseFontName(font, buffer, 128)
    return buffer.raw[: max(min(size, 128) - 1, 0)].decode("utf-8", "replace")
