"""An actor extends the deadlines of its work, and stops in order."""

import asyncio
import time

import pytest

from actors import actor as module
from bus import streams
from bus.connection import Connection
from bus.consumers import LANES
from bus.delivery import Delivery, DeliveryInfo
from bus.errors import BusUnavailable
from schemas.documents import AnyDocumentEvent, DocumentFetched, DocumentSubmitted
from tests.actors.running import Streams, running_in_background
from tests.actors.scripted_actor import PatientActor, ScriptedActor, answer_fetched, publish_events
from tests.waiting import wait_until


async def test_an_actor_works_on_exactly_its_number_of_slots(connection: Connection) -> None:
    worker, log = ScriptedActor(connection, at_once=3), Streams(connection)
    going, most, gate = 0, 0, asyncio.Event()

    async def together(event: DocumentSubmitted, delivery: DeliveryInfo) -> AnyDocumentEvent:
        nonlocal going, most
        going += 1
        most = max(most, going)
        await gate.wait()
        going -= 1
        return await answer_fetched(event, delivery)

    for number in range(1, 13):
        worker.script(together, number=number)
    await publish_events(connection, *range(1, 13))
    async with running_in_background(worker.run):
        await wait_until(lambda: going == 3)
        gate.set()
        await log.wait_for(DocumentFetched, 12)
    assert most == 3


async def test_long_work_is_not_redelivered_meanwhile(connection: Connection) -> None:
    worker, log = ScriptedActor(connection), Streams(connection)

    async def long(event: DocumentSubmitted, delivery: DeliveryInfo) -> AnyDocumentEvent:
        await asyncio.sleep(worker.consumer.ack_wait * 2.5)
        return await answer_fetched(event, delivery)

    worker.script(long)
    await publish_events(connection, 1)
    async with running_in_background(worker.run):
        await log.wait_for(DocumentFetched)
    assert len(worker.deliveries_of()) == 1


async def test_work_that_outlived_its_deadline_while_we_were_stopped_is_not_begun_twice(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after SIGSTOP: the deadline was not extended, and the event is delivered again."""
    worker, log = ScriptedActor(connection), Streams(connection)
    redelivered, gate = asyncio.Event(), asyncio.Event()

    async def stopped(event: DocumentSubmitted, delivery: DeliveryInfo) -> AnyDocumentEvent:
        time.sleep(worker.consumer.ack_wait * 1.5)  # noqa: ASYNC251  # nothing else goes on
        await gate.wait()
        return await answer_fetched(event, delivery)

    worker.script(stopped)
    continue_as = Delivery.redirect_acks_to

    def noticed(delivery: Delivery, later: Delivery) -> None:
        redelivered.set()
        continue_as(delivery, later)

    monkeypatch.setattr(Delivery, "redirect_acks_to", noticed)
    await publish_events(connection, 1)
    async with running_in_background(worker.run):
        await asyncio.wait_for(redelivered.wait(), 30)
        gate.set()
        await log.wait_for(DocumentFetched)
        await wait_until(lambda: log.all_acked(worker.consumer))
    assert len(worker.deliveries_of()) == 1


async def test_a_stopped_actor_finishes_its_work_in_progress(connection: Connection) -> None:
    patient, log = PatientActor(connection), Streams(connection)
    begun, gate = asyncio.Event(), asyncio.Event()

    async def work(event: DocumentSubmitted, delivery: DeliveryInfo) -> AnyDocumentEvent:
        begun.set()
        await gate.wait()
        return await answer_fetched(event, delivery)

    patient.script(work)
    await publish_events(connection, 1)
    task = asyncio.create_task(patient.run())
    await begun.wait()
    task.cancel()
    await wait_until(lambda: patient._stopping)
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(await log.events(DocumentFetched)) == 1
    await wait_until(lambda: log.all_acked(patient.consumer))


async def test_when_stopped_it_releases_deliveries_that_take_too_long(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SHUTDOWN_GRACE", 0.1)
    patient, log = PatientActor(connection), Streams(connection)

    async def never(event: DocumentSubmitted, delivery: DeliveryInfo) -> AnyDocumentEvent:
        await asyncio.Event().wait()
        raise AssertionError

    numbers = range(1, 11)
    for number in numbers:
        patient.script(never, number=number)
    await publish_events(connection, *numbers)
    async with running_in_background(patient.run):
        await wait_until(lambda: len(patient.deliveries) == 2)
    assert await log.events(DocumentFetched) == []
    another = PatientActor(connection)
    async with running_in_background(another.run):
        await log.wait_for(DocumentFetched, 10)
        await wait_until(lambda: log.all_acked(patient.consumer))
    attempts = [
        delivery.attempt for deliveries in another.deliveries.values() for delivery in deliveries
    ]
    assert max(attempts) == 2, "a minute's deadline was not waited for"


async def test_a_deleted_consumer_ends_it_and_running_again_recreates_it(
    connection: Connection,
) -> None:
    worker, log = ScriptedActor(connection), Streams(connection)
    task = asyncio.create_task(worker.run())
    await publish_events(connection, 1)
    await log.wait_for(DocumentFetched)
    await connection.jetstream.delete_consumer(streams.EVENTS, worker.consumer.durable(LANES[1]))
    with pytest.raises(BusUnavailable):
        await asyncio.wait_for(task, 15)
    await publish_events(connection, 2)
    async with running_in_background(worker.run):
        await log.wait_for(DocumentFetched, 2)


async def test_stopping_while_idle_is_quick_and_can_be_done_at_any_moment(
    connection: Connection,
) -> None:
    for steps in (*range(12), 20, 50, 100):
        task = asyncio.create_task(ScriptedActor(connection).run())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task], timeout=10)
        assert task.done()
