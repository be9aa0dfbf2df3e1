"""Blobs in a local directory: durable before a put returns, whole or not there at all.

Layout, directories 0700 and files 0600::

    <root>/00 ... <root>/ff    the blobs, spread by the first byte of SHA-256 of their key
    <root>/tmp/<opening>/      unfinished puts of one opening, beside the lock its owner holds

A key is one or more segments of ``[a-z0-9._-]`` joined by "/"; on disk the "/" is a "+",
which no key can hold, so two keys never share a file and no key reaches out of its shard.
"""

import asyncio
import errno
import fcntl
import hashlib
import itertools
import os
import re
import secrets
import shutil
from collections.abc import AsyncIterable, AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self, TypeVar

from actors.ports import BlobNotFound, StorageFull
from ilios.blobs.files import PendingFile, ReadingFile, fsync_directory, open_private, read_ends
from schemas.documents import Blob

CHUNK_BYTES = 256 * 1024
"""A shorter stream is put in one step from memory; a longer one is written and read in these."""
THREADS = 8
"""Syncs in flight at once: the file system commits those that wait together in one go."""
MAX_KEY_LENGTH = 200

_SEGMENT = r"[a-z0-9_-][a-z0-9._-]*"
_KEY = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT})*")
_LOCK = "lock"

_T = TypeVar("_T")


class LocalBlobs:
    """A blob store in one directory of this machine; fits ``actors.ports.Blobs``.

    Make one with ``open``. Several processes may open the same root: each sweeps only what dead
    openings have left. Methods are for one event loop; the file work is done in own threads.
    """

    def __init__(self, root: Path, pending: Path, threads: ThreadPoolExecutor) -> None:
        self._root = str(root)
        self._pending = str(pending)
        self._threads = threads
        self._number = itertools.count()

    @classmethod
    @asynccontextmanager
    async def open(cls, root: Path) -> AsyncIterator[Self]:
        """Prepare ``root`` (made when missing), sweep what dead openings left, and lend the store.

        Leaving waits for the file work that is under way.
        """
        threads = ThreadPoolExecutor(THREADS, thread_name_prefix="blobs")
        loop = asyncio.get_running_loop()
        try:
            root, pending, lock = await loop.run_in_executor(threads, _prepare, root)
            try:
                yield cls(root, pending, threads)
            finally:
                await loop.run_in_executor(threads, _leave, pending, lock)
        finally:
            await asyncio.to_thread(threads.shutdown)

    async def put(self, key: str, chunks: AsyncIterable[bytes]) -> Blob:
        """Store a stream of any length in constant memory, hashing it on the way.

        A put cancelled in its very last step may stand, whole and durable.

        :raises StorageFull: when the volume has no room.
        """
        path = self._path(key)
        waiting = bytearray()
        pending: PendingFile | None = None
        try:
            async for chunk in chunks:
                waiting += chunk
                if len(waiting) >= CHUNK_BYTES:
                    if pending is None:
                        pending = PendingFile(self._new_pending())
                    # The buffer is handed over, not shared: a cancelled step leaves its thread
                    # reading from it.
                    full, waiting = waiting, bytearray()
                    await self._run(pending.write, full)
            if pending is None:
                return await self._store(key, path, waiting)
            size, sha256 = await self._run(pending.finish, waiting, path)
        except BaseException:
            if pending is not None:
                await asyncio.shield(self._run(pending.abandon))
            raise
        return Blob(key=key, size=size, sha256=sha256)

    async def put_bytes(self, key: str, data: bytes) -> Blob:
        """Store bytes that are in memory anyway, in one hop to a thread.

        :raises StorageFull: when the volume has no room.
        """
        return await self._store(key, self._path(key), data)

    async def _store(self, key: str, path: str, data: bytes | bytearray) -> Blob:
        pending = PendingFile(self._new_pending())
        try:
            size, sha256 = await self._run(pending.finish, data, path)
        except asyncio.CancelledError:
            # The thread may not have begun; without this it would still store the blob.
            await asyncio.shield(self._run(pending.abandon))
            raise
        return Blob(key=key, size=size, sha256=sha256)

    async def ends(self, key: str, length: int) -> tuple[bytes, bytes]:
        """Return the first and the last ``length`` bytes (fewer when the blob is shorter).

        :raises BlobNotFound: when nothing lies under the key.
        """
        return await self._find(read_ends, self._path(key), length)

    async def read(self, key: str) -> AsyncIterator[bytes]:
        """Stream the blob in chunks of at most ``CHUNK_BYTES``.

        :raises BlobNotFound: on the first step, when nothing lies under the key.
        """
        reading = ReadingFile(self._path(key))
        try:
            chunk = await self._find(reading.read, CHUNK_BYTES)
            while chunk:
                yield chunk
                if len(chunk) < CHUNK_BYTES:
                    return
                chunk = await self._find(reading.read, CHUNK_BYTES)
        finally:
            if not reading.closed:
                # In a thread and not awaited: a read that was cancelled may still be running there.
                self._threads.submit(reading.close)

    @asynccontextmanager
    async def local_path(self, key: str) -> AsyncIterator[Path]:
        """Lend the path of the blob itself; never write to it.

        :raises BlobNotFound: on entering, when nothing lies under the key.
        """
        path = self._path(key)
        # Here and not in a thread: one look at a directory costs less than the way there and back.
        if not os.path.exists(path):  # noqa: ASYNC240
            raise BlobNotFound(key)
        yield Path(path)

    async def delete(self, key: str) -> None:
        """Remove the blob; deleting what is not there is no error."""
        try:
            await self._run(os.unlink, self._path(key))
        except FileNotFoundError:
            return

    def _path(self, key: str) -> str:
        # fullmatch, because match with "$" lets a trailing newline through.
        if len(key) > MAX_KEY_LENGTH or ".." in key or _KEY.fullmatch(key) is None:
            message = f"not a blob key: {key!r}"
            raise ValueError(message)
        shard = hashlib.sha256(key.encode()).hexdigest()[:2]
        return f"{self._root}/{shard}/{key.replace('/', '+')}"

    def _new_pending(self) -> str:
        return f"{self._pending}/{next(self._number)}"

    async def _find(self, look: Callable[..., _T], *arguments: object) -> _T:
        try:
            return await self._run(look, *arguments)
        except FileNotFoundError as error:
            raise BlobNotFound from error

    async def _run(self, work: Callable[..., _T], *arguments: object) -> _T:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._threads, work, *arguments)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StorageFull(os.strerror(error.errno)) from error
            raise


def _prepare(root: Path) -> tuple[Path, Path, int]:
    """Make the directories, take the lock of a new opening and sweep dead ones."""
    root = root.absolute()
    tmp = root / "tmp"
    for directory in (root, *(root / f"{shard:02x}" for shard in range(256)), tmp):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    fsync_directory(str(root))
    # One opening at a time: a sweep must not meet a directory whose owner has not locked it yet.
    doorway = open_private(str(tmp / _LOCK))
    try:
        fcntl.flock(doorway, fcntl.LOCK_EX)
        for opening in tmp.iterdir():
            if opening.is_dir():
                _sweep(opening)
        pending = tmp / secrets.token_hex(8)
        pending.mkdir(mode=0o700)
        lock = open_private(str(pending / _LOCK))
        fcntl.flock(lock, fcntl.LOCK_EX)
    finally:
        os.close(doorway)
    return root, pending, lock


def _sweep(opening: Path) -> None:
    lock = open_private(str(opening / _LOCK))
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return  # its owner lives
    else:
        shutil.rmtree(opening)
    finally:
        os.close(lock)


def _leave(pending: Path, lock: int) -> None:
    shutil.rmtree(pending, ignore_errors=True)
    os.close(lock)
