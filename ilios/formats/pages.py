"""Pages of a document: read from what is stored, rendered one after the other in a thread.

A page number is that of the result, where an engine left one; otherwise pages are counted.
"""

import asyncio
import codecs
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing

import msgspec
from msgspec import Struct

from actors.engines import PAGE_SEPARATOR, Conversion
from ilios.formats.declaration import FormatOptions, Page, PageRenderer, StoredDocument
from schemas.results import split_lines

BATCH_CHARACTERS = 64 * 1024
"""So much of a page is rendered at once, before another document has its turn."""

Renderers = Callable[[str, str | None, FormatOptions], PageRenderer]
"""Makes the renderer of a document: of its file name, its id if it has one, and options."""

# One thread for all documents: rendering is Python, and more threads would only take turns with
# the event loop.
_threads = ThreadPoolExecutor(1, thread_name_prefix="render")


class _StoredPage(Struct):
    """A line of a result; the first one, its head, has no Markdown."""

    index: int = 0
    markdown: str | None = None


_decode_page = msgspec.json.Decoder(_StoredPage).decode


async def read_pages(document: StoredDocument) -> AsyncIterator[Page]:
    """Yield the pages of a stored document, in order, one in memory at a time."""
    if document.result is None:
        number = 0
        async for text in split_pages(document.markdown):
            number += 1
            yield Page(number, text)
        return
    async for line in split_lines(document.result):
        stored = _decode_page(line)
        if stored.markdown is not None:
            yield Page(stored.index + 1, stored.markdown)


async def split_pages(markdown: AsyncIterator[bytes]) -> AsyncIterator[str]:
    """Yield the Markdown between the separators of pages."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    before: list[str] = []  # of the page that is read; a separator may be cut off at its end
    rest = ""
    async for chunk in markdown:
        rest += decoder.decode(chunk)
        *pages, rest = rest.split(PAGE_SEPARATOR)
        for page in pages:
            yield "".join((*before, page))
            before.clear()
        cut = max(0, len(rest) - len(PAGE_SEPARATOR) + 1)
        before.append(rest[:cut])
        rest = rest[cut:]
    yield "".join((*before, rest, decoder.decode(b"", final=True)))


def streamed(renderers: Renderers) -> Callable[[StoredDocument], AsyncGenerator[bytes, None]]:
    """Return a ``Format.render`` that renders pages as they are read."""

    async def render(document: StoredDocument) -> AsyncGenerator[bytes, None]:
        reply = document.reply
        renderer = renderers(reply.file_name, reply.id, document.options)
        before = renderer.begin().encode()
        async for page in read_pages(document):
            async with aclosing(_in_thread(renderer.page(page))) as pieces:
                async for piece in pieces:
                    yield before + piece
                    before = b""
        async with aclosing(_in_thread(renderer.end())) as pieces:
            async for piece in pieces:
                yield before + piece
                before = b""
        yield before  # also where there is nothing at all: an answer has a first piece

    return render


def printed(renderers: Renderers) -> Callable[[str, Conversion, FormatOptions], str]:
    """Return a ``Format.print`` of the same renderer."""

    def render(name: str, conversion: Conversion, options: FormatOptions) -> str:
        renderer = renderers(name, None, options)
        pieces = [renderer.begin()]
        for page in _converted_pages(conversion):
            pieces += renderer.page(page)
        pieces += renderer.end()
        return "".join(pieces)

    return render


def _converted_pages(conversion: Conversion) -> Iterator[Page]:
    numbers: Iterator[int] = iter(range(1, len(conversion.pages) + 1))
    if len(conversion.details) == len(conversion.pages):
        numbers = (page.index + 1 for page in conversion.details)
    for number, markdown in zip(numbers, conversion.pages, strict=True):
        yield Page(number, markdown)


async def _in_thread(pieces: Iterator[str]) -> AsyncGenerator[bytes, None]:
    loop = asyncio.get_running_loop()
    while batch := await loop.run_in_executor(_threads, _take, pieces):
        yield batch


def _take(pieces: Iterator[str]) -> bytes:
    taken: list[str] = []
    characters = 0
    for piece in pieces:
        taken.append(piece)
        characters += len(piece)
        if characters >= BATCH_CHARACTERS:
            break
    return "".join(taken).encode(errors="replace")
