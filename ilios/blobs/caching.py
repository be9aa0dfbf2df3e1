"""A cache of small blobs that were stored a moment ago, in front of a remote store.

The next step of a document usually runs in the same process: its type is detected, it is converted,
its Markdown is read. A key never gets other bytes, so the cache is never stale. A blob is cached
once the store has acknowledged it.
"""

from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Self

from actors.ports import Blobs, StoredBlob
from ilios.blobs.local_copies import LocalCopies
from schemas.documents import Blob

MAX_BLOB_BYTES = 256 * 1024  # of the largest blob that is cached
CAPACITY_BYTES = 32 * 1024 * 1024  # of all cached blobs


class CachingBlobs:
    """A caching ``actors.ports.Blobs``. Create one with ``open``."""

    def __init__(self, store: Blobs, copies: LocalCopies) -> None:
        self._store = store
        self._copies = copies
        self._cache: OrderedDict[str, bytes] = OrderedDict()
        self._cached_bytes = 0

    @classmethod
    @asynccontextmanager
    async def open(cls, store: Blobs, copies_dir: Path) -> AsyncIterator[Self]:
        """Open with an empty cache; local copies are in ``copies_dir``."""
        async with LocalCopies.open(copies_dir) as copies:
            yield cls(store, copies)

    async def put(self, key: str, chunks: AsyncIterable[bytes]) -> Blob:
        """Store a stream, and cache it if it is small."""
        self._evict(key)
        seen: list[bytes] = []
        size = 0

        async def passing() -> AsyncIterator[bytes]:
            nonlocal size
            async for chunk in chunks:
                size += len(chunk)
                seen.append(bytes(chunk))
                if size > MAX_BLOB_BYTES:
                    seen.clear()
                yield chunk

        blob = await self._store.put(key, passing())
        if size <= MAX_BLOB_BYTES:
            self._add(key, b"".join(seen))
        return blob

    async def put_bytes(self, key: str, data: bytes) -> Blob:
        """Store bytes, and cache them if they are few."""
        self._evict(key)
        blob = await self._store.put_bytes(key, data)
        self._add(key, data)
        return blob

    async def put_with_derived(
        self, key: str, data: bytes, derived_key: str, derived: bytes
    ) -> tuple[Blob, Blob]:
        """Store bytes and what is derived from them, and cache those that are few."""
        self._evict(key)
        self._evict(derived_key)
        blobs = await self._store.put_with_derived(key, data, derived_key, derived)
        self._add(key, data)
        self._add(derived_key, derived)
        return blobs

    async def read_ends(self, key: str, length: int) -> tuple[bytes, bytes]:
        """Return the first and the last ``length`` bytes."""
        cached = self._cache.get(key)
        if cached is None:
            return await self._store.read_ends(key, length)
        return cached[:length], cached[max(0, len(cached) - length) :]

    async def read(
        self, key: str, start: int = 0, stop: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Stream the blob, in one chunk if it is cached."""
        cached = self._cache.get(key)
        if cached is not None:
            if part := cached[start:stop]:
                yield part
            return
        async for chunk in self._store.read(key, start, stop):
            yield chunk

    @asynccontextmanager
    async def local_path(self, key: str) -> AsyncIterator[Path]:
        """Return the path of a copy."""
        cached = self._cache.get(key)
        if cached is None:
            async with self._store.local_path(key) as path:
                yield path
            return
        async with self._copies.copy_bytes(cached) as path:
            yield path

    async def move(self, source: str, target: str) -> None:
        """Move the blob to another key."""
        self._evict(source)
        self._evict(target)
        await self._store.move(source, target)

    async def delete(self, key: str) -> None:
        """Delete the blob."""
        self._evict(key)
        await self._store.delete(key)

    async def size(self, key: str) -> int:
        """Return the size in the store: like those below, callers need what is stored."""
        return await self._store.size(key)

    async def digest(self, key: str) -> Blob:
        """Return size and SHA-256 in the store."""
        return await self._store.digest(key)

    async def list_page(
        self, prefix: str, position: str | None, limit: int
    ) -> tuple[list[StoredBlob], str | None]:
        """List the blobs of the store."""
        return await self._store.list_page(prefix, position, limit)

    async def sweep_temporary(self, older_than: timedelta) -> int:
        """Sweep the store."""
        return await self._store.sweep_temporary(older_than)

    async def presign_put(self, key: str, *, size: int, expires_in: int) -> str | None:
        """Return a URL of the store for a PUT."""
        return await self._store.presign_put(key, size=size, expires_in=expires_in)

    async def presign_get(
        self, key: str, *, expires_in: int, disposition: str, content_type: str
    ) -> str | None:
        """Return a URL of the store for a GET."""
        return await self._store.presign_get(
            key, expires_in=expires_in, disposition=disposition, content_type=content_type
        )

    async def check(self) -> None:
        """Check the store."""
        await self._store.check()

    def _add(self, key: str, data: bytes) -> None:
        if len(data) > MAX_BLOB_BYTES:
            return
        self._cache[key] = data
        self._cached_bytes += len(data)
        while self._cached_bytes > CAPACITY_BYTES:
            _, oldest = self._cache.popitem(last=False)
            self._cached_bytes -= len(oldest)

    def _evict(self, key: str) -> None:
        if (cached := self._cache.pop(key, None)) is not None:
            self._cached_bytes -= len(cached)
