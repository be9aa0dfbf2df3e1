"""What every actor does: say the answer, then acknowledge; judge what went wrong."""

import asyncio

import msgspec
import pytest

from actors import actor as module
from actors.actor import Occasion
from bus import dead_letters
from bus.connection import Connection
from bus.delivery import Delivery
from bus.errors import BusFull, BusUnavailable
from bus.inbox import Inbox
from bus.publisher import Publisher
from bus.verdicts import Drop, Reject, Retry
from schemas.documents import AnyDocumentEvent, DocumentFailed, DocumentFetched, DocumentSubmitted
from tests import events
from tests.actors.parrot import Parrot, answer, say
from tests.actors.running import Streams, running
from tests.waiting import until


async def test_it_answers_and_then_acknowledges(connection: Connection) -> None:
    parrot, log = Parrot(connection), Streams(connection)
    await say(connection, *range(1, 21))
    async with running(parrot.run):
        said = await log.wait_for(DocumentFetched, 20)
        await until(lambda: log.finished(parrot.consumer))
    assert {event.document_id for event in said} == {events.name(n) for n in range(1, 21)}
    assert all(len(heard) == 1 for heard in parrot.occasions.values())


async def test_it_does_not_acknowledge_what_it_could_not_say(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    parrot, log = Parrot(connection), Streams(connection)
    say_it, refusals, away = Publisher.say, [BusUnavailable("not now")], list[bool]()

    async def refuse_once(self: Publisher, event: AnyDocumentEvent, within: float = 10.0) -> int:
        if isinstance(event, DocumentFetched) and refusals:
            away.append(True)
            raise refusals.pop()
        return await say_it(self, event, within)

    monkeypatch.setattr(Publisher, "say", refuse_once)
    monkeypatch.setattr(Connection, "connected", property(lambda _: not (away and away.pop())))
    await say(connection, 1)
    async with running(parrot.run):
        await log.wait_for(DocumentFetched)
        await until(lambda: log.finished(parrot.consumer))
    assert [occasion.attempt for occasion in parrot.heard()] == [1, 2]


async def test_a_failure_that_cannot_be_published_is_not_acknowledged(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    parrot, log = Parrot(connection), Streams(connection)
    say_it, refusals = Publisher.say, [RuntimeError("the process ends here")]

    async def refuse_once(self: Publisher, event: AnyDocumentEvent, within: float = 10.0) -> int:
        if isinstance(event, DocumentFailed) and refusals:
            raise refusals.pop()
        return await say_it(self, event, within)

    monkeypatch.setattr(Publisher, "say", refuse_once)
    parrot.will(*[Reject("bad", "It is.")] * 2)
    await say(connection, 1)
    async with running(parrot.run):
        await log.wait_for(DocumentFailed)
        await until(lambda: log.finished(parrot.consumer))
    assert [occasion.attempt for occasion in parrot.heard()] == [1, 2]
    assert len(await log.dead()) == 1


@pytest.mark.parametrize("fault", [BusFull("full"), BusUnavailable("no acknowledgement")])
async def test_a_log_that_takes_nothing_is_waited_for_without_doing_the_work_again(
    connection: Connection, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    monkeypatch.setattr(module, "FULL_PAUSE", 0.05)
    parrot, log = Parrot(connection), Streams(connection)
    say_it, refusals = Publisher.say, [fault] * 3

    async def refuse(self: Publisher, event: AnyDocumentEvent, within: float = 10.0) -> int:
        if isinstance(event, DocumentFetched) and refusals:
            raise refusals.pop()
        return await say_it(self, event, within)

    monkeypatch.setattr(Publisher, "say", refuse)
    await say(connection, 1)
    async with running(parrot.run):
        await log.wait_for(DocumentFetched)
    assert len(parrot.heard()) == 1


async def test_a_document_whose_answers_are_too_large_for_the_log_fails(
    connection: Connection,
) -> None:
    async def too_much(heard: DocumentSubmitted, occasion: Occasion) -> AnyDocumentEvent:
        fetched = await answer(heard, occasion)
        assert isinstance(fetched, DocumentFetched)
        return msgspec.structs.replace(fetched, content_type="x" * 1_500_000)

    parrot, log = Parrot(connection), Streams(connection)
    parrot.will(*[too_much] * 4)
    await say(connection, 1)
    async with running(parrot.run):
        (failed,) = await log.wait_for(DocumentFailed)
        await until(lambda: log.finished(parrot.consumer))
    assert isinstance(failed, DocumentFailed)
    assert failed.code == "gave_up"
    (letter,) = await log.dead()
    assert "too large" in (letter.headers or {})[dead_letters.REASON]


async def test_a_code_and_a_reason_without_end_are_cut(connection: Connection) -> None:
    parrot, log = Parrot(connection), Streams(connection)
    parrot.will(Reject("c" * 1_500_000, "r\udc80" * 1_500_000))
    await say(connection, 1)
    async with running(parrot.run):
        (failed,) = await log.wait_for(DocumentFailed)
        await until(lambda: log.finished(parrot.consumer))
    assert isinstance(failed, DocumentFailed)
    assert (len(failed.code), len(failed.reason)) == (module.MAX_CODE, module.MAX_REASON)


async def test_an_occasion_says_place_attempt_and_time(connection: Connection) -> None:
    parrot, log = Parrot(connection), Streams(connection)
    parrot.will(Retry("later"))
    await say(connection, 1)
    async with running(parrot.run):
        await log.wait_for(DocumentFetched)
    first, second = parrot.heard()
    assert (first.sequence, first.attempt, second.attempt) == (1, 1, 2)
    assert first.stored_at == second.stored_at


async def test_no_answer_is_an_answer_too(connection: Connection) -> None:
    async def nothing(heard: DocumentSubmitted, occasion: Occasion) -> None:
        return None

    parrot, log = Parrot(connection), Streams(connection)
    parrot.will(nothing)
    await say(connection, 1)
    async with running(parrot.run):
        await until(lambda: len(parrot.heard()) == 1)
        await until(lambda: log.finished(parrot.consumer))
    assert await log.said(DocumentFetched, DocumentFailed) == []


@pytest.mark.parametrize(
    "fault", [Retry("later"), ValueError("a defect"), asyncio.CancelledError("from within")]
)
async def test_attempts_are_repeated_at_the_consumers_steps_and_then_given_up(
    connection: Connection, fault: Exception
) -> None:
    parrot, log = Parrot(connection, at_once=1), Streams(connection)

    async def fail(heard: DocumentSubmitted, occasion: Occasion) -> None:
        raise fault

    parrot.will(fail, fail, fail, fail, fail)
    await say(connection, 1)
    async with running(parrot.run):
        (failed,) = await log.wait_for(DocumentFailed)
        await until(lambda: log.finished(parrot.consumer))
        await say(connection, 2)
        await log.wait_for(DocumentFetched)  # its only worker is still there
    assert isinstance(failed, DocumentFailed)
    assert (failed.code, failed.attempts, failed.retryable) == ("gave_up", 4, True)
    assert len(parrot.heard()) == 4
    pauses = [
        later - earlier for earlier, later in zip(parrot.times, parrot.times[1:4], strict=False)
    ]
    for pause, step in zip(pauses, parrot.consumer.retry_after, strict=True):
        assert step <= pause < step + 2
    (letter,) = await log.dead()
    assert (letter.headers or {})[dead_letters.REASON].startswith("gave_up: ")
    assert not parrot._failures


async def test_a_fault_with_a_code_of_its_own_is_what_the_owner_reads_in_the_end(
    connection: Connection,
) -> None:
    parrot, log = Parrot(connection, at_once=1), Streams(connection)

    async def fail(heard: DocumentSubmitted, occasion: Occasion) -> None:
        raise Retry("The source is away.", code="source_away")

    parrot.will(fail, fail, fail, fail)
    await say(connection, 1)
    async with running(parrot.run):
        (failed,) = await log.wait_for(DocumentFailed)
    assert isinstance(failed, DocumentFailed)
    assert (failed.code, failed.reason) == ("source_away", "The source is away.")
    assert (failed.attempts, failed.retryable) == (4, True)
    (letter,) = await log.dead()
    assert (letter.headers or {})[dead_letters.REASON] == "source_away: The source is away."


async def test_a_retry_may_name_its_own_pause(connection: Connection) -> None:
    parrot, log = Parrot(connection), Streams(connection)
    parrot.will(Retry("later", after=0.4))
    await say(connection, 1)
    async with running(parrot.run):
        await log.wait_for(DocumentFetched)
    assert parrot.times[1] - parrot.times[0] >= 0.4


async def test_a_fault_from_outside_is_repeated_in_place_and_not_counted(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FALLBACK_PAUSE", 0.01)
    parrot, log = Parrot(connection), Streams(connection)
    parrot.will(*(Retry("full", counted=False) for _ in range(10)))
    parrot.will(*(Retry("full", after=0.01, counted=False) for _ in range(10)))
    await say(connection, 1)
    async with running(parrot.run):
        await log.wait_for(DocumentFetched)
    assert [occasion.attempt for occasion in parrot.heard()] == [1] * 21


async def test_a_rejected_document_has_failed_for_the_reason_given(connection: Connection) -> None:
    parrot, log = Parrot(connection), Streams(connection)
    parrot.will(Reject("corrupt", "It is broken.", retryable=True))
    await say(connection, 1)
    async with running(parrot.run):
        (failed,) = await log.wait_for(DocumentFailed)
        await until(lambda: log.finished(parrot.consumer))
    assert failed == DocumentFailed(
        document_id=events.name(1), code="corrupt", reason="It is broken.", retryable=True
    )
    (letter,) = await log.dead()
    assert (letter.headers or {})[dead_letters.REASON] == "corrupt: It is broken."
    assert len(parrot.heard()) == 1


@pytest.mark.parametrize("reason", ["half \ud800 of it", "x" * 2_000_000, "", "\x00"])
async def test_any_reason_can_be_said(connection: Connection, reason: str) -> None:
    parrot, log = Parrot(connection), Streams(connection)
    parrot.will(Reject("corrupt", reason))
    await say(connection, 1)
    async with running(parrot.run):
        (failed,) = await log.wait_for(DocumentFailed)
    assert isinstance(failed, DocumentFailed)
    assert failed.reason[:5] == reason[:5]


async def test_a_dropped_event_does_not_touch_its_document(connection: Connection) -> None:
    parrot, log = Parrot(connection), Streams(connection)
    parrot.will(Drop("a mistake"))
    await say(connection, 1)
    async with running(parrot.run):
        (letter,) = await log.wait_for_dead()
        await until(lambda: log.finished(parrot.consumer))
    assert (letter.headers or {})[dead_letters.REASON] == "a mistake"
    assert await log.said(DocumentFailed, DocumentFetched) == []


MALFORMED = [b"", b"{}", b'{"a":' + b"[" * 50_000 + b"]" * 50_000 + b"}", b"\xff" * 100]


async def test_malformed_events_are_buried_and_their_neighbours_go_on(
    connection: Connection,
) -> None:
    parrot, log = Parrot(connection), Streams(connection)
    publisher = Publisher(connection)
    subject = f"ilios.document.submitted.p05.default.{events.name(99)}"
    for number, body in enumerate(MALFORMED, 1):
        await publisher.publish(subject, body, {})
        await publisher.say(events.submitted(number))
    async with running(parrot.run):
        letters = await log.wait_for_dead(len(MALFORMED))
        await until(lambda: log.finished(parrot.consumer))
    assert {letter.data or b"" for letter in letters} == set(MALFORMED)
    assert all(
        (letter.headers or {})[dead_letters.REASON].startswith("malformed") for letter in letters
    )
    assert len(parrot.occasions) == len(MALFORMED)
    assert not parrot.heard(99)


async def test_an_event_that_can_be_neither_answered_nor_given_up_harms_no_neighbour(
    connection: Connection,
) -> None:
    parrot, log = Parrot(connection), Streams(connection)

    async def too_much(heard: DocumentSubmitted, occasion: Occasion) -> AnyDocumentEvent:
        return events.failed(1, reason="x" * 2_000_000)

    parrot.will(*[too_much] * 3)
    await say(connection, 1)
    async with running(parrot.run) as task:
        await until(lambda: len(parrot.heard()) == 1)
        await say(connection, *range(2, 12))
        await log.wait_for(DocumentFetched, 10)
        assert not task.done()
        await log.wait_for(DocumentFetched, 11)


async def test_an_event_that_was_delivered_too_often_is_given_up_untouched(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have taken the process down each time, so it is not tried again."""
    monkeypatch.setattr(module, "MAX_DELIVERIES", 3)
    parrot, log = Parrot(connection), Streams(connection)
    await say(connection, 1)
    async with running(parrot.run):
        handle, times = parrot._handle, 0

        async def die(delivery: Delivery, inbox: Inbox) -> None:
            nonlocal times
            times += 1
            if delivery.attempt <= 3:
                await delivery.nak(0)  # as a process that ends with it would
                inbox.let_go(delivery)
            else:
                await handle(delivery, inbox)

        monkeypatch.setattr(parrot, "_handle", die)
        (failed,) = await log.wait_for(DocumentFailed)
        await until(lambda: log.finished(parrot.consumer))
    assert isinstance(failed, DocumentFailed)
    assert (failed.code, failed.retryable) == ("crashed", True)
    assert "3 times" in failed.reason
    assert not parrot.heard()


async def test_deliveries_that_were_put_off_are_not_held_against_the_document(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_DELIVERIES", 3)
    parrot, log = Parrot(connection), Streams(connection)
    await say(connection, 1)
    async with running(parrot.run):
        handle = parrot._handle

        async def put_off(delivery: Delivery, inbox: Inbox) -> None:
            if delivery.attempt <= 5:
                await delivery.nak(0)
                inbox.let_go(delivery)
            else:
                delivery.put_off = 5  # as the look beyond the head of a lane counts them
                await handle(delivery, inbox)

        monkeypatch.setattr(parrot, "_handle", put_off)
        await log.wait_for(DocumentFetched)
        await until(lambda: log.finished(parrot.consumer))
    assert [occasion.attempt for occasion in parrot.heard()] == [1]
    assert not parrot._harmless


async def test_deliveries_the_bus_was_lost_under_are_not_held_against_the_document(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_DELIVERIES", 3)
    parrot, log = Parrot(connection), Streams(connection)
    parrot.will(*[BusUnavailable("the disk is full")] * 5)
    await say(connection, 1)
    async with running(parrot.run):
        await log.wait_for(DocumentFetched)
        await until(lambda: log.finished(parrot.consumer))
    assert [occasion.attempt for occasion in parrot.heard()] == [1, 2, 3, 4, 5, 6]
    assert not parrot._harmless
