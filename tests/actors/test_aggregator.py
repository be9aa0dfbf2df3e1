"""The documents of a batch are submitted, and its end is published once, after any crash."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from actors import aggregator as module
from actors.aggregator import Aggregator
from actors.ports import OpenBatch
from bus import dead_letters, streams, tracing
from bus.connection import Connection
from bus.publisher import Publisher
from ilios.database.connection import open_reader, open_writer
from ilios.database.queries import SqliteBatchQueries, SqliteDocumentQueries
from ilios.database.store import SqliteTransactionStore
from ilios.nats.server import NatsServer
from schemas.batches import BatchCompleted
from schemas.documents import DocumentCancelled, DocumentCompleted, DocumentSubmitted
from schemas.events import AnyEvent
from schemas.records import BatchRecord
from tests import batch_events, events
from tests.actors.db import Database
from tests.actors.pipeline import Pipeline
from tests.actors.running import Streams, running_in_background
from tests.bus.raw_client import RawClient, publish
from tests.ilios.database.db import make_database
from tests.waiting import wait_until

FAILED = batch_events.of(events.failed(), 2)
CANCELLED = batch_events.of(DocumentCancelled(document_id=events.id_of(1)), 2)


def completion(place: int, number: int = 1) -> list[AnyEvent]:
    """Return the events of a converted document of a batch."""
    return [
        batch_events.of(events.fetched(), place, number),
        batch_events.of(events.converted(), place, number),
    ]


ONE, TWO = completion(1), completion(2)


@pytest.fixture
async def pipeline(tmp_path: Path, connection: Connection) -> AsyncIterator[Pipeline]:
    path = tmp_path / "ilios.db"
    make_database(path)
    async with open_writer(path) as writing, open_reader(path) as reading:
        db = Database(path, SqliteTransactionStore(writing), SqliteDocumentQueries(reading))
        async with running_in_background(db.writer.run):
            yield Pipeline(connection, db, SqliteBatchQueries(reading))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the aggregator look at the database again at once."""
    monkeypatch.setattr(module, "REFRESH_INTERVAL", 0.05)


async def test_every_document_of_a_batch_is_submitted_with_the_options_of_the_batch(
    pipeline: Pipeline,
) -> None:
    batch = batch_events.submitted(documents=3, priority=9)
    await pipeline.publish(batch)
    async with pipeline.aggregator_running():
        await wait_until(pipeline.all_acked)
    published = await pipeline.events(DocumentSubmitted)
    assert published == [
        DocumentSubmitted(
            document_id=document.document_id,
            priority=9,
            source=document.source,
            file_name=document.file_name,
            submitted_at=events.SUBMITTED_AT,
        )
        for document in batch.documents
    ]


async def test_the_documents_of_a_batch_belong_to_its_trace_and_to_no_other(
    pipeline: Pipeline,
) -> None:
    parent = f"00-{'a' * 32}-{'b' * 16}-01"
    tracing.bind([parent])
    await pipeline.publish(events.batch(1, 2))
    tracing.bind([])
    await pipeline.publish(events.batch(2, 1))
    async with pipeline.aggregator_running():
        await wait_until(pipeline.all_acked)
    js = pipeline.connection.jetstream
    last = (await js.stream_info(streams.EVENTS)).state.last_seq
    messages = [await js.get_msg(streams.EVENTS, number) for number in range(1, last + 1)]
    assert [(one.headers or {}).get("traceparent") for one in messages] == [
        parent,  # the batches
        None,
        parent,  # their documents
        parent,
        None,
    ]


@pytest.mark.parametrize(
    ("second", "completed"),
    [(TWO, 2), ([FAILED], 1), ([CANCELLED], 1)],
    ids=["well", "ill", "never"],
)
async def test_batch_completed_is_published_once_with_the_counts_of_the_database(
    pipeline: Pipeline, second: list[AnyEvent], completed: int
) -> None:
    async with pipeline.persister_running(), pipeline.aggregator_running():
        await pipeline.publish(batch_events.submitted(), *ONE)
        await wait_until(pipeline.all_acked)
        assert await pipeline.is_completed(times=0)
        await pipeline.publish(*second)
        await wait_until(pipeline.is_stored)
        await pipeline.publish(FAILED, CANCELLED)
        await wait_until(pipeline.all_acked)
    (end,) = await pipeline.events(BatchCompleted)
    expected = BatchCompleted(
        batch_id=batch_events.id_of(), total=2, completed=completed, failed=2 - completed
    )
    assert end == expected


async def test_many_batches_end_each_for_itself(pipeline: Pipeline) -> None:
    async with pipeline.persister_running(), pipeline.aggregator_running():
        for number in range(1, 21):
            await pipeline.publish(batch_events.submitted(number))
        for place in (1, 2):
            for number in range(1, 21):
                await pipeline.publish(*completion(place, number))
        await wait_until(lambda: pipeline.is_completed(times=20))
    ends = await pipeline.events(BatchCompleted)
    assert {end.batch_id for end in ends if isinstance(end, BatchCompleted)} == {
        batch_events.id_of(number) for number in range(1, 21)
    }


async def test_a_failure_received_before_it_is_persisted_does_not_end_the_batch(
    pipeline: Pipeline,
) -> None:
    async with pipeline.aggregator_running():
        first = batch_events.of(events.failed(), 1)
        await pipeline.publish(batch_events.submitted(), first, FAILED)
        await wait_until(pipeline.all_acked)
        assert await pipeline.is_completed(times=0)
        async with pipeline.persister_running():
            await wait_until(pipeline.is_completed)
    (end,) = await pipeline.events(BatchCompleted)
    assert isinstance(end, BatchCompleted)
    assert (end.completed, end.failed) == (0, 2)


async def test_a_crash_before_the_acknowledgement_submits_no_document_twice(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def dies(_delivery: object) -> None:
        raise RuntimeError("dead")

    await pipeline.publish(batch_events.submitted())
    with monkeypatch.context() as dying:
        dying.setattr("bus.delivery.Delivery.ack", dies)
        with pytest.raises(RuntimeError):
            async with pipeline.aggregator_running() as task:
                await wait_until(task.done)
    assert len(await pipeline.events(DocumentSubmitted)) == 2
    assert not await pipeline.all_acked()
    async with pipeline.persister_running(), pipeline.aggregator_running():
        await wait_until(pipeline.all_acked)
        await pipeline.publish(*ONE, *TWO)
        await wait_until(pipeline.is_stored)
    assert len(await pipeline.events(DocumentSubmitted)) == 2
    assert await pipeline.is_completed()


async def test_after_a_restart_missed_events_are_read_from_the_database(pipeline: Pipeline) -> None:
    async with pipeline.persister_running():
        async with pipeline.aggregator_running():
            await pipeline.publish(batch_events.submitted(), batch_events.submitted(2), *ONE)
            await wait_until(pipeline.all_acked)
        await pipeline.publish(*TWO)
        async with pipeline.aggregator_running():
            await wait_until(pipeline.is_completed)
            await pipeline.publish(*completion(1, 2), *completion(2, 2))
            await wait_until(lambda: pipeline.is_completed(times=2))
            await wait_until(lambda: pipeline.is_stored(2))
        async with pipeline.aggregator_running():
            await wait_until(pipeline.all_acked)
    assert await pipeline.is_completed(times=2)


async def test_events_received_before_and_persisted_after_a_restart_count(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    rebuilt = asyncio.Event()
    open_batches = pipeline.batches.open_batches

    async def noted() -> list[OpenBatch]:
        found = await open_batches()
        rebuilt.set()
        return found

    async with pipeline.aggregator_running():
        await pipeline.publish(
            batch_events.submitted(), batch_events.of(events.failed(), 1), FAILED
        )
        await wait_until(pipeline.all_acked)
    monkeypatch.setattr(pipeline.batches, "open_batches", noted)
    async with pipeline.aggregator_running():
        await rebuilt.wait()
        async with pipeline.persister_running():
            await wait_until(pipeline.is_stored, within=module.REFRESH_INTERVAL / 2)
    assert await pipeline.is_completed()


async def test_a_published_end_that_is_not_persisted_is_not_published_again(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a crash: the former publisher has used another message id."""
    ask = pipeline.batches.batch

    async def behind(tenant: str, batch_id: str) -> BatchRecord | None:
        record = await ask(tenant, batch_id)
        return msgspec.structs.replace(record, completed_at=None) if record else None

    async with pipeline.persister_running():
        await pipeline.publish(batch_events.submitted(), *ONE, *TWO)
        await wait_until(lambda: len(pipeline.db.rows("usage")) == 2)
        await pipeline.publish(batch_events.completed(), batch_events.submitted(2))
        monkeypatch.setattr(pipeline.batches, "batch", behind)
        async with pipeline.aggregator_running():
            await pipeline.publish(*completion(1, 2), *completion(2, 2))
            await wait_until(lambda: pipeline.is_completed(times=2))
            await wait_until(pipeline.all_acked)
    ends = await pipeline.events(BatchCompleted)
    assert [end.batch_id for end in ends if isinstance(end, BatchCompleted)] == [
        batch_events.id_of(1),
        batch_events.id_of(2),
    ]


@pytest.mark.usefixtures("quick")
async def test_a_missed_end_is_found_in_the_database(pipeline: Pipeline) -> None:
    """No completion is published for a document without an original, as on a new log."""
    async with pipeline.persister_running(), pipeline.aggregator_running():
        await pipeline.publish(batch_events.submitted(), *ONE)
        await pipeline.publish(batch_events.of(events.converted(), 2))
        await wait_until(pipeline.is_completed)
    assert len(await pipeline.events(DocumentCompleted)) == 1


@pytest.mark.usefixtures("quick")
async def test_the_database_is_looked_at_under_any_load(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = asyncio.Event()
    open_batches = pipeline.batches.open_batches
    looks = 0

    async def noted() -> object:
        nonlocal looks
        looks += 1
        if looks > 2:
            looked.set()
        return await open_batches()

    monkeypatch.setattr(pipeline.batches, "open_batches", noted)
    monkeypatch.setattr(Aggregator, "_next_timeout", lambda _: 1000.0)

    async def load() -> None:
        for number in range(1, 10_000):
            await pipeline.publish(events.failed(number))

    async with pipeline.aggregator_running():
        loading = asyncio.create_task(load())
        async with asyncio.timeout(20):
            await looked.wait()
        loading.cancel()


async def test_a_second_batch_with_an_id_is_a_dead_letter(
    pipeline: Pipeline,
) -> None:
    async with pipeline.persister_running(), pipeline.aggregator_running():
        await pipeline.publish(batch_events.submitted())
        await Publisher(pipeline.connection).publish(
            batch_events.submitted(documents=3), msg_id_suffix="other"
        )
        await Publisher(pipeline.connection).publish(
            batch_events.submitted(), msg_id_suffix="the same"
        )
        (letter,) = await Streams(pipeline.connection).wait_for_dead_letters()
        await pipeline.publish(*ONE, *TWO)
        await wait_until(pipeline.is_stored)
    assert letter.headers is not None
    assert "already taken" in letter.headers[dead_letters.REASON]
    assert letter.subject == f"ilios.dead.batch-submitted.default.{batch_events.id_of()}"
    assert len(await pipeline.events(DocumentSubmitted)) == 2
    assert await pipeline.is_completed()
    assert len(await Streams(pipeline.connection).dead_letters()) == 1


async def test_a_malformed_batch_becomes_a_dead_letter_and_blocks_nothing(
    pipeline: Pipeline, nats_server: NatsServer
) -> None:
    subject = f"ilios.batch.submitted.default.{batch_events.id_of()}".encode()
    async with pipeline.persister_running(), pipeline.aggregator_running():
        async with RawClient(nats_server.url("operator")) as client:
            await client.send(publish(subject, b"{}"))
        await Streams(pipeline.connection).wait_for_dead_letters()
        await Publisher(pipeline.connection).publish(batch_events.submitted(2, documents=1))
        await pipeline.publish(*completion(1, 2))
        await wait_until(lambda: pipeline.is_stored(2))


async def test_a_batch_without_a_time_came_when_the_log_took_it(pipeline: Pipeline) -> None:
    batch = batch_events.submitted()
    timeless = type(batch)(batch_id=batch.batch_id, documents=batch.documents)
    await pipeline.publish(timeless)
    async with pipeline.persister_running(), pipeline.aggregator_running():
        await wait_until(pipeline.all_acked)
        await wait_until(lambda: pipeline.db.is_at(3))
    first, second = await pipeline.events(DocumentSubmitted)
    assert isinstance(first, DocumentSubmitted)
    assert isinstance(second, DocumentSubmitted)
    assert first.submitted_at == second.submitted_at
    assert first.submitted_at is not None
    found = await pipeline.batches.batch("default", batch.batch_id)
    assert found is not None
    assert abs((found.submitted_at - first.submitted_at).total_seconds()) < 0.001
