"""Imprints at the edge of a page: stamps of an archive, journal lines, copyrights, page numbers.

Their text alone shows that they are no content, also where there is only a single page.
"""

import re

from .fonts import Fonts
from .lines import Line, cells

SMALLER = 0.95
"""Ratio to the body size of an address, or of a title with the page's number."""

APART = 1.5
"""Gap between the page's number and a title, in the size of the font."""

MAX_WORDS = 25
TITLE_WORDS = 12

_STAMP = re.compile(
    r"(?:this (?:article|document|copy|content|work)(?: was| is)? )?"
    r"(?:downloaded|digiti[sz]ed|retrieved|distributed|heruntergeladen|t\u00e9l\u00e9charg\u00e9|"
    r"descargado|scaricato) (?:from|by|at|on|via|von|am|de|depuis|da)\b",
    re.IGNORECASE,
)
_VOLUME = re.compile(r"\bvol(?:ume|\.)?\s*\d+", re.IGNORECASE)
_ISSUE = re.compile(r"\b(?:issue|no|nr|num)\b\.?\s*\d+|\b(?:19|20)\d\d\b", re.IGNORECASE)
_ADDRESS = re.compile(
    r"(?:https?://|www\.)\S+|(?:doi:?\s*|https?://doi\.org/)10\.\d+/\S+", re.IGNORECASE
)
_COPYRIGHT = re.compile(r"(?:\u00a9|\(c\)\s|copyright\b)", re.IGNORECASE)
_ROMAN = re.compile(r"[ivxlc]{1,7}")
_YEAR = re.compile(r"(?:19|20)\d\d")
_RECORD = re.compile(
    r"\b(?:invoice|rechnung|facture|factura|fattura|receipt|quittung|order|bestell|quot|offer|"
    r"angebot|total|summe|date|datum|customer|kunde|account|konto|ticket|case|ref|no|nr)",
    re.IGNORECASE,
)
"""Words whose number is that of a record and not of a page."""


def is_stamp(text: str) -> bool:
    """Whether a text names the archive that a copy of the page was taken from."""
    return bool(_STAMP.match(text)) and len(text.split()) <= MAX_WORDS


def is_imprint(line: Line, fonts: Fonts) -> bool:
    """Whether a line at the edge of a page, away from its text, is no content of the page."""
    if is_stamp(line.text):
        return True
    if len(line.text.split()) > MAX_WORDS:
        return False
    if _VOLUME.search(line.text) and _ISSUE.search(line.text):
        return True
    if line.size > SMALLER * fonts.body:
        return False
    return bool(_ADDRESS.fullmatch(line.text) or _COPYRIGHT.match(line.text)) or _has_page_number(
        line
    )


def _has_page_number(line: Line) -> bool:
    """Whether a number stands at an end of a line, far from a short title."""
    pieces = [piece.text for piece in cells(line, APART)]
    if len(pieces) < 2 or len(line.text.split()) > TITLE_WORDS or _RECORD.search(line.text):
        return False
    return any(
        (number.isdecimal() and len(number) <= 4 and not _YEAR.fullmatch(number))
        or bool(_ROMAN.fullmatch(number))
        for number in (pieces[0], pieces[-1])
    )
