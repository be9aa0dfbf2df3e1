"""Markdown text: cleaning and tables."""

import re
import unicodedata
from collections.abc import Sequence

_UNWANTED = re.compile(
    # C0 and C1 controls but tab and newline, lone surrogates, noncharacters, BOM, soft hyphens.
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\ud800-\udfff\ufdd0-\ufdef\ufeff\ufffe\uffff]"
)
_LINE_ENDS = re.compile("\r\n|[\r\v\f\x85\u2028\u2029]")
_BLANK_LINES = re.compile(r"\n{3,}")
_BLANKS_ONLY = re.compile(r"^[ \t]++$", re.MULTILINE)
_TRAILING_LAST = re.compile(r"(?<![ \t])[ \t]++(?=\n\n|\Z)")
_BACKTICKS = re.compile("`+")
_TRAILING = re.compile(r"(?<![ \t])[ \t]++$", re.MULTILINE)


def clean(text: str, *, hard_breaks: bool = False) -> str:
    """Return the text in NFC, without control characters and runs of blank lines.

    Blanks at the end of a line go too, unless ``hard_breaks`` are meant by two of them, which
    are none at the end of a paragraph.
    """
    text = clean_characters(text)
    if hard_breaks:
        text = _TRAILING_LAST.sub("", _BLANKS_ONLY.sub("", text))
    else:
        text = _TRAILING.sub("", text)
    return _BLANK_LINES.sub("\n\n", text).strip("\n")


def clean_characters(text: str) -> str:
    """Return the text in NFC, without control characters, with one kind of line ends."""
    return unicodedata.normalize("NFC", _UNWANTED.sub("", _LINE_ENDS.sub("\n", text)))


def one_line(text: str) -> str:
    """Return the text with every run of white space, line breaks too, as one space."""
    return " ".join(text.split())


def heading(level: int, text: str) -> str:
    """Return text as a heading, on one line."""
    return f"{'#' * min(level, 6)} {one_line(text)}"


def quoted(text: str) -> str:
    """Return lines as a quotation."""
    return "\n".join(f"> {line}" if line.strip() else ">" for line in text.split("\n"))


def fenced(text: str, language: str = "") -> str:
    """Return text as a fenced block of code."""
    longest = max(map(len, _BACKTICKS.findall(text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


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
