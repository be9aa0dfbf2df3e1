"""Stand-ins for the world: what they were told, and what they shall answer."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from schemas.documents import (
    AnyDocumentEvent,
    DocumentCompleted,
    DocumentFailed,
    DocumentSubmitted,
)
from schemas.records import DocumentRecord

Listener = Callable[[DocumentSubmitted], Awaitable[None]]


class FakePublisher:
    """Keeps what was said; ``fails`` is raised instead, ``heard`` is called with submissions."""

    def __init__(self) -> None:
        self.said: list[AnyDocumentEvent] = []
        self.fails: Exception | None = None
        self.heard: Listener | None = None

    async def say(self, event: AnyDocumentEvent) -> int:
        if self.fails is not None:
            raise self.fails
        self.said.append(event)
        if self.heard is not None and isinstance(event, DocumentSubmitted):
            await self.heard(event)
        return len(self.said)

    @property
    def submitted(self) -> DocumentSubmitted:
        """The only submission there was."""
        (event,) = self.said
        assert isinstance(event, DocumentSubmitted)
        return event


class FakeLog:
    """Knows the submissions it was given."""

    def __init__(self) -> None:
        self.submissions: dict[tuple[str, str], DocumentSubmitted] = {}
        self.fails: Exception | None = None

    async def submission(self, tenant: str, document_id: str) -> DocumentSubmitted | None:
        if self.fails is not None:
            raise self.fails
        return self.submissions.get((tenant, document_id))


class FakeOutcome:
    """Ends when ``end`` is called."""

    def __init__(self) -> None:
        self.ended: asyncio.Future[DocumentCompleted | DocumentFailed] = (
            asyncio.get_running_loop().create_future()
        )

    async def wait(self) -> DocumentCompleted | DocumentFailed:
        return await asyncio.shield(self.ended)


class FakeOutcomes:
    """Lets a test end documents that are watched."""

    def __init__(self) -> None:
        self.watched: dict[tuple[str, str], FakeOutcome] = {}
        self.fails: Exception | None = None
        self.left = asyncio.Event()

    @asynccontextmanager
    async def watch(self, tenant: str, document_id: str) -> AsyncIterator[FakeOutcome]:
        if self.fails is not None:
            raise self.fails
        outcome = self.watched[tenant, document_id] = FakeOutcome()
        try:
            yield outcome
        finally:
            self.left.set()

    def end(self, event: DocumentCompleted | DocumentFailed) -> None:
        self.watched[event.tenant, event.document_id].ended.set_result(event)


class FakeReads:
    """Knows the records it was given."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, str], DocumentRecord] = {}
        self.fails: Exception | None = None
        self.asked = asyncio.Event()

    async def document(self, tenant: str, document_id: str) -> DocumentRecord | None:
        self.asked.set()
        if self.fails is not None:
            raise self.fails
        return self.records.get((tenant, document_id))

    def add(self, record: DocumentRecord) -> None:
        self.records[record.tenant, record.document_id] = record
