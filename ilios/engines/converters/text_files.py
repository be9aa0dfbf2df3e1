"""Plain text and Markdown. Form feeds divide a text into pages; Markdown is one page."""

import re
from collections.abc import Callable
from pathlib import Path

from actors.engines import Unconvertible
from ilios.engines.converters import blocks, inline, markdown
from ilios.engines.converters.encodings import Decoded, decode_text
from ilios.engines.local.limits import EngineLimits
from ilios.engines.pages import (
    WHOLE,
    ConvertedPage,
    Pages,
    Reading,
    check_page_limit,
    selected_indices,
)
from schemas.results import PageResult
from schemas.warnings import page_warning

MODEL = "plain-text"
_PARAGRAPH_END = re.compile(r"\n[ \t]*\n+")
_HEADING = re.compile(r"^( {0,3})(#{1,6}(?:\s|$))", re.MULTILINE)
_RULE = re.compile(r"^( {0,3})(?=([-_*])(?:[ \t]*\2){2,}[ \t]*$)", re.MULTILINE)
_PLACED = re.compile(r"^(?: {4}|\t)|\S(?: {3,}|\t)\S")
"""A line whose blanks put what is in it into its place: a column, a level."""

_LEAST_PAGE = 8  # characters of a page on average
_PROGRESS_EVERY = 1000  # paragraphs


def convert(
    path: Path, limits: EngineLimits, progress: Callable[[int, int], None], reading: Reading = WHOLE
) -> Pages:
    """Convert plain text; see :class:`ilios.engines.converters.registry.Converter`."""
    decoded = read_text(path, limits)
    texts = _split_pages(decoded.text)
    selected = selected_indices(reading.ranges, len(texts))
    check_page_limit("text", "pages", len(texts), len(selected), limits.max_pages)
    progress(0, len(selected))
    pages: list[ConvertedPage] = []
    for index in selected:
        text = _written(texts[index], lambda: progress(len(pages), len(selected)))
        pages.append(text_page(index, markdown.clean(text), decoded))
        progress(len(pages), len(selected))
    return Pages(pages, MODEL, len(selected))


def count_pages(path: Path) -> int:
    """Return how many pages a plain text has."""
    return len(_split_pages(decode_text(path.read_bytes()).text))


def read_text(path: Path, limits: EngineLimits) -> Decoded:
    """Read a file of text.

    :raises Unconvertible: ``too_large``.
    """
    size = path.stat().st_size
    if size > limits.max_output_bytes:
        raise Unconvertible(
            "too_large",
            f"The text has {size} bytes; at most {limits.max_output_bytes} are converted.",
        )
    return decode_text(path.read_bytes())


def _split_pages(text: str) -> list[str]:
    """Return the pages between form feeds; a text that has hardly anything else is one page."""
    pages = text.split("\f")
    if len(pages) * _LEAST_PAGE > len(text):
        return [text]
    while len(pages) > 1 and not pages[-1].strip():
        pages.pop()
    return pages


def text_page(index: int, text: str, decoded: Decoded) -> ConvertedPage:
    """Return a page of a text, with a warning where its encoding is not certain."""
    warnings = (page_warning("encoding_guessed", decoded.encoding),) if decoded.guessed else ()
    return ConvertedPage(PageResult(index=index, markdown=text, warnings=warnings))


def _written(text: str, heartbeat: Callable[[], None]) -> str:
    """Return text as Markdown that shows it as it is.

    Lists and quotes look in a text as in Markdown, and are not changed.
    """
    text = markdown.clean_characters(text)
    parts = []
    for number, paragraph in enumerate(_PARAGRAPH_END.split(text.strip("\n"))):
        if number % _PROGRESS_EVERY == 0:
            heartbeat()
        parts.append(_paragraph(paragraph))
    return "\n\n".join(parts)


def _paragraph(text: str) -> str:
    lines = text.split("\n")
    if len(lines) > 1 and 2 * sum(bool(_PLACED.search(line)) for line in lines) > len(lines):
        return blocks.fenced(text)
    text = inline.escape("\n".join(line.strip() if _PLACED.match(line) else line for line in lines))
    return _RULE.sub(r"\1\\", _HEADING.sub(r"\1\\\2", text))
