"""One message in hand: what came, for the how-manieth time, and what to tell the log about it."""

from contextlib import suppress
from datetime import UTC, datetime

import msgspec
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

_NANOSECONDS = 1_000_000_000


class Delivery:
    """One handing-over of one event by a consumer.

    ``sequence`` is the event's place on the log, ``consumer_sequence`` the delivery's place among
    this consumer's deliveries, ``attempt`` counts from 1, ``stored_at`` is when the log took it.
    ``behind`` is how many events the consumer had not yet delivered, ``put_off`` how many of the
    attempts before were given back by this process without having been worked on.
    Every answer is sent without waiting: an answer that gets lost only means another delivery.
    """

    __slots__ = (
        "_client",
        "_reply",
        "attempt",
        "body",
        "consumer_sequence",
        "deferrals",
        "num_pending",
        "sequence",
        "stored_at",
        "subject",
    )

    def __init__(self, client: Client, message: Msg) -> None:
        # $JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<ns>.<pending>, with
        # domain and account hash before the stream in newer servers: count from the delivered end.
        tokens = message.reply.split(".")
        start = 4 if len(tokens) <= 9 else 6
        self._client = client
        self._reply = message.reply
        self.subject: str = message.subject
        self.body: bytes = message.data
        self.attempt = int(tokens[start])
        self.sequence = int(tokens[start + 1])
        self.consumer_sequence = int(tokens[start + 2])
        self.stored_at = datetime.fromtimestamp(int(tokens[start + 3]) / _NANOSECONDS, UTC)
        self.num_pending = int(tokens[start + 4])
        self.deferrals = 0

    @property
    def tenant(self) -> str:
        """Whose event it is, by its subject; nobody's where that is malformed."""
        tokens = self.subject.split(".", 5)
        return tokens[4] if len(tokens) > 4 else ""

    def redirect_acks_to(self, later: "Delivery") -> None:
        """Answer a later delivery of the same event from now on: it is in hand as well."""
        self._reply = later._reply  # noqa: SLF001  # it is one of us

    async def ack(self) -> None:
        """Done; with ``ack_all``, everything before it too."""
        await self._send_ack(b"+ACK")

    async def nak(self, delay: float) -> None:
        """Not now: deliver again after ``delay`` seconds, which a consumer's backoff ignores."""
        await self._send_ack(b"-NAK " + msgspec.json.encode({"delay": int(delay * _NANOSECONDS)}))

    async def in_progress(self) -> None:
        """Still at it: the acknowledgement deadline starts anew."""
        await self._send_ack(b"+WPI")

    async def term(self) -> None:
        """Never deliver this again."""
        await self._send_ack(b"+TERM")

    async def _send_ack(self, body: bytes) -> None:
        # Where the connection is closed, or has too much waiting, the delivery comes again.
        with suppress(nats.errors.Error, OSError):
            await self._client.publish(self._reply, body)
