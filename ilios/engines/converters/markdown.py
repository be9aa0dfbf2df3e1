"""Small certainties about Markdown text that every converter shares."""

import re
import unicodedata
from collections.abc import Sequence

_UNWANTED = re.compile(
    # C0 and C1 controls but tab and newline, lone surrogates, noncharacters, BOM, soft hyphens.
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\ud800-\udfff\ufdd0-\ufdef\ufeff\ufffe\uffff]"
)
_LINE_ENDS = re.compile("\r\n|[\r\v\f\x85\u2028\u2029]")
_BLANK_LINES = re.compile(r"\n{3,}")
_TRAILING = re.compile(r"[ \t]+$", re.MULTILINE)


def clean(text: str) -> str:
    """Return the text as it may be stored: NFC, no control characters, no runs of blank lines."""
    text = _UNWANTED.sub("", _LINE_ENDS.sub("\n", text))
    text = unicodedata.normalize("NFC", text)
    return _BLANK_LINES.sub("\n\n", _TRAILING.sub("", text)).strip("\n")


def one_line(text: str) -> str:
    """Return the text with every run of white space, line breaks too, as one space."""
    return " ".join(text.split())


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table whose first row is the heading; short rows are filled up."""
    width = max((len(row) for row in rows), default=0)
    if not width:
        return ""
    lines = []
    for row in rows:
        cells = [one_line(cell).replace("|", "\\|") for cell in row]
        lines.append("| " + " | ".join(cells + [""] * (width - len(cells))) + " |")
    lines.insert(1, "|" + " --- |" * width)
    return "\n".join(lines)
