"""A dead letter's event is said again once, as another beginning, and the letter is gone."""

import pytest
from nats.js.api import RawStreamMsg

from bus import streams, subjects, wire
from bus.connection import Connection
from bus.dead_letters import DeadLetter, DeadLetters, FiledLetters
from bus.publisher import Publisher
from bus.reader import Reader
from bus.requeueing import CannotRequeue, requeue
from schemas.batches import BatchSubmitted
from schemas.documents import DocumentSubmitted
from schemas.events import AnyEvent
from tests import batch_events, events


async def buried(connection: Connection, subject: str, body: bytes) -> DeadLetter:
    """File what was said on a subject, and return the letter."""
    sequence = await Publisher(connection).publish(subject, body, {})
    words = (DocumentSubmitted, BatchSubmitted)
    reader = Reader(connection, f"test-{sequence}", "A test", words)
    async with reader.read_after(0, 10) as reading:
        while (delivery := (await reading.group(10))[-1]).sequence < sequence:
            pass
    await DeadLetters(Publisher(connection)).bury("tester", delivery, "It cannot be.")
    return [letter async for letter in FiledLetters(connection).each()][-1]


async def buried_event(connection: Connection, event: AnyEvent) -> DeadLetter:
    return await buried(connection, subjects.subject(event), wire.encode(event))


async def last(connection: Connection) -> RawStreamMsg:
    state = (await connection.jetstream.stream_info(streams.EVENTS)).state
    return await connection.jetstream.get_msg(streams.EVENTS, state.last_seq)


async def test_a_letter_says_what_came_and_why_it_lies_there(connection: Connection) -> None:
    event = events.submitted()
    letter = await buried_event(connection, event)
    assert (letter.number, letter.sequence, letter.attempts) == (1, 1, 1)
    assert (letter.actor, letter.reason) == ("tester", "It cannot be.")
    assert letter.subject == subjects.subject(event)
    assert letter.body == wire.encode(event)
    assert await FiledLetters(connection).at(1) == letter
    assert await FiledLetters(connection).at(2) is None


async def test_letters_of_one_tenant_or_document_can_be_told(connection: Connection) -> None:
    ours = await buried_event(connection, events.submitted(1))
    theirs = await buried_event(connection, events.submitted(2, tenant="acme"))
    filed = FiledLetters(connection)
    assert [letter async for letter in filed.each()] == [ours, theirs]
    assert [letter async for letter in filed.each("acme")] == [theirs]
    assert [letter async for letter in filed.each("default", events.name(1))] == [ours]
    assert [letter async for letter in filed.each("default", events.name(2))] == []


async def test_a_letter_that_is_dropped_is_gone_and_may_be_dropped_again(
    connection: Connection,
) -> None:
    await buried_event(connection, events.submitted())
    filed = FiledLetters(connection)
    for _ in range(2):
        await filed.drop(1)
        assert await filed.at(1) is None


async def test_a_documents_event_is_said_again_as_another_beginning(connection: Connection) -> None:
    letter = await buried_event(connection, events.submitted())
    await requeue(connection, letter)
    said = await last(connection)
    assert said.seq == 2
    assert wire.decode(str(said.subject), said.data or b"") == events.requeued(events.submitted())
    assert await FiledLetters(connection).at(letter.number) is None


async def test_a_requeue_that_was_broken_off_may_be_done_again(connection: Connection) -> None:
    letter = await buried_event(connection, events.submitted())
    await requeue(connection, letter)
    await requeue(connection, letter)
    assert (await last(connection)).seq == 2


async def test_what_failed_again_begins_once_more(connection: Connection) -> None:
    await requeue(connection, await buried_event(connection, events.submitted()))
    again = await buried_event(connection, events.requeued(events.submitted()))
    await requeue(connection, again)
    said = wire.decode(again.subject, (await last(connection)).data or b"")
    assert said == events.requeued(events.submitted(), 2)


@pytest.mark.parametrize(
    ("subject", "body"),
    [
        (subjects.subject(events.submitted()), b'{"type":"document.submitted/9"}'),
        (subjects.subject(batch_events.submitted()), b"nonsense"),
        (subjects.subject(batch_events.submitted()), wire.encode(batch_events.submitted())),
    ],
    ids=["of a later version", "malformed", "a batch"],
)
async def test_what_is_no_documents_event_is_said_as_it_came(
    connection: Connection, subject: str, body: bytes
) -> None:
    await requeue(connection, await buried(connection, subject, body))
    said = await last(connection)
    assert (said.seq, said.subject, said.data) == (2, subject, body)


async def test_what_nobody_would_hear_cannot_be_requeued(connection: Connection) -> None:
    letter = await buried(connection, "ilios.document.submitted.p99.x.y", b"nonsense")
    with pytest.raises(CannotRequeue, match="priority token"):
        await requeue(connection, letter)
    assert await FiledLetters(connection).at(letter.number) == letter
