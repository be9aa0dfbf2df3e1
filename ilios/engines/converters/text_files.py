"""Plain text and Markdown. Form feeds divide a text into pages; Markdown is one page."""

import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

from actors.engines import Unconvertible
from ilios.engines.converters import inline, markdown
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
from schemas.warnings import PageWarning, page_warning

MODEL = "plain-text"
_PARAGRAPH_END = re.compile(r"\n[ \t]*\n+")
_HEADING = re.compile(r"^( {0,3})(?=#{1,6}(?:\s|$))", re.MULTILINE)
_RULE = re.compile(r"^( {0,3})(?=([-_*])(?:[ \t]*\2){2,}[ \t]*$)", re.MULTILINE)
_UNDERLINE = re.compile(r"^( {0,3})(?=(?:=+|--?)[ \t]*$)", re.MULTILINE)
_NUMBERED = re.compile(r"(\d{1,9})([.)])(?=\s|$)")
_PLACED = re.compile(r"^(?: {4}|\t)|\S(?: {3,}|\t)\S")
"""A line whose blanks put what is in it into its place: a column, a level."""

_INDENTED = re.compile(r"(?: {2,}+|\t)\s*+(?![-*+>]\s|\d{1,9}[.)]\s)(?=\S)")
_OPENS = re.compile(r"[:{(\[=\\]$")
_OF_CODE = re.compile(r"[;{}()\[\]=<>]$|^\s*(?:at |File \"|[\w.-]+: )")
"""A line of a program, of data or of a trace, if it is indented."""

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


def text_page(
    index: int, text: str, decoded: Decoded, warnings: tuple[PageWarning, ...] = ()
) -> ConvertedPage:
    """Return a page of a text, with a warning where its encoding is not certain."""
    if decoded.guessed:
        warnings = (page_warning("encoding_guessed", decoded.encoding), *warnings)
    return ConvertedPage(PageResult(index=index, markdown=text, warnings=warnings))


def _written(text: str, heartbeat: Callable[[], None]) -> str:
    """Return text as Markdown that shows it as it is.

    Lists and quotes look in a text as in Markdown, and are not changed; only numbers that Markdown
    would count in another way are none of a list.
    """
    text = markdown.clean_characters(text)
    parts = []
    numbers = _Numbers()
    for number, paragraph in enumerate(_paragraphs(text)):
        if number % _PROGRESS_EVERY == 0:
            heartbeat()
        parts.append(_paragraph(paragraph, numbers))
    return "\n\n".join(parts)


def _paragraphs(text: str) -> Iterator[str]:
    """Yield paragraphs; those of one piece of code together."""
    code: list[str] = []
    for paragraph in _PARAGRAPH_END.split(text.strip("\n")):
        if code and _INDENTED.match(paragraph):
            code.append(paragraph)
            continue
        if code:
            yield "\n\n".join(code)
        code = [paragraph] if _is_code(paragraph.split("\n")) else []
        if not code:
            yield paragraph
    if code:
        yield "\n\n".join(code)


def _is_code(lines: list[str]) -> bool:
    """Whether a line is indented below the one before it as in programs, data and traces."""
    return any(
        _INDENTED.match(line) and (_OPENS.search(before.rstrip()) or _OF_CODE.search(line.rstrip()))
        for before, line in pairwise(lines)
    )


class _Numbers:
    """The number that Markdown would count on from."""

    def __init__(self) -> None:
        self._last: tuple[int, str] | None = None

    def interrupt(self) -> None:
        """End the list."""
        self._last = None

    def escape(self, line: str) -> str:
        """Return a line whose number is shown as it is."""
        found = _NUMBERED.match(line)
        if not found:
            return line
        number, sign = int(found[1]), found[2]
        if self._last in (None, (number - 1, sign)):
            self._last = number, sign
            return line
        return f"{found[1]}\\{line[found.end(1) :]}"


def _paragraph(text: str, numbers: _Numbers) -> str:
    lines = text.split("\n")
    placed = 2 * sum(bool(_PLACED.search(line)) for line in lines) > len(lines) > 1
    if placed or _is_code(lines):
        numbers.interrupt()
        return markdown.fenced(text)
    if not _NUMBERED.match(text) and not text[0].isspace():
        numbers.interrupt()
    text = inline.escape("\n".join(line.strip() if _PLACED.match(line) else line for line in lines))
    first, *more = text.split("\n")
    shown = numbers.escape(first)
    if shown != first:
        numbers.interrupt()
    text = "\n".join([shown, *map(numbers.escape, more)])
    for signs in (_HEADING, _RULE, _UNDERLINE):
        text = signs.sub(r"\1\\", text)
    return text
