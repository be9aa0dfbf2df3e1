"""What the actors need of the world, as Protocols. The walls in ``ilios/`` fit them.

Errors an implementation may raise stand beside the port that raises them, because the actor has to
judge them: is another attempt worth it, and what does the owner of the document get to read?
"""

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from actors.writes import Cursor
from bus.streams import StreamIdentity
from schemas.documents import Blob
from schemas.records import BatchRecord


class BlobNotFound(Exception):
    """No blob lies under this key."""


class StorageUnavailable(Exception):
    """The store does not answer or fails; what was asked of it may be asked again, unchanged.

    It says nothing about the bytes: what lay there lies there. The message is for the operator.
    """


class StorageFull(StorageUnavailable):
    """There is no room left for the bytes; nothing of them was kept."""


class StorageMismatch(StorageUnavailable):
    """The store answers, but what must lie there does not: it is another one, or was emptied.

    Nothing may be concluded from what is missing in it, and nothing may be swept.
    """


class StorageMisconfigured(StorageUnavailable):
    """The store refuses what the settings ask of it, and will until one of them is changed."""


class StorageForeign(StorageUnavailable):
    """The blobs in the store belong to another data directory, of which this is not the volume."""


class StoredBlob(Struct, frozen=True):
    """What a store knows of a blob without reading it.

    ``modified_at`` (UTC) is when the bytes came to lie under this key, by a put or a move.
    """

    key: str
    size: int
    modified_at: datetime


class Blobs(Protocol):
    """A store of bytes under keys of our own making (``originals/<tenant>/<id>``).

    A ``put`` returns after the bytes are durable, replaces what lay there in one step, and leaves
    nothing behind when it fails or is cancelled. A store at the other end of a network may raise
    StorageUnavailable wherever it is awaited; that nothing lies under a key it says only if it
    knows.
    """

    async def put(self, key: str, chunks: AsyncIterable[bytes]) -> Blob:
        """Store a stream of any length in constant memory, hashing it on the way.

        :raises StorageFull: when the volume has no room.
        """
        ...

    async def put_bytes(self, key: str, data: bytes) -> Blob:
        """Store bytes that are in memory anyway.

        :raises StorageFull: when the volume has no room.
        """
        ...

    async def read_ends(self, key: str, length: int) -> tuple[bytes, bytes]:
        """Return the first and the last ``length`` bytes (fewer when the blob is shorter).

        :raises BlobNotFound: when nothing lies under the key.
        """
        ...

    def read(
        self, key: str, start: int = 0, stop: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Stream the blob in chunks of bounded size, from byte ``start`` to before ``stop``.

        What lies beyond its end is left out; ``stop`` of None is the end. Who does not read to the
        end closes it, or holds a file or a connection.

        :raises BlobNotFound: on the first step, when nothing lies under the key.
        """
        ...

    def local_path(self, key: str) -> AbstractAsyncContextManager[Path]:
        """Lend a path on this machine under which the blob can be read; never write to it.

        :raises BlobNotFound: on entering, when nothing lies under the key.
        :raises StorageFull: on entering, when it has to be brought here and there is no room.
        """
        ...

    async def size(self, key: str) -> int:
        """Return how many bytes lie under the key, without reading them.

        :raises BlobNotFound: when nothing lies under the key.
        """
        ...

    async def digest(self, key: str) -> Blob:
        """Read what lies under the key and return its size and SHA-256, in constant memory.

        :raises BlobNotFound: when nothing lies under the key.
        """
        ...

    async def move(self, source: str, target: str) -> None:
        """Let the bytes lie under ``target`` and no longer under ``source``; replaces the target.

        Returns after that is durable. When it is broken off they may lie under both, never under
        neither, and it may simply be done again. When it was done but its caller did not hear of
        it, a repetition raises BlobNotFound, and what lies under ``target`` lies there durably.
        A reader that has begun finishes. Moving a blob to where it lies changes nothing.

        :raises BlobNotFound: when nothing lies under ``source``.
        :raises StorageFull: when the volume has no room.
        """
        ...

    async def delete(self, key: str) -> None:
        """Remove the blob; deleting what is not there is no error."""
        ...

    async def list_page(
        self, prefix: str, position: str | None, limit: int
    ) -> tuple[list[StoredBlob], str | None]:
        """Return at most ``limit`` blobs under keys that begin with ``prefix``, and where to go on.

        The first page has the position None, each further one the position the page before gave,
        and after the last one that is None again. The order is the store's own. A position stays
        good while blobs come and go, and after a restart; over all pages, what lies there the
        whole time is met exactly once. A page may be short, even empty, before the last one.
        """
        ...

    async def sweep_temporary(self, older_than: timedelta) -> int:
        """Remove what is left of puts that nobody will finish; returns of how many.

        A put that is still under way may be taken for one only by a store that cannot know, and
        then not before it is ``older_than``.
        """
        ...

    async def presign_put(self, key: str, *, size: int, expires_in: int) -> str | None:
        """Return a URL to which anybody may PUT exactly ``size`` bytes for ``expires_in`` seconds.

        None when the store has no door of its own: then the caller has to open one. Whether
        exactly so many came has to be looked at afterwards: not every store counts.
        """
        ...

    async def presign_get(
        self, key: str, *, expires_in: int, disposition: str, content_type: str
    ) -> str | None:
        """Return a URL from which anybody may GET the blob for ``expires_in`` seconds.

        It answers with these two as its ``Content-Disposition`` and ``Content-Type``. None as for
        ``presign_put``.
        """
        ...

    async def check(self) -> None:
        """Make sure that the store answers at the moment; costs little.

        :raises StorageUnavailable: it does not; the message says what the operator can do.
        """
        ...


class DownloadFailed(Exception):
    """A URL cannot be fetched. ``code`` is stable, ``reason`` a sentence for the owner."""

    def __init__(self, code: str, reason: str, *, retryable: bool) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.retryable = retryable


class Downloader(Protocol):
    """Fetches what a submission only points at, without ever reaching into private networks."""

    def fetch(self, url: str) -> AsyncIterator[bytes]:
        """Stream the body of ``url`` in chunks of bounded size.

        :raises Unfetchable: refused address, bad answer, too large, too slow.
        """
        ...


class OpenBatch(Struct, frozen=True):
    """A batch that is not known to be complete, and its documents that have not ended yet."""

    tenant: str
    batch_id: str
    unfinished: frozenset[str]


class BatchQueries(Protocol):
    """What the database knows about batches."""

    async def batch(self, tenant: str, batch_id: str) -> BatchRecord | None:
        """Return the tenant's batch with its progress, or None."""
        ...

    async def open_batches(self) -> list[OpenBatch]:
        """Return every batch that is not known to be complete."""
        ...


class Losses(Protocol):
    """Remembers what the log has lost, for the operator to see to it."""

    async def record_loss(self, cursor: Cursor, log: StreamIdentity) -> None:
        """Note that the log is not the one, or ends before what, the database was written from."""
        ...

    def may_affect(self, stored_at: datetime) -> bool:
        """Whether what was stored then may have been submitted by an event that was lost."""
        ...


class NoLosses:
    """Nothing was ever lost, and nothing is remembered."""

    async def record_loss(self, cursor: Cursor, log: StreamIdentity) -> None:
        """Forget it."""

    def may_affect(self, _stored_at: datetime) -> bool:
        """Nothing is concerned."""
        return False
