"""Deletion of blobs by the core that has the log, and by no other.

A core that another one has replaced has an old database: what it would delete, as what no document
needs any more, may be needed by now.
"""

from datetime import timedelta

from actors.ports import Blobs
from bus.connection import Connection
from ilios.blobs.guarded import GuardedBlobs, StoreCheck


class FencedBlobs(GuardedBlobs):
    """Blobs of which each deletion asks the log first whose it is."""

    def __init__(self, store: Blobs, store_check: StoreCheck, connection: Connection) -> None:
        super().__init__(store, store_check)
        self._connection = connection

    async def move(self, source: str, target: str) -> None:
        """Move the blob to another key."""
        await self._ensure_current()
        await super().move(source, target)

    async def delete(self, key: str) -> None:
        """Delete the blob."""
        await self._ensure_current()
        await super().delete(key)

    async def sweep_temporary(self, older_than: timedelta) -> int:
        """Remove unfinished puts."""
        await self._ensure_current()
        return await super().sweep_temporary(older_than)

    async def _ensure_current(self) -> None:
        """Ask the log.

        :raises Superseded: another core has it.
        :raises BusUnavailable: it does not answer.
        """
        if (fence := self._connection.fence) is not None:
            await fence.confirm()
