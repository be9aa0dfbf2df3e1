"""An object becomes the original of one document, and is deleted when that is certain."""

import asyncio
from base64 import urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace
from nats.js.object_store import ObjectStore

from actors.aggregator import NAME as AGGREGATOR
from actors.cancellations import Cancellations
from actors.errors import Reject, RetryLater
from actors.fetcher import Fetcher
from actors.janitor.objects import ObjectSweep
from actors.janitor.stuck import StageConsumers
from actors.object_source import CLOCK_SKEW, ObjectSource
from actors.ocr import Ocr
from actors.persister import NAME as PERSISTER
from bus import codec, subjects
from bus.buckets import ensure_bucket
from bus.connection import Connection
from bus.consumers import ensure_lanes, ensure_reader
from bus.objects import Objects, bucket_name
from bus.publisher import Publisher
from schemas.batches import BatchDocument, BatchSubmitted
from schemas.documents import DocumentFailed, DocumentFetched, Object
from tests import events
from tests.actors.fakes import FakeBlobs, FakeDownloader
from tests.actors.running import Streams, running_in_background
from tests.waiting import wait_until

PDF = b"%PDF-1.7\n1 0 obj <<>> endobj\ntrailer <<>>\n%%EOF\n"
OTHER = PDF.replace(b"1 0 obj", b"2 0 obj")
TENANT = "default"
OBJECT = Object("a.pdf")


class World:
    """A fetcher, and a bucket with its client."""

    def __init__(self, connection: Connection, bucket: ObjectStore, directory: Path) -> None:
        self.connection = connection
        self.bucket = bucket
        self.blobs = FakeBlobs(directory)
        self.objects = Objects(connection, 1024**2)
        self.fetcher = Fetcher(
            connection, self.blobs, FakeDownloader(), Cancellations(connection), self.objects
        )
        self.streams = Streams(connection)
        self.publisher = Publisher(connection)

    async def put(self, data: bytes = PDF) -> str:
        """Put an object and return its digest."""
        put = await self.bucket.put(OBJECT.name, data)
        return str(put.digest)

    async def submit(self, source: Object = OBJECT, number: int = 1) -> None:
        event = events.submitted(number, source=source)  # new for each publish
        await self.publisher.publish_raw(subjects.subject_for(event), codec.encode(event), {})

    async def is_deleted(self) -> bool:
        return await self.objects.find(TENANT, OBJECT.name) is None


@pytest.fixture
async def world(connection: Connection, tmp_path: Path) -> World:
    js = connection.jetstream
    await ensure_bucket(js, TENANT, 1024**2, max_age=3600)
    return World(connection, await js.object_store(bucket_name(TENANT)), tmp_path)


async def test_the_object_is_stored_and_deleted(world: World) -> None:
    digest = await world.put()
    await world.submit(Object(OBJECT.name, digest))
    async with running_in_background(world.fetcher.run):
        (fetched,) = await world.streams.wait_for(DocumentFetched)
        await wait_until(world.is_deleted)
    assert isinstance(fetched, DocumentFetched)
    assert world.blobs.stored == {fetched.original.key: PDF}
    assert fetched.content_type == "application/pdf"


@pytest.mark.parametrize("digest", [None, f"SHA-256={'A' * 43}="])
async def test_without_the_object_the_document_fails_at_once(
    world: World, digest: str | None
) -> None:
    if digest:
        await world.put()
    await world.submit(Object(OBJECT.name, digest))
    async with running_in_background(world.fetcher.run):
        (failed,) = await world.streams.wait_for(DocumentFailed)
        await wait_until(lambda: world.streams.all_acked(world.fetcher.consumer))
    assert isinstance(failed, DocumentFailed)
    assert failed.code == ("source_changed" if digest else "source_missing")
    assert world.blobs.stored == {}
    assert await world.is_deleted() == (digest is None), "another object stays"


async def test_an_object_that_was_put_after_the_submission_stays(world: World) -> None:
    await world.put()
    await world.submit()
    source = ObjectSource(world.objects, world.blobs)
    event, before = events.submitted(1, source=OBJECT), datetime.now(UTC)
    await world.put(OTHER)

    await source.discard(event, OBJECT, before)
    assert not await world.is_deleted()

    await source.discard(event, OBJECT, datetime.now(UTC))
    assert await world.is_deleted()


async def test_bytes_put_after_the_submission_are_of_another_document(world: World) -> None:
    """A submission with a digest tells them by that."""
    source, event = ObjectSource(world.objects, world.blobs), events.submitted(1, source=OBJECT)
    before = datetime.now(UTC) - CLOCK_SKEW
    digest = await world.put()
    with pytest.raises(Reject, match="later than the document was submitted") as caught:
        await source.store(event, OBJECT, before, repeated=False)
    assert caught.value.code == "source_changed"
    assert await source.store(event, Object(OBJECT.name, digest), before, repeated=False)


async def test_an_object_stays_for_a_document_that_failed_without_its_original(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.put()
    await world.submit()

    async def fail(*_: object) -> None:
        raise Reject("source_refused", "Not now.")

    with monkeypatch.context() as patched:
        patched.setattr(ObjectSource, "_copy", fail)
        async with running_in_background(world.fetcher.run):
            await world.streams.wait_for(DocumentFailed)
            await wait_until(lambda: world.streams.all_acked(world.fetcher.consumer))
    assert not await world.is_deleted()
    event = replace(events.submitted(source=OBJECT), requeues=1)
    async with running_in_background(world.fetcher.run):
        await world.publisher.publish(event)
        await world.streams.wait_for(DocumentFetched)
        await wait_until(world.is_deleted)


async def test_an_original_that_a_former_attempt_has_stored_is_used(world: World) -> None:
    """As when the log has lost that it was fetched, and the object is deleted."""
    await world.put()
    source, event = ObjectSource(world.objects, world.blobs), events.submitted(1, source=OBJECT)
    now = datetime.now(UTC)
    stored = await source.store(event, OBJECT, now, repeated=False)
    await source.discard(event, OBJECT, datetime.now(UTC))

    assert await source.store(event, OBJECT, now, repeated=True) == stored
    digest = "SHA-256=" + urlsafe_b64encode(bytes.fromhex(stored.sha256)).decode()
    assert await source.store(event, Object(OBJECT.name, digest), now, repeated=True) == stored
    with pytest.raises(Reject, match="There is no object"):
        await source.store(events.submitted(2, source=OBJECT), OBJECT, now, repeated=True)
    with pytest.raises(RetryLater, match="bucket does not exist"):
        await source.store(replace(event, tenant="acme"), OBJECT, now, repeated=True)


async def test_a_redelivery_deletes_the_object_of_a_document_that_was_fetched(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.put()
    await world.submit()
    killed = asyncio.Event()

    async def discard(*_: object) -> None:
        killed.set()

    with monkeypatch.context() as patched:  # the process ends before it deletes anything
        patched.setattr(ObjectSource, "discard", discard)
        async with running_in_background(world.fetcher.run):
            await killed.wait()
    assert not await world.is_deleted()
    await world.submit()  # the same event again
    async with running_in_background(world.fetcher.run):
        await wait_until(world.is_deleted)
    assert len(await world.streams.events(DocumentFetched)) == 1
    assert await world.streams.events(DocumentFailed) == []


async def test_a_requeued_document_has_the_original_that_it_failed_with(world: World) -> None:
    """As after an upgrade to a version that supports its type."""
    await world.put(b"\x7fELF\2\1\1" + bytes(64))
    await world.submit()
    event = replace(events.submitted(source=OBJECT), requeues=1)
    async with running_in_background(world.fetcher.run):
        await world.streams.wait_for(DocumentFailed)
        await wait_until(world.is_deleted)
        await world.publisher.publish(event)
        failures = await world.streams.wait_for(DocumentFailed, 2)
    assert [one.code for one in failures if isinstance(one, DocumentFailed)] == [
        "unsupported_type",
        "unsupported_type",
    ]


def sweep(world: World) -> ObjectSweep:
    return ObjectSweep(
        world.objects,
        world.connection,
        StageConsumers(Fetcher.consumer, Ocr.consumer, PERSISTER, AGGREGATOR),
        abandoned_after=timedelta(milliseconds=1),
        broken_after=timedelta(),
    )


async def create_consumers(world: World) -> None:
    js = world.connection.jetstream
    await ensure_lanes(js, Fetcher.consumer)
    await ensure_reader(js, AGGREGATOR, "A test", (BatchSubmitted,), 30.0)


async def test_an_abandoned_object_is_deleted(world: World) -> None:
    await world.put()
    later = datetime.now(UTC) + timedelta(days=1)
    assert await sweep(world).sweep(later) == 0, "without its consumers, what waits is uncertain"
    await create_consumers(world)
    assert await sweep(world).sweep(datetime.now(UTC) - timedelta(hours=1)) == 0, "it is new"
    assert await sweep(world).sweep(later) == 1
    assert await world.is_deleted()


async def test_an_object_that_is_waited_for_is_not_abandoned(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await create_consumers(world)
    await world.put()
    await world.bucket.put("batched", PDF)
    await world.bucket.put("abandoned", PDF)
    await world.submit()
    document = BatchDocument(document_id=f"{events.id_of(2)[:20]}1", source=Object("batched"))
    batch = BatchSubmitted(batch_id=events.id_of(2)[:20], documents=(document,))
    await world.publisher.publish(batch)
    later = datetime.now(UTC) + timedelta(days=1)

    with monkeypatch.context() as patched:
        patched.setattr("actors.janitor.objects.MAX_WAITING", 1)
        assert await sweep(world).sweep(later) == 0, "there are too many to look at"
    assert await sweep(world).sweep(later) == 1
    assert await world.objects.find(TENANT, "batched") is not None
    assert not await world.is_deleted()

    async with running_in_background(world.fetcher.run):
        await wait_until(world.is_deleted)
