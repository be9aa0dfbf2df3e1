"""The feed of a real log: what a tenant's listeners get after a time without any."""

import asyncio

from bus.connection import Connection
from bus.event_log import EventLog
from bus.publisher import Publisher
from bus.stored_messages import StoredMessage
from ilios.edge.client_slots import ClientSlots
from ilios.edge.events.feed import Feed
from ilios.edge.events.sealing import Scope
from tests import events
from tests.waiting import wait_until


class SlowLog(EventLog):
    """Waits in the middle of reading a history."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self.reading, self.go_on = asyncio.Event(), asyncio.Event()

    async def read_all(self, subject: str) -> list[StoredMessage]:
        found = await super().read_all(subject)
        self.reading.set()
        await self.go_on.wait()
        return found


async def test_what_nobody_listened_to_counts_for_the_next_listener(
    connection: Connection, publisher: Publisher
) -> None:
    """The last one leaves while an event is read for it, and the feed goes on for others."""
    log = SlowLog(connection)
    feed = Feed(log, ClientSlots(10, multi_tenant=True))
    await publisher.publish(events.submitted(3))
    async with feed.listen(Scope("other", "tenant")):
        async with feed.listen(Scope("default", "tenant")):
            await publisher.publish(events.submitted())
            await wait_until(log.reading.is_set)
        log.go_on.set()
        last = await publisher.publish(events.failed())
        await wait_until(lambda: feed.position.sequence == last)
        async with feed.listen(Scope("default", "tenant")) as listener:
            listener.follow()
            for event in (events.converted(), events.completed(), events.submitted(2)):
                last = await publisher.publish(event)
            await wait_until(lambda: feed.position.sequence == last)
            names = []
            while (shown := listener.take()) is not None:
                names.append(shown.name)
    assert names == ["document.submitted"]
