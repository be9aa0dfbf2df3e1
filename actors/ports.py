"""Interfaces between the actors and the outside, as Protocols that ``ilios/`` implements.

The errors of an implementation are defined beside its interface, because the actor decides by them
whether another attempt makes sense, and what the owner of the document gets to read.
"""

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal, Protocol

from msgspec import Struct

from actors.text_sniffing import Claim
from actors.writes import ClockState, Cursor
from bus.subjects import StreamIdentity
from schemas.documents import Blob
from schemas.records import BatchRecord, DocumentRecord


class BlobNotFound(Exception):
    """There is no blob with this key."""


class StorageUnavailable(Exception):
    """The store does not answer or fails; the call may be repeated.

    It does not mean that the blob is missing. The message is for the operator.
    """


class StorageFull(StorageUnavailable):
    """There is no room for the bytes; nothing was stored."""


class StorageMismatch(StorageUnavailable):
    """The store answers, but blobs that must exist do not: it is another one, or was emptied.

    Missing blobs prove nothing then, and nothing may be deleted.
    """


class StorageMisconfigured(StorageUnavailable):
    """The store refuses calls until a setting is changed."""


class StorageForeign(StorageUnavailable):
    """The blobs in the store belong to another data directory."""


class StoredBlob(Struct, frozen=True):
    """Properties of a blob.

    ``modified_at`` (UTC) is when the bytes were put under this key or moved to it.
    """

    key: str
    size: int
    modified_at: datetime


class Blobs(Protocol):
    """A store of bytes under keys of the service (``originals/<tenant>/<id>``).

    A ``put`` returns after the bytes are durable, replaces an existing blob atomically, and leaves
    nothing behind when it fails or is cancelled. Every method of a remote store may raise
    StorageUnavailable; it raises BlobNotFound only if it is certain.
    """

    async def put(self, key: str, chunks: AsyncIterable[bytes]) -> Blob:
        """Store a stream of any length in constant memory, and compute its digest.

        :raises StorageFull: when the volume has no room.
        """
        ...

    async def put_bytes(self, key: str, data: bytes) -> Blob:
        """Store bytes.

        :raises StorageFull: when the volume has no room.
        """
        ...

    async def put_with_derived(
        self, key: str, data: bytes, derived_key: str, derived: bytes
    ) -> tuple[Blob, Blob]:
        """Store bytes, and beside them others that can be made of them again.

        When it returns, only the first are certain to survive a power cut; both survive the end of
        the process. When it fails, the first may be stored.

        :raises StorageFull: when the volume has no room.
        """
        ...

    async def read_ends(self, key: str, length: int) -> tuple[bytes, bytes]:
        """Return the first and the last ``length`` bytes (fewer when the blob is shorter).

        :raises BlobNotFound: there is no blob with the key.
        """
        ...

    def read(
        self, key: str, start: int = 0, stop: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Stream the blob in chunks of bounded size, from byte ``start`` to before ``stop``.

        A range may end beyond the blob; ``stop`` of None is the end. A caller that does not read to
        the end has to close the generator, which holds a file or a connection.

        :raises BlobNotFound: on the first step, there is no blob with the key.
        """
        ...

    def local_path(self, key: str) -> AbstractAsyncContextManager[Path]:
        """Provide a read-only path of the blob on this machine while the context is open.

        :raises BlobNotFound: on entering, there is no blob with the key.
        :raises StorageFull: on entering, it has to be downloaded and there is no room.
        """
        ...

    async def size(self, key: str) -> int:
        """Return the size of the blob without reading it.

        :raises BlobNotFound: there is no blob with the key.
        """
        ...

    async def digest(self, key: str) -> Blob:
        """Read the blob and return its size and SHA-256, in constant memory.

        :raises BlobNotFound: there is no blob with the key.
        """
        ...

    async def move(self, source: str, target: str) -> None:
        """Move a blob to the key ``target``, replacing an existing one; returns when durable.

        An interrupted move may leave the blob under both keys, never under neither, and may be
        repeated. Repeating a finished move raises BlobNotFound, and ``target`` is durable then. A
        reader that has begun finishes. Moving a blob to its own key has no effect.

        :raises BlobNotFound: there is no blob ``source``.
        :raises StorageFull: when the volume has no room.
        """
        ...

    async def delete(self, key: str) -> None:
        """Delete the blob; a missing one is no error."""
        ...

    async def list_page(
        self, prefix: str, position: str | None, limit: int
    ) -> tuple[list[StoredBlob], str | None]:
        """Return at most ``limit`` blobs whose keys begin with ``prefix``, and the next position.

        The first page has the position None, each further one the position returned before, which
        is None after the last page. The order is that of the store. A position stays valid while
        blobs are added and deleted, and after a restart; a blob that exists all the time is listed
        exactly once. A page may be short, even empty, before the last one.
        """
        ...

    async def sweep_temporary(self, older_than: timedelta) -> int:
        """Delete what unfinished puts have left behind; returns how many.

        A store that cannot separate them from running puts deletes only those ``older_than``.
        """
        ...

    async def presign_put(self, key: str, *, size: int, expires_in: int) -> str | None:
        """Return a URL that accepts a PUT of exactly ``size`` bytes for ``expires_in`` seconds.

        None if the store has no public address. The size has to be checked afterwards, because not
        every store does.
        """
        ...

    async def presign_get(
        self, key: str, *, expires_in: int, disposition: str, content_type: str
    ) -> str | None:
        """Return a URL for a GET of the blob for ``expires_in`` seconds.

        Its response has the given ``Content-Disposition`` and ``Content-Type``. None as for
        ``presign_put``.
        """
        ...

    async def check(self) -> None:
        """Check that the store answers at the moment; costs little.

        :raises StorageUnavailable: it does not; the message contains a remedy for the operator.
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
    """Downloads documents from public addresses, never from private networks."""

    def fetch(
        self, url: str, on_answer: Callable[[Claim], None] | None = None
    ) -> AsyncIterator[bytes]:
        """Stream the body of ``url`` in chunks of bounded size.

        ``on_answer`` receives, before the first of them, the name and the type that the source
        gives the document.

        :raises DownloadFailed: refused address, bad response, too large, too slow.
        """
        ...


class OpenBatch(Struct, frozen=True):
    """A batch that is not complete in the database, and its unfinished documents."""

    tenant: str
    batch_id: str
    unfinished: frozenset[str]


class BatchQueries(Protocol):
    """Queries about batches."""

    async def batch(self, tenant: str, batch_id: str) -> BatchRecord | None:
        """Return the tenant's batch with its progress, or None."""
        ...

    async def open_batches(self) -> list[OpenBatch]:
        """Return every batch that is not complete in the database."""
        ...


class Losses(Protocol):
    """Records of lost events of the log, for the operator."""

    async def record_loss(self, cursor: Cursor, log: StreamIdentity) -> None:
        """Record that the log is another one than that of the database, or has lost its end."""
        ...

    def may_affect(self, stored_at: datetime) -> bool:
        """Whether a blob stored then may belong to a submission that was lost."""
        ...


class NoLosses:
    """An implementation without losses."""

    async def record_loss(self, cursor: Cursor, log: StreamIdentity) -> None:
        """Do nothing."""

    def may_affect(self, _stored_at: datetime) -> bool:
        """Return False: nothing was lost."""
        return False


SWEEP_INTERVAL = 60.0  # seconds between passes

ExpiryAction = Literal["archive", "delete"]
"""The action when the retention of a document is over."""


class OverdueQueries(Protocol):
    """Queries for documents with a deadline. Every result is bounded."""

    async def overdue_documents(self, now: datetime, limit: int) -> list[DocumentRecord]:
        """Return unfinished documents whose deadline has passed, the earliest first."""
        ...


class MaintenanceQueries(Protocol):
    """Queries for documents that may need work. Every result is bounded."""

    async def running_time(self) -> timedelta:
        """Return the stored running time of the service."""
        ...

    async def clock_state(self) -> ClockState:
        """Return the stored state of the clock guard."""
        ...

    async def first_sweep_at(self) -> datetime | None:
        """Return the time of the first pass, which is about the age of the database."""
        ...

    async def expired_documents(
        self, now: datetime, limit: int, *, with_archived: bool
    ) -> list[DocumentRecord]:
        """Return ended documents whose retention is over, the oldest first."""
        ...

    async def count_expirable(self) -> int:
        """Return the number of ended documents that will expire."""
        ...

    async def documents_to_erase(self, limit: int) -> list[DocumentRecord]:
        """Return removed documents whose bytes are not recorded as erased."""
        ...

    async def unfinished_documents(
        self, before: datetime, after: DocumentRecord | None, limit: int
    ) -> list[DocumentRecord]:
        """Return documents submitted ``before`` then that have not ended, oldest first.

        ``after`` is the last one of the previous portion. Those from the future, of a clock that
        was ahead, come last.
        """
        ...

    async def lookup(self, names: Iterable[tuple[str, str]]) -> list[DocumentRecord]:
        """Return the existing documents of these (tenant, id)."""
        ...
