"""What waits at the durables of a consumer, lane by lane, and since when."""

from collections.abc import Callable
from datetime import datetime

import nats.errors
from msgspec import Struct
from nats.js.errors import Error as JetStreamError
from nats.js.errors import NotFoundError

from bus import streams, subjects
from bus.connection import Connection
from bus.consumers import Consumer, HasBody, Lane
from bus.errors import BusUnavailable
from bus.stored_messages import DirectGet, StoredMessage


class StreamSize(Struct, frozen=True):
    """What a stream stores: how many messages, their bytes, and how many bytes it may store."""

    messages: int
    bytes: int
    max_bytes: int
    last_sequence: int


async def read_stream_size(connection: Connection, stream: str) -> StreamSize:
    """Return the size of a stream.

    :raises BusUnavailable: it is missing, or the server does not answer.
    """
    try:
        info = await connection.jetstream.stream_info(stream)
    except (nats.errors.Error, JetStreamError, TimeoutError) as error:
        raise BusUnavailable(f"the stream {stream} does not answer: {error}") from error
    state = info.state
    return StreamSize(state.messages, state.bytes, info.config.max_bytes or -1, state.last_seq)


MAX_READ = 200  # events of a durable that are read; of more the number is estimated


class Backlog(Struct, frozen=True):
    """Events of a lane: not delivered yet, and delivered without an outcome so far.

    ``oldest`` is when the oldest of both was stored. The lane is paused until ``paused_until``.
    """

    waiting: int = 0
    unfinished: int = 0
    oldest: datetime | None = None
    paused_until: datetime | None = None


async def read_backlog(connection: Connection, consumer: Consumer, lane: Lane) -> Backlog:
    """Return what waits in a lane of an actor's consumers.

    Events that a consumer is delivered and does not want are not counted.

    :raises BusUnavailable: the log does not answer.
    """
    found = [await _read(connection, source, lane) for source in consumer.sources]
    return Backlog(
        sum(one.waiting for one in found),
        sum(one.unfinished for one in found),
        min((one.oldest for one in found if one.oldest), default=None),
        max((one.paused_until for one in found if one.paused_until), default=None),
    )


async def _read(connection: Connection, consumer: Consumer, lane: Lane) -> Backlog:
    try:
        info = await connection.jetstream.consumer_info(streams.EVENTS, consumer.durable(lane))
    except NotFoundError:
        return Backlog()  # of a log on which no service has run
    except (nats.errors.Error, JetStreamError, TimeoutError) as error:
        raise BusUnavailable(f"the log does not answer: {error}") from error
    until = info.config.pause_until if info.paused else None
    paused_until = datetime.fromisoformat(until) if until else None
    pending, unfinished = info.num_pending or 0, info.num_ack_pending or 0
    if not pending and not unfinished:
        return Backlog(paused_until=paused_until)
    floor = info.ack_floor.stream_seq if info.ack_floor else 0
    delivered = info.delivered.stream_seq if info.delivered else 0
    events = _Events(connection, consumer, lane)
    oldest = await events.first_after(floor)
    return Backlog(
        await events.count_after(max(floor, delivered), pending),
        unfinished,
        oldest.stored_at if oldest else None,
        paused_until,
    )


class _Events:
    """The events of one lane of a consumer, read from the log."""

    def __init__(self, connection: Connection, consumer: Consumer, lane: Lane) -> None:
        self._messages = DirectGet(connection, streams.EVENTS, certain=False)
        self._filter = subjects.filter_for(consumer.event_type)
        self._wanted: Callable[[HasBody], bool] | None = consumer.wanted
        self._lane = lane

    async def first_after(self, sequence: int) -> StoredMessage | None:
        """Return the first wanted event after a sequence, or None among the next ones."""
        for _ in range(MAX_READ):
            found = await self._messages.next_after(sequence, self._filter)
            if found is None or self._counts(found):
                return found
            sequence = found.sequence
        return None

    async def count_after(self, sequence: int, pending: int) -> int:
        """Return how many of the ``pending`` events after a sequence are wanted."""
        if self._wanted is None:
            return pending
        of_lane = wanted = 0
        for _ in range(MAX_READ):
            if of_lane == pending:
                break
            found = await self._messages.next_after(sequence, self._filter)
            if found is None:
                break
            sequence = found.sequence
            of_lane += self._is_of_lane(found)
            wanted += self._counts(found)
        return wanted if of_lane in (0, pending) else round(pending * wanted / of_lane)

    def _counts(self, event: StoredMessage) -> bool:
        return self._is_of_lane(event) and (self._wanted is None or self._wanted(event))

    def _is_of_lane(self, event: StoredMessage) -> bool:
        try:
            return subjects.parse_document(event.subject).priority in self._lane.priorities
        except subjects.MalformedSubject:
            return False
