"""Whether the log can be written, by writing on it when nobody else has done so lately."""

import secrets

from schemas.upkeep import Probed

from . import subjects, wire
from .connection import Connection
from .publisher import MESSAGE_ID, Publisher

PROVEN_FOR = 10.0  # seconds an acknowledgement is proof, so that an idle log grows slowly


class Probe:
    """Publishes a small event about nothing. Nobody consumes it; the log keeps it as any other."""

    def __init__(self, connection: Connection) -> None:
        self._acknowledgements = connection.acknowledgements
        self._publisher = Publisher(connection)

    @property
    def doubt(self) -> str | None:
        """What the last publishes say against the log; None when the last one was stored."""
        if self._acknowledgements.full:
            return "the log is full: it takes no more events"
        if missed := self._acknowledgements.unanswered:
            return f"the last {missed} publishes were not acknowledged"
        if self._acknowledgements.stored_ago is None:
            return "nothing was published since the server started"
        return None

    async def prove(self) -> None:
        """Publish, unless an event was stored a moment ago and none was refused since.

        :raises BusUnavailable: no acknowledgement came.
        :raises BusFull: the log has no room.
        """
        stored_ago = self._acknowledgements.stored_ago
        if self.doubt is None and stored_ago is not None and stored_ago < PROVEN_FOR:
            return
        subject = f"{subjects.JANITOR}.{subjects.event_name(Probed)}"
        headers = {MESSAGE_ID: secrets.token_hex(16)}
        await self._publisher.publish(subject, wire.encode(Probed()), headers, within=0.0)
