"""Fakes of ports: they record calls, and answer as a test sets them up."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import msgspec

from bus.errors import AlreadyPublished, NewerEvents
from bus.log import NewestEvent, StoredBatchSubmission, StoredRejection
from bus.reader import LOG_START, LogPosition
from bus.stored_messages import StoredMessage
from schemas.batches import AnyBatchEvent, BatchSubmitted
from schemas.documents import (
    AnyDocumentEvent,
    DocumentCancelled,
    DocumentCompleted,
    DocumentFailed,
    DocumentSubmitted,
)
from schemas.lists import BatchListRequest, DocumentListRequest, Page
from schemas.pages import DraftsReply
from schemas.records import (
    BatchRecord,
    DocumentHistory,
    DocumentRecord,
    OperationUsage,
    UsageTotal,
)
from schemas.replies import BatchStatus, DocumentStatus
from schemas.results import PageResult

SubmissionCallback = Callable[[DocumentSubmitted], Awaitable[None]]


class FakePublisher:
    """Records what is published; ``on_submission`` is called with submissions.

    ``error`` is raised instead, ``error_after_publish`` although the log has the event by then.
    """

    def __init__(self, log: "FakeLog | None" = None) -> None:
        self.published: list[AnyDocumentEvent | AnyBatchEvent] = []
        self.error: Exception | None = None
        self.error_after_publish: Exception | None = None
        self.on_submission: SubmissionCallback | None = None
        self._log = log or FakeLog()

    async def publish(self, event: AnyDocumentEvent | AnyBatchEvent) -> int:
        if self.error is not None:
            raise self.error
        self.published.append(event)
        if isinstance(event, DocumentSubmitted | BatchSubmitted):
            self._log.add(event)
        if self.error_after_publish is not None:
            raise self.error_after_publish
        if self.on_submission is not None and isinstance(event, DocumentSubmitted):
            await self.on_submission(event)
        return len(self.published)

    async def publish_after(self, event: AnyDocumentEvent, sequence: int) -> int:
        newest = await self._log.newest(event.tenant, event.document_id)
        if (newest.sequence if newest else 0) != sequence:
            raise NewerEvents
        return await self.publish(event)

    async def publish_if_first(self, event: AnyDocumentEvent | AnyBatchEvent) -> int:
        if isinstance(event, DocumentSubmitted | BatchSubmitted) and self._log.has(event):
            raise AlreadyPublished
        if event in self.published:
            raise AlreadyPublished
        return await self.publish(event)

    @property
    def submitted(self) -> DocumentSubmitted:
        """The only submission there was."""
        (event,) = self.published
        assert isinstance(event, DocumentSubmitted)
        return event


class FakeLog:
    """Stores the submissions it is given."""

    def __init__(self) -> None:
        self.submissions: dict[tuple[str, str], DocumentSubmitted] = {}
        self.batches: dict[tuple[str, str], StoredBatchSubmission] = {}
        self.newest_events: dict[tuple[str, str], NewestEvent] = {}
        self.rejections: dict[tuple[str, str], StoredRejection] = {}
        self.earlier_events: dict[tuple[str, str, str], NewestEvent] = {}
        self.error: Exception | None = None

    async def submission(self, tenant: str, document_id: str) -> DocumentSubmitted | None:
        if self.error is not None:
            raise self.error
        return self.submissions.get((tenant, document_id))

    async def batch(self, tenant: str, batch_id: str) -> StoredBatchSubmission | None:
        if self.error is not None:
            raise self.error
        return self.batches.get((tenant, batch_id))

    async def rejection(self, tenant: str, document_id: str) -> StoredRejection | None:
        return self.rejections.get((tenant, document_id))

    async def newest(
        self, tenant: str, document_id: str, event_name: str = "*"
    ) -> NewestEvent | None:
        if self.error is not None:
            raise self.error
        found = self.newest_events.get((tenant, document_id))
        if event_name != "*" and (found is None or found.name != event_name):
            found = self.earlier_events.get((tenant, document_id, event_name))
        return found

    def add(self, event: DocumentSubmitted | BatchSubmitted) -> None:
        if isinstance(event, BatchSubmitted):
            stored = StoredBatchSubmission(len(self.batches) + 1, datetime.now(UTC), event)
            self.batches.setdefault((event.tenant, event.batch_id), stored)
        else:
            self.submissions.setdefault((event.tenant, event.document_id), event)

    def has(self, event: DocumentSubmitted | BatchSubmitted) -> bool:
        if isinstance(event, BatchSubmitted):
            return (event.tenant, event.batch_id) in self.batches
        return (event.tenant, event.document_id) in self.submissions

    def clear(self) -> None:
        """Be as the log is after its days of history."""
        self.submissions.clear()
        self.batches.clear()


class FakeOutcome:
    """Ends when ``end`` is called."""

    def __init__(self) -> None:
        self.result: asyncio.Future[DocumentCompleted | DocumentFailed | DocumentCancelled] = (
            asyncio.get_running_loop().create_future()
        )

    async def wait(self) -> DocumentCompleted | DocumentFailed | DocumentCancelled:
        return await asyncio.shield(self.result)


class FakeOutcomes:
    """Lets a test end documents that are watched."""

    def __init__(self) -> None:
        self.watched: dict[tuple[str, str], FakeOutcome] = {}
        self.watched_batches: dict[tuple[str, str], asyncio.Event] = {}
        self.error: Exception | None = None
        self.released = asyncio.Event()
        self.count = 0
        self.released_count = 0

    @asynccontextmanager
    async def watch(
        self, tenant: str, document_id: str, priority: int | None = None
    ) -> AsyncIterator[FakeOutcome]:
        if self.error is not None:
            raise self.error
        outcome = self.watched[tenant, document_id] = FakeOutcome()
        self.count += 1
        try:
            yield outcome
        finally:
            self.released.set()
            self.released_count += 1

    @asynccontextmanager
    async def watch_batch(self, tenant: str, batch_id: str) -> AsyncIterator[asyncio.Event]:
        if self.error is not None:
            raise self.error
        ended = self.watched_batches[tenant, batch_id] = asyncio.Event()
        try:
            yield ended
        finally:
            self.released.set()

    def end(self, event: DocumentCompleted | DocumentFailed | DocumentCancelled) -> None:
        self.watched[event.tenant, event.document_id].result.set_result(event)


class FakeProgress:
    """Adds what a test gives it."""

    def __init__(self) -> None:
        self.members: dict[str, Any] = {}
        self.batch_members: dict[str, Any] = {}

    async def add_to(self, status: DocumentStatus, document: DocumentRecord) -> DocumentStatus:
        return msgspec.structs.replace(status, **self.members)

    async def add_to_batch(
        self, status: BatchStatus, batch: BatchRecord, documents: Sequence[DocumentRecord] = ()
    ) -> BatchStatus:
        return msgspec.structs.replace(status, **self.batch_members)


class FakeEventLog:
    """An empty log."""

    async def end(self) -> LogPosition:
        return LOG_START

    async def reaches(self, position: LogPosition) -> bool:
        return position == LOG_START

    async def read(self, after: int, subject: str | None = None) -> list[StoredMessage]:
        return []

    async def read_all(self, subject: str) -> list[StoredMessage]:
        return []

    @asynccontextmanager
    async def notices(self, callback: Callable[[], None]) -> AsyncIterator[None]:
        yield


class FakePages:
    """Has the pages a test drafts, and tells who watches."""

    def __init__(self) -> None:
        self.pages: dict[tuple[str, str], list[PageResult]] = {}
        self.watched: dict[tuple[str, str], asyncio.Event] = {}
        self.error: Exception | None = None

    async def drafts(self, tenant: str, document_id: str, since: int = 0) -> DraftsReply:
        if self.error is not None:
            raise self.error
        pages = self.pages.get((tenant, document_id), [])
        return DraftsReply(until=len(pages), more=False, pages=tuple(pages[since:]))

    @asynccontextmanager
    async def watch(self, tenant: str, document_id: str) -> AsyncIterator[asyncio.Event]:
        self.watched[tenant, document_id] = asyncio.Event()
        try:
            yield self.watched[tenant, document_id]
        finally:
            del self.watched[tenant, document_id]

    def draft(self, tenant: str, document_id: str, *pages: PageResult) -> None:
        self.pages.setdefault((tenant, document_id), []).extend(pages)
        if (tenant, document_id) in self.watched:
            self.watched[tenant, document_id].set()


class FakeReads:
    """Knows the records it was given."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, str], DocumentRecord] = {}
        self.histories: dict[tuple[str, str], DocumentHistory] = {}
        self.error: Exception | None = None
        self.queried = asyncio.Event()

    async def document(self, tenant: str, document_id: str) -> DocumentRecord | None:
        self.queried.set()
        if self.error is not None:
            raise self.error
        return self.records.get((tenant, document_id))

    async def history(self, tenant: str, document_id: str) -> DocumentHistory:
        return self.histories.get((tenant, document_id), DocumentHistory(steps=()))

    def add(self, record: DocumentRecord) -> None:
        self.records[record.tenant, record.document_id] = record


class NoLists:
    """Lists without items."""

    async def documents(self, _wanted: DocumentListRequest) -> Page[DocumentRecord]:
        return Page([], None)

    async def batches(self, _wanted: BatchListRequest) -> Page[BatchRecord]:
        return Page([], None)


class FakeBatches:
    """Batches that were added; their documents are those of ``reads``."""

    def __init__(self, reads: FakeReads) -> None:
        self._reads = reads
        self.records: dict[tuple[str, str], BatchRecord] = {}

    async def batch(self, tenant: str, batch_id: str) -> BatchRecord | None:
        return self.records.get((tenant, batch_id))

    async def documents(self, tenant: str, batch_id: str) -> list[DocumentRecord]:
        found = (
            record
            for record in self._reads.records.values()
            if (record.tenant, record.batch_id) == (tenant, batch_id)
        )
        return sorted(found, key=lambda record: record.document_id)

    def add(self, record: BatchRecord) -> None:
        self.records[record.tenant, record.batch_id] = record


class FakeUsage:
    """Knows of no usage, and keeps the ranges it was asked for."""

    def __init__(self) -> None:
        self.queried_ranges: list[tuple[datetime | None, datetime | None]] = []

    async def total(
        self, _tenant: str, within: tuple[datetime | None, datetime | None]
    ) -> UsageTotal:
        self.queried_ranges.append(within)
        return UsageTotal(
            documents=0, operations=0, pages=0, input_tokens=0, output_tokens=0, total_micros=0
        )

    async def by_operation(
        self, _tenant: str, within: tuple[datetime | None, datetime | None]
    ) -> list[OperationUsage]:
        self.queried_ranges.append(within)
        return []
