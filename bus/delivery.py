"""A delivery of an event by a consumer, and its acknowledgement."""

from contextlib import suppress
from datetime import UTC, datetime

import msgspec
import nats.errors
from msgspec import Struct
from nats.aio.msg import Msg

from bus import subjects, tracing
from bus.lean_client import RAW_HEADERS, LeanClient

EXPECTED_LAST_SEQUENCE_HEADER = "Nats-Expected-Last-Subject-Sequence"
EXPECTED_LAST_SUBJECT_HEADER = "Nats-Expected-Last-Subject-Sequence-Subject"
"""Of these two the server looks at the first line of each."""

_NANOSECONDS = 1_000_000_000


class Delivery:
    """A delivery of an event by a consumer.

    ``sequence`` is the position of the event on the log, ``consumer_sequence`` that of the delivery
    at the consumer, ``attempt`` counts from 1, ``stored_at`` is when the log stored the event.
    ``num_pending`` is how many events the consumer had not delivered yet, ``deferrals`` how many
    earlier attempts this process gave back without handling them. ``tenant`` is that in the
    subject, empty if that is malformed. Acknowledgements are sent without waiting: one that is lost
    only means another delivery.
    """

    __slots__ = (
        "_client",
        "_raw_headers",
        "_reply",
        "attempt",
        "body",
        "consumer_sequence",
        "deferrals",
        "num_pending",
        "sequence",
        "stored_at",
        "subject",
        "tenant",
    )

    def __init__(self, client: LeanClient, message: Msg) -> None:
        # $JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<ns>.<pending>, with
        # domain and account hash before the stream in newer servers: count from the delivered end.
        tokens = message.reply.split(".")
        start = 4 if len(tokens) <= 9 else 6
        self._client = client
        self._reply = message.reply
        self._raw_headers = (message.headers or {}).get(RAW_HEADERS, "")
        self.subject: str = message.subject
        parts = self.subject.split(".", 5)
        # Not when it is asked for: the choice of the next delivery looks at all that wait.
        self.tenant = parts[4] if len(parts) > 4 else ""
        self.body: bytes = message.data
        self.attempt = int(tokens[start])
        self.sequence = int(tokens[start + 1])
        self.consumer_sequence = int(tokens[start + 2])
        self.stored_at = datetime.fromtimestamp(int(tokens[start + 3]) / _NANOSECONDS, UTC)
        self.num_pending = int(tokens[start + 4])
        self.deferrals = 0

    @property
    def is_first(self) -> bool:
        """Whether the event is certainly the first of its kind about its document.

        It is one that the log took on that condition (``Publisher.publish_if_first``).
        """
        if self._raw_headers.count(EXPECTED_LAST_SEQUENCE_HEADER) != 2:  # neither none nor several
            return False
        try:
            address = subjects.parse_document(self.subject)
        except subjects.MalformedSubject:
            return False
        condition = subjects.document_filter(address.event, address.tenant, address.document_id)
        lines = self._raw_headers.split("\r\n")
        return (
            f"{EXPECTED_LAST_SEQUENCE_HEADER}: 0" in lines
            and f"{EXPECTED_LAST_SUBJECT_HEADER}: {condition}" in lines
        )

    @property
    def has_trace(self) -> bool:
        """Whether the event seems to belong to a trace."""
        return f"{tracing.HEADER}:" in self._raw_headers

    def bind_trace(self) -> None:
        """Have what this task publishes and logs belong to the trace of the event, if any."""
        begin = f"{tracing.HEADER}:"
        lines = self._raw_headers.split("\r\n") if self.has_trace else []
        tracing.bind([line[len(begin) :].strip() for line in lines if line.startswith(begin)])

    def redirect_acks_to(self, later: "Delivery") -> None:
        """Acknowledge a later delivery of the same event from now on."""
        self._reply = later._reply  # noqa: SLF001  # of the same class

    async def ack(self) -> None:
        """Acknowledge the event; with ``AckPolicy.ALL`` also everything before it."""
        self._send_ack(b"+ACK")

    def ack_soon(self) -> None:
        """Acknowledge the event, for callers that cannot wait."""
        self._send_ack(b"+ACK")

    async def nak(self, delay: float) -> None:
        """Ask for redelivery after ``delay`` seconds."""
        self.nak_soon(delay)

    def nak_soon(self, delay: float) -> None:
        """Ask for redelivery, for callers that cannot wait."""
        self._send_ack(b"-NAK " + msgspec.json.encode({"delay": int(delay * _NANOSECONDS)}))

    async def in_progress(self) -> None:
        """Restart the acknowledgement deadline: the work goes on."""
        self._send_ack(b"+WPI")

    def _send_ack(self, body: bytes) -> None:
        # If it cannot be sent, the event is delivered again.
        with suppress(nats.errors.Error, OSError):
            self._client.publish_soon(self._reply, body)


class DeliveryInfo(Struct, frozen=True):
    """When and how often an event was delivered; ``sequence`` is its position on the log.

    One that ``is_first`` is certainly the first of its kind about its document.
    """

    sequence: int
    attempt: int
    stored_at: datetime
    is_first: bool = False
