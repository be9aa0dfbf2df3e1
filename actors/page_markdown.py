"""The Markdown of a document, made of that of its pages: by the engine, or from a stored result.

The Markdown of a small document is stored beside the result of its engine without waiting for the
disk. A power cut can take it; its readers then make it again of the result, which is durable.
"""

from collections.abc import Iterable
from contextlib import aclosing
from hashlib import sha256

import msgspec
from msgspec import Struct

from actors.engines import PAGE_SEPARATOR
from actors.ports import BlobNotFound, Blobs
from schemas.documents import Blob
from schemas.results import split_lines

MAX_RESULT_BYTES = 256 * 1024
"""Of a result that is enough to store its Markdown: it is made again in memory."""


class _Line(Struct):
    """A line of a result; the first one, its head, has no Markdown."""

    markdown: str | None = None


_line = msgspec.json.Decoder(_Line)


def join_pages(pages: Iterable[str]) -> bytes:
    """Return the Markdown of a document."""
    # "replace": half a surrogate pair, which a damaged font can yield, has no UTF-8.
    return PAGE_SEPARATOR.join(pages).encode(errors="replace")


async def derive_markdown(blobs: Blobs, markdown: Blob, result: Blob | None) -> bytes | None:
    """Return the Markdown of a stored result; None if it is not exactly what was stored."""
    if result is None or result.size > MAX_RESULT_BYTES:
        return None
    try:
        async with aclosing(blobs.read(result.key)) as chunks:
            lines = [_line.decode(line) async for line in split_lines(chunks)]
    except (BlobNotFound, msgspec.DecodeError):
        return None
    data = join_pages(line.markdown for line in lines[1:] if line.markdown is not None)
    found = len(data), sha256(data).hexdigest()
    return data if found == (markdown.size, markdown.sha256) else None
