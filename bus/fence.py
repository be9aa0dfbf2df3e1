"""What lets the log refuse a publish: used by the publisher, filled in by an epoch."""

from typing import Protocol

from nats.aio.msg import Msg


class Fence(Protocol):
    """Sends publishes that the log refuses once another core has replaced this one."""

    async def request(
        self, subject: str, body: bytes, headers: dict[str, str], within: float
    ) -> Msg:
        """Publish a body and return the reply of the log.

        :raises nats.errors.Error, OSError, TimeoutError: there is none.
        :raises Superseded: another core works on this log.
        """
        ...

    async def confirm(self) -> None:
        """Make sure that no other core works on this log, as of a moment ago.

        :raises Superseded: one does.
        :raises BusUnavailable: the log does not answer.
        """
        ...
