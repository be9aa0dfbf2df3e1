"""Every actor publishes its result, then acknowledges; failures are retried or rejected."""

import asyncio

import msgspec
import pytest

from actors import actor as module
from actors import errors
from actors.errors import MoveToDeadLetters, Reject, RetryLater
from bus import dead_letters
from bus.connection import Connection
from bus.delivery import Delivery, DeliveryInfo
from bus.errors import BusFull, BusUnavailable
from bus.inbox import Inbox
from bus.publisher import Publisher
from schemas.documents import AnyDocumentEvent, DocumentFailed, DocumentFetched, DocumentSubmitted
from tests import events
from tests.actors.running import Streams, running_in_background
from tests.actors.scripted_actor import ScriptedActor, answer_fetched, publish_events
from tests.waiting import wait_until


async def test_an_actor_publishes_and_then_acknowledges(connection: Connection) -> None:
    worker, log = ScriptedActor(connection), Streams(connection)
    await publish_events(connection, *range(1, 21))
    async with running_in_background(worker.run):
        published = await log.wait_for(DocumentFetched, 20)
        await wait_until(lambda: log.all_acked(worker.consumer))
    assert {event.document_id for event in published} == {events.id_of(n) for n in range(1, 21)}
    assert all(len(deliveries) == 1 for deliveries in worker.deliveries.values())


async def test_an_actor_does_not_acknowledge_without_publishing(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, log = ScriptedActor(connection), Streams(connection)
    publish_event, refusals, away = Publisher.publish, [BusUnavailable("not now")], list[bool]()

    async def refuse_once(self: Publisher, event: AnyDocumentEvent, within: float = 10.0) -> int:
        if isinstance(event, DocumentFetched) and refusals:
            away.append(True)
            raise refusals.pop()
        return await publish_event(self, event, within)

    monkeypatch.setattr(Publisher, "publish", refuse_once)
    monkeypatch.setattr(Connection, "connected", property(lambda _: not (away and away.pop())))
    await publish_events(connection, 1)
    async with running_in_background(worker.run):
        await log.wait_for(DocumentFetched)
        await wait_until(lambda: log.all_acked(worker.consumer))
    assert [delivery.attempt for delivery in worker.deliveries_of()] == [1, 2]


async def test_a_failure_that_cannot_be_published_is_not_acknowledged(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, log = ScriptedActor(connection), Streams(connection)
    publish, refusals = Publisher.publish, [RuntimeError("the process ends here")]

    async def refuse_once(self: Publisher, event: AnyDocumentEvent, within: float = 10.0) -> int:
        if isinstance(event, DocumentFailed) and refusals:
            raise refusals.pop()
        return await publish(self, event, within)

    monkeypatch.setattr(Publisher, "publish", refuse_once)
    worker.script(*[Reject("bad", "It is.")] * 2)
    await publish_events(connection, 1)
    async with running_in_background(worker.run):
        await log.wait_for(DocumentFailed)
        await wait_until(lambda: log.all_acked(worker.consumer))
    assert [delivery.attempt for delivery in worker.deliveries_of()] == [1, 2]
    assert len(await log.dead_letters()) == 1


@pytest.mark.parametrize("fault", [BusFull("full"), BusUnavailable("no acknowledgement")])
async def test_publishing_on_a_full_log_is_retried_without_repeating_the_work(
    connection: Connection, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    monkeypatch.setattr(module, "LOG_FULL_PAUSE", 0.05)
    worker, log = ScriptedActor(connection), Streams(connection)
    publish_event, refusals = Publisher.publish, [fault] * 3

    async def refuse(self: Publisher, event: AnyDocumentEvent, within: float = 10.0) -> int:
        if isinstance(event, DocumentFetched) and refusals:
            raise refusals.pop()
        return await publish_event(self, event, within)

    monkeypatch.setattr(Publisher, "publish", refuse)
    await publish_events(connection, 1)
    async with running_in_background(worker.run):
        await log.wait_for(DocumentFetched)
    assert len(worker.deliveries_of()) == 1


async def test_a_document_whose_answers_are_too_large_for_the_log_fails(
    connection: Connection,
) -> None:
    async def too_much(event: DocumentSubmitted, delivery: DeliveryInfo) -> AnyDocumentEvent:
        fetched = await answer_fetched(event, delivery)
        assert isinstance(fetched, DocumentFetched)
        return msgspec.structs.replace(fetched, content_type="x" * 1_500_000)

    worker, log = ScriptedActor(connection), Streams(connection)
    worker.script(*[too_much] * 4)
    await publish_events(connection, 1)
    async with running_in_background(worker.run):
        (failed,) = await log.wait_for(DocumentFailed)
        await wait_until(lambda: log.all_acked(worker.consumer))
    assert isinstance(failed, DocumentFailed)
    assert failed.code == "gave_up"
    (letter,) = await log.dead_letters()
    assert "too large" in (letter.headers or {})[dead_letters.REASON]


async def test_a_code_and_a_reason_without_end_are_cut(connection: Connection) -> None:
    worker, log = ScriptedActor(connection), Streams(connection)
    worker.script(Reject("c" * 1_500_000, "r\udc80" * 1_500_000))
    await publish_events(connection, 1)
    async with running_in_background(worker.run):
        (failed,) = await log.wait_for(DocumentFailed)
        await wait_until(lambda: log.all_acked(worker.consumer))
    assert isinstance(failed, DocumentFailed)
    assert (len(failed.code), len(failed.reason)) == (
        errors.MAX_CODE_LENGTH,
        errors.MAX_REASON_LENGTH,
    )


async def test_delivery_info_has_sequence_attempt_and_time(connection: Connection) -> None:
    worker, log = ScriptedActor(connection), Streams(connection)
    worker.script(RetryLater("later"))
    await publish_events(connection, 1)
    async with running_in_background(worker.run):
        await log.wait_for(DocumentFetched)
    first, second = worker.deliveries_of()
    assert (first.sequence, first.attempt, second.attempt) == (1, 1, 2)
    assert first.stored_at == second.stored_at


async def test_no_answer_is_an_answer_too(connection: Connection) -> None:
    async def nothing(event: DocumentSubmitted, delivery: DeliveryInfo) -> None:
        return None

    worker, log = ScriptedActor(connection), Streams(connection)
    worker.script(nothing)
    await publish_events(connection, 1)
    async with running_in_background(worker.run):
        await wait_until(lambda: len(worker.deliveries_of()) == 1)
        await wait_until(lambda: log.all_acked(worker.consumer))
    assert await log.events(DocumentFetched, DocumentFailed) == []


@pytest.mark.parametrize(
    "fault", [RetryLater("later"), ValueError("a defect"), asyncio.CancelledError("from within")]
)
async def test_attempts_are_repeated_at_the_consumers_steps_and_then_given_up(
    connection: Connection, fault: Exception
) -> None:
    worker, log = ScriptedActor(connection, at_once=1), Streams(connection)

    async def fail(event: DocumentSubmitted, delivery: DeliveryInfo) -> None:
        raise fault

    worker.script(fail, fail, fail, fail, fail)
    await publish_events(connection, 1)
    async with running_in_background(worker.run):
        (failed,) = await log.wait_for(DocumentFailed)
        await wait_until(lambda: log.all_acked(worker.consumer))
        await publish_events(connection, 2)
        await log.wait_for(DocumentFetched)  # its only worker is still there
    assert isinstance(failed, DocumentFailed)
    assert (failed.code, failed.attempts, failed.retryable) == ("gave_up", 4, True)
    assert len(worker.deliveries_of()) == 4
    pauses = [
        later - earlier for earlier, later in zip(worker.times, worker.times[1:4], strict=False)
    ]
    for pause, step in zip(pauses, worker.consumer.backoff, strict=True):
        assert step <= pause < step + 2
    (letter,) = await log.dead_letters()
    assert (letter.headers or {})[dead_letters.REASON].startswith("gave_up: ")
    assert not worker._attempts


async def test_the_owner_finally_reads_the_code_of_the_last_failure(
    connection: Connection,
) -> None:
    worker, log = ScriptedActor(connection, at_once=1), Streams(connection)

    async def fail(event: DocumentSubmitted, delivery: DeliveryInfo) -> None:
        raise RetryLater("The source is away.", code="source_away")

    worker.script(fail, fail, fail, fail)
    await publish_events(connection, 1)
    async with running_in_background(worker.run):
        (failed,) = await log.wait_for(DocumentFailed)
    assert isinstance(failed, DocumentFailed)
    assert (failed.code, failed.reason) == ("source_away", "The source is away.")
    assert (failed.attempts, failed.retryable) == (4, True)
    (letter,) = await log.dead_letters()
    assert (letter.headers or {})[dead_letters.REASON] == "source_away: The source is away."


async def test_a_retry_may_name_its_own_pause(connection: Connection) -> None:
    worker, log = ScriptedActor(connection), Streams(connection)
    worker.script(RetryLater("later", after=0.4))
    await publish_events(connection, 1)
    async with running_in_background(worker.run):
        await log.wait_for(DocumentFetched)
    assert worker.times[1] - worker.times[0] >= 0.4


async def test_a_fault_from_outside_is_repeated_in_place_and_not_counted(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DEFAULT_RETRY_PAUSE", 0.01)
    worker, log = ScriptedActor(connection), Streams(connection)
    worker.script(*(RetryLater("full", counts_as_attempt=False) for _ in range(10)))
    worker.script(*(RetryLater("full", after=0.01, counts_as_attempt=False) for _ in range(10)))
    await publish_events(connection, 1)
    async with running_in_background(worker.run):
        await log.wait_for(DocumentFetched)
    assert [delivery.attempt for delivery in worker.deliveries_of()] == [1] * 21


async def test_a_rejected_document_has_failed_for_the_reason_given(connection: Connection) -> None:
    worker, log = ScriptedActor(connection), Streams(connection)
    worker.script(Reject("corrupt", "It is broken.", retryable=True))
    await publish_events(connection, 1)
    async with running_in_background(worker.run):
        (failed,) = await log.wait_for(DocumentFailed)
        await wait_until(lambda: log.all_acked(worker.consumer))
    assert failed == DocumentFailed(
        document_id=events.id_of(1), code="corrupt", reason="It is broken.", retryable=True
    )
    (letter,) = await log.dead_letters()
    assert (letter.headers or {})[dead_letters.REASON] == "corrupt: It is broken."
    assert len(worker.deliveries_of()) == 1


async def test_a_failure_has_the_labels_of_its_document(connection: Connection) -> None:
    worker, log = ScriptedActor(connection), Streams(connection)
    worker.script(Reject("corrupt", "It is broken."))
    labels = {"reference": "case 17", "metadata": {"a": [1, None]}}
    await Publisher(connection).publish(msgspec.structs.replace(events.submitted(), **labels))
    async with running_in_background(worker.run):
        (failed,) = await log.wait_for(DocumentFailed)
    assert isinstance(failed, DocumentFailed)
    assert {"reference": failed.reference, "metadata": failed.metadata} == labels


@pytest.mark.parametrize("reason", ["half \ud800 of it", "x" * 2_000_000, "", "\x00"])
async def test_any_reason_can_be_published(connection: Connection, reason: str) -> None:
    worker, log = ScriptedActor(connection), Streams(connection)
    worker.script(Reject("corrupt", reason))
    await publish_events(connection, 1)
    async with running_in_background(worker.run):
        (failed,) = await log.wait_for(DocumentFailed)
    assert isinstance(failed, DocumentFailed)
    assert failed.reason[:5] == reason[:5]


async def test_a_dropped_event_does_not_touch_its_document(connection: Connection) -> None:
    worker, log = ScriptedActor(connection), Streams(connection)
    worker.script(MoveToDeadLetters("a mistake"))
    await publish_events(connection, 1)
    async with running_in_background(worker.run):
        (letter,) = await log.wait_for_dead_letters()
        await wait_until(lambda: log.all_acked(worker.consumer))
    assert (letter.headers or {})[dead_letters.REASON] == "a mistake"
    assert await log.events(DocumentFailed, DocumentFetched) == []


MALFORMED = [b"", b"{}", b'{"a":' + b"[" * 50_000 + b"]" * 50_000 + b"}", b"\xff" * 100]


async def test_malformed_events_become_dead_letters_and_others_are_handled(
    connection: Connection,
) -> None:
    worker, log = ScriptedActor(connection), Streams(connection)
    publisher = Publisher(connection)
    subject = f"ilios.document.submitted.p05.default.{events.id_of(99)}"
    for number, body in enumerate(MALFORMED, 1):
        await publisher.publish_raw(subject, body, {})
        await publisher.publish(events.submitted(number))
    async with running_in_background(worker.run):
        letters = await log.wait_for_dead_letters(len(MALFORMED))
        await wait_until(lambda: log.all_acked(worker.consumer))
    assert {letter.data or b"" for letter in letters} == set(MALFORMED)
    assert all(
        (letter.headers or {})[dead_letters.REASON].startswith("malformed") for letter in letters
    )
    assert len(worker.deliveries) == len(MALFORMED)
    assert not worker.deliveries_of(99)


async def test_an_event_that_can_be_neither_answered_nor_given_up_harms_no_neighbour(
    connection: Connection,
) -> None:
    worker, log = ScriptedActor(connection), Streams(connection)

    async def too_much(event: DocumentSubmitted, delivery: DeliveryInfo) -> AnyDocumentEvent:
        return events.failed(1, reason="x" * 2_000_000)

    worker.script(*[too_much] * 3)
    await publish_events(connection, 1)
    async with running_in_background(worker.run) as task:
        await wait_until(lambda: len(worker.deliveries_of()) >= 1)
        await publish_events(connection, *range(2, 12))
        await log.wait_for(DocumentFetched, 10)
        assert not task.done()
        await log.wait_for(DocumentFetched, 11)


async def test_an_event_that_was_delivered_too_often_is_given_up_untouched(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have taken the process down each time, so it is not tried again."""
    monkeypatch.setattr(module, "MAX_DELIVERIES", 3)
    worker, log = ScriptedActor(connection), Streams(connection)
    await publish_events(connection, 1)
    async with running_in_background(worker.run):
        handle, times = worker._dispatch, 0

        async def die(delivery: Delivery, inbox: Inbox) -> None:
            nonlocal times
            times += 1
            if delivery.attempt <= 3:
                await delivery.nak(0)  # as a process that ends with it would
                inbox.release(delivery)
            else:
                await handle(delivery, inbox)

        monkeypatch.setattr(worker, "_dispatch", die)
        (failed,) = await log.wait_for(DocumentFailed)
        await wait_until(lambda: log.all_acked(worker.consumer))
    assert isinstance(failed, DocumentFailed)
    assert (failed.code, failed.retryable) == ("crashed", True)
    assert "3 times" in failed.reason
    assert not worker.deliveries_of()


async def test_deferred_deliveries_do_not_count_as_attempts(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_DELIVERIES", 3)
    worker, log = ScriptedActor(connection), Streams(connection)
    await publish_events(connection, 1)
    async with running_in_background(worker.run):
        handle = worker._dispatch

        async def put_off(delivery: Delivery, inbox: Inbox) -> None:
            if delivery.attempt <= 5:
                await delivery.nak(0)
                inbox.release(delivery)
            else:
                delivery.deferrals = 5  # as the look beyond the head of a lane counts them
                await handle(delivery, inbox)

        monkeypatch.setattr(worker, "_dispatch", put_off)
        await log.wait_for(DocumentFetched)
        await wait_until(lambda: log.all_acked(worker.consumer))
    assert [delivery.attempt for delivery in worker.deliveries_of()] == [1]
    assert not worker._uncounted


async def test_deliveries_lost_with_the_bus_do_not_count_as_attempts(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_DELIVERIES", 3)
    worker, log = ScriptedActor(connection), Streams(connection)
    worker.script(*[BusUnavailable("the disk is full")] * 5)
    await publish_events(connection, 1)
    async with running_in_background(worker.run):
        await log.wait_for(DocumentFetched)
        await wait_until(lambda: log.all_acked(worker.consumer))
    assert [delivery.attempt for delivery in worker.deliveries_of()] == [1, 2, 3, 4, 5, 6]
    assert not worker._uncounted
