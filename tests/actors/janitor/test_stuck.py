"""A stuck document is driven on; one in progress is not touched."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from actors import persister
from actors.aggregator import NAME as AGGREGATOR
from actors.fetcher import Fetcher
from actors.janitor.stuck import MAX_ATTEMPTS, StageConsumers, StuckCounts, StuckDocuments
from actors.ocr import Ocr
from bus import consumers, streams
from bus.connection import Connection
from bus.consumers import ConsumerProgress
from bus.log import Log
from bus.publisher import Publisher
from schemas.batches import BatchSubmitted
from schemas.documents import (
    Blob,
    DocumentCancelled,
    DocumentCompleted,
    DocumentFailed,
    DocumentFetched,
    DocumentSubmitted,
    Stored,
)
from tests import events
from tests.actors.janitor.queries import FakeMaintenanceQueries, record
from tests.actors.running import Streams

NOW = datetime(2026, 1, 16, tzinfo=UTC)
LATER = timedelta(minutes=6)
ORIGINAL = Blob(f"originals/default/{events.id_of(1)}.abc", 3, events.SHA256)


class World:
    """The log with its consumers, and what looks after it."""

    def __init__(self, connection: Connection) -> None:
        self.takes_work = True
        self.connection = connection
        self.publisher = Publisher(connection)
        self.streams = Streams(connection)
        self.queries = FakeMaintenanceQueries()
        self.stuck = StuckDocuments(
            self.publisher,
            Log(connection),
            ConsumerProgress(connection),
            self.queries,
            StageConsumers(Fetcher.consumer, Ocr.consumer, persister.NAME, AGGREGATOR),
            takes_work=lambda: self.takes_work,
        )

    async def prepare(self) -> None:
        """Make the consumers the actors would make."""
        js = self.connection.jetstream
        await consumers.ensure_lanes(js, Fetcher.consumer)
        for source in Ocr.consumer.sources:
            await consumers.ensure_lanes(js, source)
        await consumers.ensure_reader(js, persister.NAME, "A test", persister.HANDLED_EVENTS, 30.0)
        ends = (BatchSubmitted, DocumentCompleted, DocumentFailed, DocumentCancelled)
        await consumers.ensure_reader(js, AGGREGATOR, "A test", ends, 30.0)

    async def acknowledge(self, durable: str, count: int = 1) -> None:
        """Take so many deliveries and acknowledge them without doing anything."""
        reading = await self.connection.jetstream.pull_subscribe_bind(
            consumer=durable, stream=streams.EVENTS
        )
        for message in await reading.fetch(count, timeout=30):
            await message.ack_sync()
        await reading.unsubscribe()


@pytest.fixture
async def world(connection: Connection) -> World:
    """A log whose consumers have received nothing yet."""
    world = World(connection)
    await world.prepare()
    return world


async def test_a_document_that_waits_its_turn_is_left_alone(world: World) -> None:
    await world.publisher.publish(events.submitted())
    world.queries.documents = [record()]
    assert await world.stuck.sweep(NOW) == StuckCounts()
    assert len(await world.streams.events(DocumentSubmitted)) == 1


async def test_a_stuck_submission_is_published_again(world: World) -> None:
    await world.publisher.publish(events.submitted())
    await world.acknowledge("fetcher-normal")
    world.queries.documents = [record()]
    assert await world.stuck.sweep(NOW) == StuckCounts(redriven=1)
    assert await world.streams.events(DocumentSubmitted) == [events.submitted()] * 2


async def test_a_stuck_fetched_event_is_published_again(world: World) -> None:
    await world.publisher.publish(events.fetched(key=ORIGINAL.key))
    await world.acknowledge("ocr-normal")
    world.queries.documents = [record(state="processing", original=ORIGINAL)]
    assert await world.stuck.sweep(NOW) == StuckCounts(redriven=1)
    _, second = await world.streams.events(DocumentFetched)
    assert isinstance(second, DocumentFetched)
    assert (second.original, second.content_type) == (ORIGINAL, "text/plain")


UPLOAD = Stored(3, events.SHA256, suffix="abc", detected="application/pdf")


async def test_an_upload_without_a_fetcher_waits_for_any_time_and_is_then_fetched(
    world: World,
) -> None:
    """It does not wait for a stranger's submission under its id."""
    submitted = events.submitted(source=UPLOAD)
    await world.publisher.publish(submitted)
    stranger = events.submitted(source=Stored(1, events.SHA256))
    await world.publisher.publish(stranger, msg_id_suffix="stranger")
    await world.acknowledge("fetcher-normal", 2)
    world.queries.documents = [record(state="processing", original=ORIGINAL)]
    reading = await world.connection.jetstream.pull_subscribe_bind(
        consumer="ocr-stored-normal", stream=streams.EVENTS
    )
    (message,) = await reading.fetch(1, timeout=30)
    for times in range(3):
        assert await world.stuck.sweep(NOW + times * LATER) == StuckCounts()
    await message.ack_sync()
    assert await world.stuck.sweep(NOW) == StuckCounts(redriven=1)
    (published,) = await world.streams.events(DocumentFetched)
    assert isinstance(published, DocumentFetched)
    assert published.original == ORIGINAL


async def test_an_upload_that_no_worker_takes_without_a_fetcher_is_fetched(world: World) -> None:
    """As beside an ocr of a former version, which has no such consumer."""
    await world.publisher.publish(events.submitted(source=UPLOAD))
    world.queries.documents = [record(state="processing", original=ORIGINAL)]
    assert await world.stuck.sweep(NOW) == StuckCounts()
    assert await world.stuck.sweep(NOW + LATER) == StuckCounts(redriven=1)
    (published,) = await world.streams.events(DocumentFetched)
    assert isinstance(published, DocumentFetched)


async def test_an_upload_is_not_taken_from_workers_that_are_busy_or_come_back(
    world: World,
) -> None:
    await world.publisher.publish(events.submitted(source=UPLOAD))
    world.queries.documents = [record(state="processing", original=ORIGINAL)]
    assert await world.stuck.sweep(NOW) == StuckCounts()
    reading = await world.connection.jetstream.pull_subscribe_bind(
        consumer="ocr-stored-normal", stream=streams.EVENTS
    )
    (message,) = await reading.fetch(1, timeout=30)
    await reading.unsubscribe()
    assert await world.stuck.sweep(NOW + LATER) == StuckCounts()
    assert await world.stuck.sweep(NOW + 2 * LATER) == StuckCounts()
    await message.ack_sync()


async def test_an_upload_waits_for_workers_that_are_to_take_nothing(world: World) -> None:
    await world.publisher.publish(events.submitted(source=UPLOAD))
    world.queries.documents = [record(state="processing", original=ORIGINAL)]
    world.takes_work = False
    for times in range(8):
        assert await world.stuck.sweep(NOW + times * LATER) == StuckCounts()


async def test_an_upload_in_a_batch_waits_for_the_aggregator(world: World) -> None:
    batch = events.batch(1, 1)
    document = msgspec.structs.replace(batch.documents[0], source=UPLOAD)
    await world.publisher.publish(msgspec.structs.replace(batch, documents=(document,)))
    original = Blob(f"originals/default/{document.document_id}.abc", 3, events.SHA256)
    world.queries.documents = [
        record(
            state="processing",
            document_id=document.document_id,
            batch_id=batch.batch_id,
            original=original,
        )
    ]
    assert await world.stuck.sweep(NOW) == StuckCounts()
    await world.acknowledge(AGGREGATOR)
    assert await world.stuck.sweep(NOW) == StuckCounts(redriven=1)


async def test_a_document_lost_from_the_log_is_resubmitted_from_its_row(world: World) -> None:
    world.queries.documents = [record(original=ORIGINAL)]
    assert await world.stuck.sweep(NOW) == StuckCounts(redriven=1)
    (published,) = await world.streams.events(DocumentSubmitted)
    assert isinstance(published, DocumentSubmitted)
    assert published.source == Stored(size=3, sha256=events.SHA256, suffix="abc")
    assert published.submitted_at == events.SUBMITTED_AT


async def test_a_document_whose_bytes_were_lost_with_the_log_has_failed(world: World) -> None:
    world.queries.documents = [record()]
    assert await world.stuck.sweep(NOW) == StuckCounts(given_up=1)
    (published,) = await world.streams.events(DocumentFailed)
    assert isinstance(published, DocumentFailed)
    assert (published.code, published.retryable) == ("lost", True)


async def test_an_end_not_yet_persisted_is_waited_for(world: World) -> None:
    await world.publisher.publish(events.fetched())
    await world.publisher.publish(events.converted())
    await world.acknowledge("ocr-normal")
    world.queries.documents = [record(state="processing", original=ORIGINAL)]
    assert await world.stuck.sweep(NOW) == StuckCounts()


async def test_a_requeued_document_nothing_came_of_is_requeued_again(world: World) -> None:
    """Events from before the requeue do not count."""
    await world.publisher.publish(events.submitted())
    await world.publisher.publish(events.failed())
    await world.publisher.publish(events.requeued(events.submitted()))
    await world.acknowledge("fetcher-normal", 2)
    world.queries.documents = [record(requeues=1)]
    assert await world.stuck.sweep(NOW) == StuckCounts(redriven=1)
    *_, published = await world.streams.events(DocumentSubmitted)
    assert published == events.requeued(events.submitted())


async def test_an_end_the_database_could_not_write_down_is_a_failure(world: World) -> None:
    await world.publisher.publish(events.fetched())
    await world.publisher.publish(events.converted())
    await world.acknowledge("ocr-normal")
    await world.acknowledge("persister", 2)
    world.queries.documents = [record(state="processing", original=ORIGINAL)]
    assert await world.stuck.sweep(NOW) == StuckCounts(given_up=1)
    (published,) = await world.streams.events(DocumentFailed)
    assert isinstance(published, DocumentFailed)
    assert published.code == "unwritable"


async def test_the_valid_submission_is_the_one_published_again(world: World) -> None:
    """Another submission with the id is dropped by its consumer, and would never help."""
    await world.publisher.publish(events.submitted())
    await world.publisher.publish(
        events.submitted(file_name="another.txt"), msg_id_suffix="stranger"
    )
    await world.acknowledge("fetcher-normal", 2)
    world.queries.documents = [record()]
    assert await world.stuck.sweep(NOW) == StuckCounts(redriven=1)
    published = await world.streams.events(DocumentSubmitted)
    assert published[2] == published[0] == events.submitted()


async def test_ended_documents_are_forgotten_also_under_load(
    world: World,
) -> None:
    await world.publisher.publish(events.submitted(1))
    await world.acknowledge("fetcher-normal")
    world.queries.documents = [record(1)]
    assert await world.stuck.sweep(NOW) == StuckCounts(redriven=1)
    await world.publisher.publish(events.submitted(2))
    world.queries.documents = [record(1, "completed"), record(2)]
    assert await world.stuck.sweep(NOW + LATER) == StuckCounts()
    assert world.stuck._redriven == {}


async def test_a_document_that_went_on_meanwhile_is_left_alone(world: World) -> None:
    await world.publisher.publish(events.submitted())
    await world.acknowledge("fetcher-normal")
    world.queries.documents = [record()]
    world.queries.current = [record(state="processing", original=ORIGINAL)]
    assert await world.stuck.sweep(NOW) == StuckCounts()


async def test_a_stuck_document_is_retried_a_limited_number_of_times(world: World) -> None:
    await world.publisher.publish(events.submitted())
    world.queries.documents = [record()]
    moment = NOW
    for _ in range(MAX_ATTEMPTS):
        await world.acknowledge("fetcher-normal")
        assert await world.stuck.sweep(moment) == StuckCounts(redriven=1)
        await world.acknowledge("fetcher-normal")
        assert await world.stuck.sweep(moment + timedelta(minutes=1)) == StuckCounts()
        await world.publisher.publish(events.submitted(), msg_id_suffix=str(moment))
        moment += LATER
    await world.acknowledge("fetcher-normal")
    assert await world.stuck.sweep(moment) == StuckCounts(given_up=1)
    (published,) = await world.streams.events(DocumentFailed)
    assert isinstance(published, DocumentFailed)
    assert published.code == "stuck"


async def test_a_clock_set_back_does_not_prevent_retries(
    world: World,
) -> None:
    await world.publisher.publish(events.submitted())
    world.queries.documents = [record()]
    for moment in (NOW + timedelta(days=400), NOW):
        await world.acknowledge("fetcher-normal")
        assert await world.stuck.sweep(moment) == StuckCounts(redriven=1)


async def test_a_document_of_a_batch_waits_for_the_aggregator(world: World) -> None:
    batch = events.batch(1, 2)
    await world.publisher.publish(batch)
    names = [document.document_id for document in batch.documents]
    world.queries.documents = [
        msgspec.structs.replace(record(), document_id=name, batch_id=batch.batch_id)
        for name in names
    ]
    assert await world.stuck.sweep(NOW) == StuckCounts()
    await world.acknowledge(AGGREGATOR)
    assert await world.stuck.sweep(NOW) == StuckCounts(redriven=2)
    published = await world.streams.events(DocumentSubmitted)
    assert [
        event.document_id for event in published if isinstance(event, DocumentSubmitted)
    ] == names
