"""What an actor does about a log that has lost events, as a port."""

from datetime import datetime
from typing import Protocol

from actors.writes import Cursor
from bus.streams import StreamIdentity


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
