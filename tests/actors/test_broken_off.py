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
from tests.actors.running import Streams, running_in_background
from tests.actors.test_cancellations import running_cancellations
from tests.waiting import wait_until


class EndlessDownloader:
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


async def test_a_running_download_is_cancelled_and_nothing_is_stored(
    connection: Connection, tmp_path: Path
) -> None:
    blobs, downloads = FakeBlobs(tmp_path), EndlessDownloader()
    cancellations = Cancellations(connection)
    publisher, streams = Publisher(connection), Streams(connection)
    fetcher = Fetcher(connection, blobs, downloads, cancellations)
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
