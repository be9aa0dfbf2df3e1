"""What the janitor's parts are told about documents."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import msgspec

from actors.clock_guard import ClockState, Moment
from schemas.records import DocumentRecord
from tests import events


def record(number: int = 1, state: str = "pending", **known: object) -> DocumentRecord:
    """Return what the database knows of a document that has not ended, unless told."""
    usual: dict[str, object] = {
        "tenant": "default",
        "document_id": events.name(number),
        "state": state,
        "file_name": "hello.txt",
        "content_type": "text/plain",
        "file_size": 3,
        "priority": 5,
        "retention_days": 365,
        "operation": "convert",
        "submitted_at": events.SUBMITTED_AT,
    }
    return msgspec.convert(usual | known, DocumentRecord)


class FakeUpkeep:
    """Knows documents; ``now_known`` is what it says of them when asked again."""

    def __init__(self) -> None:
        self.documents: list[DocumentRecord] = []
        self.now_known: list[DocumentRecord] | None = None
        self.swept_at: datetime | None = None
        self.state: ClockState | None = None
        self.first_at = datetime(2020, 1, 1, tzinfo=UTC)
        self.kept = 0

    async def ran(self) -> timedelta:
        return timedelta()

    async def clock(self) -> ClockState:
        if self.state is not None or self.swept_at is None:
            return self.state or ClockState()
        last = Moment(self.swept_at, timedelta())
        return ClockState(believed=last, seen=last)

    async def first_sweep(self) -> datetime | None:
        return self.first_at

    async def expired(
        self, now: datetime, limit: int, *, with_archived: bool
    ) -> list[DocumentRecord]:
        states = {"completed", "failed"} | ({"archived"} if with_archived else set())
        return [
            one
            for one in self.documents
            if one.state in states and one.submitted_at + timedelta(one.retention_days) <= now
        ][:limit]

    async def can_expire(self) -> int:
        return self.kept or len(self.documents)

    async def to_erase(self, limit: int) -> list[DocumentRecord]:
        return [one for one in self.documents if one.removed_at and not one.erased_at][:limit]

    async def unfinished(
        self, before: datetime, after: DocumentRecord | None, limit: int
    ) -> list[DocumentRecord]:
        states = ("pending", "processing")
        found = [one for one in self.documents if one.state in states]
        return [one for one in found if one.submitted_at <= before][:limit]

    async def among(self, names: Iterable[tuple[str, str]]) -> list[DocumentRecord]:
        known = self.documents if self.now_known is None else self.now_known
        wanted = set(names)
        return [one for one in known if (one.tenant, one.document_id) in wanted]
