"""JSON Lines: results of documents, and files of the Mistral API."""

from collections.abc import AsyncIterable, AsyncIterator


async def split_lines(chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """Yield the lines of a stream without their line ends; empty ones are left out."""
    pending = bytearray()
    async for chunk in chunks:
        pending += chunk
        *lines, rest = pending.split(b"\n")
        pending = bytearray(rest)
        for line in filter(None, lines):
            yield bytes(line)
    if pending:
        yield bytes(pending)
