"""Deletion of objects on the bus that no document needs: abandoned ones, and broken puts."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from actors.janitor.stuck import StageConsumers
from bus import codec, streams, subjects
from bus.connection import Connection
from bus.consumers import LANES, ConsumerProgress
from bus.objects import Objects
from bus.stored_messages import DirectGet, StoredMessage
from schemas.batches import BatchSubmitted
from schemas.documents import DocumentSubmitted, Object, Source

ABANDONED_AFTER = timedelta(hours=24)
"""Time in which a document has to be submitted for an object."""
BROKEN_AFTER = timedelta(hours=1)
"""Time between two chunks of a put after which it counts as interrupted."""
MAX_WAITING = 2000
"""Submissions that may wait: with more, no object is deleted as abandoned."""
_SUBMISSIONS = (DocumentSubmitted, BatchSubmitted)

ObjectName = tuple[str, str]
"""The tenant and the name of an object."""


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
        wanted = await self._named_by_waiting()
        for tenant in tenants:
            if wanted is not None:
                names = {name for owner, name in wanted if owner == tenant}
                before = now - self._abandoned_after
                deleted += await self._objects.delete_older(tenant, before, names)
            deleted += await self._objects.delete_broken(tenant, self._broken_after, now)
        return deleted

    async def _named_by_waiting(self) -> set[ObjectName] | None:
        """Return the objects of all submissions without an outcome; None if that is uncertain."""
        floors: list[int] = []
        for durable in self._durables:
            waiting = await self._progress.waiting_after(durable)
            if waiting is None:
                return None
            if waiting.any:
                floors.append(waiting.sequence)
        found: set[ObjectName] = set()
        if not floors:
            return found
        count = 0
        for event_type in _SUBMISSIONS:
            after, filter_ = min(floors), subjects.filter_for(event_type)
            while message := await self._events.next_after(after, filter_):
                count, after = count + 1, message.sequence
                if count > MAX_WAITING:
                    return None
                found.update(_objects_of(message))
        return found


def _objects_of(message: StoredMessage) -> Iterator[ObjectName]:
    """Yield the objects that a submission names."""
    try:
        event = codec.decode(message.subject, message.body)
    except codec.MalformedEvent:
        return
    sources: list[Source] = []
    if isinstance(event, DocumentSubmitted):
        sources = [event.source]
    elif isinstance(event, BatchSubmitted):
        sources = [document.source for document in event.documents]
    for source in sources:
        if isinstance(source, Object):
            yield event.tenant, source.name
