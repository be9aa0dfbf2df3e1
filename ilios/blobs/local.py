"""Blobs in a local directory: durable before a put returns, whole or not there at all.

Layout, directories 0700 and files 0600::

    <root>/00 ... <root>/ff    the blobs, spread by the first byte of SHA-256 of their key
    <root>/tmp/<session>/      unfinished puts of one process, beside the lock that it holds
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
from ilios.blobs.files import (
    BlobReader,
    HashingReader,
    PendingFile,
    create_session,
    durable_rename,
    finish_with_derived,
    fsync_directory,
    read_ends,
    remove_session,
    sweep_sessions,
)
from ilios.blobs.layout import SHARDS, TMP_DIR, Position, blob_path, list_shard
from ilios.runtime.inline_reads import InlineReads
from schemas.documents import Blob

CHUNK_BYTES = 256 * 1024
"""A shorter stream is stored in one step; a longer one is written and read in such chunks."""
THREADS = 8
"""Syncs in flight at once: the file system commits waiting ones together."""
HASH_STEP_BYTES = 8 * 1024 * 1024
"""Hashed in one step of a thread: a cancelled ``digest`` occupies its thread no longer."""

_T = TypeVar("_T")


class LocalBlobs:
    """A blob store in one local directory, as ``actors.ports.Blobs``.

    Create one with ``open``. Several processes may open the same root: each sweeps only sessions
    of dead processes. Methods are for one event loop; file work is done in threads.
    """

    def __init__(self, root: Path, pending: Path, threads: ThreadPoolExecutor) -> None:
        self._root = str(root)
        self._pending = str(pending)
        self._threads = threads
        self._number = itertools.count()
        self._inline = InlineReads()

    @classmethod
    @asynccontextmanager
    async def open(cls, root: Path) -> AsyncIterator[Self]:
        """Open the store in ``root`` (created if missing), and sweep sessions of dead processes.

        Leaving the context waits for file work in progress.
        """
        threads = ThreadPoolExecutor(THREADS, thread_name_prefix="blobs")
        loop = asyncio.get_running_loop()
        try:
            root = await loop.run_in_executor(threads, _make_root, root)
            entering = loop.run_in_executor(threads, create_session, root / TMP_DIR)
            pending, lock = await entering
            try:
                yield cls(root, pending, threads)
            finally:
                await loop.run_in_executor(threads, remove_session, pending, lock)
        finally:
            await asyncio.to_thread(threads.shutdown)

    async def put(self, key: str, chunks: AsyncIterable[bytes]) -> Blob:
        """Store a stream of any length in constant memory, hashing it on the way.

        A put that is cancelled in its last step may be complete and durable.

        :raises StorageFull: the volume has no room.
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
                    # Handed over, not shared: the thread of a cancelled step still reads from it.
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
        """Store bytes that are in memory, in one step of a thread.

        :raises StorageFull: the volume has no room.
        """
        return await self._put_in_one_step(key, self._path(key), data)

    async def put_with_derived(
        self, key: str, data: bytes, derived_key: str, derived: bytes
    ) -> tuple[Blob, Blob]:
        """Store both in one step of a thread, which waits for the disk only for the first.

        :raises StorageFull: the volume has no room.
        """
        paths = self._path(key), self._path(derived_key)
        pending = PendingFile(self._new_pending()), PendingFile(self._new_pending())
        work = (pending[0], data, paths[0]), (pending[1], derived, paths[1])
        try:
            first, second = await self._run(finish_with_derived, *work)
        except asyncio.CancelledError:
            for one in pending:
                await asyncio.shield(self._run(one.abandon))
            raise
        return Blob(key, *first), Blob(derived_key, *second)

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

        :raises BlobNotFound: there is no blob of this key.
        """
        path = self._path(key)
        ends = self._inline.read_ends(path, length) if length <= CHUNK_BYTES else None
        if ends is not None:
            return ends
        return await self._run_or_not_found(read_ends, path, length)

    async def read(
        self, key: str, start: int = 0, stop: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Stream the blob in chunks of at most ``CHUNK_BYTES``.

        :raises BlobNotFound: on the first step, there is no blob of this key.
        """
        path = self._path(key)
        part = self._inline.read(path, start, stop, CHUNK_BYTES)
        if part is not None:
            if part:
                yield part
            return
        reading = BlobReader(path, start, stop)
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
        """Return the path of the blob itself, to be read only; moving the blob removes it.

        :raises BlobNotFound: on entering, there is no blob of this key.
        """
        path = self._path(key)
        # Not in a thread: the call costs less than the switch there and back.
        if not os.path.exists(path):  # noqa: ASYNC240
            self._ensure_present(path)
            raise BlobNotFound(key)
        yield Path(path)

    async def size(self, key: str) -> int:
        """Return the size of a blob in bytes.

        :raises BlobNotFound: there is no blob of this key.
        """
        path = self._path(key)
        size = self._inline.size(path)
        return await self._run_or_not_found(os.path.getsize, path) if size is None else size

    async def digest(self, key: str) -> Blob:
        """Read the blob and return its size and SHA-256, in constant memory.

        :raises BlobNotFound: there is no blob of this key.
        """
        examined = HashingReader(self._path(key))
        try:
            while not examined.closed:
                await self._run_or_not_found(examined.hash_next, HASH_STEP_BYTES, CHUNK_BYTES)
        finally:
            self._close_reader(examined)
        return Blob(key=key, size=examined.size, sha256=examined.sha256)

    async def move(self, source: str, target: str) -> None:
        """Rename the blob from ``source`` to ``target``, in one durable step.

        A move that is cancelled in that step may be complete.

        :raises BlobNotFound: there is no blob of the key ``source``.
        """
        await self._run_or_not_found(durable_rename, self._path(source), self._path(target))

    async def delete(self, key: str) -> None:
        """Delete the blob; a missing one is no error."""
        try:
            await self._run(os.unlink, self._path(key))
        except FileNotFoundError:
            return

    async def list_page(
        self, prefix: str, position: str | None, limit: int
    ) -> tuple[list[StoredBlob], str | None]:
        """Return at most ``limit`` blobs with the key prefix, and the next position."""
        if limit < 1:
            message = f"a page holds at least one blob, not {limit}"
            raise ValueError(message)
        found: list[StoredBlob] = []
        here: Position | None = Position.parse(position)
        while here is not None and len(found) < limit:
            # One shard at a time, so that puts and reads get their turns in between.
            more, here = await self._run(list_shard, self._root, prefix, here, limit - len(found))
            found += more
        return found, None if here is None else str(here)

    async def sweep_temporary(self, older_than: timedelta) -> int:
        """Remove puts of dead processes that are ``older_than``; returns their number.

        Puts of running processes stay, however old.
        """
        tmp = Path(self._root) / TMP_DIR
        return await self._run(sweep_sessions, tmp, older_than.total_seconds())

    async def presign_put(self, key: str, *, size: int, expires_in: int) -> str | None:  # noqa: ARG002
        """Return None: a directory cannot be reached from outside."""
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
        """Check that the directory is there, complete and writable.

        :raises StorageMismatch: it is missing or incomplete, as when its volume was unmounted.
        :raises StorageUnavailable: it is not writable.
        """
        await self._run(self._ensure_complete)
        tree = os.path.dirname(self._pending)
        if not await self._run(os.access, tree, os.R_OK | os.W_OK | os.X_OK):
            raise StorageUnavailable(f"{self._root} is not writable")

    def _path(self, key: str) -> str:
        return blob_path(self._root, key)

    def _new_pending(self) -> str:
        return f"{self._pending}/{next(self._number)}"

    def _close_reader(self, reading: BlobReader) -> None:
        if not reading.closed:
            # In a thread and not awaited: a cancelled step may still run there.
            self._threads.submit(reading.close)

    async def _run_or_not_found(self, work: Callable[..., _T], *arguments: object) -> _T:
        try:
            return await self._run(work, *arguments)
        except FileNotFoundError as error:
            raise BlobNotFound from error

    def _ensure_present(self, *names: str) -> None:
        """Raise if the store itself, or a shard of the paths ``names``, is missing."""
        # The session directory: an unmounted volume leaves an empty root behind.
        if not os.path.isdir(self._pending):
            raise StorageMismatch(
                f"{self._root} is gone, or is another directory: mount its volume again, or "
                "restart the service"
            )
        for name in names:
            shard = name.removeprefix(f"{self._root}/").partition("/")[0]
            if shard in SHARDS and not os.path.isdir(f"{self._root}/{shard}"):
                raise StorageMismatch(
                    f"{self._root}/{shard} is gone: restore it with its blobs, or restart the "
                    "service, which creates an empty one"
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
    """Create the root and its shards; returns it as an absolute path."""
    root = root.absolute()
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    for shard in set(SHARDS).difference(os.listdir(root)):
        (root / shard).mkdir(mode=0o700, exist_ok=True)
    fsync_directory(str(root))
    return root
