"""Whether the log can be written, by writing on it when nobody else has done so lately."""

import secrets

from bus import codec, subjects
from bus.connection import Connection
from bus.publisher import MSG_ID_HEADER, Publisher
from schemas.janitor import JanitorProbed

ACK_VALID_FOR = 10.0  # seconds an acknowledgement is proof, so that an idle log grows slowly


class Probe:
    """Publishes a small event about nothing. Nobody consumes it; the log keeps it as any other."""

    def __init__(self, connection: Connection) -> None:
        self._publish_stats = connection.publish_stats
        self._publisher = Publisher(connection)

    @property
    def problem(self) -> str | None:
        """What the last publishes say against the log; None when the last one was stored."""
        if self._publish_stats.stream_full:
            return "the log is full: it takes no more events"
        if timeouts := self._publish_stats.consecutive_timeouts:
            return f"the last {timeouts} publishes were not acknowledged"
        if self._publish_stats.seconds_since_ack is None:
            return "nothing was published since the server started"
        return None

    async def check_writable(self) -> None:
        """Publish, unless an event was stored a moment ago and none was refused since.

        :raises BusUnavailable: no acknowledgement came.
        :raises BusFull: the log has no room.
        """
        seconds_since_ack = self._publish_stats.seconds_since_ack
        if (
            self.problem is None
            and seconds_since_ack is not None
            and seconds_since_ack < ACK_VALID_FOR
        ):
            return
        subject = f"{subjects.JANITOR}.{subjects.event_name(JanitorProbed)}"
        headers = {MSG_ID_HEADER: secrets.token_hex(16)}
        await self._publisher.publish_raw(
            subject, codec.encode(JanitorProbed()), headers, within=0.0
        )
