"""Blobs in a local directory: durable before a put returns, whole or not there at all.

Layout, directories 0700 and files 0600::

    <root>/00 ... <root>/ff    the blobs, spread by the first byte of SHA-256 of their key
    <root>/tmp/<opening>/      unfinished puts of one opening, beside the lock its owner holds
"""

import asyncio
import errno
import itertools
import os
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Self, TypeVar

from actors.ports import (
    BlobNotFound,
    StorageFull,
    StorageMismatch,
    StorageUnavailable,
    StoredBlob,
)
from ilios.blobs import listing, session_dir
from ilios.blobs.files import (
    BlobReader,
    HashingReader,
    PendingFile,
    durable_rename,
    fsync_directory,
    read_ends,
)
from ilios.blobs.layout import SHARDS, TMP_DIR, blob_path
from schemas.documents import Blob

CHUNK_BYTES = 256 * 1024
"""A shorter stream is put in one step from memory; a longer one is written and read in these."""
THREADS = 8
"""Syncs in flight at once: the file system commits those that wait together in one go."""
HASH_STEP_BYTES = 8 * 1024 * 1024
"""Hashed in one step of a thread: a cancelled examination keeps its thread no longer than that."""

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
            root = await loop.run_in_executor(threads, _make_root, root)
            entering = loop.run_in_executor(threads, session_dir.create, root / TMP_DIR)
            pending, lock = await entering
            try:
                yield cls(root, pending, threads)
            finally:
                await loop.run_in_executor(threads, session_dir.remove, pending, lock)
        finally:
            await asyncio.to_thread(threads.shutdown)

    async def put(self, key: str, chunks: AsyncIterable[bytes]) -> Blob:
        """Store a stream of any length in constant memory, hashing it on the way.

        A put cancelled in its very last step may stand, whole and durable.

        :raises StorageFull: when the volume has no room.
        """
        path = self._path(key)
        buffer = bytearray()
        pending: PendingFile | None = None
        try:
            async for chunk in chunks:
                buffer += chunk
                if len(buffer) >= CHUNK_BYTES:
                    if pending is None:
                        pending = PendingFile(self._new_pending())
                    # The buffer is handed over, not shared: a cancelled step leaves its thread
                    # reading from it.
                    full, buffer = buffer, bytearray()
                    await self._run(pending.write, full)
            if pending is None:
                return await self._put_in_one_step(key, path, buffer)
            size, sha256 = await self._run(pending.finish, buffer, path)
        except BaseException:
            if pending is not None:
                await asyncio.shield(self._run(pending.abandon))
            raise
        return Blob(key=key, size=size, sha256=sha256)

    async def put_bytes(self, key: str, data: bytes) -> Blob:
        """Store bytes that are in memory anyway, in one hop to a thread.

        :raises StorageFull: when the volume has no room.
        """
        return await self._put_in_one_step(key, self._path(key), data)

    async def _put_in_one_step(self, key: str, path: str, data: bytes | bytearray) -> Blob:
        pending = PendingFile(self._new_pending())
        try:
            size, sha256 = await self._run(pending.finish, data, path)
        except asyncio.CancelledError:
            # The thread may not have begun; without this it would still store the blob.
            await asyncio.shield(self._run(pending.abandon))
            raise
        return Blob(key=key, size=size, sha256=sha256)

    async def read_ends(self, key: str, length: int) -> tuple[bytes, bytes]:
        """Return the first and the last ``length`` bytes (fewer when the blob is shorter).

        :raises BlobNotFound: when nothing lies under the key.
        """
        return await self._run_or_not_found(read_ends, self._path(key), length)

    async def read(
        self, key: str, start: int = 0, stop: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Stream the blob in chunks of at most ``CHUNK_BYTES``.

        :raises BlobNotFound: on the first step, when nothing lies under the key.
        """
        reading = BlobReader(self._path(key), start, stop)
        try:
            chunk = await self._run_or_not_found(reading.read, CHUNK_BYTES)
            while chunk:
                yield chunk
                if len(chunk) < CHUNK_BYTES:
                    return
                chunk = await self._run_or_not_found(reading.read, CHUNK_BYTES)
        finally:
            self._close_reader(reading)

    @asynccontextmanager
    async def local_path(self, key: str) -> AsyncIterator[Path]:
        """Lend the path of the blob itself; never write to it. It is gone when the blob is moved.

        :raises BlobNotFound: on entering, when nothing lies under the key.
        """
        path = self._path(key)
        # Here and not in a thread: one look at a directory costs less than the way there and back.
        if not os.path.exists(path):  # noqa: ASYNC240
            self._ensure_present(path)
            raise BlobNotFound(key)
        yield Path(path)

    async def size(self, key: str) -> int:
        """Return how many bytes lie under the key.

        :raises BlobNotFound: when nothing lies under the key.
        """
        return await self._run_or_not_found(os.path.getsize, self._path(key))

    async def digest(self, key: str) -> Blob:
        """Read what lies under the key and return its size and SHA-256, in constant memory.

        :raises BlobNotFound: when nothing lies under the key.
        """
        examined = HashingReader(self._path(key))
        try:
            while not examined.closed:
                await self._run_or_not_found(examined.hash_next, HASH_STEP_BYTES, CHUNK_BYTES)
        finally:
            self._close_reader(examined)
        return Blob(key=key, size=examined.size, sha256=examined.sha256)

    async def move(self, source: str, target: str) -> None:
        """Let the bytes lie under ``target`` and no longer under ``source``, in one durable step.

        A move cancelled in that step may stand.

        :raises BlobNotFound: when nothing lies under ``source``.
        """
        await self._run_or_not_found(durable_rename, self._path(source), self._path(target))

    async def delete(self, key: str) -> None:
        """Remove the blob; deleting what is not there is no error."""
        try:
            await self._run(os.unlink, self._path(key))
        except FileNotFoundError:
            return

    async def list_page(
        self, prefix: str, position: str | None, limit: int
    ) -> tuple[list[StoredBlob], str | None]:
        """Return at most ``limit`` blobs whose keys begin with ``prefix``, and where to go on."""
        if limit < 1:
            message = f"a page has room for one blob at least, not {limit}"
            raise ValueError(message)
        found: list[StoredBlob] = []
        here: listing.Position | None = listing.Position.parse(position)
        while here is not None and len(found) < limit:
            # A shard at a time, so that puts and reads get their turns between.
            more, here = await self._run(
                listing.list_shard, self._root, prefix, here, limit - len(found)
            )
            found += more
        return found, None if here is None else str(here)

    async def sweep_temporary(self, older_than: timedelta) -> int:
        """Remove what dead openings left, if it is ``older_than``; returns how many puts.

        What living ones have under way is left alone, however old.
        """
        tmp = Path(self._root) / TMP_DIR
        return await self._run(session_dir.sweep, tmp, older_than.total_seconds())

    async def presign_put(self, key: str, *, size: int, expires_in: int) -> str | None:  # noqa: ARG002
        """Return None: a directory has no door to the outside."""
        return None

    async def presign_get(
        self,
        key: str,  # noqa: ARG002
        *,
        expires_in: int,  # noqa: ARG002
        disposition: str,  # noqa: ARG002
        content_type: str,  # noqa: ARG002
    ) -> str | None:
        """Return None, as ``presign_put``."""
        return None

    async def check(self) -> None:
        """Make sure that the directory is there, whole, and may be written to.

        :raises StorageMisplaced: it is not, as when its volume was unmounted.
        :raises StorageUnavailable: it may not be written to.
        """
        await self._run(self._ensure_complete)
        tree = os.path.dirname(self._pending)
        if not await self._run(os.access, tree, os.R_OK | os.W_OK | os.X_OK):
            raise StorageUnavailable(f"{self._root} may not be written to")

    def _path(self, key: str) -> str:
        return blob_path(self._root, key)

    def _new_pending(self) -> str:
        return f"{self._pending}/{next(self._number)}"

    def _close_reader(self, reading: BlobReader) -> None:
        if not reading.closed:
            # In a thread and not awaited: a step that was cancelled may still be running there.
            self._threads.submit(reading.close)

    async def _run_or_not_found(self, work: Callable[..., _T], *arguments: object) -> _T:
        try:
            return await self._run(work, *arguments)
        except FileNotFoundError as error:
            raise BlobNotFound from error

    def _ensure_present(self, *names: str) -> None:
        """Refuse to judge by what is missing where the store, or a shard of ``names``, is."""
        # This opening's own directory: what is unmounted leaves an empty root behind.
        if not os.path.isdir(self._pending):
            raise StorageMismatch(
                f"{self._root} is not there any more, or is another directory: mount its volume "
                "again, or start the service again"
            )
        for name in names:
            shard = name.removeprefix(f"{self._root}/").partition("/")[0]
            if shard in SHARDS and not os.path.isdir(f"{self._root}/{shard}"):
                raise StorageMismatch(
                    f"{self._root}/{shard} is not there any more: put it back with the blobs it "
                    "had, or start the service again, which makes an empty one"
                )

    def _ensure_complete(self) -> None:
        self._ensure_present()
        self._ensure_present(*set(SHARDS).difference(os.listdir(self._root)))

    async def _run(self, work: Callable[..., _T], *arguments: object) -> _T:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._threads, work, *arguments)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StorageFull(os.strerror(error.errno)) from error
            if isinstance(error, FileNotFoundError):
                named = (error.filename, error.filename2)
                self._ensure_present(*(name for name in named if isinstance(name, str)))
            raise


def _make_root(root: Path) -> Path:
    """Return the root, with its directories, wherever the process may go to later."""
    root = root.absolute()
    for directory in (root, *(root / shard for shard in SHARDS)):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    fsync_directory(str(root))
    return root
