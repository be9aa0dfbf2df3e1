"""A document nobody works on any more is set going again; one somebody works on is left alone."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from actors import persister
from actors.aggregator import NAME as AGGREGATOR
from actors.fetcher import Fetcher
from actors.ocr import Ocr
from actors.redriving import ATTEMPTS, Readers, Redriven, Redriving
from bus import consumers, streams
from bus.connection import Connection
from bus.log import Log
from bus.progress import Progress
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
from tests.actors.running import Streams
from tests.actors.upkeep import FakeUpkeep, record

NOW = datetime(2026, 1, 16, tzinfo=UTC)
LATER = timedelta(minutes=6)
ORIGINAL = Blob(f"originals/default/{events.name(1)}.abc", 3, events.SHA256)


class World:
    """The log with its consumers, and what looks after it."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.publisher = Publisher(connection)
        self.streams = Streams(connection)
        self.upkeep = FakeUpkeep()
        self.redriving = Redriving(
            self.publisher,
            Log(connection),
            Progress(connection),
            self.upkeep,
            Readers(Fetcher.consumer, Ocr.consumer, persister.NAME, AGGREGATOR),
        )

    async def prepare(self) -> None:
        """Make the consumers the actors would make."""
        js = self.connection.jetstream
        await consumers.ensure_lanes(js, Fetcher.consumer)
        await consumers.ensure_lanes(js, Ocr.consumer)
        await consumers.ensure_reader(js, persister.NAME, "A test", persister.HEARS, 30.0)
        ends = (BatchSubmitted, DocumentCompleted, DocumentFailed, DocumentCancelled)
        await consumers.ensure_reader(js, AGGREGATOR, "A test", ends, 30.0)

    async def acknowledge(self, durable: str, count: int = 1) -> None:
        """Take so many deliveries and acknowledge them without doing anything."""
        reading = await self.connection.jetstream.pull_subscribe_bind(
            consumer=durable, stream=streams.EVENTS
        )
        for message in await reading.fetch(count, timeout=5):
            await message.ack_sync()
        await reading.unsubscribe()


@pytest.fixture
async def world(connection: Connection) -> World:
    """A log whose consumers have heard nothing yet."""
    world = World(connection)
    await world.prepare()
    return world


async def test_a_document_that_waits_its_turn_is_left_alone(world: World) -> None:
    await world.publisher.say(events.submitted())
    world.upkeep.documents = [record()]
    assert await world.redriving.sweep(NOW) == Redriven()
    assert len(await world.streams.said(DocumentSubmitted)) == 1


async def test_a_submission_nothing_came_of_is_said_again(world: World) -> None:
    await world.publisher.say(events.submitted())
    await world.acknowledge("fetcher-normal")
    world.upkeep.documents = [record()]
    assert await world.redriving.sweep(NOW) == Redriven(redriven=1)
    assert await world.streams.said(DocumentSubmitted) == [events.submitted()] * 2


async def test_a_fetched_document_nothing_came_of_is_said_again(world: World) -> None:
    await world.publisher.say(events.fetched(key=ORIGINAL.key))
    await world.acknowledge("ocr-normal")
    world.upkeep.documents = [record(state="processing", original=ORIGINAL)]
    assert await world.redriving.sweep(NOW) == Redriven(redriven=1)
    _, second = await world.streams.said(DocumentFetched)
    assert isinstance(second, DocumentFetched)
    assert (second.original, second.content_type) == (ORIGINAL, "text/plain")


async def test_a_document_the_log_has_lost_is_submitted_anew_from_its_row(world: World) -> None:
    world.upkeep.documents = [record(original=ORIGINAL)]
    assert await world.redriving.sweep(NOW) == Redriven(redriven=1)
    (said,) = await world.streams.said(DocumentSubmitted)
    assert isinstance(said, DocumentSubmitted)
    assert said.source == Stored(size=3, sha256=events.SHA256, suffix="abc")
    assert said.submitted_at == events.SUBMITTED_AT


async def test_a_document_whose_bytes_were_lost_with_the_log_has_failed(world: World) -> None:
    world.upkeep.documents = [record()]
    assert await world.redriving.sweep(NOW) == Redriven(given_up=1)
    (said,) = await world.streams.said(DocumentFailed)
    assert isinstance(said, DocumentFailed)
    assert (said.code, said.retryable) == ("lost", True)


async def test_an_end_the_database_is_yet_to_hear_of_is_waited_for(world: World) -> None:
    await world.publisher.say(events.fetched())
    await world.publisher.say(events.converted())
    await world.acknowledge("ocr-normal")
    world.upkeep.documents = [record(state="processing", original=ORIGINAL)]
    assert await world.redriving.sweep(NOW) == Redriven()


async def test_a_requeued_document_nothing_came_of_is_requeued_again(world: World) -> None:
    """What was said of it before it was requeued is no answer."""
    await world.publisher.say(events.submitted())
    await world.publisher.say(events.failed())
    await world.publisher.say(events.requeued(events.submitted()))
    await world.acknowledge("fetcher-normal", 2)
    world.upkeep.documents = [record(requeues=1)]
    assert await world.redriving.sweep(NOW) == Redriven(redriven=1)
    *_, said = await world.streams.said(DocumentSubmitted)
    assert said == events.requeued(events.submitted())


async def test_an_end_the_database_could_not_write_down_is_a_failure(world: World) -> None:
    await world.publisher.say(events.fetched())
    await world.publisher.say(events.converted())
    await world.acknowledge("ocr-normal")
    await world.acknowledge("persister", 2)
    world.upkeep.documents = [record(state="processing", original=ORIGINAL)]
    assert await world.redriving.sweep(NOW) == Redriven(given_up=1)
    (said,) = await world.streams.said(DocumentFailed)
    assert isinstance(said, DocumentFailed)
    assert said.code == "unwritable"


async def test_what_is_said_again_is_the_submission_that_counts(world: World) -> None:
    """Another one under the id is dropped by whoever hears it, and would never help."""
    await world.publisher.say(events.submitted())
    await world.publisher.say(events.submitted(file_name="another.txt"), again="stranger")
    await world.acknowledge("fetcher-normal", 2)
    world.upkeep.documents = [record()]
    assert await world.redriving.sweep(NOW) == Redriven(redriven=1)
    said = await world.streams.said(DocumentSubmitted)
    assert said[2] == said[0] == events.submitted()


async def test_whoever_was_helped_and_has_ended_is_forgotten_also_under_load(
    world: World,
) -> None:
    await world.publisher.say(events.submitted(1))
    await world.acknowledge("fetcher-normal")
    world.upkeep.documents = [record(1)]
    assert await world.redriving.sweep(NOW) == Redriven(redriven=1)
    await world.publisher.say(events.submitted(2))
    world.upkeep.documents = [record(1, "completed"), record(2)]
    assert await world.redriving.sweep(NOW + LATER) == Redriven()
    assert world.redriving._helped == {}


async def test_a_document_that_went_on_meanwhile_is_left_alone(world: World) -> None:
    await world.publisher.say(events.submitted())
    await world.acknowledge("fetcher-normal")
    world.upkeep.documents = [record()]
    world.upkeep.now_known = [record(state="processing", original=ORIGINAL)]
    assert await world.redriving.sweep(NOW) == Redriven()


async def test_a_document_is_helped_now_and_then_and_not_for_ever(world: World) -> None:
    await world.publisher.say(events.submitted())
    world.upkeep.documents = [record()]
    moment = NOW
    for _ in range(ATTEMPTS):
        await world.acknowledge("fetcher-normal")
        assert await world.redriving.sweep(moment) == Redriven(redriven=1)
        await world.acknowledge("fetcher-normal")
        assert await world.redriving.sweep(moment + timedelta(minutes=1)) == Redriven()
        await world.publisher.say(events.submitted(), again=str(moment))
        moment += LATER
    await world.acknowledge("fetcher-normal")
    assert await world.redriving.sweep(moment) == Redriven(given_up=1)
    (said,) = await world.streams.said(DocumentFailed)
    assert isinstance(said, DocumentFailed)
    assert said.code == "stuck"


async def test_a_clock_that_is_set_back_does_not_keep_anybody_from_being_helped(
    world: World,
) -> None:
    await world.publisher.say(events.submitted())
    world.upkeep.documents = [record()]
    for moment in (NOW + timedelta(days=400), NOW):
        await world.acknowledge("fetcher-normal")
        assert await world.redriving.sweep(moment) == Redriven(redriven=1)


async def test_a_document_of_a_batch_waits_for_the_aggregator(world: World) -> None:
    batch = events.batch(1, 2)
    await world.publisher.say(batch)
    names = [document.document_id for document in batch.documents]
    world.upkeep.documents = [
        msgspec.structs.replace(record(), document_id=name, batch_id=batch.batch_id)
        for name in names
    ]
    assert await world.redriving.sweep(NOW) == Redriven()
    await world.acknowledge(AGGREGATOR)
    assert await world.redriving.sweep(NOW) == Redriven(redriven=2)
    said = await world.streams.said(DocumentSubmitted)
    assert [event.document_id for event in said if isinstance(event, DocumentSubmitted)] == names
