"""A document that is not converted by its deadline fails once, wherever it waits."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from actors.cancellations import Cancellations
from actors.deadlines import DELIVERY_TIME, DeadlinePassed, Deadlines
from actors.fetcher import Fetcher
from actors.janitor.overdue import OverdueDocuments
from actors.ocr import Ocr
from bus.connection import Connection
from bus.objects import Objects
from bus.publisher import Publisher
from schemas.documents import DocumentConverted, DocumentFailed, DocumentFetched, Remote
from tests import events
from tests.actors.db import Database, acknowledged, persister
from tests.actors.fakes import FakeBlobs, FakeDownloader, FakeEngine
from tests.actors.running import Streams, running_in_background
from tests.actors.test_cancellations import EndlessDownloader
from tests.waiting import wait_until

DAY = timedelta(days=1)


class Clocks:
    """A wall clock and a clock that cannot be set."""

    def __init__(self) -> None:
        self.wall_time, self.seconds = events.SUBMITTED_AT, 0.0
        self.deadlines = Deadlines(lambda: self.wall_time, lambda: self.seconds)

    def pass_(self, seconds: float) -> None:
        self.wall_time += timedelta(seconds=seconds)
        self.seconds += seconds


def due(seconds: float, **changes: Any) -> Any:
    """Return a submission with a deadline so many seconds from that of the test's clock."""
    deadline = events.SUBMITTED_AT + timedelta(seconds=seconds)
    return replace(events.submitted(), deadline=deadline, **changes)


def test_a_deadline_passes_by_the_wall_clock() -> None:
    clocks = Clocks()
    assert not clocks.deadlines.is_over(due(1))
    assert not clocks.deadlines.is_over(events.submitted())
    clocks.pass_(1)
    assert clocks.deadlines.is_over(due(1))
    naive = replace(events.submitted(), deadline=events.SUBMITTED_AT.replace(tzinfo=None))
    assert clocks.deadlines.is_over(naive)


def test_a_requeued_document_has_no_deadline_any_more() -> None:
    assert not Clocks().deadlines.is_over(due(-1, requeues=1))


def test_no_deadline_passes_by_a_jump_of_the_clock() -> None:
    clocks = Clocks()
    clocks.wall_time += DAY
    assert clocks.deadlines.now() is None
    assert not clocks.deadlines.is_over(due(1))
    clocks.deadlines.set_held(True)
    assert clocks.deadlines.now() is None
    clocks.deadlines.set_held(False)
    assert clocks.deadlines.now() == clocks.wall_time
    assert clocks.deadlines.is_over(due(1))


async def test_work_is_stopped_at_the_deadline() -> None:
    deadlines, event = Deadlines(), due(0)
    soon = replace(event, deadline=datetime.now(UTC) + timedelta(seconds=0.05))
    name = (event.tenant, event.document_id)
    found: list[bool] = []

    async def work() -> None:
        async with deadlines.limit(soon):
            found.append(deadlines.is_in_work(name))
            await asyncio.get_running_loop().create_future()

    with pytest.raises(DeadlinePassed):
        await work()
    assert found == [True]
    assert not deadlines.is_in_work(name)


async def test_a_timeout_of_the_work_itself_is_no_deadline() -> None:
    later = replace(events.submitted(), deadline=datetime.now(UTC) + DAY)
    with pytest.raises(TimeoutError):
        async with Deadlines().limit(later):
            raise TimeoutError


async def test_what_was_made_in_time_is_delivered_however_long_that_takes() -> None:
    clocks, event = Clocks(), due(1)
    name = (event.tenant, event.document_id)
    async with clocks.deadlines.limit(event):
        pass
    assert not clocks.deadlines.is_in_work(name)
    with clocks.deadlines.delivering(event):
        clocks.pass_(10 * DELIVERY_TIME)
        assert clocks.deadlines.is_in_work(name)
    clocks.pass_(2)
    assert clocks.deadlines.is_in_work(name)
    clocks.pass_(DELIVERY_TIME)
    assert not clocks.deadlines.is_in_work(name)


async def test_work_begun_while_deadlines_are_held_is_in_work_and_stops_when_they_pass() -> None:
    deadlines = Deadlines(is_held=True)
    past = replace(due(0), deadline=datetime.now(UTC) - timedelta(seconds=1))
    name = (past.tenant, past.document_id)

    async def work() -> None:
        async with deadlines.limit(past):
            await asyncio.sleep(0)
            assert deadlines.is_in_work(name)
            deadlines.set_held(False)
            await asyncio.get_running_loop().create_future()

    async with asyncio.timeout(10):
        with pytest.raises(DeadlinePassed):
            await work()


async def test_work_goes_on_while_deadlines_are_held() -> None:
    deadlines = Deadlines()
    soon = replace(due(0), deadline=datetime.now(UTC) + timedelta(seconds=0.05))
    async with deadlines.limit(soon):
        deadlines.set_held(True)
        await asyncio.sleep(0.1)


async def test_the_conversion_of_a_document_stops_at_its_deadline(
    connection: Connection, tmp_path: Path
) -> None:
    blobs, engine, streams = FakeBlobs(tmp_path), FakeEngine(), Streams(connection)
    blobs.stored["original"] = b"foo"
    engine.may_finish.clear()
    # Held until the work has begun: on a loaded machine a deadline would pass before.
    deadlines = Deadlines(is_held=True)
    ocr = Ocr(
        connection, blobs, engine, Cancellations(connection), concurrency=1, deadlines=deadlines
    )
    await Publisher(connection).publish(replace(events.fetched(1), deadline=datetime.now(UTC)))
    async with running_in_background(ocr.run):
        await wait_until(lambda: len(engine.converted) == 1)
        deadlines.set_held(False)
        await wait_until(lambda: streams.all_acked(ocr.consumer))
        engine.may_finish.set()
        await Publisher(connection).publish(events.fetched(2))  # the worker is free for others
        (converted,) = await streams.wait_for(DocumentConverted)
    assert converted.document_id == events.id_of(2)
    assert await streams.events(DocumentFailed) == []  # that is published elsewhere


async def test_a_download_stops_at_the_deadline(connection: Connection, tmp_path: Path) -> None:
    blobs, downloads, streams = FakeBlobs(tmp_path), EndlessDownloader(), Streams(connection)
    deadlines = Deadlines(is_held=True)
    fetcher = Fetcher(
        connection,
        blobs,
        downloads,
        Cancellations(connection),
        Objects(connection, 0),
        deadlines=deadlines,
    )
    remote = events.submitted(1, source=Remote("http://example.com/endless"))
    await Publisher(connection).publish(replace(remote, deadline=datetime.now(UTC)))
    async with running_in_background(fetcher.run):
        await downloads.begun.wait()
        deadlines.set_held(False)
        await wait_until(lambda: streams.all_acked(fetcher.consumer))
    assert await streams.events(DocumentFetched, DocumentFailed) == []
    assert blobs.stored == {}


async def test_no_download_begins_after_the_deadline(
    connection: Connection, tmp_path: Path
) -> None:
    downloads, streams = EndlessDownloader(), Streams(connection)
    fetcher = Fetcher(
        connection,
        FakeBlobs(tmp_path),
        downloads,
        Cancellations(connection),
        Objects(connection, 0),
    )
    past = replace(
        events.submitted(1, source=Remote("http://example.com/endless")),
        deadline=datetime.now(UTC) - timedelta(seconds=1),
    )
    for event in (past, events.submitted(2)):
        await Publisher(connection).publish(event)
    async with running_in_background(fetcher.run):
        await streams.wait_for(DocumentFetched)  # the other
        await wait_until(lambda: streams.all_acked(fetcher.consumer))
    assert not downloads.begun.is_set()
    assert await streams.events(DocumentFailed) == []


async def test_fetching_hands_the_deadline_on(connection: Connection, tmp_path: Path) -> None:
    fetcher = Fetcher(
        connection,
        FakeBlobs(tmp_path),
        FakeDownloader(),
        Cancellations(connection),
        Objects(connection, 0),
    )
    deadline = datetime.now(UTC) + DAY
    await Publisher(connection).publish(replace(events.submitted(1), deadline=deadline))
    async with running_in_background(fetcher.run):
        (fetched,) = await Streams(connection).wait_for(DocumentFetched)
    assert isinstance(fetched, DocumentFetched)
    assert fetched.deadline == deadline


async def test_an_overdue_document_fails_once_and_is_not_billed(
    connection: Connection, db: Database
) -> None:
    deadlines = Deadlines()
    overdue = OverdueDocuments(Publisher(connection), db.maintenance, deadlines)
    now, publisher = datetime.now(UTC), Publisher(connection)
    past = replace(events.submitted(1), deadline=now - DAY, reference="case 1")
    for event in (past, replace(events.submitted(2), deadline=now + DAY), events.submitted(3)):
        await publisher.publish(event)
    async with running_in_background(persister(connection, db).run):
        await wait_until(lambda: acknowledged(connection, 3))
        assert await overdue.sweep() == 1
        assert await overdue.sweep() == 0
        await publisher.publish(events.converted(1))  # too late
        await wait_until(lambda: acknowledged(connection, 5))
    (failed,) = await Streams(connection).events(DocumentFailed)
    assert isinstance(failed, DocumentFailed)
    assert (failed.document_id, failed.code, failed.retryable, failed.reference) == (
        events.id_of(1), "expired", True, "case 1",
    )  # fmt: skip
    record = await db.document()
    assert record
    assert (record.state, record.code, record.pages) == ("failed", "expired", None)


async def test_a_document_that_is_worked_on_is_left_to_its_worker(
    connection: Connection, db: Database
) -> None:
    deadlines = Deadlines()
    overdue = OverdueDocuments(Publisher(connection), db.maintenance, deadlines)
    event = replace(events.submitted(1), deadline=datetime.now(UTC) + timedelta(seconds=0.2))
    await Publisher(connection).publish(event)
    async with running_in_background(persister(connection, db).run):
        await wait_until(lambda: acknowledged(connection, 1))
    with deadlines.delivering(event):
        pass  # in time, and stored, but not yet in the database
    await wait_until(lambda: deadlines.is_over(event))
    assert await overdue.sweep() == 0
