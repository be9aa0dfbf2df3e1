"""What the actors need of the world, as Protocols. The walls in ``ilios/`` fit them.

Errors an implementation may raise stand beside the port that raises them, because the actor has to
judge them: is another attempt worth it, and what does the owner of the document get to read?
"""

from collections.abc import AsyncIterable, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from schemas.documents import Blob
from schemas.records import BatchRecord


class BlobNotFound(Exception):
    """No blob lies under this key."""


class StorageFull(Exception):
    """There is no room left for the bytes; nothing of them was kept."""


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
    nothing behind when it fails or is cancelled.
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

    async def ends(self, key: str, length: int) -> tuple[bytes, bytes]:
        """Return the first and the last ``length`` bytes (fewer when the blob is shorter).

        :raises BlobNotFound: when nothing lies under the key.
        """
        ...

    def read(self, key: str) -> AsyncIterator[bytes]:
        """Stream the blob in chunks of bounded size.

        :raises BlobNotFound: on the first step, when nothing lies under the key.
        """
        ...

    def local_path(self, key: str) -> AbstractAsyncContextManager[Path]:
        """Lend a path on this machine under which the blob can be read; never write to it.

        :raises BlobNotFound: on entering, when nothing lies under the key.
        """
        ...

    async def size(self, key: str) -> int:
        """Return how many bytes lie under the key, without reading them.

        :raises BlobNotFound: when nothing lies under the key.
        """
        ...

    async def examine(self, key: str) -> Blob:
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

    async def page(
        self, prefix: str, position: str | None, limit: int
    ) -> tuple[list[StoredBlob], str | None]:
        """Return at most ``limit`` blobs under keys that begin with ``prefix``, and where to go on.

        The first page has the position None, each further one the position the page before gave,
        and after the last one that is None again. The order is the store's own. A position stays
        good while blobs come and go, and after a restart; over all pages, what lies there the
        whole time is met exactly once. A page may be short, even empty, before the last one.
        """
        ...

    async def sweep(self, older_than: timedelta) -> int:
        """Remove what is left of puts that nobody will finish; returns of how many.

        A put that is still under way may be taken for one only by a store that cannot know, and
        then not before it is ``older_than``.
        """
        ...

    async def presign_put(self, key: str, *, size: int, expires_in: int) -> str | None:
        """Return a URL to which anybody may PUT exactly ``size`` bytes for ``expires_in`` seconds.

        None when the store has no door of its own: then the caller has to open one.
        """
        ...


class Unfetchable(Exception):
    """A URL cannot be fetched. ``code`` is stable, ``reason`` a sentence for the owner."""

    def __init__(self, code: str, reason: str, *, retryable: bool) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.retryable = retryable


class Downloads(Protocol):
    """Fetches what a submission only points at, without ever reaching into private networks."""

    def fetch(self, url: str) -> AsyncIterator[bytes]:
        """Stream the body of ``url`` in chunks of bounded size.

        :raises Unfetchable: refused address, bad answer, too large, too slow.
        """
        ...


class SourceFile(Struct, frozen=True):
    """A document as an engine gets it: a readable path and what is known of the bytes there.

    Somebody waits for an ``urgent`` one: an engine that is busy lets it go first.
    """

    path: Path
    content_type: str
    sha256: str | None = None
    urgent: bool = False


class Conversion(Struct, frozen=True):
    """What an engine made of a document: the Markdown of each page, in page order.

    ``seconds`` is what the work took, without the wait for a free engine.
    """

    pages: tuple[str, ...]
    engine: str
    model: str
    seconds: float
    input_tokens: int = 0
    output_tokens: int = 0


class Unconvertible(Exception):
    """The engine has judged the document: no other attempt will do better.

    ``code`` is one of the stable failure codes (``corrupt``, ``password_protected``,
    ``unsupported_type``, ``too_large``, ``too_many_pages``, ``timeout``, ``out_of_memory``,
    ``integrity``); ``reason`` is a sentence for the owner.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class EngineCrashed(Exception):
    """The engine died under the document; the document may or may not be to blame.

    ``blame`` is true when the death looks like the document's own doing (a native abort or
    segmentation fault) and false when something else ended the engine (a kill from outside).
    ``full`` is true when a volume had no room for the work, which passes.
    """

    def __init__(self, reason: str, *, blame: bool, full: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.blame = blame
        self.full = full


class Engine(Protocol):
    """Makes Markdown of documents."""

    async def check(self) -> None:
        """Make sure that documents can be converted at the moment.

        :raises EngineCrashed: they cannot; the reason is for the operator.
        """
        ...

    async def convert(
        self, document: SourceFile, progress: Callable[[int, int], None] | None = None
    ) -> Conversion:
        """Convert one document; ``progress(done, total)`` is called with page counts if given.

        :raises Unconvertible: the document cannot be converted, now or later.
        :raises EngineCrashed: the engine died; it is already being replaced.
        """
        ...


PAGE_SEPARATOR = "\n\n---\n\n"
"""Stands between the Markdown of two pages."""


class OpenBatch(Struct, frozen=True):
    """A batch that is not known to be complete, and its documents that have not ended yet."""

    tenant: str
    batch_id: str
    unfinished: frozenset[str]


class Batches(Protocol):
    """What the database knows about batches."""

    async def batch(self, tenant: str, batch_id: str) -> BatchRecord | None:
        """Return the tenant's batch with its progress, or None."""
        ...

    async def open_batches(self) -> list[OpenBatch]:
        """Return every batch that is not known to be complete."""
        ...
