"""ZIP archives written while they are sent: no part is stored, and the size is not known ahead.

Sizes and checksums follow each entry (data descriptors, APPNOTE 4.3.9), as for any output that
cannot be sought in.
"""

import asyncio
import re
import zipfile
from collections.abc import AsyncGenerator, AsyncIterable, Callable
from datetime import datetime

from msgspec import Struct

from ilios.formats import DEFAULT_FORMAT, FORMATS
from ilios.visible import clean_name

COMPRESSION_LEVEL = 3  # of 9: text shrinks nearly as well as at 6, in half the time
MIN_YEAR = 1980  # the format has no earlier ones
MAX_STEM = 100  # characters
PERMISSIONS = 0o100644 << 16

_FORBIDDEN_CHARACTERS = re.compile(r'[<>:"/\\|?*]')  # what file systems of Windows refuse


class ZipEntry(Struct, frozen=True):
    """A file of the archive. ``size`` may be a guess: it decides whether ZIP64 is needed."""

    name: str
    modified_at: datetime
    size: int
    content: AsyncIterable[bytes]


class _OutputBuffer:
    """Output of the archive until it is sent. It has no ``tell``, so ``zipfile`` does not seek."""

    def __init__(self) -> None:
        self._written: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._written.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Do nothing: writes are not buffered."""

    def close(self) -> None:
        """Do nothing: the output is still to be drained."""

    def drain(self) -> bytes:
        written, self._written = self._written, []
        return b"".join(written)


async def stream_zip(entries: AsyncIterable[ZipEntry]) -> AsyncGenerator[bytes, None]:
    """Stream an archive of these entries, one content after the other.

    Packing is done in a thread. What a content raises is raised here: the archive then has no
    directory, and nobody takes it for whole.
    """
    buffer = _OutputBuffer()
    with zipfile.ZipFile(
        buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=COMPRESSION_LEVEL
    ) as archive:
        async for entry in entries:
            with archive.open(_zip_info(entry), "w") as packing:
                async for chunk in entry.content:
                    await _in_thread(packing.write, chunk)
                    if piece := buffer.drain():
                        yield piece
            yield buffer.drain()
    yield buffer.drain()


async def _in_thread(write: Callable[[bytes], int], chunk: bytes) -> None:
    """Write in a thread; when cancelled, wait until the thread has ended."""
    writing = asyncio.ensure_future(asyncio.to_thread(write, chunk))
    try:
        await asyncio.shield(writing)
    finally:
        await asyncio.wait({writing})


def entry_name(number: int, file_name: str) -> str:
    """Return a name for the ``number``-th document's Markdown: unique, and fit for every system."""
    name = _FORBIDDEN_CHARACTERS.sub("_", clean_name(file_name))
    stem = name.rpartition(".")[0] or name
    return (
        f"{number:03d}-{stem[:MAX_STEM].strip(' .') or 'document'}.{FORMATS[DEFAULT_FORMAT].suffix}"
    )


def _zip_info(entry: ZipEntry) -> zipfile.ZipInfo:
    changed = entry.modified_at
    year = max(changed.year, MIN_YEAR)
    date = (year, changed.month, changed.day, changed.hour, changed.minute, changed.second)
    described = zipfile.ZipInfo(entry.name, date)
    described.compress_type = zipfile.ZIP_DEFLATED
    described.file_size = entry.size
    described.external_attr = PERMISSIONS
    return described
