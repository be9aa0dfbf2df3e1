"""ZIP archives in batches: each file of one becomes a document.

Unpacked in the service, by Python's :mod:`zipfile` in a thread, and not in a sandboxed process:
names and sizes are read, and bytes go on to the blob store as they are. What an archive may cost is
bounded before anything is unpacked, and a file that is longer than its directory declares ends with
its checksum.
"""

import asyncio
import io
import re
import struct
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import IO, TypeVar
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from aiohttp import web
from msgspec import Struct

from actors import sniffing
from actors.ports import Blobs
from ilios.edge import archive_names
from ilios.edge.context import TENANT
from ilios.edge.errors import RETRY_AFTER, HttpProblem
from ilios.runtime.fair_semaphore import FairSemaphore
from ilios.visible import MAX_NAME_BYTES, clean_name
from schemas.documents import Blob

ARCHIVE_NUMBER = 999
"""Number of the place of an archive among the documents of its batch: beyond all of theirs."""

MAX_OPEN = 2
"""Archives unpacked at once, and one more for a tenant without one; each occupies a thread."""

WAIT_SECONDS = 60.0
"""How long an archive waits until it is unpacked: those before it hold bytes on the disk."""

UNPACK_SECONDS = 300.0
"""How long one may take to be unpacked: a slow store would have the others wait for it."""

MAX_DIRECTORY_BYTES = 1024 * 1024
"""Bytes of an archive's directory: ten thousand names, of which a hundred can be documents."""

MAX_UNPACKED_BYTES = 2 * 1024**3
"""Bytes of all files of one archive."""

MAX_RATIO = 200
"""How many times larger than the archive its files may be; text packs to a tenth, bombs to less
than a thousandth."""
RATIO_FROM_BYTES = 64 * 1024 * 1024
"""Smaller ones may pack as well as they can: logs that repeat themselves do."""

CHUNK_BYTES = 256 * 1024
READ_BYTES = 1024 * 1024
ENCRYPTED = 1 << 0

_SYSTEM_FILES = re.compile(r"(?:^|/)(?:__MACOSX/|\.DS_Store$|\._[^/]*$|Thumbs\.db$|desktop\.ini$)")
_DRIVE = re.compile(r"^[A-Za-z]:")
FOLDER = " » "
"""Between folders and names. A displayed name is no path, so it has no slash."""

_DAMAGED: tuple[type[Exception], ...] = (
    BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
)
_DAMAGED += (struct.error, ValueError, OverflowError)

ARCHIVE_SLOTS = web.AppKey("archive_slots", FairSemaphore)

_T = TypeVar("_T")


class Entry(Struct, frozen=True):
    """A file of an archive. ``name`` is for display."""

    name: str
    size: int
    info: ZipInfo


class Archive:
    """An open archive, whose files are read one after another."""

    def __init__(self, opened: ZipFile) -> None:
        self._opened = opened
        self.entries = list(_entries(opened))

    def check(self, packed_bytes: int) -> None:
        """Refuse an archive that cannot be unpacked, or to too much.

        :raises HttpProblem: it is one (400).
        """
        if not self.entries:
            raise _refused("it contains no file")
        for entry in self.entries:
            if entry.info.flag_bits & ENCRYPTED:
                raise _refused(f'"{entry.name}" is protected by a password')
            if entry.info.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
                raise _refused(f'"{entry.name}" is compressed in an unsupported way')
        unpacked = sum(entry.size for entry in self.entries)
        allowed = min(MAX_UNPACKED_BYTES, max(RATIO_FROM_BYTES, MAX_RATIO * packed_bytes))
        if unpacked > allowed:
            largest = max(self.entries, key=lambda entry: entry.size)
            raise _refused(
                f"it unpacks to {unpacked} bytes, and an archive of its size may to {allowed}; "
                f'the largest of its files is "{largest.name}" with {largest.size}'
            )

    def open(self, entry: Entry) -> Callable[[], Awaitable[bytes]]:
        """Return a function that returns more of a file each time, and nothing at its end.

        :raises HttpProblem: it is damaged (400), when it is read.
        """
        file: IO[bytes] | None = None

        def read() -> bytes:
            nonlocal file
            file = file or self._opened.open(entry.info)
            if chunk := file.read(CHUNK_BYTES):
                return chunk
            file.close()
            return b""

        return lambda: _in_thread(read, f'"{entry.name}"')


async def is_archive(blobs: Blobs, key: str) -> bool:
    """Whether a stored file is a ZIP archive, and not a document in the form of one."""
    return sniffing.is_archive(*await blobs.read_ends(key, sniffing.SNIFF_LENGTH))


@asynccontextmanager
async def open_archive(
    request: web.Request, blobs: Blobs, blob: Blob, key: str
) -> AsyncIterator[Archive]:
    """Move a stored archive to another key and open it; it is deleted in the end.

    :raises HttpProblem: it is damaged or protected, or unpacks to too much (400), or the service
        cannot unpack it in time (503).
    """
    slot = request.app[ARCHIVE_SLOTS].slot(tenant=request[TENANT], wait_timeout=WAIT_SECONDS)
    try:
        async with slot, asyncio.timeout(UNPACK_SECONDS):
            await blobs.move(blob.key, key)
            moved = Blob(key, blob.size, blob.sha256)
            file = _BoundedReader(_BlobFile(blobs, moved, asyncio.get_running_loop()), READ_BYTES)
            archive = await _in_thread(lambda: Archive(ZipFile(file)))
            archive.check(blob.size)
            yield archive
            await blobs.delete(key)
    except TimeoutError as error:
        raise _busy() from error


def _busy() -> HttpProblem:
    return HttpProblem(
        503,
        "overloaded",
        "The service cannot unpack the ZIP archive in time",
        detail="The service cannot unpack the ZIP archive in time; try again later, or submit its "
        "files in smaller archives.",
        headers={"Retry-After": RETRY_AFTER},
    )


async def _in_thread(step: Callable[[], _T], what: str = "it") -> _T:
    try:
        return await asyncio.to_thread(step)
    except _DAMAGED as error:
        raise _refused(f"{what} is damaged, or of an unsupported kind") from error


def display_name(name: str) -> str:
    """Return the name of a file with its folders, as ``letters » one.pdf``."""
    parts = re.split(r"[/\\]", _DRIVE.sub("", name))
    *folders, last = [clean_name(part) for part in parts if part.strip(" .")] or [clean_name("")]
    while folders and len(FOLDER.join((*folders, last)).encode()) > MAX_NAME_BYTES:
        folders.pop(0)
    return FOLDER.join((*folders, last))


def _entries(opened: ZipFile) -> list[Entry]:
    infos = opened.infolist()
    return [
        Entry(display_name(name), info.file_size, info)
        for info, name in zip(infos, archive_names.names(infos), strict=True)
        if not info.is_dir() and not _SYSTEM_FILES.search(info.filename)
    ]


def _refused(reason: str) -> HttpProblem:
    return HttpProblem(
        400,
        "archive_refused",
        f"The ZIP archive cannot be unpacked: {reason}",
        detail=f"The ZIP archive cannot be unpacked: {reason}. "
        "Submit its files themselves, or another archive.",
    )


class _BoundedReader(io.BufferedReader):
    """Never reads a directory of any size into memory, as :mod:`zipfile` would."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Return so many bytes.

        :raises BadZipFile: that is more than a directory may have.
        """
        if size is not None and size > MAX_DIRECTORY_BYTES:
            raise BadZipFile(f"a directory of {size} bytes")
        return super().read(size)


class _BeforeBeginningError(OSError, ValueError):
    """A place that no file has; :mod:`zipfile` looks there in the smallest ones, and goes on."""


class _BlobFile(io.RawIOBase):
    """A stored blob as a file, for a thread beside the event loop that reads from the store."""

    def __init__(self, blobs: Blobs, blob: Blob, loop: asyncio.AbstractEventLoop) -> None:
        self._blobs = blobs
        self._blob = blob
        self._loop = loop
        self._at = 0

    def readable(self) -> bool:
        """Return that it is."""
        return True

    def seekable(self) -> bool:
        """Return that it is."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to a place, and return it."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._blob.size}[whence]
        if base + offset < 0:
            raise _BeforeBeginningError
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        """Return the place."""
        return self._at

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        """Read as much as there is room for."""
        stop = min(self._at + len(buffer), self._blob.size)
        if stop <= self._at:
            return 0
        reading = asyncio.run_coroutine_threadsafe(self._read(self._at, stop), self._loop)
        data = reading.result()
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    async def _read(self, start: int, stop: int) -> bytes:
        async with aclosing(self._blobs.read(self._blob.key, start, stop)) as chunks:
            return b"".join([chunk async for chunk in chunks])
