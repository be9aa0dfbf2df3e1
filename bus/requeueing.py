"""Saying the event of a dead letter again, so that somebody tries once more."""

import msgspec

from bus import codec, subjects
from bus.connection import Connection
from bus.dead_letters import DeadLetter, DeadLetterStore
from bus.publisher import MSG_ID_HEADER, Publisher, message_id
from schemas.documents import DocumentEvent


class CannotRequeue(Exception):
    """The event cannot be said again; the message says why."""


async def requeue(connection: Connection, letter: DeadLetter) -> None:
    """Say it again, and clear the letter away.

    Of a document that has failed it counts as another beginning. An event that could not be read is
    said as it came: a newer version may read it. Done twice, it counts once.

    :raises CannotRequeue: see there. :raises BusUnavailable, BusFull, EventTooLarge: it was not
        said, or the letter still lies there; it may be tried again.
    """
    try:
        body, msg_id = _message_to_publish(letter)
    except subjects.MalformedSubject as error:
        raise CannotRequeue(f"nobody would hear it: {error}") from error
    await Publisher(connection).publish_raw(letter.subject, body, {MSG_ID_HEADER: msg_id})
    await DeadLetterStore(connection).delete(letter.number)


def _message_to_publish(letter: DeadLetter) -> tuple[bytes, str]:
    """Return the body to be said, and the ``Nats-Msg-Id`` of saying it."""
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
