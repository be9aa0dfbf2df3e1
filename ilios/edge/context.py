"""The collaborators of the HTTP handlers, and the keys they are found under in the application."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Protocol

from aiohttp import web
from msgspec import Struct

from actors.ports import Blobs
from bus.log import NewestEvent, StoredBatchSubmission, StoredRejection
from bus.reader import LogPosition
from bus.stored_messages import StoredMessage
from ilios.edge.client_slots import ClientSlots
from ilios.edge.waited import WaitedDocuments
from ilios.integrity.faults import Faults
from ilios.metrics.exposition import Exposition
from ilios.runtime.keyed_lock import KeyedLock
from schemas.batches import AnyBatchEvent
from schemas.documents import (
    AnyDocumentEvent,
    DocumentCancelled,
    DocumentCompleted,
    DocumentFailed,
    DocumentSubmitted,
)
from schemas.lists import BatchListRequest, DocumentListRequest, Page
from schemas.options import EngineName
from schemas.pages import DraftsReply
from schemas.records import (
    BatchRecord,
    DocumentHistory,
    DocumentRecord,
    OperationUsage,
    UsageTotal,
)
from schemas.replies import BatchStatus, DocumentStatus
from schemas.service_replies import HealthReport


class Publisher(Protocol):
    """Publishes events on the log."""

    async def publish(self, event: AnyDocumentEvent | AnyBatchEvent) -> object:
        """Return after the log has the event on disk.

        :raises bus.errors.BusUnavailable: the log did not answer.
        :raises bus.errors.BusFull: the log has no room.
        :raises bus.errors.EventTooLarge: the log does not take events of this size.
        """
        ...

    async def publish_if_first(self, event: AnyDocumentEvent | AnyBatchEvent) -> object:
        """Publish an event unless the log has one of its kind under this id.

        :raises bus.errors.AlreadyPublished: it has; other errors as ``publish``.
        """
        ...

    async def publish_after(self, event: AnyDocumentEvent, sequence: int) -> object:
        """Publish an event unless the log has one about its document after ``sequence``.

        :raises bus.errors.NewerEvents: it has; other errors as ``publish``.
        """
        ...


class Log(Protocol):
    """Submissions on the log, which the database may not have yet."""

    async def submission(self, tenant: str, document_id: str) -> DocumentSubmitted | None:
        """Return what was submitted under this id.

        :raises bus.errors.BusUnavailable: the log did not answer.
        """
        ...

    async def batch(self, tenant: str, batch_id: str) -> StoredBatchSubmission | None:
        """Return the batch that was submitted under this id. Errors as ``submission``."""
        ...

    async def rejection(self, tenant: str, document_id: str) -> StoredRejection | None:
        """Return the rejection of an invalid submission. Errors as ``submission``."""
        ...

    async def newest(
        self, tenant: str, document_id: str, event_name: str = "*"
    ) -> NewestEvent | None:
        """Return the place and kind of the last event of a document, optionally of one kind.

        Errors as ``submission``.
        """
        ...


class EventLog(Protocol):
    """The events of the log in its order. All methods may raise ``bus.errors.BusUnavailable``."""

    async def end(self) -> LogPosition:
        """Return the position of the newest event."""
        ...

    async def reaches(self, position: LogPosition) -> bool:
        """Whether the log is still that of a position, and has every event after it."""
        ...

    async def read(self, after: int, subject: str | None = None) -> list[StoredMessage]:
        """Return the next events after a sequence, on a subject or filter; none at the end."""
        ...

    async def read_all(self, subject: str) -> list[StoredMessage]:
        """Return all events on the subjects of one document or batch."""
        ...

    def notices(self, callback: Callable[[], None]) -> AbstractAsyncContextManager[None]:
        """Call ``callback`` when there may be something new, while the context is open."""
        ...


class Outcome(Protocol):
    """The end of one document."""

    async def wait(self) -> DocumentCompleted | DocumentFailed | DocumentCancelled:
        """Wait for it, without a limit; it may be missed while the bus reconnects."""
        ...


class Outcomes(Protocol):
    """Notifies of the ends of documents and batches."""

    def watch(
        self, tenant: str, document_id: str, priority: int | None = None
    ) -> AbstractAsyncContextManager[Outcome]:
        """Listen to one document; to be entered before it is submitted.

        Without ``priority`` it is listened to by itself, whatever its priority is.
        """
        ...

    def watch_batch(self, tenant: str, batch_id: str) -> AbstractAsyncContextManager[asyncio.Event]:
        """Listen to one batch; the event is set when it ends."""
        ...


class PageSource(Protocol):
    """Pages of documents that are still converted."""

    async def drafts(self, tenant: str, document_id: str, since: int = 0) -> DraftsReply:
        """Return pages after ``since``; none where nobody has any.

        :raises bus.errors.BusUnavailable: nobody answers.
        """
        ...

    def watch(self, tenant: str, document_id: str) -> AbstractAsyncContextManager[asyncio.Event]:
        """Set the event when pages are converted, while the context is open. Errors as above."""
        ...


class Progress(Protocol):
    """How far documents are that have not ended."""

    async def add_to(self, status: DocumentStatus, document: DocumentRecord) -> DocumentStatus:
        """Return the status with what is known of its progress."""
        ...

    async def add_to_batch(
        self, status: BatchStatus, batch: BatchRecord, documents: Sequence[DocumentRecord] = ()
    ) -> BatchStatus:
        """Return the status of a batch, and of its documents in it, with their progress."""
        ...


class DocumentQueries(Protocol):
    """Documents in the database."""

    async def document(self, tenant: str, document_id: str) -> DocumentRecord | None:
        """Return the tenant's document, or None."""
        ...

    async def history(self, tenant: str, document_id: str) -> DocumentHistory:
        """Return what happened to the tenant's document, as far as it is recorded."""
        ...


class BatchQueries(Protocol):
    """Batches in the database."""

    async def batch(self, tenant: str, batch_id: str) -> BatchRecord | None:
        """Return the tenant's batch with its progress, or None."""
        ...

    async def documents(self, tenant: str, batch_id: str) -> list[DocumentRecord]:
        """Return the documents of a batch in its order."""
        ...


class ListQueries(Protocol):
    """Lists of documents and batches in the database."""

    async def documents(self, wanted: DocumentListRequest) -> Page[DocumentRecord]:
        """Return a page of documents."""
        ...

    async def batches(self, wanted: BatchListRequest) -> Page[BatchRecord]:
        """Return a page of batches."""
        ...


class Passwords(Protocol):
    """Stores passwords of protected documents, sealed."""

    async def put(self, tenant: str, document_id: str, password: str) -> None:
        """Store the password of a document; durable on return. Errors as ``Blobs.put``."""
        ...


class UsageQueries(Protocol):
    """Usage in the database; the range is inclusive, None leaves an end open."""

    async def total(
        self, tenant: str, within: tuple[datetime | None, datetime | None]
    ) -> UsageTotal:
        """Return all usage of a tenant whose conversions ended in that time."""
        ...

    async def by_operation(
        self, tenant: str, within: tuple[datetime | None, datetime | None]
    ) -> list[OperationUsage]:
        """Return the same by operation."""
        ...


class Limits(Struct, frozen=True, kw_only=True):
    """Limits of requests and connections. Sizes are bytes, times seconds."""

    max_file_bytes: int = 1024**3
    max_field_bytes: int = 64 * 1024
    max_parts: int = 20
    """Parts of a form, not counting a batch's further files. Thousands would hold the loop up."""
    read_timeout: float = 30.0
    """A client may be silent this long while it sends."""
    slow_upload_grace: float = 60.0
    """An upload may be slower than ``min_bytes_per_second`` this long."""
    min_bytes_per_second: int = 8 * 1024
    convert_timeout: float = 300.0
    """How long ``/v1/convert`` waits before it answers 202."""
    poll_interval: float = 1.0
    """How often a waiter reads the database, in case it missed the event."""
    removal_timeout: float = 5.0
    """How long ``DELETE`` waits for the database before it answers 202."""
    health_timeout: float = 5.0
    max_connections: int = 1000
    max_listeners: int = 1000
    """Streams of events, which are no connections of the limit above."""
    slow_listener_timeout: float = 30.0
    """A client may be without room for the next event this long, then its stream is broken off."""
    max_uploads: int = 64
    """Bodies of uploads that are read at once."""
    max_followers: int = 100
    """Clients that follow the pages of documents at once."""
    follow_heartbeat: float = 15.0
    """How often a client that follows pages gets a line while there are none."""
    upload_slot_timeout: float = 2.0
    """How long an upload waits for others to be through, before it is refused."""
    header_timeout: float = 15.0
    """A client may take this long to send the header of a request."""
    small_body_grace: float = 10.0
    """``grace`` of bodies that are small, so that slow ones hold no connection for a minute."""
    send_timeout: float = 120.0
    """A client may be without room for a single byte of its answer this long. More than a minute,
    because a system lets nobody send to it before a sixteenth of its buffer is free."""
    half_closed_timeout: float = 30.0
    """A client that has closed its side may wait this long for its answer to begin."""


class DiskSpace(Protocol):
    """Guard of the free disk space. Sizes are bytes."""

    def check(self, size: int = 0) -> None:
        """Let pass an upload of this size.

        :raises actors.ports.StorageFull: there is no room for it.
        """
        ...

    def reserve(self, size: int) -> None:
        """Count bytes that are about to be written. Errors as ``check``."""
        ...


class UploadSigner(Protocol):
    """Signs uploads. Times are seconds since 1970."""

    def derive_key(self, purpose: str) -> bytes:
        """Return a key for another purpose."""
        ...

    def sign(self, tenant: str, document_id: str, size: int, expires_at: int) -> str:
        """Return the signature for an upload of exactly ``size`` bytes before ``expires_at``."""
        ...

    def verify(
        self, signature: str, tenant: str, document_id: str, size: int, expires_at: int
    ) -> None:
        """Return if ``signature`` was made for these values and has not expired.

        :raises ilios.edge.signed_urls.SignatureError: otherwise.
        """
        ...


WAIT_SHARE = 2
"""One in so many connections may wait; the others are for those who submit and read."""

Health = Callable[[], Awaitable[HealthReport]]


@dataclass(frozen=True, kw_only=True)
class Edge:
    """The collaborators of the edge. Without ``api_keys`` everybody is the tenant "default"."""

    publisher: Publisher
    log: Log
    events: EventLog
    outcomes: Outcomes
    reads: DocumentQueries
    pages: PageSource
    progress: Progress
    batches: BatchQueries
    lists: ListQueries
    usage: UsageQueries
    blobs: Blobs
    passwords: Passwords
    disk_space: DiskSpace
    health: Health
    signer: UploadSigner
    engines: tuple[EngineName, ...] = ("local",)
    """The engines that are set up."""
    original_redirect: bool = False
    """Whether originals are redirected to the store, where it has public URLs."""
    public_url: str | None = None
    """The URL clients reach the edge by; None trusts their ``Host``."""
    allowed_origins: tuple[str, ...] = ()
    """Other origins whose pages may have documents fetched by URL where no key is needed."""
    allowed_hosts: tuple[str, ...] = ()
    """Further names in ``Host`` for which documents are fetched by URL where no key is needed."""
    api_keys: tuple[str, ...] = field(default=(), repr=False)
    limits: Limits = field(default_factory=Limits)
    faults: Faults = field(default_factory=Faults)
    """While one of them is blocking, every request is refused."""
    is_alive: Callable[[], bool] = lambda: True
    """Whether the core of the service answers; one that hangs needs a restart."""
    check_faults: Callable[[], None] = lambda: None
    """Checks for faults; called before an accepted write is answered."""
    metrics: Exposition | None = None
    metrics_key: str | None = field(default=None, repr=False)
    """With this key metrics are read beside the interface; without one, not there."""
    upload_locks: KeyedLock = field(default_factory=KeyedLock)
    """By tenant and document: requests that complete or withdraw the same upload take turns."""
    waited: WaitedDocuments = field(default_factory=WaitedDocuments)

    @cached_property
    def wait_slots(self) -> ClientSlots:
        """The slots of clients that wait for an end, by HTTP and on the bus."""
        limit = self.limits.max_connections // WAIT_SHARE
        return ClientSlots(limit, multi_tenant=len(self.api_keys) > 1)


EDGE = web.AppKey("edge", Edge)
REQUEST_ID = web.RequestKey("request_id", str)
TENANT = web.RequestKey("tenant", str)
SHUTTING_DOWN = web.AppKey("closing", asyncio.Event)
