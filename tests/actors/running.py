"""A running actor on a real log, and its events there."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from nats.js.api import RawStreamMsg

from bus import codec, streams
from bus.connection import Connection
from bus.consumers import LANES, Consumer
from schemas.documents import AnyDocumentEvent, DocumentEvent
from schemas.imports import DocumentImported
from tests.waiting import wait_until


@asynccontextmanager
async def running_in_background(
    run: Callable[[], Awaitable[None]],
) -> AsyncIterator[asyncio.Task[None]]:
    """Run something until the block is left; an error that ended it meanwhile is raised there."""

    async def work() -> None:
        await run()

    task = asyncio.create_task(work())
    try:
        yield task
    finally:
        if task.done():
            task.result()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class Streams:
    """Reads the streams."""

    def __init__(self, connection: Connection) -> None:
        self._js = connection.jetstream

    async def events(self, *kinds: type[DocumentEvent]) -> list[AnyDocumentEvent]:
        """Return the events of these kinds, in order; malformed ones are left out."""
        events = []
        async for message in self._messages(streams.EVENTS):
            with suppress(codec.MalformedEvent):
                events.append(codec.decode(message.subject or "", message.data or b""))
        return [
            event
            for event in events
            if isinstance(event, kinds) and not isinstance(event, DocumentImported)
        ]

    async def dead_letters(self) -> list[RawStreamMsg]:
        """Return the dead letters."""
        return [message async for message in self._messages(streams.DEAD_LETTERS)]

    async def wait_for(self, kind: type[DocumentEvent], count: int = 1) -> list[AnyDocumentEvent]:
        """Wait until so many events of this kind were published; returns them."""

        async def has_enough() -> bool:
            return len(await self.events(kind)) >= count

        await wait_until(has_enough)
        return await self.events(kind)

    async def wait_for_dead_letters(self, count: int = 1) -> list[RawStreamMsg]:
        """Wait until there are so many dead letters; returns them."""

        async def has_enough() -> bool:
            return len(await self.dead_letters()) >= count

        await wait_until(has_enough)
        return await self.dead_letters()

    async def all_acked(self, consumer: Consumer) -> bool:
        """Whether this consumer has no unacknowledged events."""
        for lane in LANES:
            info = await self._js.consumer_info(streams.EVENTS, consumer.durable(lane))
            if info.num_pending or info.num_ack_pending:
                return False
        return True

    async def delivery_count(self, consumer: Consumer) -> int:
        """Return how often something was delivered to this consumer."""
        infos = [
            await self._js.consumer_info(streams.EVENTS, consumer.durable(lane)) for lane in LANES
        ]
        return sum(info.delivered.consumer_seq for info in infos if info.delivered)

    async def _messages(self, stream: str) -> AsyncIterator[RawStreamMsg]:
        last = (await self._js.stream_info(stream)).state.last_seq
        for sequence in range(1, last + 1):
            yield await self._js.get_msg(stream, sequence)
