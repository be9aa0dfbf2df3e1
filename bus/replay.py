"""Reading the log once, from a place to its end, without leaving a trace on it.

No durable is made, moved or acknowledged: whoever reads the log for a living does not notice.
"""

import asyncio
from collections.abc import AsyncIterator

import nats.errors
from msgspec import Struct
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import Error as JetStreamError
from nats.js.errors import NotFoundError

from . import streams
from .connection import Connection
from .delivery import Delivery
from .errors import BusUnavailable
from .messages import Messages
from .pull import Pull
from .reader import OutOfOrder, Reading

FORGOTTEN_AFTER = 60.0  # seconds without a request until the server drops the consumer
EVERYTHING = ">"
SILENT = 20.0  # seconds; the server has the log on its own disk


class Extent(Struct, frozen=True):
    """What the log has, from its oldest event to its newest; ``created`` is the server's text.

    An empty log has its next event's sequence as ``first``, and a lower ``last``.
    """

    name: str
    created: str
    first: int
    last: int


async def extent(connection: Connection) -> Extent | None:
    """Return what the log has, or None where there is no log.

    :raises BusUnavailable: the server does not answer.
    """
    try:
        known = await streams.identity(connection.jetstream)
        state = (await connection.jetstream.stream_info(streams.EVENTS)).state
    except NotFoundError:
        return None
    except (nats.errors.Error, JetStreamError, TimeoutError) as error:
        raise BusUnavailable(f"the log does not answer: {error}") from error
    first = state.first_seq if state.messages else state.last_seq + 1
    return Extent(known.name, known.created, first, known.last_sequence)


async def replay(
    connection: Connection, after: int, last: int, at_most: int
) -> AsyncIterator[list[Delivery]]:
    """Yield what lies on the log behind ``after``, up to ``last``, in groups and in order.

    What is not there any more is left out: the log may have gaps.

    :raises BusUnavailable: the server does not answer, or has lost our place; nothing is missing
        from what was yielded.
    """
    left = await _left(connection, after, last)
    if not left:
        return
    try:
        made = await connection.jetstream.add_consumer(
            streams.EVENTS,
            ConsumerConfig(
                description="Reads the log once, to make the database anew",
                deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
                opt_start_seq=after + 1,
                ack_policy=AckPolicy.NONE,
                inactive_threshold=FORGOTTEN_AFTER,
                mem_storage=True,
            ),
        )
    except (nats.errors.Error, JetStreamError, TimeoutError) as error:
        raise BusUnavailable(f"the log cannot be read: {error}") from error
    arrived = asyncio.Event()
    async with Pull(connection, made.name, at_most, arrived.set).open() as pull:
        reading = Reading(pull, arrived)
        forget = connection.on_reconnect(reading.interrupt)
        try:
            while after < left:
                async with asyncio.timeout(SILENT):
                    group = await reading.group(at_most)
                after = group[-1].sequence
                yield [delivery for delivery in group if delivery.sequence <= left]
        except (OutOfOrder, TimeoutError) as error:
            raise BusUnavailable(f"the log was not read to its end: {error}") from error
        finally:
            forget()


async def _left(connection: Connection, after: int, last: int) -> int:
    """Return the newest sequence up to ``last`` that is still there, or 0: none behind ``after``.

    Deleted events leave gaps, and whoever waited for one would wait for ever.
    """
    messages = Messages(connection, streams.EVENTS)
    newest = await messages.last(EVERYTHING)
    if newest is None or newest.sequence <= last:
        return newest.sequence if newest and newest.sequence > after else 0
    for sequence in range(last, after, -1):  # somebody has said something meanwhile
        if await messages.at(sequence) is not None:
            return sequence
    return 0
