"""A document is converted once, also when the engine fails."""

import asyncio
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

import pytest
from msgspec.structs import replace
from nats.js.errors import NotFoundError

from actors import ocr as module
from actors import publishable
from actors.cancellations import Cancellations
from actors.engines import (
    PAGE_SEPARATOR,
    EngineCrashed,
    EngineUnavailable,
    Postponed,
    SourceFile,
    Unconvertible,
)
from actors.ocr import Ocr
from actors.ports import StorageFull
from bus import streams
from bus.connection import Connection
from bus.consumers import LANES, Consumer
from bus.delivery import Delivery
from bus.intake import Intake
from bus.publisher import Publisher
from schemas.documents import DocumentConverted, DocumentFailed, DocumentFetched
from tests import events
from tests.actors.fakes import FakeBlobs, FakeEngine
from tests.actors.running import Streams, running_in_background
from tests.waiting import wait_until

ORIGINAL = b"foo"
NO_MEMORY = EngineCrashed("no memory left", document_blamed=False, out_of_memory=True)
BLAMED, OUTSIDE = (
    EngineCrashed("it aborted", document_blamed=True),
    EngineCrashed("killed", document_blamed=False),
)


class EarlierClock(datetime):
    """A wall clock that was set back by a day."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        return datetime.now(tz) - timedelta(days=1)


class World:
    """An actor with its ports; the original is in the store, the event on the log."""

    def __init__(self, connection: Connection, directory: Path) -> None:
        self.connection = connection
        self.blobs = FakeBlobs(directory)
        self.blobs.stored["original"] = ORIGINAL
        self.engine = FakeEngine()
        self.cancellations = Cancellations(connection)
        self.intake = Intake()
        self.discarded: list[str] = []
        self.discarded_as_repeated: bool | None = None
        self.ocr = Ocr(
            connection,
            self.blobs,
            self.engine,
            self.cancellations,
            concurrency=2,
            discard_parts=self.discard,
            intake=self.intake,
        )
        self.streams = Streams(connection)
        self.publisher = Publisher(connection)

    async def discard(self, document: SourceFile) -> None:
        self.discarded.append(document.document_id)
        self.discarded_as_repeated = document.may_be_repeated

    async def converted(self) -> DocumentConverted:
        (event,) = await self.streams.wait_for(DocumentConverted)
        assert isinstance(event, DocumentConverted)
        return event

    async def failed(self) -> DocumentFailed:
        (event,) = await self.streams.wait_for(DocumentFailed)
        assert isinstance(event, DocumentFailed)
        return event


@pytest.fixture
async def world(connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    consumer = Consumer(
        name="ocr",
        description="A test",
        event_type=DocumentFetched,
        ack_wait=1.0,
        backoff=(0.05, 0.05, 0.05),
        beside=module.STORED,
    )
    monkeypatch.setattr(Ocr, "consumer", consumer)
    world = World(connection, tmp_path)
    await world.publisher.publish(events.fetched(priority=7))
    return world


async def test_the_markdown_of_all_pages_is_stored_in_order(world: World) -> None:
    world.engine.pages = ("one", "", "three")
    async with running_in_background(world.ocr.run):
        event = await world.converted()
    assert world.blobs.stored[event.markdown.key].decode() == PAGE_SEPARATOR.join(
        world.engine.pages
    )
    assert (event.pages, event.engine, event.model) == (3, "fake", "none")
    assert (event.priority, event.document_id) == (7, events.id_of(1))
    assert event.input_tokens > 0
    (document,) = world.engine.converted
    assert (document.sha256, document.content_type) == (events.SHA256, "application/pdf")
    assert document.path.read_bytes() == ORIGINAL


async def test_an_urgent_document_is_started_while_all_slots_are_busy(world: World) -> None:
    world.engine.may_finish.clear()
    for number in range(2, 8):
        await world.publisher.publish(events.fetched(number))
    async with running_in_background(world.ocr.run):
        await wait_until(lambda: len(world.engine.converted) == 2)
        await world.publisher.publish(events.fetched(9, priority=10))
        await wait_until(lambda: len(world.engine.converted) == 3)
        assert [document.urgent for document in world.engine.converted] == [False, False, True]
        world.engine.may_finish.set()
        await wait_until(lambda: world.streams.all_acked(world.ocr.consumer))


@pytest.mark.slow
async def test_a_tenants_documents_are_worked_on_behind_a_backlog_of_another(
    world: World,
) -> None:
    """The engine is busy with the backlog's first documents, and stays so."""
    world.engine.may_finish.clear()
    for number in range(2, 61):
        await world.publisher.publish(events.fetched(number))
    async with running_in_background(world.ocr.run):
        await wait_until(lambda: len(world.engine.converted) == 2)
        await world.publisher.publish(events.fetched(500, tenant="other"))
        await wait_until(lambda: len(world.engine.converted) == 3, 30)
        assert [document.tenant for document in world.engine.converted[1:]] == ["default", "other"]
        assert not world.engine.converted[-1].may_be_repeated
        world.engine.may_finish.set()
        await wait_until(lambda: world.streams.all_acked(world.ocr.consumer), 60)
    assert len(await world.streams.events(DocumentConverted)) == 61
    assert len(world.engine.converted) == 61
    assert await world.streams.events(DocumentFailed) == []


async def test_half_a_character_does_not_lose_the_document(world: World) -> None:
    world.engine.pages = ("a\ud800b",)
    async with running_in_background(world.ocr.run):
        event = await world.converted()
    assert world.blobs.stored[event.markdown.key] == b"a?b"


async def test_finished_work_is_found_and_not_done_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a process that died between publishing its result and acknowledging."""
    ack, attempts = Delivery.ack, list[int]()

    async def lose_the_first(delivery: Delivery) -> None:
        attempts.append(delivery.attempt)
        if len(attempts) > 1:
            await ack(delivery)

    monkeypatch.setattr(Delivery, "ack", lose_the_first)
    async with running_in_background(world.ocr.run):
        await world.converted()
        await wait_until(lambda: world.streams.all_acked(world.ocr.consumer))
    assert attempts == [1, 2]
    assert len(world.engine.converted) == 1
    assert len(await world.streams.events(DocumentConverted)) == 1


async def test_a_requeued_document_is_converted_despite_earlier_events(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_FRESH_AGE", -1.0)
    async with running_in_background(world.ocr.run):
        await world.converted()
        await world.publisher.publish(events.requeued(events.fetched(priority=7)))
        await world.streams.wait_for(DocumentConverted, 2)
        await wait_until(lambda: world.streams.all_acked(world.ocr.consumer))
    first, second = await world.streams.events(DocumentConverted)
    assert (first.requeues, second.requeues) == (0, 1)


@pytest.mark.parametrize("clock", ["goes on", "is set back"])
async def test_a_recreated_consumer_does_not_repeat_old_work(
    world: World, monkeypatch: pytest.MonkeyPatch, clock: str
) -> None:
    async with running_in_background(world.ocr.run):
        await world.converted()
        await wait_until(lambda: world.streams.all_acked(world.ocr.consumer))
    for lane in LANES:
        durable = world.ocr.consumer.durable(lane)
        await world.connection.jetstream.delete_consumer(streams.EVENTS, durable)
    if clock == "is set back":
        monkeypatch.setattr(module, "datetime", EarlierClock)
    else:
        monkeypatch.setattr(module, "MAX_FRESH_AGE", 0.0)  # as if it had lain there for long

    async def finished_again() -> bool:
        try:
            return await world.streams.all_acked(world.ocr.consumer)
        except NotFoundError:
            return False

    async with running_in_background(world.ocr.run):
        await wait_until(finished_again)
    assert len(world.engine.converted) == 1


async def test_a_document_that_crashes_the_engine_twice_fails(
    world: World,
) -> None:
    world.engine.convert_errors = [BLAMED, BLAMED]
    async with running_in_background(world.ocr.run):
        failed = await world.failed()
    assert failed.code == "crashed"
    assert "2 times" in failed.reason
    assert len(world.engine.converted) == 2


async def test_a_document_is_converted_after_one_crash(world: World) -> None:
    world.engine.convert_errors = [BLAMED]
    async with running_in_background(world.ocr.run):
        await world.converted()
    assert await world.streams.events(DocumentFailed) == []


async def test_a_document_that_runs_out_of_memory_twice_fails_with_that_reason(
    world: World,
) -> None:
    world.engine.convert_errors = [NO_MEMORY, NO_MEMORY]
    async with running_in_background(world.ocr.run):
        failed = await world.failed()
    assert (failed.code, failed.retryable, failed.attempts) == ("out_of_memory", False, 1)
    assert "memory" in failed.reason
    assert len(world.engine.converted) == 2


async def test_memory_that_runs_out_once_is_forgiven(world: World) -> None:
    world.engine.convert_errors = [NO_MEMORY, OUTSIDE, BLAMED]
    async with running_in_background(world.ocr.run):
        await world.converted()
    assert await world.streams.events(DocumentFailed) == []


async def test_an_engine_ended_from_outside_is_nobodys_fault(world: World) -> None:
    world.engine.convert_errors = [OUTSIDE] * (module.MAX_EXTERNAL_CRASHES - 1)
    async with running_in_background(world.ocr.run):
        await world.converted()
    assert await world.streams.events(DocumentFailed) == []


async def test_an_engine_that_is_ended_again_and_again_ends_the_attempt_not_the_document(
    world: World,
) -> None:
    world.engine.convert_errors = [OUTSIDE] * module.MAX_EXTERNAL_CRASHES
    async with running_in_background(world.ocr.run):
        await world.converted()
    assert len(world.engine.converted) == module.MAX_EXTERNAL_CRASHES + 1


async def test_an_engine_that_never_lives_long_enough_is_given_up(world: World) -> None:
    world.engine.convert_errors = [OUTSIDE] * 1000
    async with running_in_background(world.ocr.run):
        failed = await world.failed()
    assert (failed.code, failed.retryable, failed.attempts) == ("engine_crashed", True, 4)
    assert OUTSIDE.reason in failed.reason


async def test_an_engine_without_room_is_waited_for_however_long(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STORAGE_FULL_PAUSE", 0.01)
    full = EngineCrashed("no space left", document_blamed=False, disk_full=True)
    world.engine.convert_errors = [full] * (module.MAX_EXTERNAL_CRASHES * 8)
    async with running_in_background(world.ocr.run):
        await world.converted()
    assert await world.streams.events(DocumentFailed) == []


async def test_an_engine_that_cannot_work_is_waited_for_and_others_get_the_place(
    world: World,
) -> None:
    away = EngineUnavailable("engine_unavailable", "It is away.", retry_after=0.05)
    world.engine.convert_errors = [away] * 6
    async with running_in_background(world.ocr.run):
        await world.converted()
    assert await world.streams.events(DocumentFailed) == []


async def test_an_engine_that_stays_away_is_not_waited_for_for_ever(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_ENGINE_WAIT", 0.3)
    away = EngineUnavailable("engine_quota", "The budget is used up.", retry_after=0.05)
    world.engine.convert_errors = [away] * 1000
    async with running_in_background(world.ocr.run):
        failed = await world.failed()
    assert (failed.code, failed.reason) == ("engine_quota", "The budget is used up.")
    assert failed.retryable


async def test_time_in_which_no_work_is_taken_is_no_wait_for_an_engine(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_ENGINE_WAIT", 0.4)
    away = EngineUnavailable("engine_quota", "The budget is used up.", retry_after=0.05)
    world.engine.convert_errors = [away] * 2
    async with running_in_background(world.ocr.run):
        await wait_until(lambda: len(world.engine.converted) == 1)
        world.intake.set("pause", "paused")
        await asyncio.sleep(1.0)  # the time that must not count
        world.intake.set("pause", None)
        await world.converted()
    assert await world.streams.events(DocumentFailed) == []


async def test_a_postponed_document_gives_its_place_to_others_and_keeps_its_parts(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_ENGINE_WAIT", 0.0)  # which is not for these
    world.engine.convert_errors = [Postponed("others go first", retry_after=0.05)] * 6
    async with running_in_background(world.ocr.run):
        await world.converted()
        await wait_until(lambda: bool(world.discarded))
    assert world.discarded == [events.id_of(1)], "only when it had ended"
    assert await world.streams.events(DocumentFailed) == []


async def test_a_partial_conversion_is_marked_and_bills_what_it_has(world: World) -> None:
    world.engine.partial = True
    async with running_in_background(world.ocr.run):
        event = await world.converted()
    assert (event.partial, event.pages, event.billed_pages) == (True, 2, None)


async def test_the_parts_of_a_failed_document_are_deleted(world: World) -> None:
    world.engine.convert_errors = [Unconvertible("time_budget", "It took too long.")]
    async with running_in_background(world.ocr.run):
        assert (await world.failed()).code == "time_budget"
        await wait_until(lambda: world.discarded == [events.id_of(1)])


async def test_an_unconvertible_document_is_not_retried(world: World) -> None:
    world.engine.convert_errors = [Unconvertible("password_protected", "It has a password.")]
    async with running_in_background(world.ocr.run):
        failed = await world.failed()
    assert (failed.code, failed.reason) == ("password_protected", "It has a password.")
    assert len(world.engine.converted) == 1


async def test_a_requeued_document_whose_password_is_gone_asks_for_it(world: World) -> None:
    world.engine.convert_errors = [Unconvertible("password_protected", "It has a password.")] * 2
    async with running_in_background(world.ocr.run):
        await world.failed()
        await world.publisher.publish(replace(events.fetched(priority=7), requeues=1))
        _, failed = await world.streams.wait_for(DocumentFailed, count=2)
    assert isinstance(failed, DocumentFailed)
    assert failed.code == "password_required"
    assert "Submit it again with its `password`" in failed.reason


async def test_a_missing_original_is_a_failure_not_a_loop(world: World) -> None:
    world.blobs.stored.clear()
    async with running_in_background(world.ocr.run):
        assert (await world.failed()).code == "source_missing"


async def test_a_full_store_is_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishable, "RETRY_PAUSE", 0.01)
    world.blobs.put_errors = [StorageFull()] * 10
    async with running_in_background(world.ocr.run):
        await world.converted()
