"""Lost events are found by comparing log and database; expired events are no loss."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec import structs

from actors import persister
from actors.writes import ApplyEvents, Cursor
from bus import log_state, streams
from bus.connection import Connection
from bus.errors import BusUnavailable
from bus.publisher import Publisher
from ilios.database.connection import open_reader, open_writer
from ilios.database.queries import SqliteLogQueries, SqliteMaintenanceQueries
from ilios.database.store import SqliteTransactionStore
from ilios.integrity import losses
from ilios.integrity.faults import Faults
from ilios.integrity.log_check import UNREAD_TOLERATED, LogCheck
from ilios.integrity.losses import Checkpoint, LossStore
from schemas.documents import Stored
from tests import events
from tests.actors.fakes import FakeBlobs

NOW = datetime.now(UTC)
LONG_AGO = NOW - timedelta(days=8)


class World:
    """A log with ten submissions, a database that was written from it, a store of blobs."""

    def __init__(
        self,
        connection: Connection,
        directory: Path,
        transactions: SqliteTransactionStore,
        reads: SqliteLogQueries,
    ) -> None:
        self.connection = connection
        self.directory = directory
        self.transactions = transactions
        self.blobs = FakeBlobs(directory / "blobs")
        self.faults = Faults()
        self.complains = self.could_not_write = False
        self.reads = reads
        self.upkeep: SqliteMaintenanceQueries

    def check(self) -> LogCheck:
        """Return a check as a service makes it when it starts."""
        return LogCheck(
            self.connection,
            self.reads,
            self.upkeep,
            self.blobs,
            losses=LossStore(self.directory),
            faults=self.faults,
            pop_damaged=lambda: self.complains,
            pop_write_failed=lambda: self.could_not_write,
        )

    async def check_once(self) -> str:
        """Return what a service that starts finds wrong."""
        await self.check().check()
        return "".join(self.faults.problems)

    async def read_up_to(self, sequence: int) -> None:
        created = (await streams.identity(self.connection.jetstream)).created
        await self.read_of(created, sequence)

    async def read_of(self, created: str, sequence: int) -> None:
        cursor = Cursor(streams.EVENTS, created, sequence)
        write = ApplyEvents(persister.NAME, (), cursor)
        await self.transactions.commit([write])  # type: ignore[list-item]  # a write of its own answer

    async def append(self, last: int, at: datetime) -> None:
        created = (await streams.identity(self.connection.jetstream)).created
        LossStore(self.directory).add_checkpoint(Checkpoint(created, last, at))

    async def purge_up_to(self, sequence: int) -> None:
        await self.connection.jetstream.purge_stream(streams.EVENTS, seq=sequence + 1)


@pytest.fixture
async def world(connection: Connection, tmp_path: Path) -> AsyncIterator[World]:
    path = tmp_path / "ilios.db"
    publisher = Publisher(connection)
    for number in range(1, 11):
        await publisher.publish(events.submitted(number))
    async with open_writer(path) as writing, open_reader(path) as reading:
        world = World(
            connection, tmp_path, SqliteTransactionStore(writing), SqliteLogQueries(reading)
        )
        world.upkeep = SqliteMaintenanceQueries(reading)
        yield world


async def test_a_complete_log_has_no_loss(world: World) -> None:
    assert not await world.check_once()
    await world.read_up_to(10)
    assert not await world.check_once()


async def test_expired_events_are_no_loss(world: World) -> None:
    await world.append(6, LONG_AGO)
    await world.read_up_to(10)
    await world.purge_up_to(6)
    assert not await world.check_once()


@pytest.mark.parametrize("ahead", [timedelta(days=2), timedelta(days=400)])
async def test_expired_events_are_no_loss_after_a_clock_that_was_ahead(
    world: World, ahead: timedelta
) -> None:
    await world.append(6, LONG_AGO + ahead)
    await world.append(9, NOW + ahead)
    await world.read_up_to(10)
    await world.purge_up_to(8)
    assert not await world.check_once()
    assert not await world.check_once(), "nor when the time of now is noted"
    await world.purge_up_to(9)
    await world.append(10, NOW)
    assert not await world.check_once()


async def test_events_that_vanish_early_are_a_loss(world: World) -> None:
    await world.append(6, LONG_AGO)
    await world.append(7, NOW)
    await world.read_up_to(10)
    await world.purge_up_to(9)
    problem = await world.check_once()
    assert "2 events (8 to 9)" in problem
    assert "its beginning" in problem
    assert await world.check_once() == problem, "found once"
    assert world.faults.blocking is None


async def test_a_lost_end_that_the_database_had_not_read_is_a_loss(
    world: World,
) -> None:
    await world.append(12, NOW)
    await world.read_up_to(10)
    assert "its end with 2 events (11 to 12)" in await world.check_once()


async def test_a_lost_end_is_one_loss_although_new_events_have_its_sequences(
    world: World,
) -> None:
    await world.read_up_to(13)
    problem = await world.check_once()
    assert "its end with 3 events (11 to 13)" in problem
    await Publisher(world.connection).publish(events.submitted(11))
    log = await streams.identity(world.connection.jetstream)
    check = world.check()
    await check.record_loss(Cursor(streams.EVENTS, log.created, 13), log)
    assert world.faults.problems == [problem]


async def test_an_event_that_was_refused_on_a_full_volume_is_no_loss(world: World) -> None:
    """Its number is used up all the same, the first of a log too."""
    await world.append(0, NOW)
    await world.purge_up_to(1)
    world.could_not_write = True
    assert not await world.check_once()
    world.could_not_write = False
    assert not await world.check_once(), "found once"
    await world.read_up_to(10)
    assert not await world.check_once()


async def test_several_missing_events_are_a_loss_although_one_was_refused(world: World) -> None:
    await world.read_up_to(7)
    await world.append(7, NOW)
    await world.purge_up_to(9)
    world.could_not_write = True
    assert "2 events (8 to 9)" in await world.check_once()


async def test_originals_stay_until_the_whole_log_was_read(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is damaged and still counted shows only then."""
    await world.read_up_to(10)
    check = world.check()
    await check.compare_numbers()
    assert check.may_affect(LONG_AGO)
    with monkeypatch.context() as patch:
        patch.setattr(log_state, "unreadable_ranges", _no_answer)
        with pytest.raises(BusUnavailable):
            await check.check()
    assert check.may_affect(LONG_AGO), "a reading that broke off is none"
    await check.check()
    assert not check.may_affect(LONG_AGO)


async def _no_answer(*_: object, **__: object) -> list[log_state.SequenceRange]:
    raise BusUnavailable("the log was not read to its end")


async def test_no_event_counts_as_ended_on_a_log_that_lost_its_end(world: World) -> None:
    """A consumer that began behind it would pass over what came since."""
    log = await streams.identity(world.connection.jetstream)
    await world.read_up_to(10)
    assert await world.reads.ended_floor(log) == 10
    await world.read_up_to(11)
    assert await world.reads.ended_floor(log) == 0
    await world.read_of("another log", 10)
    assert await world.reads.ended_floor(log) == 0


async def test_expired_last_events_of_an_empty_log_are_no_loss(world: World) -> None:
    """They may have changed nothing in the database: announcements, and notes of the janitor."""
    await world.append(10, LONG_AGO)
    await world.read_up_to(8)
    await world.purge_up_to(10)
    assert not await world.check_once()
    assert UNREAD_TOLERATED >= 2


async def test_expired_last_events_are_no_loss_after_a_new_event(world: World) -> None:
    """As after a week in which the service was stopped: health publishes a probe at once."""
    await world.append(10, LONG_AGO)
    await world.read_up_to(8)
    await world.purge_up_to(10)
    check = world.check()
    await check.check()
    await Publisher(world.connection).publish(events.submitted(11))
    await check.check()
    assert world.faults.problems == []


async def test_a_few_unread_events_of_a_log_never_checked_are_no_loss(world: World) -> None:
    await world.read_up_to(6)
    await world.purge_up_to(8)
    assert not await world.check_once()


async def test_unread_events_are_a_loss(world: World) -> None:
    await world.append(0, LONG_AGO)
    await world.read_up_to(6)
    await world.purge_up_to(8)
    assert "2 events (7 to 8) went before they were read" in await world.check_once()


async def test_a_new_database_beside_a_log_that_begins_later_blocks(world: World) -> None:
    await world.purge_up_to(8)
    problem = await world.check_once()
    assert "8 events (1 to 8) are no longer on it" in problem
    assert "ilios rebuild" in problem
    assert world.faults.blocking
    losses.accept(world.directory)
    assert not await world.check_once()


async def test_an_accepted_hole_is_not_reported_again_but_a_new_one_is(world: World) -> None:
    await world.read_up_to(10)
    js = world.connection.jetstream
    for sequence in (4, 5, 7):
        await js.delete_msg(streams.EVENTS, sequence)
    check = world.check()
    await check.check()
    (problem,) = world.faults.problems
    assert "2 events (4 to 5) are missing in it; event 7 is missing in it" in problem
    losses.accept(world.directory)
    await check.check()
    assert not world.faults.problems
    await js.delete_msg(streams.EVENTS, 8)
    await check.check()
    (problem,) = world.faults.problems
    assert "event 8 is missing in it" in problem
    assert "event 7" not in problem


async def test_an_upload_that_needs_no_fetcher_does_not_wait_for_a_lost_event(
    world: World,
) -> None:
    """Unlike one whose fetched event is gone."""
    source = Stored(3, events.SHA256, detected="application/pdf")
    upload = events.submitted(11, source=source)
    await Publisher(world.connection).publish(upload)
    created = (await streams.identity(world.connection.jetstream)).created
    entries = (
        events.entry(11, upload),
        events.entry(12, events.submitted(12)),
        events.entry(13, events.fetched(12)),
    )
    write = ApplyEvents(persister.NAME, entries, Cursor(streams.EVENTS, created, 11))
    await world.transactions.commit([write])  # type: ignore[list-item]  # as in ``read_of``
    await world.connection.jetstream.delete_msg(streams.EVENTS, 4)
    problem = await world.check_once()
    assert f"1 document waits for an event that is gone: {events.id_of(12)}" in problem


async def test_another_log_is_a_loss_and_a_later_creation_time_is_not(
    world: World,
) -> None:
    await world.read_of("2020-01-01T00:00:00+00:00", 10)
    assert (
        "not the one the database was written from, of which 10 events" in await world.check_once()
    )
    forget_losses(world.directory)
    world.faults.resolve("log")
    patched = structs.replace(
        await log_state_of(world), created=(NOW + timedelta(days=1)).isoformat()
    )
    with pytest.MonkeyPatch.context() as patch:

        async def look(_connection: Connection) -> log_state.LogState:
            return patched

        patch.setattr(log_state, "fetch", look)
        assert not await world.check_once()


def forget_losses(directory: Path) -> None:
    (directory / losses.LOSSES_FILE).unlink()


async def log_state_of(world: World) -> log_state.LogState:
    state = await log_state.fetch(world.connection)
    assert state is not None
    return state


async def test_damage_reported_by_the_server_is_a_loss_without_missing_numbers(
    world: World,
) -> None:
    await world.read_up_to(10)
    world.complains = True
    assert "nats-server has found damage" in await world.check_once()
    losses.accept(world.directory)
    assert not await world.check_once(), "it complains of the same at every start"


async def test_originals_without_a_document_are_named_except_later_ones(
    world: World,
) -> None:
    await world.read_up_to(10)
    await world.connection.jetstream.delete_msg(streams.EVENTS, 5)
    keys = {number: f"originals/default/{events.id_of(number)}.a" for number in (4, 5, 99)}
    for key in keys.values():
        world.blobs.stored[key] = b"foo"
        world.blobs.modified[key] = NOW
    world.blobs.modified[keys[99]] = NOW + timedelta(days=2)
    problem = await world.check_once()
    assert f"1 original belongs to no document of this database: {events.id_of(5)}" in problem
    assert "default/" not in problem, "anybody may ask for health"
    assert events.id_of(4) not in problem, "its submission is still on the log"
    assert events.id_of(99) not in problem, "it came long after the loss"
    check = world.check()
    await check.check()
    assert check.may_affect(NOW)
    assert not check.may_affect(NOW + timedelta(days=2))
    losses.accept(world.directory)
    await check.check()
    assert check.may_affect(NOW), "what was accepted is kept all the same"


async def test_a_file_that_cannot_be_read_is_put_aside(tmp_path: Path) -> None:
    (tmp_path / losses.LOSSES_FILE).write_text('{"losses": 7}')
    assert not LossStore(tmp_path).unaccepted
    assert (tmp_path / f"{losses.LOSSES_FILE}.damaged").exists()
