"""Writes a ZIP archive while it is sent: nothing of it lies anywhere, and it has no size yet.

Sizes and checksums follow each entry (data descriptors, APPNOTE 4.3.9), as for any output that
cannot be sought in.
"""

import asyncio
import re
import zipfile
from collections.abc import AsyncGenerator, AsyncIterable, Callable
from datetime import datetime

from msgspec import Struct

from ilios.file_names import clean_name

LEVEL = 3  # of 9: text shrinks nearly as well as at 6, in half the time
EARLIEST_YEAR = 1980  # the format knows none before
MAX_STEM = 100  # characters
PERMISSIONS = 0o100644 << 16

_UNWANTED = re.compile(r'[<>:"/\\|?*]')  # what file systems of Windows refuse


class Entry(Struct, frozen=True):
    """A file of the archive. ``size`` may be a guess: it decides whether ZIP64 is needed."""

    name: str
    changed: datetime
    size: int
    content: AsyncIterable[bytes]


class _Outlet:
    """Takes what the archive writes until it is sent. Without ``tell`` it is not sought in."""

    def __init__(self) -> None:
        self._written: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._written.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Do nothing: what is written is there."""

    def close(self) -> None:
        """Do nothing: what is written is still to be taken."""

    def take(self) -> bytes:
        written, self._written = self._written, []
        return b"".join(written)


async def zipped(entries: AsyncIterable[Entry]) -> AsyncGenerator[bytes, None]:
    """Stream an archive of these entries, one content after the other.

    Packing is done in a thread. What a content raises is raised here: the archive then has no
    directory, and nobody takes it for whole.
    """
    outlet = _Outlet()
    with zipfile.ZipFile(outlet, "w", zipfile.ZIP_DEFLATED, compresslevel=LEVEL) as archive:
        async for entry in entries:
            with archive.open(_described(entry), "w") as packing:
                async for chunk in entry.content:
                    await _in_thread(packing.write, chunk)
                    if piece := outlet.take():
                        yield piece
            yield outlet.take()
    yield outlet.take()


async def _in_thread(write: Callable[[bytes], int], chunk: bytes) -> None:
    """Write in a thread; when this is cancelled, not before the thread has let go."""
    writing = asyncio.ensure_future(asyncio.to_thread(write, chunk))
    try:
        await asyncio.shield(writing)
    finally:
        await asyncio.wait({writing})


def entry_name(number: int, file_name: str) -> str:
    """Return a name for the ``number``-th document's Markdown: unique, and fit for every system."""
    name = _UNWANTED.sub("_", clean_name(file_name))
    stem = name.rpartition(".")[0] or name
    return f"{number:03d}-{stem[:MAX_STEM].strip(' .') or 'document'}.md"


def _described(entry: Entry) -> zipfile.ZipInfo:
    changed = entry.changed
    year = max(changed.year, EARLIEST_YEAR)
    date = (year, changed.month, changed.day, changed.hour, changed.minute, changed.second)
    described = zipfile.ZipInfo(entry.name, date)
    described.compress_type = zipfile.ZIP_DEFLATED
    described.file_size = entry.size
    described.external_attr = PERMISSIONS
    return described
