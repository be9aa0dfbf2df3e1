"""Cancellations are found by listening or by lookup, and work on cancelled documents ends."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from actors import cancellations as module
from actors.cancellations import Cancellations, Cancelled
from actors.fetcher import Fetcher
from actors.ocr import Ocr
from actors.text_sniffing import Claim
from bus.connection import Connection, connect
from bus.log import Log
from bus.objects import Objects
from bus.publisher import Publisher
from ilios.nats.server import NatsServer
from schemas.documents import Blob, DocumentConverted, DocumentFailed, DocumentFetched, Remote
from tests import events
from tests.actors.fakes import FakeBlobs, FakeDownloader, FakeEngine
from tests.actors.running import Streams, running_in_background
from tests.waiting import wait_until

FRESH = timedelta(hours=1)  # ahead of any cancellation there can be


@asynccontextmanager
async def running_cancellations(cancellations: Cancellations) -> AsyncIterator[None]:
    async with running_in_background(cancellations.run):
        await wait_until(lambda: cancellations._listening_since is not None)
        yield


async def cancel_and_wait(cancellations: Cancellations, number: int = 1) -> None:
    """Cancel a document and wait until the cancellation was received."""
    await Publisher(cancellations._connection).publish(events.cancelled(number))
    await wait_until(lambda: ("default", events.id_of(number)) in cancellations._cancelled_at)


class MissesFirstCancellation(Cancellations):
    """Misses the first cancellation, as if it came while the connection was lost."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self.missed = asyncio.Event()

    def _on_cancelled(self, tenant: str, document_id: str) -> None:
        if self.missed.is_set():
            super()._on_cancelled(tenant, document_id)
        self.missed.set()


class Work:
    """Something that takes until it is broken off."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.cancelled = False

    async def __call__(self) -> None:
        self.started.set()
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            self.cancelled = True
            raise


async def test_a_received_cancellation_is_found_without_reading_the_log(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancellations = Cancellations(connection)
    async with running_cancellations(cancellations):
        await cancel_and_wait(cancellations)
        monkeypatch.delattr(Log, "last_event")
        later = datetime.now(UTC) + FRESH
        assert await cancellations.is_cancelled(events.fetched(1), later)
        assert not await cancellations.is_cancelled(events.fetched(2), later)


@pytest.mark.parametrize("listens", [True, False])
async def test_a_cancellation_received_by_another_process_is_found_in_the_log(
    connection: Connection, *, listens: bool
) -> None:
    await Publisher(connection).publish(events.cancelled(1))
    cancellations = Cancellations(connection)
    said_before = datetime.now(UTC)
    async with AsyncExitStack() as stack:
        if listens:
            await stack.enter_async_context(running_cancellations(cancellations))
        assert await cancellations.is_cancelled(events.fetched(1), said_before)
        assert not await cancellations.is_cancelled(events.fetched(2), said_before)


async def test_a_document_of_a_batch_can_be_cancelled_before_it_is_submitted(
    connection: Connection,
) -> None:
    """As after a restart between the two: the batch was there before anybody listened."""
    await Publisher(connection).publish(events.cancelled(1))
    cancellations = Cancellations(connection)
    async with running_cancellations(cancellations):
        late = events.submitted(1, submitted_at=datetime.now(UTC))
        assert await cancellations.is_cancelled(late, datetime.now(UTC) + FRESH)
        without_zone = msgspec.structs.replace(
            late, submitted_at=datetime.now(UTC).replace(tzinfo=None)
        )
        assert await cancellations.is_cancelled(without_zone, datetime.now(UTC) + FRESH)


async def test_work_is_broken_off_when_its_document_is_cancelled(connection: Connection) -> None:
    cancellations, work, other = Cancellations(connection), Work(), Work()
    async with running_cancellations(cancellations):
        of_another = asyncio.ensure_future(
            cancellations.run_unless_cancelled(events.fetched(2), other())
        )
        mine = asyncio.ensure_future(cancellations.run_unless_cancelled(events.fetched(1), work()))
        await asyncio.gather(work.started.wait(), other.started.wait())
        await Publisher(connection).publish(events.cancelled(1))
        with pytest.raises(Cancelled):
            await mine
        assert (work.cancelled, other.cancelled) == (True, False)
        assert not of_another.done()
        of_another.cancel()
        await asyncio.gather(of_another, return_exceptions=True)
    assert cancellations._tasks == {}


async def test_two_workers_on_one_document_are_both_cancelled(connection: Connection) -> None:
    cancellations = Cancellations(connection)
    async with running_cancellations(cancellations):
        works = [Work(), Work()]
        tasks = [
            asyncio.ensure_future(cancellations.run_unless_cancelled(events.fetched(1), work()))
            for work in works
        ]
        await asyncio.gather(*(work.started.wait() for work in works))
        await Publisher(connection).publish(events.cancelled(1))
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(end) for end in ended] == [Cancelled, Cancelled]


async def test_work_that_was_cancelled_just_before_does_not_begin(connection: Connection) -> None:
    cancellations, work = Cancellations(connection), Work()
    async with running_cancellations(cancellations):
        await cancel_and_wait(cancellations)
        with pytest.raises(Cancelled):
            await cancellations.run_unless_cancelled(events.fetched(1), work())
    assert not work.started.is_set()


async def test_stopping_the_worker_does_not_cancel_the_document(
    connection: Connection,
) -> None:
    cancellations, work = Cancellations(connection), Work()
    task = asyncio.ensure_future(cancellations.run_unless_cancelled(events.fetched(1), work()))
    await work.started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert work.cancelled


async def test_work_that_ends_by_itself_gives_its_answer_and_its_error(
    connection: Connection,
) -> None:
    cancellations = Cancellations(connection)

    async def answer() -> str:
        return "done"

    async def fault() -> str:
        raise LookupError

    assert await cancellations.run_unless_cancelled(events.fetched(1), answer()) == "done"
    with pytest.raises(LookupError):
        await cancellations.run_unless_cancelled(events.fetched(1), fault())


async def test_a_cancellation_missed_while_the_bus_was_away_is_made_up_for(
    nats_server: NatsServer, connection: Connection
) -> None:
    async with connect(nats_server.url("operator"), name="worker") as of_worker:
        cancellations, work = MissesFirstCancellation(of_worker), Work()
        async with running_cancellations(cancellations):
            mine = asyncio.ensure_future(
                cancellations.run_unless_cancelled(events.fetched(1), work())
            )
            await work.started.wait()
            await Publisher(connection).publish(events.cancelled(1))
            await cancellations.missed.wait()
            assert not work.cancelled
            of_worker.handle_reconnect()
            with pytest.raises(Cancelled):
                await mine
    assert work.cancelled


async def test_remembered_cancellations_are_bounded_and_others_are_looked_up(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_REMEMBERED", 2)
    cancellations = Cancellations(connection)
    async with running_cancellations(cancellations):
        for number in (1, 2, 3):
            await cancel_and_wait(cancellations, number)
        assert len(cancellations._cancelled_at) == 2
        assert await cancellations.is_cancelled(events.fetched(1), datetime.now(UTC))


async def test_forgotten_cancellations_are_looked_up_on_the_log(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_REMEMBERED", 2)
    cancellations = Cancellations(connection)
    async with running_cancellations(cancellations):
        cancellations._listening_since = datetime.now(UTC) - FRESH
        submitted_at = datetime.now(UTC)
        for number in (1, 2, 3):
            await cancel_and_wait(cancellations, number)
        assert await cancellations.is_cancelled(events.fetched(1), submitted_at)


async def test_a_cancelled_submission_is_not_fetched(
    connection: Connection, tmp_path: Path
) -> None:
    publisher, streams = Publisher(connection), Streams(connection)
    for number in (1, 2):
        await publisher.publish(events.submitted(number))
    await publisher.publish(events.cancelled(1))
    blobs = FakeBlobs(tmp_path)
    fetcher = Fetcher(
        connection, blobs, FakeDownloader(), Cancellations(connection), Objects(connection, 0)
    )
    async with running_in_background(fetcher.run):
        (fetched,) = await streams.wait_for(DocumentFetched)  # the other
        await wait_until(lambda: streams.all_acked(fetcher.consumer))
    assert fetched.document_id == events.id_of(2)
    assert await streams.events(DocumentFailed) == []
    assert [key for key in blobs.stored if events.id_of(1) in key] == []


async def test_a_running_conversion_is_cancelled_and_nothing_is_published(
    connection: Connection, tmp_path: Path
) -> None:
    blobs, engine = FakeBlobs(tmp_path), FakeEngine()
    blobs.stored["original"] = b"foo"
    engine.may_finish.clear()
    cancellations = Cancellations(connection)
    publisher, streams = Publisher(connection), Streams(connection)
    ocr = Ocr(connection, blobs, engine, cancellations, concurrency=1)
    await publisher.publish(events.fetched(1))
    async with running_cancellations(cancellations), running_in_background(ocr.run):
        await wait_until(lambda: len(engine.converted) == 1)
        await publisher.publish(events.cancelled(1))
        await wait_until(lambda: streams.all_acked(ocr.consumer))
        engine.may_finish.set()
        await publisher.publish(events.fetched(2))  # the worker is there for others again
        (converted,) = await streams.wait_for(DocumentConverted)
    assert converted.document_id == events.id_of(2)
    assert await streams.events(DocumentFailed) == []
    assert await streams.dead_letters() == []


class EndlessDownloader:
    """Never ends."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()

    async def fetch(
        self, url: str, on_answer: Callable[[Claim], None] | None = None
    ) -> AsyncIterator[bytes]:
        yield url.encode()
        self.begun.set()
        await asyncio.get_running_loop().create_future()


class SlowBlobs(FakeBlobs):
    """Takes until the end of the test to store anything."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.begun = asyncio.Event()

    async def put_bytes(self, key: str, data: bytes) -> Blob:
        self.begun.set()
        await asyncio.get_running_loop().create_future()
        return await super().put_bytes(key, data)


async def test_a_running_download_is_cancelled_and_nothing_is_stored(
    connection: Connection, tmp_path: Path
) -> None:
    blobs, downloads = FakeBlobs(tmp_path), EndlessDownloader()
    cancellations = Cancellations(connection)
    publisher, streams = Publisher(connection), Streams(connection)
    fetcher = Fetcher(connection, blobs, downloads, cancellations, Objects(connection, 0))
    await publisher.publish(events.submitted(1, source=Remote("http://example.com/endless")))
    async with running_cancellations(cancellations), running_in_background(fetcher.run):
        await downloads.begun.wait()
        await publisher.publish(events.cancelled(1))
        await wait_until(lambda: streams.all_acked(fetcher.consumer))
    assert await streams.events(DocumentFetched) == []
    assert await streams.events(DocumentFailed) == []
    assert blobs.stored == {}


async def test_markdown_stored_while_its_document_is_cancelled_is_deleted(
    connection: Connection, tmp_path: Path
) -> None:
    blobs = SlowBlobs(tmp_path)
    blobs.stored["original"] = b"foo"
    cancellations = Cancellations(connection)
    publisher, streams = Publisher(connection), Streams(connection)
    ocr = Ocr(connection, blobs, FakeEngine(), cancellations, concurrency=1)
    await publisher.publish(events.fetched(1))
    async with running_cancellations(cancellations), running_in_background(ocr.run):
        await blobs.begun.wait()
        await publisher.publish(events.cancelled(1))
        await wait_until(lambda: streams.all_acked(ocr.consumer))
    assert await streams.events(DocumentConverted) == []
    assert list(blobs.stored) == ["original"]
