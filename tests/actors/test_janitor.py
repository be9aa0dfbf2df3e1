"""A pass does what is due, says what it found, and one part that fails does not stop the rest."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from actors import persister
from actors.aggregator import NAME as AGGREGATOR
from actors.clock_guard import ClockState, Hold, Moment
from actors.fetcher import Fetcher
from actors.janitor import Janitor
from actors.keys import PREFIXES
from actors.ocr import Ocr
from actors.orphans import Orphans
from actors.redriving import Readers, Redriving
from actors.retention import Retention
from actors.running_time import RunningTime
from actors.writer import Writer
from actors.writes import MarkClock, MarkErased, MarkSweep
from bus import streams
from bus.connection import Connection
from bus.errors import BusFull
from bus.log import Log
from bus.progress import Progress
from bus.publisher import Publisher
from schemas.documents import Blob
from tests import events
from tests.actors.fakes import FakeBlobs, FakeLedger
from tests.actors.running import running
from tests.actors.upkeep import FakeUpkeep, record
from tests.waiting import until

KEY = f"originals/default/{events.name(1)}.abc"
REMOVED = record(
    state="deleted", original=Blob(KEY, 3, events.SHA256), removed_at=events.SUBMITTED_AT
)


class World:
    """A janitor and all it looks after."""

    def __init__(self, connection: Connection, directory: Path) -> None:
        self.connection = connection
        self.publisher = Publisher(connection)
        self.blobs = FakeBlobs(directory)
        self.upkeep = FakeUpkeep()
        self.ledger = FakeLedger()
        self.writer = Writer(self.ledger)
        log = Log(connection)
        readers = Readers(Fetcher.consumer, Ocr.consumer, persister.NAME, AGGREGATOR)
        self.janitor = Janitor(
            connection,
            self.writer,
            self.upkeep,
            self.blobs,
            running_time=RunningTime(self.writer, timedelta()),
            retention=Retention(self.publisher, self.upkeep, self.blobs, "delete"),
            redriving=Redriving(self.publisher, log, Progress(connection), self.upkeep, readers),
            orphans=Orphans(log, self.upkeep, self.blobs),
        )

    async def notes(self) -> list[dict[str, Any]]:
        """Return what was said of passes."""
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
        return [one for group in self.ledger.groups for one in group if isinstance(one, kind)]


@pytest.fixture
def world(connection: Connection, tmp_path: Path) -> World:
    return World(connection, tmp_path)


async def test_a_pass_that_finds_nothing_is_remembered_but_not_talked_about(world: World) -> None:
    async with running(world.writer.run):
        await world.janitor.sweep()
    assert len(world.written(MarkSweep)) == 1
    assert await world.notes() == []


async def test_removed_documents_lose_their_bytes_and_that_is_said(world: World) -> None:
    world.blobs.kept[KEY] = b"foo"
    world.upkeep.documents = [REMOVED]
    async with running(world.writer.run):
        swept = await world.janitor.sweep()
    assert swept.erased == 1
    assert world.blobs.kept == {}
    (write,) = world.written(MarkErased)
    assert isinstance(write, MarkErased)
    assert [tuple(msgspec.to_builtins(name)) for name in write.names] == [
        ("default", events.name(1))
    ]
    (note,) = await world.notes()
    assert (note["type"], note["erased"]) == ("janitor.swept/1", 1)


async def test_a_removal_is_acted_upon_without_waiting_for_the_next_pass(world: World) -> None:
    async with running(world.writer.run), running(world.janitor.run):
        await until(lambda: len(world.written(MarkSweep)) == 1)
        world.blobs.kept[KEY] = b"foo"
        world.upkeep.documents = [REMOVED]
        await world.publisher.say(events.deleted())
        await until(lambda: not world.blobs.kept)


async def test_a_part_that_fails_does_not_keep_the_others_from_their_work(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(self: Redriving, now: datetime) -> None:
        raise RuntimeError

    monkeypatch.setattr(Redriving, "sweep", broken)
    world.blobs.kept[KEY] = b"foo"
    world.upkeep.documents = [REMOVED]
    async with running(world.writer.run):
        assert (await world.janitor.sweep()).erased == 1


async def test_a_full_log_does_not_keep_the_janitor_from_making_room(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: object, **__: object) -> int:
        raise BusFull

    monkeypatch.setattr(Publisher, "say", full)
    world.upkeep.swept_at = datetime.now(UTC)
    born = datetime.now(UTC) - timedelta(days=366)
    world.upkeep.documents = [REMOVED, record(2, "completed", submitted_at=born)]
    world.blobs.kept[KEY] = b"foo"
    async with running(world.writer.run):
        with pytest.raises(BusFull):
            await world.janitor.sweep()
    assert world.blobs.kept == {}


async def test_after_a_jump_of_the_clock_nothing_expires_and_the_jump_is_not_believed(
    world: World,
) -> None:
    world.upkeep.swept_at = datetime.now(UTC) - timedelta(days=400)
    world.upkeep.documents = [record(state="completed", submitted_at=world.upkeep.swept_at)]
    async with running(world.writer.run):
        swept = await world.janitor.sweep()
    assert swept.held
    assert swept.deleted == 0
    assert world.written(MarkSweep) == []
    (kept,) = world.written(MarkClock)
    assert isinstance(kept, MarkClock)
    assert kept.state.hold, "or the next start would not know of it"
    assert kept.state.believed
    assert kept.state.believed.at == world.upkeep.swept_at
    (note,) = await world.notes()
    assert "400.0 days" in note["held"]


async def test_after_a_jump_of_the_clock_no_upload_counts_as_old(world: World) -> None:
    world.upkeep.swept_at = datetime.now(UTC) - timedelta(days=400)
    world.blobs.kept[KEY] = b"foo"  # put just before the jump, and about to be submitted
    world.blobs.modified[KEY] = world.upkeep.swept_at
    async with running(world.writer.run):
        for _ in PREFIXES:
            assert (await world.janitor.sweep()).orphans == 0
    assert list(world.blobs.kept) == [KEY]


async def test_a_hold_of_a_former_process_stands(world: World) -> None:
    now = datetime.now(UTC)
    believed = Moment(now - timedelta(days=5), timedelta())
    world.upkeep.state = ClockState(believed, believed, Hold(timedelta(), timedelta(days=5)))
    world.upkeep.documents = [record(state="completed", submitted_at=now - timedelta(days=366))]
    async with running(world.writer.run):
        swept = await world.janitor.sweep()
    assert swept.held
    assert swept.deleted == 0


async def test_what_is_due_is_said_to_be_deleted(world: World) -> None:
    world.upkeep.swept_at = datetime.now(UTC)
    born = datetime.now(UTC) - timedelta(days=366)
    world.upkeep.documents = [record(state="completed", submitted_at=born)]
    async with running(world.writer.run):
        swept = await world.janitor.sweep()
    assert swept.deleted == 1
