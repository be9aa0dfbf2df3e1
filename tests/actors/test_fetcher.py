"""The bytes of the first submission with an id are stored under its key."""

import socket
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from actors import actor, slots, submissions
from actors import fetcher as module
from actors.backoff import Backoff
from actors.cancellations import Cancellations
from actors.fetcher import MAX_DOWNLOADS, Fetcher
from actors.ports import DownloadFailed, StorageFull
from actors.slots import RESERVED_SHARE
from bus import codec, subjects
from bus.connection import Connection
from bus.consumers import Consumer
from bus.objects import Objects
from bus.publisher import Publisher
from ilios.sources.http import HttpDownloads
from schemas.documents import (
    DocumentFailed,
    DocumentFetched,
    DocumentSubmitted,
    Inline,
    Remote,
    Stored,
)
from tests import events
from tests.actors.fakes import FakeBlobs, FakeDownloader
from tests.actors.running import Streams, running_in_background
from tests.waiting import wait_until

PDF = b"%PDF-1.7\n1 0 obj <<>> endobj\ntrailer <<>>\n%%EOF\n"
URL = "http://example.com/"


class World:
    """A fetcher and what it works with."""

    def __init__(self, connection: Connection, directory: Path, **found: bytes | Exception) -> None:
        self.blobs = FakeBlobs(directory)
        self.downloads = FakeDownloader(**found)
        self.cancellations = Cancellations(connection)
        self.fetcher = Fetcher(
            connection, self.blobs, self.downloads, self.cancellations, Objects(connection, 0)
        )
        self.streams = Streams(connection)
        self.publisher = Publisher(connection)

    async def submit(self, *submissions: DocumentSubmitted) -> None:
        """Submit as other programs do: nothing on the log drops what comes twice."""
        for event in submissions:
            await self.publisher.publish_raw(subjects.subject_for(event), codec.encode(event), {})

    async def fetched(self) -> DocumentFetched:
        (event,) = await self.streams.wait_for(DocumentFetched)
        assert isinstance(event, DocumentFetched)
        return event

    async def failed(self) -> DocumentFailed:
        (event,) = await self.streams.wait_for(DocumentFailed)
        assert isinstance(event, DocumentFailed)
        assert await self.streams.events(DocumentFetched) == []
        return event


def retry_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    consumer = Consumer(
        name="fetcher",
        description="A test",
        event_type=DocumentSubmitted,
        backoff=(0.05, 0.05, 0.05),
    )
    monkeypatch.setattr(Fetcher, "consumer", consumer)


async def test_an_inline_document_is_put_in_the_store(
    connection: Connection, tmp_path: Path
) -> None:
    world = World(connection, tmp_path)
    await world.submit(events.submitted(source=Inline(PDF), priority=9))
    async with running_in_background(world.fetcher.run):
        event = await world.fetched()
    assert world.blobs.stored == {event.original.key: PDF}
    assert event.original.size == len(PDF)
    assert (event.priority, event.content_type) == (9, "application/pdf")
    assert event.original.key.startswith(f"originals/default/{events.id_of(1)}.")


async def test_a_document_is_fetched_from_its_url(connection: Connection, tmp_path: Path) -> None:
    world = World(connection, tmp_path, a=PDF)
    await world.submit(events.submitted(source=Remote(URL + "a")))
    async with running_in_background(world.fetcher.run):
        event = await world.fetched()
    assert world.blobs.stored == {event.original.key: PDF}


async def test_a_stored_document_stays_where_it_is(connection: Connection, tmp_path: Path) -> None:
    world = World(connection, tmp_path)
    key = f"originals/default/{events.id_of(1)}"
    blob = await world.blobs.put_bytes(key, PDF)
    await world.submit(events.submitted(source=Stored(blob.size, blob.sha256)))
    async with running_in_background(world.fetcher.run):
        event = await world.fetched()
    assert event.original == blob
    assert list(world.blobs.stored) == [key]


async def test_an_upload_of_a_detected_type_is_left_to_its_converter(
    connection: Connection, tmp_path: Path
) -> None:
    """One that waits for a batch is fetched, whatever was detected."""
    world = World(connection, tmp_path)
    blob = await world.blobs.put_bytes(f"originals/default/{events.id_of(2)}", PDF)
    source = Stored(blob.size, blob.sha256, detected="image/png")
    await world.submit(
        events.submitted(1, source=source), replace(events.submitted(2, source=source), held=True)
    )
    async with running_in_background(world.fetcher.run):
        event = await world.fetched()
        await wait_until(lambda: world.streams.all_acked(world.fetcher.consumer))
    assert (event.document_id, event.content_type) == (events.id_of(2), "application/pdf")
    assert await world.streams.dead_letters() == []


async def test_the_content_type_comes_from_the_bytes_not_from_the_client(
    connection: Connection, tmp_path: Path
) -> None:
    world = World(connection, tmp_path)
    await world.submit(events.submitted(source=Inline(PDF), file_name="cat.png"))
    async with running_in_background(world.fetcher.run):
        assert (await world.fetched()).content_type == "application/pdf"


@pytest.mark.parametrize(
    ("source", "code"),
    [
        (Stored(3, events.SHA256), "source_missing"),
        (Inline(b""), "empty"),
        (Inline(b"\x00\x01\x02 no format"), "unsupported_type"),
        (Remote(URL + "gone"), "not_found"),
    ],
)
async def test_a_document_that_cannot_be_fetched_fails(
    connection: Connection, tmp_path: Path, source: Stored | Inline | Remote, code: str
) -> None:
    gone = DownloadFailed("not_found", "There is nothing.", retryable=False)
    world = World(connection, tmp_path, gone=gone)
    await world.submit(events.submitted(source=source))
    async with running_in_background(world.fetcher.run):
        assert (await world.failed()).code == code


async def test_a_url_that_may_answer_later_is_tried_again(
    connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = DownloadFailed("busy", "It is busy.", retryable=True)
    world = World(connection, tmp_path, busy=busy)
    retry_at_once(monkeypatch)
    await world.submit(events.submitted(source=Remote(URL + "busy")))
    async with running_in_background(world.fetcher.run):
        failed = await world.failed()
    assert (failed.code, failed.reason, failed.retryable) == ("busy", "It is busy.", True)
    assert failed.attempts == len(world.downloads.fetched) == 4


async def test_private_and_missing_sources_fail_alike(
    connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the events nor the attempts count it as a failure."""
    retry_at_once(monkeypatch)
    with socket.socket() as listening, socket.socket() as unused:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        unused.bind(("127.0.0.1", 0))
        there, not_there = (one.getsockname()[1] for one in (listening, unused))
        fetcher = Fetcher(
            connection,
            FakeBlobs(tmp_path),
            HttpDownloads(ports={there, not_there}, allow={f"127.0.0.1:{not_there}"}),
            Cancellations(connection),
            Objects(connection, 0),
        )
        world = World(connection, tmp_path)
        urls = [
            f"http://localhost:{there}/",
            f"http://127.0.0.1:{there}/",
            f"http://there.is.no.such.name.invalid:{there}/",
            f"http://127.0.0.1:{not_there}/",
        ]
        await world.submit(
            *[events.submitted(number, source=Remote(url)) for number, url in enumerate(urls)]
        )
        async with running_in_background(fetcher.run):
            ends = await world.streams.wait_for(DocumentFailed, len(urls))
    failures = {
        (end.code, end.reason, end.attempts) for end in ends if isinstance(end, DocumentFailed)
    }
    ((code, reason, attempts),) = failures
    assert (code, attempts) == ("source_unreachable", 4)
    assert "127.0.0.1" not in reason


async def test_documents_without_a_download_do_not_wait_for_downloads(
    connection: Connection, tmp_path: Path
) -> None:
    names = [f"slow{number}" for number in range(2 * MAX_DOWNLOADS)]
    world = World(connection, tmp_path, other=PDF, **dict.fromkeys(names, PDF))
    world.downloads.slow = {URL + name for name in names}
    slow = [
        events.submitted(number, source=Remote(URL + name)) for number, name in enumerate(names)
    ]
    most = MAX_DOWNLOADS - MAX_DOWNLOADS // RESERVED_SHARE
    async with running_in_background(world.fetcher.run):
        await world.submit(*slow)
        await wait_until(lambda: len(world.downloads.fetched) == most)
        await world.submit(
            events.submitted(900, source=Inline(PDF)),
            events.submitted(901, source=Remote(URL + "other"), tenant="other"),
        )
        ended = {event.document_id for event in await world.streams.wait_for(DocumentFetched, 2)}
        assert ended == {events.id_of(900), events.id_of(901)}
        assert len(world.downloads.fetched) == most + 1, "the last places are left to others"
        world.downloads.may_continue.set()
        await world.streams.wait_for(DocumentFetched, len(names) + 2)
    assert sorted(world.downloads.fetched) == sorted([*world.downloads.slow, URL + "other"])


async def test_waiting_for_a_slot_counts_as_no_failure(
    connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actor, "MAX_DELIVERIES", 3)
    monkeypatch.setattr(actor, "SLOTS_FULL_BACKOFF", Backoff(first=0.02, longest=0.02))
    monkeypatch.setattr(slots, "MIN_WAITING_PER_TENANT", 1)
    monkeypatch.setattr(slots, "MAX_WAITING", 1)
    names = [f"slow{number}" for number in range(MAX_DOWNLOADS + 4)]
    world = World(connection, tmp_path, **dict.fromkeys(names, PDF))
    world.downloads.slow = {URL + name for name in names}
    async with running_in_background(world.fetcher.run):
        await world.submit(
            *[
                events.submitted(number, source=Remote(URL + name))
                for number, name in enumerate(names)
            ]
        )

        async def are_delivered_often() -> bool:
            return await world.streams.delivery_count(world.fetcher.consumer) > 20 * len(names)

        await wait_until(are_delivered_often)
        world.downloads.may_continue.set()
        await world.streams.wait_for(DocumentFetched, len(names))
    assert await world.streams.events(DocumentFailed) == []


async def test_when_stopped_deliveries_waiting_for_a_slot_are_released(
    connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actor, "SHUTDOWN_GRACE", 0.1)
    names = [f"slow{number}" for number in range(MAX_DOWNLOADS + 4)]
    first = World(connection, tmp_path, **dict.fromkeys(names, PDF))
    first.downloads.slow = {URL + name for name in names}
    async with running_in_background(first.fetcher.run):
        await first.submit(
            *[
                events.submitted(number, source=Remote(URL + name))
                for number, name in enumerate(names)
            ]
        )
        await wait_until(lambda: len(first.downloads.fetched) > 20)
    world = World(connection, tmp_path, **dict.fromkeys(names, PDF))
    async with running_in_background(world.fetcher.run):
        await world.streams.wait_for(DocumentFetched, len(names))
    assert await world.streams.events(DocumentFailed) == []


async def test_a_document_that_was_cancelled_gives_its_place_back(
    connection: Connection, tmp_path: Path
) -> None:
    world = World(connection, tmp_path, slow=PDF)
    world.downloads.slow = {URL + "slow"}
    submitted = events.submitted(source=Remote(URL + "slow"))
    async with (
        running_in_background(world.cancellations.run),
        running_in_background(world.fetcher.run),
    ):
        await world.submit(submitted)
        await wait_until(lambda: world.downloads.fetched != [])
        await world.publisher.publish(events.cancelled())
        await wait_until(lambda: world.streams.all_acked(world.fetcher.consumer))
    assert await world.streams.events(DocumentFetched) == []


async def test_a_full_store_is_waited_for(
    connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STORAGE_FULL_PAUSE", 0.01)
    world = World(connection, tmp_path)
    world.blobs.put_errors = [StorageFull()] * 10
    await world.submit(events.submitted(source=Inline(PDF)))
    async with running_in_background(world.fetcher.run):
        await world.fetched()


async def test_the_same_submission_twice_is_one_document(
    connection: Connection, tmp_path: Path
) -> None:
    world = World(connection, tmp_path)
    await world.submit(*[events.submitted(source=Inline(PDF))] * 2)
    async with running_in_background(world.fetcher.run):
        await world.fetched()
        await wait_until(lambda: world.streams.all_acked(world.fetcher.consumer))
    assert len(await world.streams.events(DocumentFetched)) == 1
    assert await world.streams.dead_letters() == []
    assert len(world.blobs.stored) == 1


async def test_a_recreated_consumer_does_not_fetch_old_documents_again(
    connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole log is delivered once more, as if for the first time."""
    monkeypatch.setattr(module, "MAX_FRESH_AGE", -1.0)
    world = World(connection, tmp_path, a=PDF, b=PDF)
    await world.submit(events.submitted(1, source=Remote(URL + "a")))
    await world.publisher.publish(events.fetched(1))
    await world.submit(events.submitted(2, source=Remote(URL + "b")))
    async with running_in_background(world.fetcher.run):
        await world.streams.wait_for(DocumentFetched, 2)
        await wait_until(lambda: world.streams.all_acked(world.fetcher.consumer))
    assert world.downloads.fetched == [URL + "b"]


async def test_a_late_repeated_submission_does_not_repeat_a_failed_download(
    connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A publisher that missed the acknowledgement repeats itself, after minutes too."""
    monkeypatch.setattr(submissions, "DUPLICATE_WINDOW", timedelta(0))
    gone = DownloadFailed("source_status", "The source answered 404.", retryable=False)
    world = World(connection, tmp_path, a=gone)
    submitted = events.submitted(source=Remote(URL + "a"))
    await world.submit(submitted)
    async with running_in_background(world.fetcher.run):
        await world.failed()
        world.downloads.responses[URL + "a"] = PDF
        await world.submit(submitted)
        await wait_until(lambda: world.streams.all_acked(world.fetcher.consumer))
    assert len(world.downloads.fetched) == 1
    assert await world.streams.events(DocumentFetched) == []
    assert len(await world.streams.events(DocumentFailed)) == 1
    assert len(await world.streams.dead_letters()) == 1


async def test_a_requeued_document_is_fetched_again_at_once(
    connection: Connection, tmp_path: Path
) -> None:
    gone = DownloadFailed("not_found", "There is nothing.", retryable=False)
    world = World(connection, tmp_path, a=gone)
    submitted = events.submitted(source=Remote(URL + "a"))
    await world.submit(submitted)
    async with running_in_background(world.fetcher.run):
        assert (await world.failed()).requeues == 0
        world.downloads.responses[URL + "a"] = PDF
        again = events.requeued(submitted)
        assert isinstance(again, DocumentSubmitted)
        await world.submit(again, again)
        assert (await world.fetched()).requeues == 1
        await wait_until(lambda: world.streams.all_acked(world.fetcher.consumer))
    assert len(await world.streams.events(DocumentFetched)) == 1
    assert await world.streams.events(DocumentFailed) != []


@pytest.mark.parametrize("stranger", [Inline(b"%PDF-other"), Stored(3, events.SHA256)])
async def test_another_submission_under_a_taken_id_is_dropped_and_does_no_harm(
    connection: Connection, tmp_path: Path, stranger: Inline | Stored
) -> None:
    world = World(connection, tmp_path)
    await world.submit(
        events.submitted(source=Inline(PDF)), events.submitted(source=stranger, priority=10)
    )
    async with running_in_background(world.fetcher.run):
        event = await world.fetched()
        (letter,) = await world.streams.wait_for_dead_letters()
        await wait_until(lambda: world.streams.all_acked(world.fetcher.consumer))
    assert world.blobs.stored[event.original.key] == PDF
    assert (letter.headers or {})["Ilios-Sequence"] == "2"
    assert await world.streams.events(DocumentFailed) == []
