"""Remembers small blobs that were put a moment ago, in front of a store at the end of a network.

Whoever comes next with a document is in the same process as a rule: its type is looked at, it is
converted, its Markdown is read. Keys are never used for other bytes, so what is remembered is what
lies there; and it is remembered only once the store has said that it does.
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

MAX_BLOB_BYTES = 256 * 1024  # bytes of the largest blob that is remembered
CAPACITY_BYTES = 32 * 1024 * 1024  # bytes of all of them


class CachingBlobs:
    """A store in front of a store; fits ``actors.ports.Blobs``. Make one with ``open``."""

    def __init__(self, store: Blobs, copies: LocalCopies) -> None:
        self._store = store
        self._copies = copies
        self._cache: OrderedDict[str, bytes] = OrderedDict()
        self._cached_bytes = 0

    @classmethod
    @asynccontextmanager
    async def open(cls, store: Blobs, copies_dir: Path) -> AsyncIterator[Self]:
        """Begin with nothing remembered; ``borrowed`` is a directory for copies."""
        async with LocalCopies.open(copies_dir) as copies:
            yield cls(store, copies)

    async def put(self, key: str, chunks: AsyncIterable[bytes]) -> Blob:
        """Store a stream, and remember it if it turns out to be small."""
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
        """Store bytes, and remember them if they are few."""
        self._evict(key)
        blob = await self._store.put_bytes(key, data)
        self._add(key, data)
        return blob

    async def read_ends(self, key: str, length: int) -> tuple[bytes, bytes]:
        """Return the first and the last ``length`` bytes."""
        cached = self._cache.get(key)
        if cached is None:
            return await self._store.read_ends(key, length)
        return cached[:length], cached[max(0, len(cached) - length) :]

    async def read(
        self, key: str, start: int = 0, stop: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Stream the blob, in one piece if it is remembered."""
        cached = self._cache.get(key)
        if cached is not None:
            if part := cached[start:stop]:
                yield part
            return
        async for chunk in self._store.read(key, start, stop):
            yield chunk

    @asynccontextmanager
    async def local_path(self, key: str) -> AsyncIterator[Path]:
        """Lend the path of a copy."""
        cached = self._cache.get(key)
        if cached is None:
            async with self._store.local_path(key) as path:
                yield path
            return
        async with self._copies.copy_bytes(cached) as path:
            yield path

    async def move(self, source: str, target: str) -> None:
        """Let the bytes lie under another key."""
        self._evict(source)
        self._evict(target)
        await self._store.move(source, target)

    async def delete(self, key: str) -> None:
        """Remove the blob, and forget it."""
        self._evict(key)
        await self._store.delete(key)

    async def size(self, key: str) -> int:
        """Ask the store itself, as do all that follow: they are asked whether it is there."""
        return await self._store.size(key)

    async def digest(self, key: str) -> Blob:
        """Have the store read what lies there."""
        return await self._store.digest(key)

    async def list_page(
        self, prefix: str, position: str | None, limit: int
    ) -> tuple[list[StoredBlob], str | None]:
        """List what the store has."""
        return await self._store.list_page(prefix, position, limit)

    async def sweep_temporary(self, older_than: timedelta) -> int:
        """Have the store sweep, and the copies."""
        return await self._store.sweep_temporary(older_than)

    async def presign_put(self, key: str, *, size: int, expires_in: int) -> str | None:
        """Have the store sign a PUT."""
        return await self._store.presign_put(key, size=size, expires_in=expires_in)

    async def presign_get(
        self, key: str, *, expires_in: int, disposition: str, content_type: str
    ) -> str | None:
        """Have the store sign a GET."""
        return await self._store.presign_get(
            key, expires_in=expires_in, disposition=disposition, content_type=content_type
        )

    async def check(self) -> None:
        """Ask the store whether it answers."""
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
