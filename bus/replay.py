"""One-time reading of the log from a sequence to its end.

No durable is created, moved or acknowledged, so that the regular readers are not affected.
"""

import asyncio
from collections.abc import AsyncIterator

import nats.errors
from msgspec import Struct
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import Error as JetStreamError
from nats.js.errors import NotFoundError

from bus import streams
from bus.connection import Connection
from bus.delivery import Delivery
from bus.direct_get import DirectGet
from bus.errors import BusUnavailable
from bus.pull import Pull
from bus.reader import ReadSession, SequenceGap

INACTIVE_THRESHOLD = 60.0  # seconds without a request until the server drops the consumer
ALL_SUBJECTS = ">"
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
        identity = await streams.identity(connection.jetstream)
        state = (await connection.jetstream.stream_info(streams.EVENTS)).state
    except NotFoundError:
        return None
    except (nats.errors.Error, JetStreamError, TimeoutError) as error:
        raise BusUnavailable(f"the log does not answer: {error}") from error
    first = state.first_seq if state.messages else state.last_seq + 1
    return LogExtent(identity.name, identity.created, first, identity.last_sequence)


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
                description="Reads the log once, to make the database anew",
                deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
                opt_start_seq=after + 1,
                ack_policy=AckPolicy.NONE,
                inactive_threshold=INACTIVE_THRESHOLD,
                mem_storage=True,
            ),
        )
    except (nats.errors.Error, JetStreamError, TimeoutError) as error:
        raise BusUnavailable(f"the log cannot be read: {error}") from error
    arrived = asyncio.Event()
    async with Pull(connection, consumer.name, capacity, arrived.set).open() as pull:
        session = ReadSession(pull, arrived)
        unregister = connection.on_reconnect(session.interrupt)
        try:
            while after < end:
                async with asyncio.timeout(READ_TIMEOUT):
                    deliveries = await session.fetch(capacity)
                after = deliveries[-1].sequence
                yield [delivery for delivery in deliveries if delivery.sequence <= end]
        except (SequenceGap, TimeoutError) as error:
            raise BusUnavailable(f"the log was not read to its end: {error}") from error
        finally:
            unregister()


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
