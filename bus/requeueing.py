"""Saying the event of a dead letter again, so that somebody tries once more."""

import msgspec

from schemas.documents import DocumentEvent

from . import subjects, wire
from .connection import Connection
from .dead_letters import DeadLetter, FiledLetters
from .publisher import MESSAGE_ID, Publisher, message_id


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
        body, name = _again(letter)
    except subjects.NotAnAddress as error:
        raise CannotRequeue(f"nobody would hear it: {error}") from error
    await Publisher(connection).publish(letter.subject, body, {MESSAGE_ID: name})
    await FiledLetters(connection).drop(letter.number)


def _again(letter: DeadLetter) -> tuple[bytes, str]:
    """Return the body to be said, and the ``Nats-Msg-Id`` of saying it."""
    as_it_came = letter.body, f"requeued:{letter.number}"
    try:
        event = wire.decode(letter.subject, letter.body)
    except wire.Malformed:
        is_batch = letter.subject.startswith(f"{subjects.BATCH}.")
        (subjects.parse_batch if is_batch else subjects.parse)(letter.subject)
        return as_it_came
    if not isinstance(event, DocumentEvent):
        return as_it_came
    again = msgspec.structs.replace(event, requeues=event.requeues + 1)
    return wire.encode(again), message_id(again)
