"""Pauses of consumers: the server delivers nothing until a time, or until they are resumed.

They are stored with the consumer, so they outlast every restart and hold for all workers at once,
whatever their version. The server publishes each pause, each resumption and the end of a pause on
``$JS.EVENT.ADVISORY.CONSUMER.PAUSE.ILIOS_EVENTS.<consumer>``.
"""

from datetime import UTC, datetime, timedelta

import nats.errors
from nats.js.errors import Error as JetStreamError
from nats.js.errors import NotFoundError

from bus import streams
from bus.connection import Connection
from bus.consumers import LANES, Consumer
from bus.errors import BusUnavailable

LONGEST_PAUSE = timedelta(days=366)


class NothingToPause(Exception):
    """The consumers do not exist: no service has run on this bus."""


def durables_of(consumer: Consumer) -> list[str]:
    """Return the durables from which the workers of a role take their events."""
    return [source.durable(lane) for source in consumer.sources for lane in LANES]


async def pause(connection: Connection, consumer: Consumer, until: datetime) -> None:
    """Pause all durables of a consumer until a time; a second pause replaces the first.

    :raises BusUnavailable: the server does not answer.
    :raises NothingToPause: there are no such consumers.
    """
    await _set(connection, consumer, until.astimezone(UTC).isoformat().replace("+00:00", "Z"))


async def resume(connection: Connection, consumer: Consumer) -> None:
    """End the pause of all durables of a consumer. Raises as ``pause``."""
    await _set(connection, consumer, None)


async def _set(connection: Connection, consumer: Consumer, until: str | None) -> None:
    for durable in durables_of(consumer):
        try:
            if until is None:
                await connection.jetstream.resume_consumer(streams.EVENTS, durable)
            else:
                await connection.jetstream.pause_consumer(streams.EVENTS, durable, until)
        except NotFoundError as error:
            raise NothingToPause(
                f"there is no consumer {durable}: start the service once, which creates it"
            ) from error
        except (nats.errors.Error, JetStreamError, TimeoutError) as error:
            raise BusUnavailable(f"{durable} does not answer: {error}") from error


async def paused_until(connection: Connection, durable: str) -> datetime | None:
    """Return when the pause of a durable ends; None while it is not paused, or does not exist.

    :raises BusUnavailable: the server does not answer.
    """
    try:
        info = await connection.jetstream.consumer_info(streams.EVENTS, durable)
    except NotFoundError:
        return None
    except (nats.errors.Error, JetStreamError, TimeoutError) as error:
        raise BusUnavailable(f"{durable} does not answer: {error}") from error
    if not info.paused or info.config.pause_until is None:
        return None
    return datetime.fromisoformat(info.config.pause_until)
