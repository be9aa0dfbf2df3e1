"""A log, a database that is written from it, and an aggregator between the two."""

from contextlib import AbstractAsyncContextManager
from typing import Any

from nats.js.errors import NotFoundError

from actors import aggregator as module
from actors.aggregator import Aggregator
from actors.persister import Persister
from bus import streams, wire
from bus.connection import Connection
from bus.publisher import Publisher
from ilios.database.batch_reads import BatchReads
from schemas.batches import BatchCompleted
from schemas.events import AnyEvent
from tests import batch_events
from tests.actors.books import Books
from tests.actors.running import running


class Town:
    """A log, a database that is written from it, and batches read from there."""

    def __init__(self, connection: Connection, books: Books, batches: BatchReads) -> None:
        self.connection = connection
        self.books = books
        self.batches = batches

    def aggregating(self) -> AbstractAsyncContextManager[Any]:
        return running(Aggregator(self.connection, self.batches).run)

    def persisting(self) -> AbstractAsyncContextManager[Any]:
        return running(Persister(self.connection, self.books.writer, self.books.ledger).run)

    async def say(self, *said: AnyEvent) -> None:
        for event in said:
            await Publisher(self.connection).say(event)

    async def said(self, *kinds: type[AnyEvent]) -> list[AnyEvent]:
        """Return what lies on the log of these kinds, in order and with repetitions."""
        js = self.connection.jetstream
        last = (await js.stream_info(streams.EVENTS)).state.last_seq
        found = []
        for sequence in range(1, last + 1):
            message = await js.get_msg(streams.EVENTS, sequence)
            event = wire.decode(message.subject or "", message.data or b"")
            if isinstance(event, kinds):
                found.append(event)
        return found

    async def ended(self, *, times: int = 1) -> bool:
        return len(await self.said(BatchCompleted)) == times

    async def written_down(self, number: int = 1) -> bool:
        batch = await self.batches.batch("default", batch_events.name(number))
        return batch is not None and batch.completed_at is not None

    async def acknowledged(self) -> bool:
        """Whether the aggregator has heard all that it is to hear."""
        try:
            info = await self.connection.jetstream.consumer_info(streams.EVENTS, module.NAME)
        except NotFoundError:
            return False
        return not info.num_pending and not info.num_ack_pending
