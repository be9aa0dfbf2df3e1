"""The event of a requeued dead letter is published once as a new start; the letter is removed."""

import pytest
from nats.js.api import RawStreamMsg

from bus import codec, streams, subjects
from bus.connection import Connection
from bus.dead_letters import (
    CannotRequeue,
    DeadLetter,
    DeadLetterPublisher,
    DeadLetterStore,
    requeue,
)
from bus.publisher import Publisher
from bus.reader import Reader
from schemas.batches import BatchSubmitted
from schemas.documents import DocumentSubmitted
from schemas.events import AnyEvent
from tests import batch_events, events


async def dead_letter(connection: Connection, subject: str, body: bytes) -> DeadLetter:
    """File an event as a dead letter, and return the letter."""
    sequence = await Publisher(connection).publish_raw(subject, body, {})
    kinds = (DocumentSubmitted, BatchSubmitted)
    reader = Reader(connection, f"test-{sequence}", "A test", kinds)
    async with reader.read_after(0, 10) as reading:
        while (delivery := (await reading.fetch(10))[-1]).sequence < sequence:
            pass
    await DeadLetterPublisher(Publisher(connection)).publish("tester", delivery, "It cannot be.")
    return [letter async for letter in DeadLetterStore(connection).iterate()][-1]


async def dead_letter_of_event(connection: Connection, event: AnyEvent) -> DeadLetter:
    return await dead_letter(connection, subjects.subject_for(event), codec.encode(event))


async def last_message(connection: Connection) -> RawStreamMsg:
    state = (await connection.jetstream.stream_info(streams.EVENTS)).state
    return await connection.jetstream.get_msg(streams.EVENTS, state.last_seq)


async def test_a_dead_letter_has_the_event_and_the_reason(connection: Connection) -> None:
    event = events.submitted()
    letter = await dead_letter_of_event(connection, event)
    assert (letter.number, letter.sequence, letter.attempts) == (1, 1, 1)
    assert (letter.actor, letter.reason) == ("tester", "It cannot be.")
    assert letter.subject == subjects.subject_for(event)
    assert letter.body == codec.encode(event)
    assert await DeadLetterStore(connection).get(1) == letter
    assert await DeadLetterStore(connection).get(2) is None


async def test_dead_letters_can_be_listed_by_tenant_or_document(connection: Connection) -> None:
    ours = await dead_letter_of_event(connection, events.submitted(1))
    theirs = await dead_letter_of_event(connection, events.submitted(2, tenant="acme"))
    filed = DeadLetterStore(connection)
    assert [letter async for letter in filed.iterate()] == [ours, theirs]
    assert [letter async for letter in filed.iterate("acme")] == [theirs]
    assert [letter async for letter in filed.iterate("default", events.id_of(1))] == [ours]
    assert [letter async for letter in filed.iterate("default", events.id_of(2))] == []


async def test_a_letter_that_is_dropped_is_gone_and_may_be_dropped_again(
    connection: Connection,
) -> None:
    await dead_letter_of_event(connection, events.submitted())
    filed = DeadLetterStore(connection)
    for _ in range(2):
        await filed.delete(1)
        assert await filed.get(1) is None


async def test_a_requeued_document_event_counts_as_a_new_beginning(connection: Connection) -> None:
    letter = await dead_letter_of_event(connection, events.submitted())
    await requeue(connection, letter)
    requeued = await last_message(connection)
    assert requeued.seq == 2
    assert codec.decode(str(requeued.subject), requeued.data or b"") == events.requeued(
        events.submitted()
    )
    assert await DeadLetterStore(connection).get(letter.number) is None


async def test_a_requeue_that_was_broken_off_may_be_done_again(connection: Connection) -> None:
    letter = await dead_letter_of_event(connection, events.submitted())
    await requeue(connection, letter)
    await requeue(connection, letter)
    assert (await last_message(connection)).seq == 2


async def test_a_document_that_failed_again_can_be_requeued_again(connection: Connection) -> None:
    await requeue(connection, await dead_letter_of_event(connection, events.submitted()))
    again = await dead_letter_of_event(connection, events.requeued(events.submitted()))
    await requeue(connection, again)
    requeued = codec.decode(again.subject, (await last_message(connection)).data or b"")
    assert requeued == events.requeued(events.submitted(), 2)


@pytest.mark.parametrize(
    ("subject", "body"),
    [
        (subjects.subject_for(events.submitted()), b'{"type":"document.submitted/9"}'),
        (subjects.subject_for(batch_events.submitted()), b"nonsense"),
        (subjects.subject_for(batch_events.submitted()), codec.encode(batch_events.submitted())),
    ],
    ids=["of a later version", "malformed", "a batch"],
)
async def test_a_requeued_batch_event_is_published_unchanged(
    connection: Connection, subject: str, body: bytes
) -> None:
    await requeue(connection, await dead_letter(connection, subject, body))
    requeued = await last_message(connection)
    assert (requeued.seq, requeued.subject, requeued.data) == (2, subject, body)


async def test_an_event_no_consumer_handles_cannot_be_requeued(connection: Connection) -> None:
    letter = await dead_letter(connection, "ilios.document.submitted.p99.x.y", b"nonsense")
    with pytest.raises(CannotRequeue, match="priority token"):
        await requeue(connection, letter)
    assert await DeadLetterStore(connection).get(letter.number) == letter
