"""Reading the log in order, from a chosen place, without gaps."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta

import nats.errors
from msgspec import Struct
from nats.js.errors import Error as JetStreamError
from nats.js.errors import NotFoundError

from schemas.events import AnyEvent

from . import streams
from .connection import Connection
from .consumers import ensure_reader
from .delivery import Delivery
from .errors import BusUnavailable
from .messages import Messages
from .presence import answering, is_answered
from .pull import EXPIRES, Pull

ACK_WITHIN = 30.0  # seconds; after a restart nothing waits for it, because reading resumes by seek


FREED_WITHIN = EXPIRES + 5.0  # seconds until the server has forgotten a reader that vanished
STOPPED_WITHIN = 5.0  # seconds a reader that answers may need to stop, as one being replaced does
LOOK_EVERY = 0.5  # seconds
EVERYTHING = ">"
SAME_TIME = timedelta(milliseconds=1)  # one is given in nanoseconds, the other is not


class Place(Struct, frozen=True):
    """Where an event lies on the log, and when the log took it."""

    sequence: int
    stored_at: datetime


BEGINNING = Place(0, datetime.fromtimestamp(0, UTC))


class ReaderTaken(Exception):
    """Somebody else reads the log by the same name, for another database."""


class OutOfOrder(Exception):
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
        hears: tuple[type[AnyEvent], ...],
    ) -> None:
        self._connection = connection
        self._messages = Messages(connection, streams.EVENTS)
        self._name = name
        self._description = description
        self._hears = hears

    async def identity(self) -> streams.StreamIdentity:
        """Say which log is read; one that is gone is begun anew.

        :raises BusUnavailable: the server does not answer.
        """
        async with self._connection.setting_up() as js:
            await streams.ensure(js)
            try:
                return await streams.identity(js)
            except (nats.errors.Error, JetStreamError, TimeoutError) as error:
                raise BusUnavailable(f"the log does not answer: {error}") from error

    def present(self) -> AbstractAsyncContextManager[None]:
        """Answer those who ask whether this name is read, while the context is open."""
        return answering(self._connection, self._name)

    async def refuse_company(
        self, within: float = FREED_WITHIN, stopped_within: float = STOPPED_WITHIN
    ) -> None:
        """Make sure that nobody else reads by this name; wait for one that stops or died.

        The server keeps the pull requests of a machine that vanished for up to ``EXPIRES``, so
        requests alone prove nothing; an answer does.

        :raises ReaderTaken: somebody still answers ``stopped_within`` seconds later, or has
            requests at the server ``within`` seconds later.
        :raises BusUnavailable: the server does not answer.
        """
        began = time.monotonic()
        while await self._somebody_reads():
            answered = await is_answered(self._connection, self._name)
            if time.monotonic() - began > (stopped_within if answered else within):
                raise ReaderTaken(
                    f"another ilios reads this bus (consumer {self._name}); one bus belongs to one "
                    "database: stop the other one, or use another bus"
                )
            await asyncio.sleep(LOOK_EVERY)

    async def _somebody_reads(self) -> bool:
        try:
            info = await self._connection.jetstream.consumer_info(streams.EVENTS, self._name)
        except NotFoundError:
            return False
        except (nats.errors.Error, JetStreamError, TimeoutError) as error:
            raise BusUnavailable(f"the log does not answer: {error}") from error
        return bool(info.num_waiting)

    async def end(self) -> Place | None:
        """Return where the log's last event is, if all that is read up to it was settled.

        :raises BusUnavailable: the server does not answer.
        """
        newest = await self._messages.last(EVERYTHING)
        if newest is None:
            return None
        try:
            info = await self._connection.jetstream.consumer_info(streams.EVENTS, self._name)
        except (nats.errors.Error, JetStreamError, TimeoutError) as error:
            raise BusUnavailable(f"the log does not answer: {error}") from error
        if info.num_pending or info.num_ack_pending:
            return None
        return Place(newest.sequence, newest.stored_at)

    async def has(self, place: Place) -> bool:
        """Whether an event that was read still lies at its place. Errors as ``end``."""
        found = await self._messages.at(place.sequence)
        return found is not None and abs(found.stored_at - place.stored_at) < SAME_TIME

    def read_on(self, at_most: int) -> AbstractAsyncContextManager["Reading"]:
        """Read on after what was acknowledged last. Errors as ``read_after``."""
        return self.read_after(sys.maxsize, at_most)

    @asynccontextmanager
    async def read_after(self, sequence: int, at_most: int) -> AsyncIterator["Reading"]:
        """Read on after ``sequence``, or after what was acknowledged last if that is earlier.

        What lies between the two was written down, but perhaps not announced.

        :raises BusUnavailable: the server does not answer.
        """
        js = self._connection.jetstream
        try:
            async with self._connection.setting_up() as setup:
                await ensure_reader(setup, self._name, self._description, self._hears, ACK_WITHIN)
            info = await js.consumer_info(streams.EVENTS, self._name)
            acknowledged = info.ack_floor.stream_seq if info.ack_floor else 0
            start = min(sequence, acknowledged) + 1
            await js.reset_consumer(streams.EVENTS, self._name, seq=start)
        except (nats.errors.Error, JetStreamError, TimeoutError) as error:
            raise BusUnavailable(f"the log cannot be read: {error}") from error
        arrived = asyncio.Event()
        async with Pull(self._connection, self._name, at_most, arrived.set).open() as pull:
            reading = Reading(pull, arrived)
            forget = self._connection.on_reconnect(reading.interrupt)
            try:
                yield reading
            finally:
                forget()


class Reading:
    """The log from one place on, in groups."""

    def __init__(self, pull: Pull, arrived: asyncio.Event) -> None:
        self._pull = pull
        self._arrived = arrived
        self._next = 1  # a reset consumer counts its deliveries from 1
        self._interrupted = False

    def interrupt(self) -> None:
        """Say that the connection was lost: what was under way would come after ``ACK_WITHIN``."""
        self._interrupted = True
        self._arrived.set()

    async def group(self, at_most: int, within: float | None = None) -> list[Delivery]:
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
            raise OutOfOrder("the connection was lost and found again")
        taken: list[Delivery] = []
        while len(taken) < at_most and (delivery := self._pull.take()) is not None:
            if delivery.consumer_sequence != self._next or delivery.attempt != 1:
                raise OutOfOrder(f"delivery {delivery.consumer_sequence} instead of {self._next}")
            self._next += 1
            taken.append(delivery)
        return taken
