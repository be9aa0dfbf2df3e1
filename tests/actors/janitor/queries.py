"""A fake of the database queries of the janitor."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import msgspec

from actors.writes import ClockReading, ClockState
from schemas.records import DocumentRecord
from tests import events


def record(number: int = 1, state: str = "pending", **overrides: object) -> DocumentRecord:
    """Return the record of a document, unfinished unless stated."""
    defaults: dict[str, object] = {
        "tenant": "default",
        "document_id": events.id_of(number),
        "state": state,
        "file_name": "hello.txt",
        "content_type": "text/plain",
        "file_size": 3,
        "priority": 5,
        "retention_days": 365,
        "operation": "convert",
        "submitted_at": events.SUBMITTED_AT,
    }
    return msgspec.convert(defaults | overrides, DocumentRecord)


class FakeMaintenanceQueries:
    """Has documents; ``later_records`` are the results of a later lookup."""

    def __init__(self) -> None:
        self.documents: list[DocumentRecord] = []
        self.current: list[DocumentRecord] | None = None
        self.swept_at: datetime | None = None
        self.state: ClockState | None = None
        self.initial_sweep = datetime(2020, 1, 1, tzinfo=UTC)
        self.expirable = 0

    async def running_time(self) -> timedelta:
        return timedelta()

    async def clock_state(self) -> ClockState:
        if self.state is not None or self.swept_at is None:
            return self.state or ClockState()
        last = ClockReading(self.swept_at, timedelta())
        return ClockState(trusted=last, latest=last)

    async def first_sweep_at(self) -> datetime | None:
        return self.initial_sweep

    async def expired_documents(
        self, now: datetime, limit: int, *, with_archived: bool
    ) -> list[DocumentRecord]:
        states = {"completed", "failed"} | ({"archived"} if with_archived else set())
        return [
            one
            for one in self.documents
            if one.state in states and one.submitted_at + timedelta(one.retention_days) <= now
        ][:limit]

    async def count_expirable(self) -> int:
        return self.expirable or len(self.documents)

    async def documents_to_erase(self, limit: int) -> list[DocumentRecord]:
        return [one for one in self.documents if one.removed_at and not one.erased_at][:limit]

    async def unfinished_documents(
        self, before: datetime, after: DocumentRecord | None, limit: int
    ) -> list[DocumentRecord]:
        states = ("pending", "processing")
        found = [one for one in self.documents if one.state in states]
        return [one for one in found if one.submitted_at <= before][:limit]

    async def lookup(self, names: Iterable[tuple[str, str]]) -> list[DocumentRecord]:
        documents = self.documents if self.current is None else self.current
        wanted = set(names)
        return [one for one in documents if (one.tenant, one.document_id) in wanted]
