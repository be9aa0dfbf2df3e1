"""A log, a database that is written from it, and an aggregator between the two."""

from contextlib import AbstractAsyncContextManager
from typing import Any

from nats.js.errors import NotFoundError

from actors import aggregator as module
from actors.aggregator import Aggregator
from actors.persister import Persister
from bus import codec, streams
from bus.connection import Connection
from bus.publisher import Publisher
from ilios.database.queries import SqliteBatchQueries
from schemas.batches import BatchCompleted
from schemas.events import AnyEvent
from tests import batch_events
from tests.actors.db import Database
from tests.actors.running import running_in_background


class Pipeline:
    """A log, a database that is written from it, and batches read from there."""

    def __init__(self, connection: Connection, db: Database, batches: SqliteBatchQueries) -> None:
        self.connection = connection
        self.db = db
        self.batches = batches

    def aggregator_running(self) -> AbstractAsyncContextManager[Any]:
        return running_in_background(Aggregator(self.connection, self.batches).run)

    def persister_running(self) -> AbstractAsyncContextManager[Any]:
        return running_in_background(Persister(self.connection, self.db.writer, self.db.store).run)

    async def publish(self, *events: AnyEvent) -> None:
        for event in events:
            await Publisher(self.connection).publish(event)

    async def events(self, *kinds: type[AnyEvent]) -> list[AnyEvent]:
        """Return the events of these kinds on the log, in order and with repetitions."""
        js = self.connection.jetstream
        last = (await js.stream_info(streams.EVENTS)).state.last_seq
        found = []
        for sequence in range(1, last + 1):
            message = await js.get_msg(streams.EVENTS, sequence)
            event = codec.decode(message.subject or "", message.data or b"")
            if isinstance(event, kinds):
                found.append(event)
        return found

    async def is_completed(self, *, times: int = 1) -> bool:
        return len(await self.events(BatchCompleted)) == times

    async def is_stored(self, number: int = 1) -> bool:
        batch = await self.batches.batch("default", batch_events.id_of(number))
        return batch is not None and batch.completed_at is not None

    async def all_acked(self) -> bool:
        """Whether the aggregator has acknowledged all of its events."""
        try:
            info = await self.connection.jetstream.consumer_info(streams.EVENTS, module.NAME)
        except NotFoundError:
            return False
        return not info.num_pending and not info.num_ack_pending
