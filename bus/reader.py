"""Reading of the log in order and without gaps: by a durable reader, or once for a replay."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta

import nats.errors
from msgspec import Struct
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import Error as JetStreamError
from nats.js.errors import NotFoundError

from bus import log_info, streams
from bus.connection import INBOX_PREFIX, Connection
from bus.consumers import ensure_reader
from bus.delivery import Delivery
from bus.errors import BusUnavailable
from bus.pull import EXPIRES, Pull
from bus.stored_messages import DirectGet
from bus.subjects import StreamIdentity
from schemas.events import AnyEvent

ACK_WAIT = 30.0  # seconds; a restart does not wait for it, because reading resumes by a reset
TAKEOVER_TIMEOUT = EXPIRES + 5.0  # seconds until the server has forgotten a vanished reader
STOP_TIMEOUT = 5.0  # seconds that a live reader may need to stop
POLL_INTERVAL = 0.5  # seconds
ALL_SUBJECTS = ">"
TIME_TOLERANCE = timedelta(milliseconds=1)  # only one of two equal times has nanoseconds


class LogPosition(Struct, frozen=True):
    """The position of an event on the log, and when it was stored."""

    sequence: int
    stored_at: datetime


LOG_START = LogPosition(0, datetime.fromtimestamp(0, UTC))


class ReaderInUse(Exception):
    """Another process reads the log with the same name, for another database."""


class SequenceGap(Exception):
    """A delivery is missing or repeated: reading has to resume from the cursor."""


class Reader:
    """A durable consumer whose deliveries are taken strictly in the order of the log.

    Only one process may read with a name: two would take the deliveries of each other, and always
    raise ``SequenceGap``.
    """

    def __init__(
        self,
        connection: Connection,
        name: str,
        description: str,
        event_types: tuple[type[AnyEvent], ...],
    ) -> None:
        self._connection = connection
        self._direct_get = DirectGet(connection, streams.EVENTS)
        self._name = name
        self._description = description
        self._event_types = event_types

    async def identity(self) -> StreamIdentity:
        """Return the identity of the log; a missing stream is created.

        :raises BusUnavailable: the server does not answer.
        """
        async with self._connection.setup_context() as js:
            await self._connection.ride_out(lambda: streams.ensure(js))
            try:
                return await self._connection.ride_out(
                    lambda: log_info.identity(self._connection, js)
                )
            except (nats.errors.Error, JetStreamError, TimeoutError) as error:
                raise BusUnavailable(f"the log does not answer: {error}") from error

    def announce_presence(self) -> AbstractAsyncContextManager[None]:
        """Reply to presence requests for this name while the context is open."""
        return answer_presence(self._connection, self._name)

    async def ensure_only_reader(
        self, within: float = TAKEOVER_TIMEOUT, stop_within: float = STOP_TIMEOUT
    ) -> None:
        """Make sure that no other process reads with this name; wait for one that stops.

        The server serves the pull requests of a vanished machine for up to ``EXPIRES``, so requests
        alone are no proof of a reader; a presence reply is.

        :raises ReaderInUse: another one still replies after ``stop_within`` seconds, or has pull
            requests after ``within`` seconds.
        :raises BusUnavailable: the server does not answer.
        """
        started_at = time.monotonic()
        while await self._has_pull_requests():
            present = await is_present(self._connection, self._name)
            if time.monotonic() - started_at > (stop_within if present else within):
                raise ReaderInUse(
                    f"another ilios reads this bus (consumer {self._name}); one bus belongs to one "
                    "database: stop the other one, or use another bus"
                )
            await asyncio.sleep(POLL_INTERVAL)

    async def _has_pull_requests(self) -> bool:
        try:
            info = await self._connection.jetstream.consumer_info(streams.EVENTS, self._name)
        except NotFoundError:
            return False
        except (nats.errors.Error, JetStreamError, TimeoutError) as error:
            raise BusUnavailable(f"the log does not answer: {error}") from error
        return bool(info.num_waiting)

    async def end_position(self) -> LogPosition | None:
        """Return the position of the last event, if everything up to it is acknowledged.

        :raises SequenceGap: there are deliveries, which have not come here.
        :raises BusUnavailable: the server does not answer.
        """
        newest = await self._connection.ride_out(lambda: self._direct_get.last(ALL_SUBJECTS))
        if newest is None:
            return None
        try:
            info = await self._connection.ride_out(
                lambda: self._connection.jetstream.consumer_info(streams.EVENTS, self._name)
            )
        except (nats.errors.Error, JetStreamError, TimeoutError) as error:
            raise BusUnavailable(f"the log does not answer: {error}") from error
        if info.num_ack_pending:
            # To requests of a core that was replaced, which would only come again after ACK_WAIT.
            raise SequenceGap("deliveries went to another reader")
        if info.num_pending:
            return None
        return LogPosition(newest.sequence, newest.stored_at)

    async def has_event_at(self, position: LogPosition) -> bool:
        """Whether the event at a position is still there. Raises as ``end_position``."""
        found = await self._connection.ride_out(lambda: self._direct_get.get(position.sequence))
        return found is not None and abs(found.stored_at - position.stored_at) < TIME_TOLERANCE

    def resume(self, capacity: int) -> AbstractAsyncContextManager["ReadSession"]:
        """Read after the last acknowledged event. Raises as ``read_after``."""
        return self.read_after(sys.maxsize, capacity)

    @asynccontextmanager
    async def read_after(self, sequence: int, capacity: int) -> AsyncIterator["ReadSession"]:
        """Read after ``sequence``, or after the last acknowledged event if that is earlier.

        Events between the two are in the database, but their completions may be unpublished.

        :raises BusUnavailable: the server does not answer.
        """
        js = self._connection.jetstream

        async def reset() -> None:
            async with self._connection.setup_context() as setup:
                await ensure_reader(
                    setup, self._name, self._description, self._event_types, ACK_WAIT
                )
            info = await js.consumer_info(streams.EVENTS, self._name)
            ack_floor = info.ack_floor.stream_seq if info.ack_floor else 0
            start = min(sequence, ack_floor) + 1
            await js.reset_consumer(streams.EVENTS, self._name, seq=start)

        try:
            await self._connection.ride_out(reset)
        except (nats.errors.Error, JetStreamError, TimeoutError) as error:
            raise BusUnavailable(f"the log cannot be read: {error}") from error
        async with _open_session(self._connection, self._name, capacity) as session:
            yield session


class ReadSession:
    """Events of the log from one position on, in groups."""

    def __init__(self, connection: Connection, durable: str, capacity: int) -> None:
        self._arrived = asyncio.Event()
        self._pull = Pull(
            connection, durable, capacity, self._arrived.set, on_resumption=self.interrupt
        )
        self._expected_sequence = 1  # a consumer counts from 1 after a reset
        self._interrupted = False

    def open(self) -> AbstractAsyncContextManager[Pull]:
        """Request deliveries while open."""
        return self._pull.open()

    def interrupt(self) -> None:
        """Record a lost connection or leader: what was in flight would come after ``ACK_WAIT``."""
        self._interrupted = True
        self._arrived.set()

    @property
    def has_deliveries(self) -> bool:
        """Whether ``fetch`` returns deliveries at once."""
        return self._pull.ready

    async def fetch(self, max_messages: int, within: float | None = None) -> list[Delivery]:
        """Wait for deliveries and return all there are, in order; none after ``within`` seconds.

        :raises SequenceGap: a delivery was lost or repeated.
        :raises BusUnavailable: the consumer is gone; start reading again.
        """
        while not (self._pull.ready or self._interrupted):
            self._arrived.clear()
            try:
                async with asyncio.timeout(within):
                    await self._arrived.wait()
            except TimeoutError:
                return []
        if self._interrupted:
            raise SequenceGap("the connection was interrupted")
        deliveries: list[Delivery] = []
        while len(deliveries) < max_messages and (delivery := self._pull.pop()) is not None:
            if delivery.consumer_sequence != self._expected_sequence or delivery.attempt != 1:
                raise SequenceGap(
                    f"delivery {delivery.consumer_sequence} instead of {self._expected_sequence}"
                )
            self._expected_sequence += 1
            deliveries.append(delivery)
        return deliveries


@asynccontextmanager
async def _open_session(
    connection: Connection, durable: str, capacity: int
) -> AsyncIterator[ReadSession]:
    session = ReadSession(connection, durable, capacity)
    async with session.open():
        unregister = connection.on_reconnect(session.interrupt)
        try:
            yield session
        finally:
            unregister()


PRESENCE_REPLY = b"reading"
PRESENCE_TIMEOUT = 1.0  # seconds


def _presence_subject(name: str) -> str:
    """Return a subject that every user of ilios may subscribe to and no stream stores."""
    return f"{INBOX_PREFIX}.{name}.presence"


@asynccontextmanager
async def answer_presence(connection: Connection, name: str) -> AsyncIterator[None]:
    """Reply for the reader ``name`` while the context is open, also after a reconnect.

    The server lists open pull requests, but not whether their owner is alive. Without a subscriber
    on the subject it replies at once.
    """

    async def answer(message: Msg) -> None:
        if message.reply:
            await message.respond(PRESENCE_REPLY)

    subscription = await connection.client.subscribe(_presence_subject(name), cb=answer)
    try:
        yield
    finally:
        with suppress(nats.errors.Error):  # a connection that closes has ended it already
            await subscription.unsubscribe()


async def is_present(connection: Connection, name: str) -> bool:
    """Whether a reader with this name replies; False also if the bus is unavailable."""
    try:
        return (
            await connection.request(_presence_subject(name), b"", PRESENCE_TIMEOUT)
        ).body == PRESENCE_REPLY
    except BusUnavailable:
        return False


INACTIVE_THRESHOLD = 60.0  # seconds without a request until the server drops the consumer
READ_TIMEOUT = 20.0  # seconds; the server has the log on its own disk


class LogExtent(Struct, frozen=True):
    """The first and the last event of the log; ``created`` is the text of the server.

    An empty log has the sequence of its next event as ``first``, and a lower ``last``.
    """

    name: str
    created: str
    first: int
    last: int


async def fetch_extent(connection: Connection) -> LogExtent | None:
    """Return the extent of the log, or None without a log.

    :raises BusUnavailable: the server does not answer.
    """
    try:
        info = await log_info.current_info(connection, connection.jetstream)
    except NotFoundError:
        return None
    except (nats.errors.Error, JetStreamError, TimeoutError) as error:
        raise BusUnavailable(f"the log does not answer: {error}") from error
    state = info.state
    first = state.first_seq if state.messages else state.last_seq + 1
    return LogExtent(streams.EVENTS, streams.created_at(info), first, state.last_seq)


async def replay(
    connection: Connection, after: int, last: int, capacity: int
) -> AsyncIterator[list[Delivery]]:
    """Yield the events after ``after`` up to ``last``, in groups and in order.

    Deleted events are left out: the log may have gaps.

    :raises BusUnavailable: the server does not answer, or has lost the position; nothing is missing
        from what was yielded.
    """
    end = await _last_available(connection, after, last)
    if not end:
        return
    try:
        consumer = await connection.jetstream.add_consumer(
            streams.EVENTS,
            ConsumerConfig(
                description="Reads the log once, to rebuild the database",
                deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
                opt_start_seq=after + 1,
                ack_policy=AckPolicy.NONE,
                inactive_threshold=INACTIVE_THRESHOLD,
                mem_storage=True,
                num_replicas=1,  # it is gone with its node, and so is the reading
            ),
        )
    except (nats.errors.Error, JetStreamError, TimeoutError) as error:
        raise BusUnavailable(f"the log cannot be read: {error}") from error
    async with _open_session(connection, consumer.name, capacity) as session:
        try:
            while after < end:
                async with asyncio.timeout(READ_TIMEOUT):
                    deliveries = await session.fetch(capacity)
                after = deliveries[-1].sequence
                yield [delivery for delivery in deliveries if delivery.sequence <= end]
        except (SequenceGap, TimeoutError) as error:
            raise BusUnavailable(f"the log was not read to its end: {error}") from error


async def _last_available(connection: Connection, after: int, last: int) -> int:
    """Return the highest existing sequence up to ``last``, or 0 if there is none after ``after``.

    Waiting for a deleted event would never end.
    """
    direct_get = DirectGet(connection, streams.EVENTS)
    newest = await direct_get.last(ALL_SUBJECTS)
    if newest is None or newest.sequence <= last:
        return newest.sequence if newest and newest.sequence > after else 0
    for sequence in range(last, after, -1):  # events were published meanwhile
        if await direct_get.get(sequence) is not None:
            return sequence
    return 0
