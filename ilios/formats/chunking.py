"""Chunks of a document for retrieval: packed from units in their order, page by page.

A chunk belongs to one heading: the next heading begins another one, unless nothing has stood
between both and the next is of a lower level. The chunks follow one another without gaps.
"""

from collections.abc import Iterator

from actors.engines import PAGE_SEPARATOR
from ilios.formats.blocks import heading_text
from ilios.formats.chunk_units import Unit, units
from ilios.formats.declaration import Page
from ilios.formats.parsing import PageParser
from ilios.formats.plain_text import PlainText
from ilios.formats.sizes import BYTES_PER_TOKEN, count_bytes, estimate_tokens
from schemas.replies import DocumentChunk

MAX_HEADING = 100  # characters in the path of a chunk
_BETWEEN_PAGES = "\n\n"


class Chunker:
    """The chunk that is packed, and its place in the document."""

    def __init__(self, size: int) -> None:
        self._size = size * BYTES_PER_TOKEN
        self._path: list[tuple[int, str]] = []
        self._index = 0
        self._base: int | None = None  # where the page begins in the document
        self._length = 0  # of the document up to the end of the page
        self._start = 0
        self._pieces: list[str] = []
        self._used = 0  # bytes of the pieces
        self._closing = ""
        self._has_body = False
        self._pages = (0, 0)
        self._end: int | None = None  # of the last unit, if it is on the same page

    def page(self, page: Page) -> Iterator[DocumentChunk]:
        """Take a page; yield the chunks that are whole with it."""
        text = page.markdown
        base = 0 if self._base is None else self._length + len(PAGE_SEPARATOR)
        self._base, self._length, self._end = base, base + len(text), None
        for unit in units(text, self._size):
            yield from self._add(unit, page, base)

    def end(self) -> Iterator[DocumentChunk]:
        """Yield the last chunk."""
        yield from self._flush(self._length)

    def _add(self, unit: Unit, page: Page, base: int) -> Iterator[DocumentChunk]:
        text = page.markdown[unit.start : unit.end]
        gap = ""
        if self._pieces:
            is_on_page = self._end is not None
            gap = page.markdown[self._end : unit.start] if is_on_page else _BETWEEN_PAGES
            size = self._used + count_bytes(gap) + count_bytes(text) + count_bytes(unit.closing)
            if size > self._size or self._begins_section(unit):
                yield from self._flush(base + unit.start)
        if unit.level:
            self._enter(unit.level, text, page.number)
        if not self._pieces:
            self._begin(unit, text, page.number)
        else:
            self._pieces += (gap, text)
            self._used += count_bytes(gap) + count_bytes(text)
        self._has_body = self._has_body or not unit.level
        self._closing = unit.closing
        self._pages = (self._pages[0], page.number)
        self._end = unit.end

    def _begin(self, unit: Unit, text: str, number: int) -> None:
        self._pieces = [unit.opening, text]
        self._used = count_bytes(unit.opening) + count_bytes(text)
        self._pages = (number, number)
        self._has_body = False

    def _begins_section(self, unit: Unit) -> bool:
        if not unit.level:
            return False
        return self._has_body or not self._path or unit.level <= self._path[-1][0]

    def _enter(self, level: int, block: str, number: int) -> None:
        while self._path and self._path[-1][0] >= level:
            self._path.pop()
        plain = PlainText()
        plain.add(PageParser(number).inline(heading_text(block)[: 2 * MAX_HEADING]))
        plain.close()
        self._path.append((level, " ".join(plain.take().split())[:MAX_HEADING]))

    def _flush(self, next_start: int) -> Iterator[DocumentChunk]:
        """Yield the chunk, which ends where the next one starts."""
        if not self._pieces:
            return
        text = "".join((*self._pieces, self._closing))
        yield DocumentChunk(
            index=self._index,
            page=self._pages[0],
            pages=self._pages,
            headings=tuple(title for _, title in self._path),
            text=text,
            start=self._start,
            end=next_start,
            tokens=estimate_tokens(text),
        )
        self._index += 1
        self._start = next_start
        self._pieces = []
