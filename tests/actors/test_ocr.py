"""A document is converted once, whatever becomes of the engine."""

from datetime import datetime, timedelta, tzinfo
from pathlib import Path

import pytest
from nats.js.errors import NotFoundError

from actors import finishing
from actors import ocr as module
from actors.cancellations import Cancellations
from actors.engines import PAGE_SEPARATOR, EngineCrashed, EngineUnavailable, Unconvertible
from actors.ocr import Ocr
from actors.ports import StorageFull
from bus import streams
from bus.connection import Connection
from bus.consumers import LANES, Consumer
from bus.delivery import Delivery
from bus.publisher import Publisher
from schemas.documents import DocumentConverted, DocumentFailed, DocumentFetched
from tests import events
from tests.actors.fakes import FakeBlobs, FakeEngine
from tests.actors.running import Streams, running
from tests.waiting import until

ORIGINAL = b"foo"
NO_MEMORY = EngineCrashed("no memory left", blame=False, memory=True)
BLAMED, OUTSIDE = EngineCrashed("it aborted", blame=True), EngineCrashed("killed", blame=False)


class SetBack(datetime):
    """A wall clock that was set back by a day."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        return datetime.now(tz) - timedelta(days=1)


class World:
    """An actor and what it works with; the original lies in the store, the event on the log."""

    def __init__(self, connection: Connection, directory: Path) -> None:
        self.connection = connection
        self.blobs = FakeBlobs(directory)
        self.blobs.kept["original"] = ORIGINAL
        self.engine = FakeEngine()
        self.cancellations = Cancellations(connection)
        self.ocr = Ocr(connection, self.blobs, self.engine, self.cancellations, at_once=2)
        self.streams = Streams(connection)
        self.publisher = Publisher(connection)

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
        hears=DocumentFetched,
        ack_within=1.0,
        retry_after=(0.05, 0.05, 0.05),
    )
    monkeypatch.setattr(Ocr, "consumer", consumer)
    world = World(connection, tmp_path)
    await world.publisher.say(events.fetched(priority=7))
    return world


async def test_the_markdown_of_all_pages_lies_in_the_store_in_order(world: World) -> None:
    world.engine.pages = ("one", "", "three")
    async with running(world.ocr.run):
        event = await world.converted()
    assert world.blobs.kept[event.markdown.key].decode() == PAGE_SEPARATOR.join(world.engine.pages)
    assert (event.pages, event.engine, event.model) == (3, "fake", "none")
    assert (event.priority, event.document_id) == (7, events.name(1))
    assert event.input_tokens > 0
    (document,) = world.engine.converted
    assert (document.sha256, document.content_type) == (events.SHA256, "application/pdf")
    assert document.path.read_bytes() == ORIGINAL


async def test_an_urgent_document_is_taken_in_hand_while_all_hands_are_full(world: World) -> None:
    world.engine.may_end.clear()
    for number in range(2, 8):
        await world.publisher.say(events.fetched(number))
    async with running(world.ocr.run):
        await until(lambda: len(world.engine.converted) == 2)
        await world.publisher.say(events.fetched(9, priority=10))
        await until(lambda: len(world.engine.converted) == 3)
        assert [document.urgent for document in world.engine.converted] == [False, False, True]
        world.engine.may_end.set()
        await until(lambda: world.streams.finished(world.ocr.consumer))


async def test_a_tenants_documents_are_worked_on_behind_a_backlog_of_another(
    world: World,
) -> None:
    """The engine is busy with the backlog's first documents, and stays so."""
    world.engine.may_end.clear()
    for number in range(2, 61):
        await world.publisher.say(events.fetched(number))
    async with running(world.ocr.run):
        await until(lambda: len(world.engine.converted) == 2)
        await world.publisher.say(events.fetched(500, tenant="other"))
        await until(lambda: len(world.engine.converted) == 3, 30)
        assert [document.tenant for document in world.engine.converted[1:]] == ["default", "other"]
        assert not world.engine.converted[-1].again
        world.engine.may_end.set()
        await until(lambda: world.streams.finished(world.ocr.consumer), 60)
    assert len(await world.streams.said(DocumentConverted)) == 61
    assert len(world.engine.converted) == 61
    assert await world.streams.said(DocumentFailed) == []


async def test_half_a_character_does_not_lose_the_document(world: World) -> None:
    world.engine.pages = ("a\ud800b",)
    async with running(world.ocr.run):
        event = await world.converted()
    assert world.blobs.kept[event.markdown.key] == b"a?b"


async def test_finished_work_is_found_and_not_done_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a process that died between saying its answer and acknowledging."""
    ack, attempts = Delivery.ack, list[int]()

    async def lose_the_first(delivery: Delivery) -> None:
        attempts.append(delivery.attempt)
        if len(attempts) > 1:
            await ack(delivery)

    monkeypatch.setattr(Delivery, "ack", lose_the_first)
    async with running(world.ocr.run):
        await world.converted()
        await until(lambda: world.streams.finished(world.ocr.consumer))
    assert attempts == [1, 2]
    assert len(world.engine.converted) == 1
    assert len(await world.streams.said(DocumentConverted)) == 1


async def test_what_was_requeued_is_converted_whatever_was_said_before(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FRESH_WITHIN", -1.0)
    async with running(world.ocr.run):
        await world.converted()
        await world.publisher.say(events.requeued(events.fetched(priority=7)))
        await world.streams.wait_for(DocumentConverted, 2)
        await until(lambda: world.streams.finished(world.ocr.consumer))
    first, second = await world.streams.said(DocumentConverted)
    assert (first.requeues, second.requeues) == (0, 1)


@pytest.mark.parametrize("clock", ["goes on", "is set back"])
async def test_a_consumer_made_anew_does_not_have_old_work_done_again(
    world: World, monkeypatch: pytest.MonkeyPatch, clock: str
) -> None:
    async with running(world.ocr.run):
        await world.converted()
        await until(lambda: world.streams.finished(world.ocr.consumer))
    for lane in LANES:
        durable = world.ocr.consumer.durable(lane)
        await world.connection.jetstream.delete_consumer(streams.EVENTS, durable)
    if clock == "is set back":
        monkeypatch.setattr(module, "datetime", SetBack)
    else:
        monkeypatch.setattr(module, "FRESH_WITHIN", 0.0)  # as if it had lain there for long

    async def finished_again() -> bool:
        try:
            return await world.streams.finished(world.ocr.consumer)
        except NotFoundError:
            return False

    async with running(world.ocr.run):
        await until(finished_again)
    assert len(world.engine.converted) == 1


async def test_a_document_that_takes_the_engine_down_twice_is_held_to_be_the_cause(
    world: World,
) -> None:
    world.engine.meets = [BLAMED, BLAMED]
    async with running(world.ocr.run):
        failed = await world.failed()
    assert failed.code == "crashed"
    assert "2 times" in failed.reason
    assert len(world.engine.converted) == 2


async def test_one_crash_is_forgiven(world: World) -> None:
    world.engine.meets = [BLAMED]
    async with running(world.ocr.run):
        await world.converted()
    assert await world.streams.said(DocumentFailed) == []


async def test_a_document_that_takes_all_memory_twice_is_told_so(world: World) -> None:
    world.engine.meets = [NO_MEMORY, NO_MEMORY]
    async with running(world.ocr.run):
        failed = await world.failed()
    assert (failed.code, failed.retryable, failed.attempts) == ("out_of_memory", False, 1)
    assert "memory" in failed.reason
    assert len(world.engine.converted) == 2


async def test_memory_that_runs_out_once_is_forgiven(world: World) -> None:
    world.engine.meets = [NO_MEMORY, OUTSIDE, BLAMED]
    async with running(world.ocr.run):
        await world.converted()
    assert await world.streams.said(DocumentFailed) == []


async def test_an_engine_ended_from_outside_is_nobodys_fault(world: World) -> None:
    world.engine.meets = [OUTSIDE] * (module.OUTSIDE_CRASHES - 1)
    async with running(world.ocr.run):
        await world.converted()
    assert await world.streams.said(DocumentFailed) == []


async def test_an_engine_that_is_ended_again_and_again_ends_the_attempt_not_the_document(
    world: World,
) -> None:
    world.engine.meets = [OUTSIDE] * module.OUTSIDE_CRASHES
    async with running(world.ocr.run):
        await world.converted()
    assert len(world.engine.converted) == module.OUTSIDE_CRASHES + 1


async def test_an_engine_that_never_lives_long_enough_is_given_up(world: World) -> None:
    world.engine.meets = [OUTSIDE] * 1000
    async with running(world.ocr.run):
        failed = await world.failed()
    assert (failed.code, failed.retryable, failed.attempts) == ("engine_crashed", True, 4)
    assert OUTSIDE.reason in failed.reason


async def test_an_engine_without_room_is_waited_for_however_long(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FULL_PAUSE", 0.01)
    full = EngineCrashed("no space left", blame=False, full=True)
    world.engine.meets = [full] * (module.OUTSIDE_CRASHES * 8)
    async with running(world.ocr.run):
        await world.converted()
    assert await world.streams.said(DocumentFailed) == []


async def test_an_engine_that_cannot_work_is_waited_for_and_others_get_the_place(
    world: World,
) -> None:
    away = EngineUnavailable("engine_unavailable", "It is away.", after=0.05)
    world.engine.meets = [away] * 6
    async with running(world.ocr.run):
        await world.converted()
    assert await world.streams.said(DocumentFailed) == []


async def test_an_engine_that_stays_away_is_not_waited_for_for_ever(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.3)
    away = EngineUnavailable("engine_quota", "The budget is used up.", after=0.05)
    world.engine.meets = [away] * 1000
    async with running(world.ocr.run):
        failed = await world.failed()
    assert (failed.code, failed.reason) == ("engine_quota", "The budget is used up.")
    assert failed.retryable


async def test_the_engines_judgement_is_final(world: World) -> None:
    world.engine.meets = [Unconvertible("password_protected", "It has a password.")]
    async with running(world.ocr.run):
        failed = await world.failed()
    assert (failed.code, failed.reason) == ("password_protected", "It has a password.")
    assert len(world.engine.converted) == 1


async def test_a_missing_original_is_a_failure_not_a_loop(world: World) -> None:
    world.blobs.kept.clear()
    async with running(world.ocr.run):
        assert (await world.failed()).code == "source_missing"


async def test_a_full_store_is_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finishing, "PAUSE", 0.01)
    world.blobs.fails = [StorageFull()] * 10
    async with running(world.ocr.run):
        await world.converted()
