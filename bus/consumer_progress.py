"""How far those who hear the log have come."""

import nats.errors
from nats.js.errors import Error as JetStreamError
from nats.js.errors import NotFoundError

from bus import streams
from bus.connection import Connection
from bus.errors import BusUnavailable


class ConsumerProgress:
    """Asks the consumers of ``ILIOS_EVENTS``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def ack_floor(self, durable: str) -> int:
        """Return the sequence up to which everything was acknowledged (the consumer's ack floor).

        0 where there is no such consumer.

        :raises BusUnavailable: the server does not answer.
        """
        try:
            info = await self._connection.jetstream.consumer_info(streams.EVENTS, durable)
        except NotFoundError:
            return 0
        except (nats.errors.Error, JetStreamError, TimeoutError) as error:
            raise BusUnavailable(f"the log does not answer: {error}") from error
        return int(info.ack_floor.stream_seq) if info.ack_floor else 0
