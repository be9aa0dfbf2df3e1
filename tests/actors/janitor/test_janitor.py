"""A pass does and reports the work that is due; a failing part does not stop the rest."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from actors import persister
from actors.aggregator import NAME as AGGREGATOR
from actors.blob_keys import PREFIXES
from actors.clock_guard import RunningTime
from actors.deadlines import Deadlines
from actors.fetcher import Fetcher
from actors.janitor.janitor import Janitor
from actors.janitor.objects import ObjectSweep
from actors.janitor.orphans import Orphans
from actors.janitor.retention import Retention
from actors.janitor.stuck import StageConsumers, StuckDocuments
from actors.ocr import Ocr
from actors.writes import ClockReading, ClockState, Hold, MarkClock, MarkErased, MarkSweep, Writer
from bus import streams
from bus.connection import Connection
from bus.consumers import ConsumerProgress
from bus.errors import BusFull
from bus.log import Log
from bus.objects import Objects
from bus.publisher import Publisher
from schemas.documents import Blob
from tests import events
from tests.actors.fakes import FakeBlobs, FakeTransactionStore
from tests.actors.janitor.queries import FakeMaintenanceQueries, record
from tests.actors.running import running_in_background
from tests.waiting import wait_until

KEY = f"originals/default/{events.id_of(1)}.abc"
REMOVED = record(
    state="deleted", original=Blob(KEY, 3, events.SHA256), removed_at=events.SUBMITTED_AT
)


class World:
    """A janitor and all it looks after."""

    def __init__(self, connection: Connection, directory: Path) -> None:
        self.connection = connection
        self.publisher = Publisher(connection)
        self.blobs = FakeBlobs(directory)
        self.upkeep = FakeMaintenanceQueries()
        self.transactions = FakeTransactionStore()
        self.writer = Writer(self.transactions)
        self.deadlines = Deadlines(is_held=True)
        log = Log(connection)
        readers = StageConsumers(Fetcher.consumer, Ocr.consumer, persister.NAME, AGGREGATOR)
        self.janitor = Janitor(
            connection,
            self.writer,
            self.upkeep,
            self.blobs,
            running_time=RunningTime(self.writer, timedelta()),
            retention=Retention(self.publisher, self.upkeep, self.blobs, "delete"),
            stuck=StuckDocuments(
                self.publisher, log, ConsumerProgress(connection), self.upkeep, readers
            ),
            orphans=Orphans(log, self.upkeep, self.blobs),
            objects=ObjectSweep(Objects(connection, 0), connection, readers),
            deadlines=self.deadlines,
        )

    async def notes(self) -> list[dict[str, Any]]:
        """Return the events about passes."""
        js = self.connection.jetstream
        last = (await js.stream_info(streams.EVENTS)).state.last_seq
        found = [await js.get_msg(streams.EVENTS, number) for number in range(1, last + 1)]
        return [
            msgspec.json.decode(message.data or b"")
            for message in found
            if message.subject == "ilios.janitor.swept"
        ]

    def written(self, kind: type) -> list[object]:
        """Return the writes of a kind, in order."""
        return [one for group in self.transactions.groups for one in group if isinstance(one, kind)]


@pytest.fixture
def world(connection: Connection, tmp_path: Path) -> World:
    return World(connection, tmp_path)


async def test_a_pass_that_finds_nothing_is_remembered_but_not_talked_about(world: World) -> None:
    async with running_in_background(world.writer.run):
        await world.janitor.sweep()
    assert len(world.written(MarkSweep)) == 1
    assert await world.notes() == []
    assert world.deadlines.now() is not None, "the clock was found to be right"


async def test_removed_documents_are_erased_and_marked_erased(world: World) -> None:
    world.blobs.stored[KEY] = b"foo"
    world.upkeep.documents = [REMOVED]
    async with running_in_background(world.writer.run):
        swept = await world.janitor.sweep()
    assert swept.erased == 1
    assert world.blobs.stored == {}
    (write,) = world.written(MarkErased)
    assert isinstance(write, MarkErased)
    assert [tuple(msgspec.to_builtins(name)) for name in write.names] == [
        ("default", events.id_of(1))
    ]
    (note,) = await world.notes()
    assert (note["type"], note["erased"]) == ("janitor.swept/1", 1)


async def test_a_removal_is_acted_upon_without_waiting_for_the_next_pass(world: World) -> None:
    async with running_in_background(world.writer.run), running_in_background(world.janitor.run):
        await wait_until(lambda: len(world.written(MarkSweep)) == 1)
        world.blobs.stored[KEY] = b"foo"
        world.upkeep.documents = [REMOVED]
        await world.publisher.publish(events.deleted())
        await wait_until(lambda: not world.blobs.stored)


async def test_a_failing_part_does_not_stop_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(self: StuckDocuments, now: datetime) -> None:
        raise RuntimeError

    monkeypatch.setattr(StuckDocuments, "sweep", broken)
    world.blobs.stored[KEY] = b"foo"
    world.upkeep.documents = [REMOVED]
    async with running_in_background(world.writer.run):
        assert (await world.janitor.sweep()).erased == 1


async def test_the_janitor_makes_room_although_the_log_is_full(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: object, **__: object) -> int:
        raise BusFull

    monkeypatch.setattr(Publisher, "publish", full)
    world.upkeep.swept_at = datetime.now(UTC)
    born = datetime.now(UTC) - timedelta(days=366)
    world.upkeep.documents = [REMOVED, record(2, "completed", submitted_at=born)]
    world.blobs.stored[KEY] = b"foo"
    async with running_in_background(world.writer.run):
        with pytest.raises(BusFull):
            await world.janitor.sweep()
    assert world.blobs.stored == {}


async def test_after_a_clock_jump_nothing_expires_and_the_jump_is_not_trusted(
    world: World,
) -> None:
    world.upkeep.swept_at = datetime.now(UTC) - timedelta(days=400)
    world.upkeep.documents = [record(state="completed", submitted_at=world.upkeep.swept_at)]
    async with running_in_background(world.writer.run):
        swept = await world.janitor.sweep()
    assert swept.held
    assert swept.deleted == 0
    assert world.written(MarkSweep) == []
    (mark,) = world.written(MarkClock)
    assert isinstance(mark, MarkClock)
    assert mark.state.hold, "or the next start would miss it"
    assert mark.state.trusted
    assert mark.state.trusted.wall_time == world.upkeep.swept_at
    (note,) = await world.notes()
    assert "400.0 days" in note["held"]
    assert world.deadlines.now() is None, "or documents would fail by a wrong clock"


async def test_after_a_jump_of_the_clock_no_upload_counts_as_old(world: World) -> None:
    world.upkeep.swept_at = datetime.now(UTC) - timedelta(days=400)
    world.blobs.stored[KEY] = b"foo"  # put just before the jump, and about to be submitted
    world.blobs.modified[KEY] = world.upkeep.swept_at
    async with running_in_background(world.writer.run):
        for _ in PREFIXES:
            assert (await world.janitor.sweep()).orphans == 0
    assert list(world.blobs.stored) == [KEY]


async def test_a_hold_of_a_former_process_stands(world: World) -> None:
    now = datetime.now(UTC)
    believed = ClockReading(now - timedelta(days=5), timedelta())
    world.upkeep.state = ClockState(believed, believed, Hold(timedelta(), timedelta(days=5)))
    world.upkeep.documents = [record(state="completed", submitted_at=now - timedelta(days=366))]
    async with running_in_background(world.writer.run):
        swept = await world.janitor.sweep()
    assert swept.held
    assert swept.deleted == 0


async def test_expired_documents_are_published_as_deleted(world: World) -> None:
    world.upkeep.swept_at = datetime.now(UTC)
    born = datetime.now(UTC) - timedelta(days=366)
    world.upkeep.documents = [record(state="completed", submitted_at=born)]
    async with running_in_background(world.writer.run):
        swept = await world.janitor.sweep()
    assert swept.deleted == 1
