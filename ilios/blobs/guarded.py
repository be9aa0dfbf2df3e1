"""A guard in front of every store: a store that may be the wrong one is not used.

In an emptied bucket every blob is missing. Documents would fail for that, new blobs would be lost
when the right bucket is back, and the search for orphans would delete blobs of another service.
"""

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Protocol, TypeVar

from actors.blob_keys import IMAGES, RESULTS
from actors.ports import BlobNotFound, Blobs, StoredBlob
from schemas.documents import Blob

MAY_BE_MISSING = (RESULTS, IMAGES)
"""Prefixes of blobs that are optional: a missing one proves nothing about the store."""

_T = TypeVar("_T")


class StoreCheck(Protocol):
    """The check whether the store is the right one."""

    def raise_if_misplaced(self) -> None:
        """Raise the result of the last check.

        :raises StorageMismatch: the store is the wrong one.
        """
        ...

    async def recheck(self) -> None:
        """Check now.

        :raises StorageMismatch: the store is the wrong one.
        :raises StorageUnavailable: it does not answer.
        """
        ...


class GuardedBlobs:
    """A guarded ``actors.ports.Blobs``: a missing blob is reported only after a check."""

    def __init__(self, store: Blobs, store_check: StoreCheck) -> None:
        self._store = store
        self._store_check = store_check

    async def put(self, key: str, chunks: AsyncIterable[bytes]) -> Blob:
        """Store a stream."""
        self._store_check.raise_if_misplaced()
        return await self._store.put(key, chunks)

    async def put_bytes(self, key: str, data: bytes) -> Blob:
        """Store bytes."""
        self._store_check.raise_if_misplaced()
        return await self._store.put_bytes(key, data)

    async def put_with_derived(
        self, key: str, data: bytes, derived_key: str, derived: bytes
    ) -> tuple[Blob, Blob]:
        """Store bytes, and others that can be made of them again."""
        self._store_check.raise_if_misplaced()
        return await self._store.put_with_derived(key, data, derived_key, derived)

    async def read_ends(self, key: str, length: int) -> tuple[bytes, bytes]:
        """Return the first and the last bytes."""
        return await self._recheck_if_missing(key, self._store.read_ends(key, length))

    async def read(
        self, key: str, start: int = 0, stop: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Stream the blob."""
        async with aclosing(self._store.read(key, start, stop)) as chunks:
            try:
                async for chunk in chunks:
                    yield chunk
            except BlobNotFound:
                await self._recheck(key)
                raise

    @asynccontextmanager
    async def local_path(self, key: str) -> AsyncIterator[Path]:
        """Return a path of the blob."""
        async with AsyncExitStack() as stack:
            try:
                path = await stack.enter_async_context(self._store.local_path(key))
            except BlobNotFound:
                await self._recheck(key)
                raise
            yield path

    async def size(self, key: str) -> int:
        """Return the size of a blob in bytes."""
        return await self._recheck_if_missing(key, self._store.size(key))

    async def digest(self, key: str) -> Blob:
        """Return size and SHA-256."""
        return await self._recheck_if_missing(key, self._store.digest(key))

    async def move(self, source: str, target: str) -> None:
        """Move the blob to another key."""
        self._store_check.raise_if_misplaced()
        await self._recheck_if_missing(source, self._store.move(source, target))

    async def delete(self, key: str) -> None:
        """Delete the blob."""
        self._store_check.raise_if_misplaced()
        await self._store.delete(key)

    async def list_page(
        self, prefix: str, position: str | None, limit: int
    ) -> tuple[list[StoredBlob], str | None]:
        """List blobs after a check, since callers delete blobs by this list."""
        await self._store_check.recheck()
        return await self._store.list_page(prefix, position, limit)

    async def sweep_temporary(self, older_than: timedelta) -> int:
        """Remove unfinished puts."""
        self._store_check.raise_if_misplaced()
        return await self._store.sweep_temporary(older_than)

    async def presign_put(self, key: str, *, size: int, expires_in: int) -> str | None:
        """Return a URL for a PUT."""
        self._store_check.raise_if_misplaced()
        return await self._store.presign_put(key, size=size, expires_in=expires_in)

    async def presign_get(
        self, key: str, *, expires_in: int, disposition: str, content_type: str
    ) -> str | None:
        """Return a URL for a GET."""
        self._store_check.raise_if_misplaced()
        return await self._store.presign_get(
            key, expires_in=expires_in, disposition=disposition, content_type=content_type
        )

    async def check(self) -> None:
        """Check that the store answers, and is the right one."""
        self._store_check.raise_if_misplaced()
        await self._store.check()

    async def _recheck_if_missing(self, key: str, lookup: Awaitable[_T]) -> _T:
        try:
            return await lookup
        except BlobNotFound:
            await self._recheck(key)
            raise

    async def _recheck(self, key: str) -> None:
        if not key.startswith(MAY_BE_MISSING):
            await self._store_check.recheck()
