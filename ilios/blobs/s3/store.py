"""Blobs in a bucket: durable once S3 acknowledges them.

A blob is one object, named by the prefix and its key. This machine holds only parts in transfer,
and local copies for callers that need a path.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self
from weakref import WeakValueDictionary

import structlog

from actors.blob_keys import PREFIXES
from actors.ports import StorageFull, StorageUnavailable, StoredBlob
from ilios.blobs.layout import is_key, validate_key
from ilios.blobs.local_copies import LocalCopies
from ilios.blobs.s3 import S3Config, SharingHost, startup
from ilios.blobs.s3.bucket import Bucket, MultipartUpload, ObjectInfo
from ilios.blobs.s3.client import NOT_FOUND_CODES, S3ErrorResponse
from ilios.blobs.s3.object_reader import PRECONDITION_FAILED, ObjectReader, digest_object, download
from ilios.blobs.s3.upload import Upload
from schemas.documents import Blob

MAX_PARTS_IN_FLIGHT = 8
"""Parts in transfer, of all blobs: more would only share the bandwidth."""
COPY_ATTEMPTS = 3  # while the source is replaced
ABANDONED_AFTER = timedelta(days=1)
"""Age of an upload that no host can still be at: those of others are not seen to end."""
FULL_FOR = 30.0  # seconds for which health reports a full store, unless a put succeeds

log = structlog.get_logger("s3")


class S3Blobs:
    """A blob store in a bucket, as ``actors.ports.Blobs``. Create one with ``open``.

    Methods are for one event loop.
    """

    def __init__(
        self,
        bucket: Bucket,
        config: S3Config,
        copies: LocalCopies,
        owner: str,
        host: SharingHost | None = None,
    ) -> None:
        self._bucket = bucket
        self._config = config
        self._owner = owner
        self._host = host
        self._copies = copies
        self._part_slots = asyncio.Semaphore(MAX_PARTS_IN_FLIGHT)
        self._uploads: set[Upload] = set()
        self._cleanups: set[asyncio.Task[None]] = set()
        self._move_locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._full: StorageFull | None = None
        self._full_at = 0.0

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        config: S3Config,
        copies_dir: Path,
        owner: str,
        *,
        adopt: bool = True,
        host: SharingHost | None = None,
    ) -> AsyncIterator[Self]:
        """Check the bucket, abort multipart uploads of former runs, and open the store.

        :param copies_dir: the directory for local copies, created if missing.
        :param owner: the id of the owner of the blobs.
        :param adopt: whether a bucket without an owner may be claimed.
        :param host: this host, if others store blobs here too; None: nobody else does.
        :raises StorageMismatch: it may not, and has no owner.
        :raises StorageUnavailable: it is unusable; the message names the setting to change.
        """
        async with (
            startup.open_verified(
                config, owner, adopt=adopt, probe_id=host.probe_id if host else None
            ) as bucket,
            LocalCopies.open(copies_dir) as copies,
        ):
            store = cls(bucket, config, copies, owner, host)
            # Where no other process writes, nothing will finish an upload of whatever age.
            if swept := await store._abort_abandoned(None):
                log.info("multipart uploads of a former run aborted", count=swept)
            try:
                yield store
            finally:
                await asyncio.gather(*store._cleanups, return_exceptions=True)

    async def put(self, key: str, chunks: AsyncIterable[bytes]) -> Blob:
        """Store a stream of any length in constant memory, hashing it on the way.

        :raises StorageFull: S3 has no room.
        """
        async with self._open_upload(key) as upload:
            async for chunk in chunks:
                await upload.write(chunk)
            return await upload.finish(key)

    async def put_bytes(self, key: str, data: bytes) -> Blob:
        """Store bytes that are in memory.

        :raises StorageFull: S3 has no room.
        """
        async with self._open_upload(key) as upload:
            await upload.write_all(data)
            return await upload.finish(key)

    async def put_with_derived(
        self, key: str, data: bytes, derived_key: str, derived: bytes
    ) -> tuple[Blob, Blob]:
        """Store both at the same time, both durably.

        :raises StorageFull: S3 has no room.
        """
        puts = [
            asyncio.ensure_future(self.put_bytes(key, data)),
            asyncio.ensure_future(self.put_bytes(derived_key, derived)),
        ]
        try:
            first, second = await asyncio.gather(*puts)
        except BaseException:
            for one in puts:
                one.cancel()
            await asyncio.gather(*puts, return_exceptions=True)
            raise
        return first, second

    async def read_ends(self, key: str, length: int) -> tuple[bytes, bytes]:
        """Return the first and the last ``length`` bytes (fewer when the blob is shorter).

        :raises BlobNotFound: there is no blob of this key.
        """
        reader = ObjectReader(self._bucket, self._object_name(key))
        head = await _collect(reader.chunks(0, length))
        # An empty object has no first byte, and so no range.
        size = reader.info.size if reader.info else await self.size(key)
        if size <= length:
            return head, head
        return head, await _collect(reader.chunks(size - length, size))

    async def read(
        self, key: str, start: int = 0, stop: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Stream the blob, across broken connections.

        :raises BlobNotFound: on the first step, there is no blob of this key.
        """
        reader = ObjectReader(self._bucket, self._object_name(key))
        async with aclosing(reader.chunks(start, stop)) as chunks:
            async for chunk in chunks:
                yield chunk

    def local_path(self, key: str) -> AbstractAsyncContextManager[Path]:
        """Return the path of a local copy; leaving the context removes it.

        :raises BlobNotFound: on entering, there is no blob of this key.
        :raises StorageFull: on entering, there is no room for it on this machine.
        """
        return self._open_copy(self._object_name(key))

    async def size(self, key: str) -> int:
        """Return the size of a blob in bytes.

        :raises BlobNotFound: there is no blob of this key.
        """
        return (await self._bucket.head(self._object_name(key))).size

    async def digest(self, key: str) -> Blob:
        """Read the blob and return its size and SHA-256, in constant memory.

        :raises BlobNotFound: there is no blob of this key.
        """
        return await digest_object(self._bucket, self._object_name(key), key)

    async def move(self, source: str, target: str) -> None:
        """Copy the object within S3, check the size of the copy, and delete the source.

        :raises BlobNotFound: there is no blob of the key ``source``.
        :raises StorageFull: S3 has no room.
        """
        origin, goal = self._object_name(source), self._object_name(target)
        # One at a time, or two moves would both find the blob and both succeed.
        lock = self._move_locks.setdefault(source, asyncio.Lock())
        async with lock:
            found = await self._bucket.head(origin)
            if origin == goal:
                return
            found = await self._copy(origin, goal, found)
            if (await self._bucket.head(goal)).size != found.size:
                raise StorageUnavailable(f"S3 copied {origin} only in part")
            await self._bucket.delete(origin)

    async def delete(self, key: str) -> None:
        """Delete the blob; a missing one is no error."""
        await self._bucket.delete(self._object_name(key))

    async def list_page(
        self, prefix: str, position: str | None, limit: int
    ) -> tuple[list[StoredBlob], str | None]:
        """Return at most ``limit`` blobs in the order of their keys; a position is a key."""
        if limit < 1:
            message = f"a page holds at least one blob, not {limit}"
            raise ValueError(message)
        ours = self._config.prefix
        after = f"{ours}{position}" if position is not None else ""
        listed, more = await self._bucket.page(f"{ours}{prefix}", after, limit)
        found = [
            StoredBlob(key, one.size, one.modified_at.astimezone(UTC))
            for one in listed
            # Other programs may have put objects there.
            if is_key(key := one.name.removeprefix(ours))
        ]
        return found, listed[-1].name.removeprefix(ours) if more and listed else None

    async def sweep_temporary(self, older_than: timedelta) -> int:
        """Abort multipart uploads that are ``older_than``, and sweep local copies.

        Uploads of this process stay; those of others count as abandoned by their age.
        """
        return await self._copies.sweep(older_than) + await self._abort_abandoned(older_than)

    async def presign_put(self, key: str, *, size: int, expires_in: int) -> str | None:
        """Return a URL for a PUT of ``size`` bytes, if the store enforces that."""
        name = self._object_name(key)
        return await self._bucket.presign_put(name, size=size, expires_in=expires_in)

    async def presign_get(
        self, key: str, *, expires_in: int, disposition: str, content_type: str
    ) -> str | None:
        """Return a URL for a GET."""
        return await self._bucket.presign_get(
            self._object_name(key),
            expires_in=expires_in,
            disposition=disposition,
            content_type=content_type,
        )

    async def check(self) -> None:
        """Check that the bucket answers, has its owner, and was not full a moment ago.

        :raises StorageMismatch: it has another owner, or none.
        :raises StorageUnavailable: it does not answer, or is full.
        """
        await startup.verify_owner(self._bucket, self._config, self._owner)
        now = asyncio.get_running_loop().time()
        if self._full is not None and now - self._full_at < FULL_FOR:
            raise self._full

    @asynccontextmanager
    async def _open_upload(self, key: str) -> AsyncIterator[Upload]:
        """Open an upload, which is removed if the context fails."""
        upload = Upload(
            self._bucket,
            self._object_name(key),
            self._part_slots,
            single_put_max_bytes=self._config.single_put_max_bytes,
        )
        self._uploads.add(upload)
        try:
            yield upload
        except BaseException as error:
            if isinstance(error, StorageFull):
                self._full, self._full_at = error, asyncio.get_running_loop().time()
            await self._abandon(upload)
            raise
        else:
            self._full = None
        finally:
            self._uploads.discard(upload)

    async def _abandon(self, upload: Upload) -> None:
        tidying = asyncio.create_task(upload.abandon())
        self._cleanups.add(tidying)
        tidying.add_done_callback(self._cleanups.discard)
        # Shielded: a second cancellation must not stop the clean-up.
        await asyncio.shield(tidying)

    @asynccontextmanager
    async def _open_copy(self, name: str) -> AsyncIterator[Path]:
        async def fetch(
            require_room: Callable[[int], None], take: Callable[[bytes], Awaitable[None]]
        ) -> None:
            if not await download(self._bucket, name, take, require_room):
                raise StorageUnavailable(f"S3 sends other bytes of {name} than were put")

        async with self._copies.copy(fetch) as path:
            yield path

    async def _copy(self, origin: str, goal: str, found: ObjectInfo) -> ObjectInfo:
        for last in range(COPY_ATTEMPTS - 1, -1, -1):
            try:
                await self._bucket.copy(origin, goal, found)
                break
            except S3ErrorResponse as refused:
                # It was replaced or deleted since ``head``.
                if last == 0 or refused.code not in (PRECONDITION_FAILED, *NOT_FOUND_CODES):
                    raise
            found = await self._bucket.head(origin)
        return found

    async def _abort_abandoned(self, older_than: timedelta | None) -> int:
        """Abort uploads that are so old (None: of any age), but none another host may be at."""
        if self._host is not None:
            if not self._host.sweeps:
                return 0
            older_than = max(older_than or ABANDONED_AFTER, ABANDONED_AFTER)
        if older_than is None:
            return await self._abort_uploads(lambda _: True)
        before = datetime.now(UTC) - older_than
        return await self._abort_uploads(lambda one: one.initiated_at < before)

    async def _abort_uploads(self, is_stale: Callable[[MultipartUpload], bool]) -> int:
        """Abort stale multipart uploads, but none of this process."""
        aborted = 0
        async for one in self._bucket.multipart_uploads(self._config.prefix):
            # Without a prefix, uploads of other programs may be in the bucket.
            if not one.name.removeprefix(self._config.prefix).startswith(PREFIXES) or not is_stale(
                one
            ):
                continue
            if one.id not in {upload.id for upload in self._uploads}:
                await self._bucket.abort_multipart(one.name, one.id)
                aborted += 1
        return aborted

    def _object_name(self, key: str) -> str:
        return f"{self._config.prefix}{validate_key(key)}"


async def _collect(chunks: AsyncGenerator[bytes, None]) -> bytes:
    async with aclosing(chunks):
        return b"".join([chunk async for chunk in chunks])
