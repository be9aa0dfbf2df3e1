"""What the janitor asks of the database, as a port, and what its parts answer."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Literal, Protocol

from actors.clock_guard import ClockState
from schemas.records import DocumentRecord

SWEEP_INTERVAL = 60.0  # seconds between the janitor's passes

ExpiryAction = Literal["archive", "delete"]
"""What becomes of a document that has outlived its retention."""


class MaintenanceQueries(Protocol):
    """What the database knows of documents that may need something done. All of it is bounded."""

    async def running_time(self) -> timedelta:
        """Return how long the service has run on this database, as far as that was stored."""
        ...

    async def clock_state(self) -> ClockState:
        """Return what is believed of the wall clock."""
        ...

    async def first_sweep_at(self) -> datetime | None:
        """Return when the janitor looked for the first time: this database is not much older."""
        ...

    async def expired_documents(
        self, now: datetime, limit: int, *, with_archived: bool
    ) -> list[DocumentRecord]:
        """Return documents that have ended and outlived their retention, the oldest first."""
        ...

    async def count_expirable(self) -> int:
        """Return how many documents are kept that will expire some day."""
        ...

    async def documents_to_erase(self, limit: int) -> list[DocumentRecord]:
        """Return removed documents whose bytes may still lie in the store."""
        ...

    async def unfinished_documents(
        self, before: datetime, after: DocumentRecord | None, limit: int
    ) -> list[DocumentRecord]:
        """Return documents submitted ``before`` then that have not ended, oldest first.

        ``after`` is the last one of the portion before. Those from the future, of a clock that was
        ahead, come last.
        """
        ...

    async def lookup(self, names: Iterable[tuple[str, str]]) -> list[DocumentRecord]:
        """Return those documents of these (tenant, id) that are known."""
        ...
