"""One document's bytes are put under one key: those that were submitted under its id first."""

import socket
from datetime import timedelta
from pathlib import Path

import pytest

from actors import actor, places
from actors import fetcher as module
from actors.cancellations import Cancellations
from actors.fetcher import DOWNLOADS_AT_ONCE, Fetcher
from actors.places import LEFT_TO_OTHERS
from actors.ports import StorageFull, Unfetchable
from bus import subjects, wire
from bus.connection import Connection
from bus.consumers import Consumer
from bus.publisher import Publisher
from ilios.downloads import HttpDownloads
from schemas.documents import (
    DocumentFailed,
    DocumentFetched,
    DocumentSubmitted,
    Inline,
    Remote,
    Stored,
)
from tests import events
from tests.actors.fakes import FakeBlobs, FakeDownloads
from tests.actors.running import Streams, running
from tests.waiting import until

PDF = b"%PDF-1.7\n1 0 obj <<>> endobj\ntrailer <<>>\n%%EOF\n"
URL = "http://example.com/"


class World:
    """A fetcher and what it works with."""

    def __init__(self, connection: Connection, directory: Path, **found: bytes | Exception) -> None:
        self.blobs = FakeBlobs(directory)
        self.downloads = FakeDownloads(**found)
        self.cancellations = Cancellations(connection)
        self.fetcher = Fetcher(connection, self.blobs, self.downloads, self.cancellations)
        self.streams = Streams(connection)
        self.publisher = Publisher(connection)

    async def submit(self, *submissions: DocumentSubmitted) -> None:
        """Submit as other programs do: nothing on the log drops what comes twice."""
        for event in submissions:
            await self.publisher.publish(subjects.subject(event), wire.encode(event), {})

    async def fetched(self) -> DocumentFetched:
        (event,) = await self.streams.wait_for(DocumentFetched)
        assert isinstance(event, DocumentFetched)
        return event

    async def failed(self) -> DocumentFailed:
        (event,) = await self.streams.wait_for(DocumentFailed)
        assert isinstance(event, DocumentFailed)
        assert await self.streams.said(DocumentFetched) == []
        return event


def retry_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    consumer = Consumer(
        name="fetcher",
        description="A test",
        hears=DocumentSubmitted,
        retry_after=(0.05, 0.05, 0.05),
    )
    monkeypatch.setattr(Fetcher, "consumer", consumer)


async def test_an_inline_document_is_put_in_the_store(
    connection: Connection, tmp_path: Path
) -> None:
    world = World(connection, tmp_path)
    await world.submit(events.submitted(source=Inline(PDF), priority=9))
    async with running(world.fetcher.run):
        event = await world.fetched()
    assert world.blobs.kept == {event.original.key: PDF}
    assert event.original.size == len(PDF)
    assert (event.priority, event.content_type) == (9, "application/pdf")
    assert event.original.key.startswith(f"originals/default/{events.name(1)}.")


async def test_a_document_is_fetched_from_its_url(connection: Connection, tmp_path: Path) -> None:
    world = World(connection, tmp_path, a=PDF)
    await world.submit(events.submitted(source=Remote(URL + "a")))
    async with running(world.fetcher.run):
        event = await world.fetched()
    assert world.blobs.kept == {event.original.key: PDF}


async def test_a_stored_document_stays_where_it_is(connection: Connection, tmp_path: Path) -> None:
    world = World(connection, tmp_path)
    key = f"originals/default/{events.name(1)}"
    blob = await world.blobs.put_bytes(key, PDF)
    await world.submit(events.submitted(source=Stored(blob.size, blob.sha256)))
    async with running(world.fetcher.run):
        event = await world.fetched()
    assert event.original == blob
    assert list(world.blobs.kept) == [key]


async def test_the_type_is_what_the_bytes_are_not_what_was_claimed(
    connection: Connection, tmp_path: Path
) -> None:
    world = World(connection, tmp_path)
    await world.submit(events.submitted(source=Inline(PDF), file_name="cat.png"))
    async with running(world.fetcher.run):
        assert (await world.fetched()).content_type == "application/pdf"


@pytest.mark.parametrize(
    ("source", "code"),
    [
        (Stored(3, events.SHA256), "source_missing"),
        (Inline(b""), "empty"),
        (Inline(b"\x00\x01\x02 nothing known"), "unsupported_type"),
        (Remote(URL + "gone"), "not_found"),
    ],
)
async def test_what_cannot_be_brought_in_has_failed(
    connection: Connection, tmp_path: Path, source: Stored | Inline | Remote, code: str
) -> None:
    gone = Unfetchable("not_found", "There is nothing.", retryable=False)
    world = World(connection, tmp_path, gone=gone)
    await world.submit(events.submitted(source=source))
    async with running(world.fetcher.run):
        assert (await world.failed()).code == code


async def test_a_url_that_may_answer_later_is_tried_again(
    connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = Unfetchable("busy", "It is busy.", retryable=True)
    world = World(connection, tmp_path, busy=busy)
    retry_at_once(monkeypatch)
    await world.submit(events.submitted(source=Remote(URL + "busy")))
    async with running(world.fetcher.run):
        failed = await world.failed()
    assert (failed.code, failed.reason, failed.retryable) == ("busy", "It is busy.", True)
    assert failed.attempts == len(world.downloads.fetched) == 4


async def test_the_owner_cannot_tell_what_is_inside_from_what_is_not_there(
    connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither by what is said nor by how often it is tried."""
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
        async with running(fetcher.run):
            ends = await world.streams.wait_for(DocumentFailed, len(urls))
    told = {(end.code, end.reason, end.attempts) for end in ends if isinstance(end, DocumentFailed)}
    ((code, reason, attempts),) = told
    assert (code, attempts) == ("source_unreachable", 4)
    assert "127.0.0.1" not in reason


async def test_what_needs_no_download_never_waits_for_one(
    connection: Connection, tmp_path: Path
) -> None:
    names = [f"slow{number}" for number in range(2 * DOWNLOADS_AT_ONCE)]
    world = World(connection, tmp_path, other=PDF, **dict.fromkeys(names, PDF))
    world.downloads.slow = {URL + name for name in names}
    slow = [
        events.submitted(number, source=Remote(URL + name)) for number, name in enumerate(names)
    ]
    most = DOWNLOADS_AT_ONCE - DOWNLOADS_AT_ONCE // LEFT_TO_OTHERS
    async with running(world.fetcher.run):
        await world.submit(*slow)
        await until(lambda: len(world.downloads.fetched) == most)
        await world.submit(
            events.submitted(900, source=Inline(PDF)),
            events.submitted(901, source=Remote(URL + "other"), tenant="other"),
        )
        ended = {event.document_id for event in await world.streams.wait_for(DocumentFetched, 2)}
        assert ended == {events.name(900), events.name(901)}
        assert len(world.downloads.fetched) == most + 1, "the last places are left to others"
        world.downloads.go_on.set()
        await world.streams.wait_for(DocumentFetched, len(names) + 2)
    assert sorted(world.downloads.fetched) == sorted([*world.downloads.slow, URL + "other"])


async def test_what_has_waited_for_a_place_has_neither_failed_nor_ended_anything(
    connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actor, "MAX_DELIVERIES", 3)
    monkeypatch.setattr(actor, "FULL_PLACES_PAUSE", 0.02)
    monkeypatch.setattr(actor, "PLACES_PAUSE_GROWS", 1.0)
    monkeypatch.setattr(places, "ALWAYS_WAITING", 1)
    monkeypatch.setattr(places, "MOST_WAITING", 1)
    names = [f"slow{number}" for number in range(DOWNLOADS_AT_ONCE + 4)]
    world = World(connection, tmp_path, **dict.fromkeys(names, PDF))
    world.downloads.slow = {URL + name for name in names}
    async with running(world.fetcher.run):
        await world.submit(
            *[
                events.submitted(number, source=Remote(URL + name))
                for number, name in enumerate(names)
            ]
        )

        async def are_delivered_often() -> bool:
            return await world.streams.delivered(world.fetcher.consumer) > 20 * len(names)

        await until(are_delivered_often)
        world.downloads.go_on.set()
        await world.streams.wait_for(DocumentFetched, len(names))
    assert await world.streams.said(DocumentFailed) == []


async def test_who_stops_hands_back_what_waits_for_a_place(
    connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actor, "FINISH_WITHIN", 0.1)
    names = [f"slow{number}" for number in range(DOWNLOADS_AT_ONCE + 4)]
    first = World(connection, tmp_path, **dict.fromkeys(names, PDF))
    first.downloads.slow = {URL + name for name in names}
    async with running(first.fetcher.run):
        await first.submit(
            *[
                events.submitted(number, source=Remote(URL + name))
                for number, name in enumerate(names)
            ]
        )
        await until(lambda: len(first.downloads.fetched) > 20)
    world = World(connection, tmp_path, **dict.fromkeys(names, PDF))
    async with running(world.fetcher.run):
        await world.streams.wait_for(DocumentFetched, len(names))
    assert await world.streams.said(DocumentFailed) == []


async def test_a_document_that_was_cancelled_gives_its_place_back(
    connection: Connection, tmp_path: Path
) -> None:
    world = World(connection, tmp_path, slow=PDF)
    world.downloads.slow = {URL + "slow"}
    submitted = events.submitted(source=Remote(URL + "slow"))
    async with running(world.cancellations.run), running(world.fetcher.run):
        await world.submit(submitted)
        await until(lambda: world.downloads.fetched != [])
        await world.publisher.say(events.cancelled())
        await until(lambda: world.streams.finished(world.fetcher.consumer))
    assert await world.streams.said(DocumentFetched) == []


async def test_a_full_store_is_waited_for(
    connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FULL_PAUSE", 0.01)
    world = World(connection, tmp_path)
    world.blobs.fails = [StorageFull()] * 10
    await world.submit(events.submitted(source=Inline(PDF)))
    async with running(world.fetcher.run):
        await world.fetched()


async def test_the_same_submission_twice_is_one_document(
    connection: Connection, tmp_path: Path
) -> None:
    world = World(connection, tmp_path)
    await world.submit(*[events.submitted(source=Inline(PDF))] * 2)
    async with running(world.fetcher.run):
        await world.fetched()
        await until(lambda: world.streams.finished(world.fetcher.consumer))
    assert len(await world.streams.said(DocumentFetched)) == 1
    assert await world.streams.dead() == []
    assert len(world.blobs.kept) == 1


async def test_what_was_fetched_long_ago_is_not_fetched_again_by_a_consumer_made_anew(
    connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It hears the whole log once more, as if for the first time."""
    monkeypatch.setattr(module, "FRESH_WITHIN", -1.0)
    world = World(connection, tmp_path, a=PDF, b=PDF)
    await world.submit(events.submitted(1, source=Remote(URL + "a")))
    await world.publisher.say(events.fetched(1))
    await world.submit(events.submitted(2, source=Remote(URL + "b")))
    async with running(world.fetcher.run):
        await world.streams.wait_for(DocumentFetched, 2)
        await until(lambda: world.streams.finished(world.fetcher.consumer))
    assert world.downloads.fetched == [URL + "b"]


async def test_what_could_not_be_fetched_is_not_tried_again_by_a_late_repetition(
    connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A publisher that missed the acknowledgement repeats itself, after minutes too."""
    monkeypatch.setattr(module, "REPEATED_WITHIN", timedelta(0))
    gone = Unfetchable("source_status", "The source answered 404.", retryable=False)
    world = World(connection, tmp_path, a=gone)
    submitted = events.submitted(source=Remote(URL + "a"))
    await world.submit(submitted)
    async with running(world.fetcher.run):
        await world.failed()
        world.downloads.found[URL + "a"] = PDF
        await world.submit(submitted)
        await until(lambda: world.streams.finished(world.fetcher.consumer))
    assert len(world.downloads.fetched) == 1
    assert await world.streams.said(DocumentFetched) == []
    assert len(await world.streams.said(DocumentFailed)) == 1
    assert len(await world.streams.dead()) == 1


async def test_what_was_requeued_is_fetched_again_however_soon(
    connection: Connection, tmp_path: Path
) -> None:
    gone = Unfetchable("not_found", "There is nothing.", retryable=False)
    world = World(connection, tmp_path, a=gone)
    submitted = events.submitted(source=Remote(URL + "a"))
    await world.submit(submitted)
    async with running(world.fetcher.run):
        assert (await world.failed()).requeues == 0
        world.downloads.found[URL + "a"] = PDF
        again = events.requeued(submitted)
        assert isinstance(again, DocumentSubmitted)
        await world.submit(again, again)
        assert (await world.fetched()).requeues == 1
        await until(lambda: world.streams.finished(world.fetcher.consumer))
    assert len(await world.streams.said(DocumentFetched)) == 1
    assert await world.streams.said(DocumentFailed) != []


@pytest.mark.parametrize("stranger", [Inline(b"%PDF-other"), Stored(3, events.SHA256)])
async def test_another_submission_under_a_taken_id_is_dropped_and_does_no_harm(
    connection: Connection, tmp_path: Path, stranger: Inline | Stored
) -> None:
    world = World(connection, tmp_path)
    await world.submit(
        events.submitted(source=Inline(PDF)), events.submitted(source=stranger, priority=10)
    )
    async with running(world.fetcher.run):
        event = await world.fetched()
        (letter,) = await world.streams.wait_for_dead()
        await until(lambda: world.streams.finished(world.fetcher.consumer))
    assert world.blobs.kept[event.original.key] == PDF
    assert (letter.headers or {})["Ilios-Sequence"] == "2"
    assert await world.streams.said(DocumentFailed) == []
