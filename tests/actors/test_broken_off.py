"""Of a document that is cancelled while it is worked on nothing is kept, whatever the moment."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from actors.cancellations import Cancellations
from actors.fetcher import Fetcher
from actors.ocr import Ocr
from bus.connection import Connection
from bus.publisher import Publisher
from schemas.documents import Blob, DocumentConverted, DocumentFailed, DocumentFetched, Remote
from tests import events
from tests.actors.fakes import FakeBlobs, FakeEngine
from tests.actors.running import Streams, running
from tests.actors.test_cancellations import listening
from tests.waiting import until


class EndlessDownloads:
    """Never come to their end."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()

    async def fetch(self, url: str) -> AsyncIterator[bytes]:
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


async def test_a_running_download_is_broken_off_and_nothing_is_kept(
    connection: Connection, tmp_path: Path
) -> None:
    blobs, downloads = FakeBlobs(tmp_path), EndlessDownloads()
    cancellations = Cancellations(connection)
    publisher, streams = Publisher(connection), Streams(connection)
    fetcher = Fetcher(connection, blobs, downloads, cancellations)
    await publisher.say(events.submitted(1, source=Remote("http://example.com/endless")))
    async with listening(cancellations), running(fetcher.run):
        await downloads.begun.wait()
        await publisher.say(events.cancelled(1))
        await until(lambda: streams.finished(fetcher.consumer))
    assert await streams.said(DocumentFetched) == []
    assert await streams.said(DocumentFailed) == []
    assert blobs.kept == {}


async def test_markdown_that_is_being_stored_when_its_document_is_cancelled_is_not_kept(
    connection: Connection, tmp_path: Path
) -> None:
    blobs = SlowBlobs(tmp_path)
    blobs.kept["original"] = b"foo"
    cancellations = Cancellations(connection)
    publisher, streams = Publisher(connection), Streams(connection)
    ocr = Ocr(connection, blobs, FakeEngine(), cancellations, at_once=1)
    await publisher.say(events.fetched(1))
    async with listening(cancellations), running(ocr.run):
        await blobs.begun.wait()
        await publisher.say(events.cancelled(1))
        await until(lambda: streams.finished(ocr.consumer))
    assert await streams.said(DocumentConverted) == []
    assert list(blobs.kept) == ["original"]
