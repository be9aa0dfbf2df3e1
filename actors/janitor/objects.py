"""Deletion of objects on the bus that no document needs: abandoned ones, and broken puts."""

from datetime import datetime, timedelta

from actors.janitor.stuck import StageConsumers
from bus import streams
from bus.connection import Connection
from bus.consumers import LANES, ConsumerProgress
from bus.log import DirectGet
from bus.objects import Objects

ABANDONED_AFTER = timedelta(hours=24)
"""Time in which a document has to be submitted for an object."""
BROKEN_AFTER = timedelta(hours=1)
"""Time between two chunks of a put after which it counts as interrupted."""


class ObjectSweep:
    """Goes through the buckets of all tenants."""

    def __init__(
        self,
        objects: Objects,
        connection: Connection,
        consumers: StageConsumers,
        abandoned_after: timedelta = ABANDONED_AFTER,
        broken_after: timedelta = BROKEN_AFTER,
    ) -> None:
        self._objects = objects
        self._events = DirectGet(connection, streams.EVENTS)
        self._progress = ConsumerProgress(connection)
        self._durables = (*map(consumers.fetcher.durable, LANES), consumers.aggregator)
        self._abandoned_after = abandoned_after
        self._broken_after = broken_after

    async def sweep(self, now: datetime) -> int:
        """Delete what is left behind in the buckets; returns how many objects.

        :raises BusUnavailable: the server does not answer.
        """
        deleted = 0
        tenants = await self._objects.tenants()
        if not tenants:
            return 0
        waiting_since = await self._waiting_since(now)
        for tenant in tenants:
            if waiting_since is not None:
                before = waiting_since - self._abandoned_after
                deleted += await self._objects.delete_older(tenant, before)
            deleted += await self._objects.delete_broken(tenant, self._broken_after, now)
        return deleted

    async def _waiting_since(self, now: datetime) -> datetime | None:
        """Return a time before which every submission was handled; None if that is uncertain."""
        floors: list[int] = []
        for durable in self._durables:
            waiting = await self._progress.waiting_after(durable)
            if waiting is None:
                return None
            if waiting.any:
                floors.append(waiting.sequence)
        if not floors:
            return now
        oldest = await self._events.next_after(min(floors), ">")
        return None if oldest is None else min(now, oldest.stored_at)
