"""Reading the log in order, from a chosen place, without gaps."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta

import nats.errors
from msgspec import Struct
from nats.aio.msg import Msg
from nats.js.errors import Error as JetStreamError
from nats.js.errors import NotFoundError

from bus import streams
from bus.connection import INBOX_PREFIX, Connection
from bus.consumers import ensure_reader
from bus.delivery import Delivery
from bus.direct_get import DirectGet
from bus.errors import BusUnavailable
from bus.pull import EXPIRES, Pull
from schemas.events import AnyEvent

ACK_WAIT = 30.0  # seconds; after a restart nothing waits for it, because reading resumes by seek


TAKEOVER_TIMEOUT = EXPIRES + 5.0  # seconds until the server has forgotten a reader that vanished
STOP_TIMEOUT = 5.0  # seconds a reader that answers may need to stop, as one being replaced does
POLL_INTERVAL = 0.5  # seconds
ALL_SUBJECTS = ">"
TIME_TOLERANCE = timedelta(milliseconds=1)  # one is given in nanoseconds, the other is not


class LogPosition(Struct, frozen=True):
    """Where an event lies on the log, and when the log took it."""

    sequence: int
    stored_at: datetime


LOG_START = LogPosition(0, datetime.fromtimestamp(0, UTC))


class ReaderInUse(Exception):
    """Somebody else reads the log by the same name, for another database."""


class SequenceGap(Exception):
    """A delivery is missing or came twice: what follows must be read again from the cursor."""


class Reader:
    """One durable consumer whose deliveries are taken strictly in the order of the log.

    Only one process may read by the same name: two would take each other's deliveries, see gaps
    and raise ``OutOfOrder`` for ever.
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

    async def identity(self) -> streams.StreamIdentity:
        """Say which log is read; one that is gone is begun anew.

        :raises BusUnavailable: the server does not answer.
        """
        async with self._connection.setup_context() as js:
            await streams.ensure(js)
            try:
                return await streams.identity(js)
            except (nats.errors.Error, JetStreamError, TimeoutError) as error:
                raise BusUnavailable(f"the log does not answer: {error}") from error

    def announce_presence(self) -> AbstractAsyncContextManager[None]:
        """Answer those who ask whether this name is read, while the context is open."""
        return answer_presence(self._connection, self._name)

    async def ensure_only_reader(
        self, within: float = TAKEOVER_TIMEOUT, stop_within: float = STOP_TIMEOUT
    ) -> None:
        """Make sure that nobody else reads by this name; wait for one that stops or died.

        The server keeps the pull requests of a machine that vanished for up to ``EXPIRES``, so
        requests alone prove nothing; an answer does.

        :raises ReaderTaken: somebody still answers ``stopped_within`` seconds later, or has
            requests at the server ``within`` seconds later.
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
        """Return where the log's last event is, if all that is read up to it was settled.

        :raises BusUnavailable: the server does not answer.
        """
        newest = await self._direct_get.last(ALL_SUBJECTS)
        if newest is None:
            return None
        try:
            info = await self._connection.jetstream.consumer_info(streams.EVENTS, self._name)
        except (nats.errors.Error, JetStreamError, TimeoutError) as error:
            raise BusUnavailable(f"the log does not answer: {error}") from error
        if info.num_pending or info.num_ack_pending:
            return None
        return LogPosition(newest.sequence, newest.stored_at)

    async def has_event_at(self, position: LogPosition) -> bool:
        """Whether an event that was read still lies at its place. Errors as ``end``."""
        found = await self._direct_get.get(position.sequence)
        return found is not None and abs(found.stored_at - position.stored_at) < TIME_TOLERANCE

    def resume(self, capacity: int) -> AbstractAsyncContextManager["ReadSession"]:
        """Read on after what was acknowledged last. Errors as ``read_after``."""
        return self.read_after(sys.maxsize, capacity)

    @asynccontextmanager
    async def read_after(self, sequence: int, capacity: int) -> AsyncIterator["ReadSession"]:
        """Read on after ``sequence``, or after what was acknowledged last if that is earlier.

        What lies between the two was written down, but perhaps not announced.

        :raises BusUnavailable: the server does not answer.
        """
        js = self._connection.jetstream
        try:
            async with self._connection.setup_context() as setup:
                await ensure_reader(
                    setup, self._name, self._description, self._event_types, ACK_WAIT
                )
            info = await js.consumer_info(streams.EVENTS, self._name)
            ack_floor = info.ack_floor.stream_seq if info.ack_floor else 0
            start = min(sequence, ack_floor) + 1
            await js.reset_consumer(streams.EVENTS, self._name, seq=start)
        except (nats.errors.Error, JetStreamError, TimeoutError) as error:
            raise BusUnavailable(f"the log cannot be read: {error}") from error
        arrived = asyncio.Event()
        async with Pull(self._connection, self._name, capacity, arrived.set).open() as pull:
            session = ReadSession(pull, arrived)
            unregister = self._connection.on_reconnect(session.interrupt)
            try:
                yield session
            finally:
                unregister()


class ReadSession:
    """The log from one place on, in groups."""

    def __init__(self, pull: Pull, arrived: asyncio.Event) -> None:
        self._pull = pull
        self._arrived = arrived
        self._expected_sequence = 1  # a reset consumer counts its deliveries from 1
        self._interrupted = False

    def interrupt(self) -> None:
        """Say that the connection was lost: what was under way would come after ``ACK_WITHIN``."""
        self._interrupted = True
        self._arrived.set()

    async def fetch(self, max_messages: int, within: float | None = None) -> list[Delivery]:
        """Wait until something is there, and take all that is, in order.

        Nothing, where nothing came ``within`` seconds.

        :raises OutOfOrder: a delivery was lost or repeated.
        :raises BusUnavailable: the consumer is gone; read anew.
        """
        while not (self._pull.ready or self._interrupted):
            self._arrived.clear()
            try:
                async with asyncio.timeout(within):
                    await self._arrived.wait()
            except TimeoutError:
                return []
        if self._interrupted:
            raise SequenceGap("the connection was lost and found again")
        deliveries: list[Delivery] = []
        while len(deliveries) < max_messages and (delivery := self._pull.pop()) is not None:
            if delivery.consumer_sequence != self._expected_sequence or delivery.attempt != 1:
                raise SequenceGap(
                    f"delivery {delivery.consumer_sequence} instead of {self._expected_sequence}"
                )
            self._expected_sequence += 1
            deliveries.append(delivery)
        return deliveries


PRESENCE_REPLY = b"reading"
PRESENCE_TIMEOUT = 1.0  # seconds


def _presence_subject(name: str) -> str:
    """Return a subject that every user of ilios may subscribe to, and that no stream holds."""
    return f"{INBOX_PREFIX}.{name}.presence"


@asynccontextmanager
async def answer_presence(connection: Connection, name: str) -> AsyncIterator[None]:
    """Answer for the reader ``name`` while the context is open, also after a reconnect."""

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
    """Return whether a reader of this name answers; nobody and a broken bus look the same."""
    try:
        return (
            await connection.request(_presence_subject(name), b"", PRESENCE_TIMEOUT)
        ).body == PRESENCE_REPLY
    except BusUnavailable:
        return False
