"""Dead letters: events that cannot be handled, with reason, attempts and body."""

from collections.abc import AsyncIterator
from datetime import datetime

import msgspec
import nats.errors
from msgspec import Struct
from nats.js.errors import Error as JetStreamError

from bus import codec, streams, subjects
from bus.connection import Connection
from bus.delivery import Delivery
from bus.errors import BusUnavailable
from bus.publisher import MSG_ID_HEADER, Publisher, message_id
from bus.stored_messages import DirectGet, StoredMessage
from schemas.documents import DocumentEvent

REASON = "Ilios-Reason"
ACTOR = "Ilios-Actor"
ATTEMPTS = "Ilios-Attempts"
SUBJECT = "Ilios-Subject"
SEQUENCE = "Ilios-Sequence"

MAX_REASON_CHARS = 1000  # characters


class DeadLetterPublisher:
    """Files events on the stream ``ILIOS_DEAD_LETTERS``."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    async def publish(self, actor: str, delivery: Delivery, reason: str) -> None:
        """File the event of a delivery; repeated filing by any actor stores it once.

        :raises BusUnavailable: it was not filed; the delivery must not be acknowledged.
        """
        headers = {
            # By sequence, not by actor: an event that two actors cannot handle is one dead letter.
            "Nats-Msg-Id": f"dead:{streams.EVENTS}:{delivery.sequence}",
            REASON: sanitize_header_value(reason),
            ACTOR: actor,
            ATTEMPTS: str(delivery.attempt),
            SUBJECT: delivery.subject,
            SEQUENCE: str(delivery.sequence),
        }
        subject = subjects.dead_letter_subject(delivery.subject, delivery.sequence)
        await self._publisher.publish_raw(subject, delivery.body, headers)


class DeadLetter(Struct, frozen=True, kw_only=True):
    """A filed dead letter: the event as it arrived, and the reason.

    ``number`` is its sequence on the stream of dead letters; ``subject`` and ``sequence`` are those
    of the event on the log.
    """

    number: int
    filed_at: datetime
    reason: str
    actor: str
    attempts: int
    subject: str
    sequence: int
    body: bytes


class DeadLetterStore:
    """Reads and deletes dead letters. Every method may raise ``BusUnavailable``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._messages = DirectGet(connection, streams.DEAD_LETTERS)

    async def iterate(self, tenant: str = "*", name: str = "*") -> AsyncIterator[DeadLetter]:
        """Yield dead letters, oldest first, optionally of one tenant, document or batch."""
        async for stored in self._messages.iterate(f"{subjects.DEAD_LETTER}.*.{tenant}.{name}"):
            yield _parse_letter(stored)

    async def get(self, number: int) -> DeadLetter | None:
        """Return the dead letter with a number, or None."""
        stored = await self._messages.get(number)
        return _parse_letter(stored) if stored else None

    async def delete(self, number: int) -> None:
        """Delete a dead letter; one that is gone already is no error."""
        try:
            if await self._messages.get(number) is not None:
                await self._connection.jetstream.delete_msg(streams.DEAD_LETTERS, number)
        except (nats.errors.Error, JetStreamError, TimeoutError) as error:
            raise BusUnavailable(f"the dead letter was not deleted: {error}") from error


def _parse_letter(stored: StoredMessage) -> DeadLetter:
    headers = stored.headers
    return DeadLetter(
        number=stored.sequence,
        filed_at=stored.stored_at,
        reason=headers.get(REASON, ""),
        actor=headers.get(ACTOR, ""),
        attempts=int(headers.get(ATTEMPTS, "1")),
        subject=headers.get(SUBJECT, ""),
        sequence=int(headers.get(SEQUENCE, "0")),
        body=stored.body,
    )


def sanitize_header_value(text: str) -> str:
    """Return text as a NATS header value: one bounded line of printable characters."""
    return "".join(c if c.isprintable() else " " for c in text)[:MAX_REASON_CHARS]


class CannotRequeue(Exception):
    """The event cannot be published again; the message has the reason."""


async def requeue(connection: Connection, letter: DeadLetter) -> None:
    """Publish the event of a dead letter again, and delete the dead letter.

    A failed document starts again. An event that could not be decoded is published unchanged,
    because a newer version may decode it. Repeating the call has no further effect.

    :raises CannotRequeue: see there.
    :raises BusUnavailable, BusFull, EventTooLarge: it was not published, or the dead letter was not
        deleted; the call may be repeated.
    """
    try:
        body, msg_id = _message_to_publish(letter)
    except subjects.MalformedSubject as error:
        raise CannotRequeue(f"no consumer has this subject: {error}") from error
    await Publisher(connection).publish_raw(letter.subject, body, {MSG_ID_HEADER: msg_id})
    await DeadLetterStore(connection).delete(letter.number)


def _message_to_publish(letter: DeadLetter) -> tuple[bytes, str]:
    """Return the body to publish and its ``Nats-Msg-Id``."""
    unchanged = letter.body, f"requeued:{letter.number}"
    try:
        event = codec.decode(letter.subject, letter.body)
    except codec.MalformedEvent:
        is_batch = letter.subject.startswith(f"{subjects.BATCH}.")
        (subjects.parse_batch if is_batch else subjects.parse_document)(letter.subject)
        return unchanged
    if not isinstance(event, DocumentEvent):
        return unchanged
    requeued = msgspec.structs.replace(event, requeues=event.requeues + 1)
    return codec.encode(requeued), message_id(requeued)
