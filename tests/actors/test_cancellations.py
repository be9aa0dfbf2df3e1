"""Cancelled documents are known, however one comes to know of them, and work on them ends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from actors import cancellations as module
from actors.cancellations import Cancellations, Cancelled
from actors.fetcher import Fetcher
from actors.ocr import Ocr
from bus.connection import Connection, connect
from bus.log import Log
from bus.publisher import Publisher
from ilios.nats_server import NatsServer
from schemas.documents import DocumentConverted, DocumentFailed, DocumentFetched
from tests import events
from tests.actors.fakes import FakeBlobs, FakeDownloads, FakeEngine
from tests.actors.running import Streams, running
from tests.waiting import until

FRESH = timedelta(hours=1)  # ahead of any cancellation there can be


@asynccontextmanager
async def listening(cancellations: Cancellations) -> AsyncIterator[None]:
    async with running(cancellations.run):
        await until(lambda: cancellations._since is not None)
        yield


async def hear(cancellations: Cancellations, number: int = 1) -> None:
    """Cancel a document and wait until that is heard."""
    await Publisher(cancellations._connection).say(events.cancelled(number))
    await until(lambda: ("default", events.name(number)) in cancellations._heard)


class HardOfHearing(Cancellations):
    """Misses the first cancellation, as when it is said while the connection is lost."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self.missed = asyncio.Event()

    def _hear(self, tenant: str, document_id: str) -> None:
        if self.missed.is_set():
            super()._hear(tenant, document_id)
        self.missed.set()


class Work:
    """Something that takes until it is broken off."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.broken_off = False

    async def __call__(self) -> None:
        self.begun.set()
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            self.broken_off = True
            raise


async def test_what_was_heard_is_known_without_asking_the_log(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancellations = Cancellations(connection)
    async with listening(cancellations):
        await hear(cancellations)
        monkeypatch.delattr(Log, "last_word")
        later = datetime.now(UTC) + FRESH
        assert await cancellations.includes(events.fetched(1), later)
        assert not await cancellations.includes(events.fetched(2), later)


@pytest.mark.parametrize("listens", [True, False])
async def test_what_another_process_has_heard_is_known_from_the_log(
    connection: Connection, *, listens: bool
) -> None:
    await Publisher(connection).say(events.cancelled(1))
    cancellations = Cancellations(connection)
    said_before = datetime.now(UTC)
    async with AsyncExitStack() as stack:
        if listens:
            await stack.enter_async_context(listening(cancellations))
        assert await cancellations.includes(events.fetched(1), said_before)
        assert not await cancellations.includes(events.fetched(2), said_before)


async def test_a_document_of_a_batch_can_be_cancelled_before_it_is_submitted(
    connection: Connection,
) -> None:
    """As after a restart between the two: the batch was there before anybody listened."""
    await Publisher(connection).say(events.cancelled(1))
    cancellations = Cancellations(connection)
    async with listening(cancellations):
        late = events.submitted(1, submitted_at=datetime.now(UTC))
        assert await cancellations.includes(late, datetime.now(UTC) + FRESH)
        without_zone = msgspec.structs.replace(
            late, submitted_at=datetime.now(UTC).replace(tzinfo=None)
        )
        assert await cancellations.includes(without_zone, datetime.now(UTC) + FRESH)


async def test_work_is_broken_off_when_its_document_is_cancelled(connection: Connection) -> None:
    cancellations, work, other = Cancellations(connection), Work(), Work()
    async with listening(cancellations):
        of_another = asyncio.ensure_future(cancellations.unless(events.fetched(2), other()))
        mine = asyncio.ensure_future(cancellations.unless(events.fetched(1), work()))
        await asyncio.gather(work.begun.wait(), other.begun.wait())
        await Publisher(connection).say(events.cancelled(1))
        with pytest.raises(Cancelled):
            await mine
        assert (work.broken_off, other.broken_off) == (True, False)
        assert not of_another.done()
        of_another.cancel()
        await asyncio.gather(of_another, return_exceptions=True)
    assert cancellations._working == {}


async def test_two_who_work_on_the_same_document_both_end(connection: Connection) -> None:
    cancellations = Cancellations(connection)
    async with listening(cancellations):
        works = [Work(), Work()]
        tasks = [
            asyncio.ensure_future(cancellations.unless(events.fetched(1), work())) for work in works
        ]
        await asyncio.gather(*(work.begun.wait() for work in works))
        await Publisher(connection).say(events.cancelled(1))
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(end) for end in ended] == [Cancelled, Cancelled]


async def test_work_that_was_cancelled_just_before_does_not_begin(connection: Connection) -> None:
    cancellations, work = Cancellations(connection), Work()
    async with listening(cancellations):
        await hear(cancellations)
        with pytest.raises(Cancelled):
            await cancellations.unless(events.fetched(1), work())
    assert not work.begun.is_set()


async def test_whoever_stops_the_worker_has_not_cancelled_the_document(
    connection: Connection,
) -> None:
    cancellations, work = Cancellations(connection), Work()
    task = asyncio.ensure_future(cancellations.unless(events.fetched(1), work()))
    await work.begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert work.broken_off


async def test_work_that_ends_by_itself_gives_its_answer_and_its_error(
    connection: Connection,
) -> None:
    cancellations = Cancellations(connection)

    async def answer() -> str:
        return "done"

    async def fault() -> str:
        raise LookupError

    assert await cancellations.unless(events.fetched(1), answer()) == "done"
    with pytest.raises(LookupError):
        await cancellations.unless(events.fetched(1), fault())


async def test_a_cancellation_missed_while_the_bus_was_away_is_made_up_for(
    nats_server: NatsServer, connection: Connection
) -> None:
    async with connect(nats_server.url("operator"), name="worker") as of_worker:
        cancellations, work = HardOfHearing(of_worker), Work()
        async with listening(cancellations):
            mine = asyncio.ensure_future(cancellations.unless(events.fetched(1), work()))
            await work.begun.wait()
            await Publisher(connection).say(events.cancelled(1))
            await cancellations.missed.wait()
            assert not work.broken_off
            of_worker.reconnected()
            with pytest.raises(Cancelled):
                await mine
    assert work.broken_off


async def test_what_is_remembered_has_a_limit_and_the_log_the_rest(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 2)
    cancellations = Cancellations(connection)
    async with listening(cancellations):
        for number in (1, 2, 3):
            await hear(cancellations, number)
        assert len(cancellations._heard) == 2
        assert await cancellations.includes(events.fetched(1), datetime.now(UTC))


async def test_of_what_was_forgotten_the_log_is_asked_however_long_one_has_listened(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 2)
    cancellations = Cancellations(connection)
    async with listening(cancellations):
        cancellations._since = datetime.now(UTC) - FRESH
        submitted_at = datetime.now(UTC)
        for number in (1, 2, 3):
            await hear(cancellations, number)
        assert await cancellations.includes(events.fetched(1), submitted_at)


async def test_a_cancelled_submission_is_not_fetched(
    connection: Connection, tmp_path: Path
) -> None:
    publisher, streams = Publisher(connection), Streams(connection)
    for number in (1, 2):
        await publisher.say(events.submitted(number))
    await publisher.say(events.cancelled(1))
    blobs = FakeBlobs(tmp_path)
    fetcher = Fetcher(connection, blobs, FakeDownloads(), Cancellations(connection))
    async with running(fetcher.run):
        (failed,) = await streams.wait_for(DocumentFailed)  # of the other: it is no document
        await until(lambda: streams.finished(fetcher.consumer))
    assert failed.document_id == events.name(2)
    assert await streams.said(DocumentFetched) == []
    assert [key for key in blobs.kept if events.name(1) in key] == []


async def test_a_running_conversion_is_broken_off_and_nothing_is_said(
    connection: Connection, tmp_path: Path
) -> None:
    blobs, engine = FakeBlobs(tmp_path), FakeEngine()
    blobs.kept["original"] = b"foo"
    engine.may_end.clear()
    cancellations = Cancellations(connection)
    publisher, streams = Publisher(connection), Streams(connection)
    ocr = Ocr(connection, blobs, engine, cancellations, at_once=1)
    await publisher.say(events.fetched(1))
    async with listening(cancellations), running(ocr.run):
        await until(lambda: len(engine.converted) == 1)
        await publisher.say(events.cancelled(1))
        await until(lambda: streams.finished(ocr.consumer))
        engine.may_end.set()
        await publisher.say(events.fetched(2))  # the worker is there for others again
        (converted,) = await streams.wait_for(DocumentConverted)
    assert converted.document_id == events.name(2)
    assert await streams.said(DocumentFailed) == []
    assert await streams.dead() == []
