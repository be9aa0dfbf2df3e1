"""Database queries of the janitor."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Literal, Protocol

from actors.clock_guard import ClockState
from schemas.records import DocumentRecord

SWEEP_INTERVAL = 60.0  # seconds between passes

ExpiryAction = Literal["archive", "delete"]
"""The action when the retention of a document is over."""


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
