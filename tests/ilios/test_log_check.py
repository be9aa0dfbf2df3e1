"""The log against the database: what is missing shows, and what went by its age does not."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec import structs

from actors import persister
from actors.writes import ApplyEntries, Cursor
from bus import log_state, streams
from bus.connection import Connection
from bus.errors import BusUnavailable
from bus.publisher import Publisher
from ilios import log_losses
from ilios.database.connection import open_reader, open_writer
from ilios.database.ledger import SqliteLedger
from ilios.database.log_reads import LogReads
from ilios.database.upkeep_reads import UpkeepReads
from ilios.faults import Faults
from ilios.log_check import UNREAD_TOLERATED, LogCheck
from ilios.log_losses import LogLosses, Mark
from tests import events
from tests.actors.fakes import FakeBlobs

NOW = datetime.now(UTC)
LONG_AGO = NOW - timedelta(days=8)


class World:
    """A log with ten submissions, a database that was written from it, a store of blobs."""

    def __init__(
        self, connection: Connection, directory: Path, ledger: SqliteLedger, reads: LogReads
    ) -> None:
        self.connection = connection
        self.directory = directory
        self.ledger = ledger
        self.blobs = FakeBlobs(directory / "blobs")
        self.faults = Faults()
        self.complains = self.could_not_write = False
        self.reads = reads
        self.upkeep: UpkeepReads

    def check(self) -> LogCheck:
        """Return a check as a service makes it when it starts."""
        return LogCheck(
            self.connection,
            self.reads,
            self.upkeep,
            self.blobs,
            losses=LogLosses(self.directory),
            faults=self.faults,
            complaints=lambda: self.complains,
            failed_write=lambda: self.could_not_write,
        )

    async def look(self) -> str:
        """Return what a service that starts finds wrong."""
        await self.check().look()
        return "".join(self.faults.problems)

    async def read_up_to(self, sequence: int) -> None:
        created = (await streams.identity(self.connection.jetstream)).created
        await self.read_of(created, sequence)

    async def read_of(self, created: str, sequence: int) -> None:
        cursor = Cursor(streams.EVENTS, created, sequence)
        write = ApplyEntries(persister.NAME, (), cursor)
        await self.ledger.keep([write])  # type: ignore[list-item]  # a write of its own answer

    async def came(self, last: int, at: datetime) -> None:
        created = (await streams.identity(self.connection.jetstream)).created
        LogLosses(self.directory).mark(Mark(created, last, at))

    async def lose_up_to(self, sequence: int) -> None:
        await self.connection.jetstream.purge_stream(streams.EVENTS, seq=sequence + 1)


@pytest.fixture
async def world(connection: Connection, tmp_path: Path) -> AsyncIterator[World]:
    path = tmp_path / "ilios.db"
    publisher = Publisher(connection)
    for number in range(1, 11):
        await publisher.say(events.submitted(number))
    async with open_writer(path) as writing, open_reader(path) as reading:
        world = World(connection, tmp_path, SqliteLedger(writing), LogReads(reading))
        world.upkeep = UpkeepReads(reading)
        yield world


async def test_a_log_that_has_everything_shows_nothing(world: World) -> None:
    assert not await world.look()
    await world.read_up_to(10)
    assert not await world.look()


async def test_what_went_by_its_age_is_no_loss(world: World) -> None:
    await world.came(6, LONG_AGO)
    await world.read_up_to(10)
    await world.lose_up_to(6)
    assert not await world.look()


@pytest.mark.parametrize("ahead", [timedelta(days=2), timedelta(days=400)])
async def test_what_went_by_its_age_is_no_loss_where_the_clock_was_ahead(
    world: World, ahead: timedelta
) -> None:
    await world.came(6, LONG_AGO + ahead)
    await world.came(9, NOW + ahead)
    await world.read_up_to(10)
    await world.lose_up_to(8)
    assert not await world.look()
    assert not await world.look(), "nor when the time of now is noted"
    await world.lose_up_to(9)
    await world.came(10, NOW)
    assert not await world.look()


async def test_what_went_before_its_time_shows(world: World) -> None:
    await world.came(6, LONG_AGO)
    await world.came(7, NOW)
    await world.read_up_to(10)
    await world.lose_up_to(9)
    problem = await world.look()
    assert "2 events (8 to 9)" in problem
    assert "its beginning" in problem
    assert await world.look() == problem, "found once"
    assert world.faults.blocking is None


async def test_an_end_that_is_gone_shows_also_where_the_database_had_not_read_it(
    world: World,
) -> None:
    await world.came(12, NOW)
    await world.read_up_to(10)
    assert "its end with 2 events (11 to 12)" in await world.look()


async def test_an_end_that_is_gone_is_one_loss_although_new_events_have_taken_its_place(
    world: World,
) -> None:
    await world.read_up_to(13)
    problem = await world.look()
    assert "its end with 3 events (11 to 13)" in problem
    await Publisher(world.connection).say(events.submitted(11))
    log = await streams.identity(world.connection.jetstream)
    check = world.check()
    await check.notice(Cursor(streams.EVENTS, log.created, 13), log)
    assert world.faults.problems == [problem]


async def test_an_event_that_was_refused_on_a_full_volume_is_no_loss(world: World) -> None:
    """Its number is used up all the same, the first of a log too."""
    await world.came(0, NOW)
    await world.lose_up_to(1)
    world.could_not_write = True
    assert not await world.look()
    world.could_not_write = False
    assert not await world.look(), "found once"
    await world.read_up_to(10)
    assert not await world.look()


async def test_several_events_are_lost_also_where_one_was_refused(world: World) -> None:
    await world.read_up_to(7)
    await world.came(7, NOW)
    await world.lose_up_to(9)
    world.could_not_write = True
    assert "2 events (8 to 9)" in await world.look()


async def test_originals_are_kept_until_the_whole_log_was_read(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is damaged and still counted shows only then."""
    await world.read_up_to(10)
    check = world.check()
    await check.compare()
    assert check.may_concern(LONG_AGO)
    with monkeypatch.context() as patch:
        patch.setattr(log_state, "unreadable", _no_answer)
        with pytest.raises(BusUnavailable):
            await check.look()
    assert check.may_concern(LONG_AGO), "a reading that broke off is none"
    await check.look()
    assert not check.may_concern(LONG_AGO)


async def _no_answer(*_: object, **__: object) -> list[log_state.Range]:
    raise BusUnavailable("the log was not read to its end")


async def test_nothing_is_settled_of_a_log_that_has_lost_its_end(world: World) -> None:
    """A consumer that began behind it would pass over what came since."""
    log = await streams.identity(world.connection.jetstream)
    await world.read_up_to(10)
    assert await world.reads.settled(log) == 10
    await world.read_up_to(11)
    assert await world.reads.settled(log) == 0
    await world.read_of("another log", 10)
    assert await world.reads.settled(log) == 0


async def test_what_the_last_events_were_is_not_asked_of_an_empty_log(world: World) -> None:
    """They may have changed nothing in the database: announcements, and notes of the janitor."""
    await world.came(10, LONG_AGO)
    await world.read_up_to(8)
    await world.lose_up_to(10)
    assert not await world.look()
    assert UNREAD_TOLERATED >= 2


async def test_nor_is_it_asked_as_soon_as_there_is_a_new_event(world: World) -> None:
    """As after a week in which the service was stopped: health publishes a probe at once."""
    await world.came(10, LONG_AGO)
    await world.read_up_to(8)
    await world.lose_up_to(10)
    check = world.check()
    await check.look()
    await Publisher(world.connection).say(events.submitted(11))
    await check.look()
    assert world.faults.problems == []


async def test_a_log_that_was_never_looked_at_gets_the_benefit_of_the_doubt(world: World) -> None:
    await world.read_up_to(6)
    await world.lose_up_to(8)
    assert not await world.look()


async def test_what_went_unread_shows(world: World) -> None:
    await world.came(0, LONG_AGO)
    await world.read_up_to(6)
    await world.lose_up_to(8)
    assert "2 events (7 to 8) went before they were read" in await world.look()


async def test_a_new_database_beside_a_log_that_begins_later_blocks(world: World) -> None:
    await world.lose_up_to(8)
    problem = await world.look()
    assert "8 events (1 to 8) are no longer on it" in problem
    assert "ilios rebuild" in problem
    assert world.faults.blocking
    log_losses.accept(world.directory)
    assert not await world.look()


async def test_a_hole_shows_once_and_the_next_one_again(world: World) -> None:
    await world.read_up_to(10)
    js = world.connection.jetstream
    for sequence in (4, 5, 7):
        await js.delete_msg(streams.EVENTS, sequence)
    check = world.check()
    await check.look()
    (problem,) = world.faults.problems
    assert "2 events (4 to 5) are missing in it; event 7 is missing in it" in problem
    log_losses.accept(world.directory)
    await check.look()
    assert not world.faults.problems
    await js.delete_msg(streams.EVENTS, 8)
    await check.look()
    (problem,) = world.faults.problems
    assert "event 8 is missing in it" in problem
    assert "event 7" not in problem


async def test_another_log_shows_and_one_whose_settings_were_made_again_does_not(
    world: World,
) -> None:
    await world.read_of("2020-01-01T00:00:00+00:00", 10)
    assert "not the one the database was written from, of which 10 events" in await world.look()
    forget_losses(world.directory)
    world.faults.resolve("log")
    patched = structs.replace(
        await log_state_of(world), created=(NOW + timedelta(days=1)).isoformat()
    )
    with pytest.MonkeyPatch.context() as patch:

        async def look(_connection: Connection) -> log_state.LogState:
            return patched

        patch.setattr(log_state, "look", look)
        assert not await world.look()


def forget_losses(directory: Path) -> None:
    (directory / log_losses.FILE).unlink()


async def log_state_of(world: World) -> log_state.LogState:
    state = await log_state.look(world.connection)
    assert state is not None
    return state


async def test_what_the_server_complains_of_shows_where_no_number_does(world: World) -> None:
    await world.read_up_to(10)
    world.complains = True
    assert "nats-server has found damage" in await world.look()
    log_losses.accept(world.directory)
    assert not await world.look(), "it complains of the same at every start"


async def test_originals_without_a_document_are_named_and_who_came_later_is_not(
    world: World,
) -> None:
    await world.read_up_to(10)
    await world.connection.jetstream.delete_msg(streams.EVENTS, 5)
    keys = {number: f"originals/default/{events.name(number)}.a" for number in (4, 5, 99)}
    for key in keys.values():
        world.blobs.kept[key] = b"foo"
        world.blobs.modified[key] = NOW
    world.blobs.modified[keys[99]] = NOW + timedelta(days=2)
    problem = await world.look()
    assert f"1 original belongs to no document of this database: {events.name(5)}" in problem
    assert "default/" not in problem, "anybody may ask for health"
    assert events.name(4) not in problem, "its submission is still on the log"
    assert events.name(99) not in problem, "it came long after the loss"
    check = world.check()
    await check.look()
    assert check.may_concern(NOW)
    assert not check.may_concern(NOW + timedelta(days=2))
    log_losses.accept(world.directory)
    await check.look()
    assert check.may_concern(NOW), "what was accepted is kept all the same"


async def test_a_file_that_cannot_be_read_is_put_aside(tmp_path: Path) -> None:
    (tmp_path / log_losses.FILE).write_text('{"losses": 7}')
    assert not LogLosses(tmp_path).standing
    assert (tmp_path / f"{log_losses.FILE}.damaged").exists()
