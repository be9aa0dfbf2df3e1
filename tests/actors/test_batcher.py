"""Engine batches are handed over once and fetched once, and no document waits for ever."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest

from actors import batcher as module
from actors.batcher import Batcher
from actors.engines import Conversion, EngineJob, EngineUnavailable, HeldDocument, Unconvertible
from bus import codec, subjects
from bus.connection import Connection
from bus.publisher import MSG_ID_HEADER
from ilios.database.connection import open_reader, open_writer
from ilios.database.queries import SqliteBatchQueries, SqliteDocumentQueries
from ilios.database.store import SqliteTransactionStore
from schemas.batches import BatchProgressed, EngineJobStatus, document_id
from schemas.documents import DocumentCancelled, DocumentConverted, DocumentFetched
from schemas.options import ConversionOptions
from tests import batch_events, events
from tests.actors.db import Database
from tests.actors.fakes import FakeBlobs
from tests.actors.pipeline import Pipeline
from tests.actors.running import running_in_background
from tests.ilios.database.db import make_database
from tests.waiting import wait_until

MISTRAL = ConversionOptions(engine="mistral")
ONE, TWO = (document_id(batch_events.id_of(), place) for place in (1, 2))


Event = TypeVar("Event", DocumentFetched, DocumentConverted, BatchProgressed)


class FakeBatches:
    """An engine's batches: what was handed over, how far the job is, and what it brings."""

    def __init__(self) -> None:
        self.submitted: list[list[str]] = []
        self.status: EngineJobStatus = "QUEUED"
        self.result_ids: list[str] = [ONE, TWO]
        self.excluded: frozenset[str] = frozenset()
        self.failures: list[Exception] = []
        self.gone = False
        self.cancelled = 0
        self.forgotten: list[str] = []

    async def submit(
        self, name: str, documents: Sequence[HeldDocument], options: ConversionOptions
    ) -> tuple[EngineJob | None, frozenset[str]]:
        if self.failures:
            raise self.failures.pop(0)
        self.submitted.append([one.document_id for one in documents])
        fits = [one for one in documents if one.document_id not in self.excluded]
        return (self._job() if fits else None), self.excluded

    async def poll(self, job: str) -> EngineJob | None:
        if self.failures:
            raise self.failures.pop(0)
        return None if self.gone else self._job()

    async def results(
        self, job: str, documents: Sequence[HeldDocument], options: ConversionOptions
    ) -> AsyncIterator[tuple[str, Conversion]]:
        for name in self.result_ids:
            yield name, Conversion((f"text of {name}",), "mistral", "m-1", 0.0, variant="batch")

    async def cancel(self, job: str) -> None:
        self.cancelled += 1

    async def delete(self, name: str, job: str) -> None:
        self.forgotten.append(name)

    def _job(self) -> EngineJob:
        return EngineJob(id="job-1", status=self.status, total=2)


class World(Pipeline):
    """A town with an engine that has batches."""

    def __init__(self, pipeline: Pipeline, blobs: FakeBlobs) -> None:
        super().__init__(pipeline.connection, pipeline.db, pipeline.batches)
        self.blobs = blobs
        self.engine: FakeBatches | None = FakeBatches()

    @property
    def jobs(self) -> FakeBatches:
        assert self.engine is not None
        return self.engine

    @property
    def batcher(self) -> Batcher:
        return Batcher(self.connection, self.blobs, self.batches, self.engine)

    async def submit(self, *fetched: int) -> None:
        """Submit an engine batch of two documents, and publish which of them are fetched."""
        batch = msgspec.structs.replace(
            batch_events.submitted(),
            options=MISTRAL,
            engine_batch=True,
            submitted_at=datetime.now(UTC),
        )
        await self.publish(batch, *map(self.fetched, fetched))

    def fetched(self, place: int) -> DocumentFetched:
        event = msgspec.structs.replace(events.fetched(), held=True, options=MISTRAL)
        return batch_events.of(event, place)

    async def events_of(self, kind: type[Event]) -> list[Event]:
        """Return the events of one kind on the log."""
        return [one for one in await self.events(kind) if isinstance(one, kind)]

    async def one_is_ready(self) -> bool:
        """Whether the database has both, one of them fetched."""
        states = [document.state for document in await self.batches.held_documents(10)]
        return sorted(states) == ["pending", "processing"]

    async def released(self) -> list[str]:
        """Return the documents that were released from the engine batch."""
        published = await self.events_of(DocumentFetched)
        return [one.document_id for one in published if not one.held]


@pytest.fixture
async def world(tmp_path: Path, connection: Connection) -> AsyncIterator[World]:
    path = tmp_path / "ilios.db"
    make_database(path)
    async with open_writer(path) as writing, open_reader(path) as reading:
        db = Database(path, SqliteTransactionStore(writing), SqliteDocumentQueries(reading))
        async with running_in_background(db.writer.run):
            yield World(Pipeline(connection, db, SqliteBatchQueries(reading)), FakeBlobs(tmp_path))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DATABASE_POLL_INTERVAL", 0.02)
    monkeypatch.setattr(module, "MIN_JOB_POLL_INTERVAL", 0.02)
    monkeypatch.setattr(module, "MAX_JOB_POLL_INTERVAL", 0.05)


async def test_a_complete_batch_is_submitted_once(world: World) -> None:
    async with world.persister_running(), running_in_background(world.batcher.run):
        await world.submit(1)
        await wait_until(world.one_is_ready)
        assert world.jobs.submitted == []
        await world.publish(world.fetched(2))
        await wait_until(lambda: world.jobs.submitted == [[ONE, TWO]])
        await wait_until(lambda: job_progress_published(world, "QUEUED"))
        await wait_until(lambda: _has_job(world))
    async with running_in_background(world.batcher.run):  # as after a restart
        world.jobs.status = "RUNNING"
        async with world.persister_running():
            await wait_until(lambda: job_progress_published(world, "RUNNING"))
    assert world.jobs.submitted == [[ONE, TWO]]


async def test_a_job_that_ended_before_it_was_recorded_is_fetched(world: World) -> None:
    """As after a crash between the handing over and its event."""
    world.jobs.status = "SUCCESS"
    async with world.persister_running(), running_in_background(world.batcher.run):
        await world.submit(1, 2)
        await wait_until(lambda: job_progress_published(world, "SUCCESS"))
    assert len(await world.events_of(DocumentConverted)) == 2
    assert await world.released() == []


async def test_documents_that_are_still_being_fetched_are_not_waited_for_for_ever(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GATHER_TIMEOUT", timedelta(0))
    async with world.persister_running(), running_in_background(world.batcher.run):
        await world.submit(1)
        await wait_until(lambda: world.jobs.submitted == [[ONE]])


async def test_results_are_published_at_the_batch_price(world: World) -> None:
    world.jobs.status = "SUCCESS"
    async with world.persister_running(), running_in_background(world.batcher.run):
        await world.submit(1, 2)
        await wait_until(lambda: job_progress_published(world, "SUCCESS"))
    converted = await world.events_of(DocumentConverted)
    assert sorted(one.document_id for one in converted) == [ONE, TWO]
    assert {one.variant for one in converted} == {"batch"}
    text = world.blobs.stored[converted[0].markdown.key].decode()
    assert text == f"text of {converted[0].document_id}"
    assert await world.released() == []
    assert world.jobs.forgotten == [f"default-{batch_events.id_of()}"]


async def test_a_job_is_done_with_only_when_all_it_brought_is_on_the_log(world: World) -> None:
    """After a kill before that, the results are fetched again; after it, they would not be."""
    world.jobs.status = "SUCCESS"
    async with world.persister_running(), running_in_background(world.batcher.run):
        await world.submit(1, 2)
        await wait_until(lambda: job_progress_published(world, "SUCCESS"))
    log = await world.events(DocumentConverted, BatchProgressed)
    assert [type(one) for one in log[-3:]] == [DocumentConverted] * 2 + [BatchProgressed]


async def test_results_are_fetched_once_and_nothing_is_freed_while_the_database_is_behind(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        module, "MAX_JOB_POLL_INTERVAL", module.DUE_NOW
    )  # each look looks, from the second on
    batcher = world.batcher

    async def is_handed_over() -> bool:
        await batcher.poll_once()
        return await _has_job(world)

    async with world.persister_running():
        await world.submit(1, 2)
        await wait_until(is_handed_over)
    world.jobs.status = "SUCCESS"

    async def is_fetched() -> bool:
        await batcher.poll_once()
        return await job_progress_published(world, "SUCCESS")

    await wait_until(is_fetched)
    assert len(await world.events_of(DocumentConverted)) == 2
    world.jobs.gone = True
    await batcher.poll_once()
    await world.batcher.poll_once()  # as after a restart
    assert world.jobs.forgotten == [f"default-{batch_events.id_of()}"]
    assert await world.released() == []


async def test_documents_missing_in_a_batch_result_are_converted_alone(world: World) -> None:
    world.jobs.status, world.jobs.result_ids = "SUCCESS", [TWO]
    async with world.persister_running(), running_in_background(world.batcher.run):
        await world.submit(1, 2)
        await wait_until(lambda: job_progress_published(world, "SUCCESS"))
        assert await world.released() == [ONE]


@pytest.mark.parametrize("status", ["FAILED", "TIMEOUT_EXCEEDED", "CANCELLED"])
async def test_all_documents_of_a_failed_batch_are_converted_alone(
    world: World, status: EngineJobStatus
) -> None:
    world.jobs.status, world.jobs.result_ids = status, []
    async with world.persister_running(), running_in_background(world.batcher.run):
        await world.submit(1, 2)
        await wait_until(lambda: job_progress_published(world, status))
        assert sorted(await world.released()) == [ONE, TWO]


async def test_a_document_that_was_freed_before_a_restart_is_not_freed_again(world: World) -> None:
    """The database is behind: it has not applied yet that the document is released."""
    world.jobs.status, world.jobs.result_ids = "FAILED", []
    async with world.persister_running():
        await world.submit(1)
        await wait_until(world.one_is_ready)
    world.engine = None
    await world.batcher.poll_once()
    assert await world.released() == [ONE]
    log, marked, other = world.connection.jetstream, {MSG_ID_HEADER: "another"}, events.submitted(9)

    async def is_forgotten() -> bool:
        """Whether the server would take for new what it had just now."""
        name = subjects.subject_for(other)
        return not (await log.publish(name, codec.encode(other), headers=marked)).duplicate

    assert await is_forgotten()
    await wait_until(is_forgotten)
    await world.batcher.poll_once()
    freed = await world.events_of(DocumentFetched)
    assert [one.held for one in freed] == [True, False]


async def test_all_documents_of_a_vanished_job_are_converted_alone(world: World) -> None:
    async with world.persister_running(), running_in_background(world.batcher.run):
        await world.submit(1, 2)
        await wait_until(lambda: job_progress_published(world, "QUEUED"))
        world.jobs.gone = True
        await wait_until(lambda: job_progress_published(world, "FAILED"))
        assert sorted(await world.released()) == [ONE, TWO]


async def test_documents_too_large_for_a_batch_are_converted_alone(world: World) -> None:
    world.jobs.excluded = frozenset({TWO})
    async with world.persister_running(), running_in_background(world.batcher.run):
        await world.submit(1, 2)
        await wait_until(lambda: job_progress_published(world, "QUEUED"))
        await wait_until(lambda: _is(world.released, [TWO]))


async def test_documents_of_a_refused_batch_are_converted_alone(world: World) -> None:
    world.jobs.failures = [Unconvertible("refused", "No.")]
    async with world.persister_running(), running_in_background(world.batcher.run):
        await world.submit(1, 2)
        await wait_until(lambda: _is(world.released, [ONE, TWO]))
    assert await world.events_of(BatchProgressed) == []


async def test_an_engine_that_is_away_is_waited_for(world: World) -> None:
    world.jobs.failures = [EngineUnavailable("down", "It is away.", retry_after=0.02)] * 3
    async with world.persister_running(), running_in_background(world.batcher.run):
        await world.submit(1, 2)
        await wait_until(lambda: job_progress_published(world, "QUEUED"))
    assert await world.released() == []


async def test_without_an_engine_no_document_is_deferred(world: World) -> None:
    world.engine = None
    async with world.persister_running(), running_in_background(world.batcher.run):
        await world.submit(1, 2)
        await wait_until(lambda: _is(world.released, [ONE, TWO]))


async def test_a_deferred_document_without_a_batch_is_released(world: World) -> None:
    alone = msgspec.structs.replace(events.submitted(), held=True)
    fetched = msgspec.structs.replace(events.fetched(), held=True)
    async with world.persister_running(), running_in_background(world.batcher.run):
        await world.publish(alone, fetched)
        await wait_until(lambda: _is(world.released, [fetched.document_id]))


async def test_a_job_without_unfinished_documents_is_cancelled(world: World) -> None:
    async with world.persister_running(), running_in_background(world.batcher.run):
        await world.submit(1, 2)
        await wait_until(lambda: job_progress_published(world, "QUEUED"))
        cancelled = DocumentCancelled(document_id=ONE)
        await world.publish(*(batch_events.of(cancelled, place) for place in (1, 2)))
        await wait_until(lambda: world.jobs.cancelled > 0)
        world.jobs.status = "CANCELLED"
        await wait_until(lambda: job_progress_published(world, "CANCELLED"))
    assert await world.events_of(DocumentConverted) == []


async def job_progress_published(world: World, status: EngineJobStatus) -> bool:
    return status in [one.status for one in await world.events_of(BatchProgressed)]


async def _has_job(world: World) -> bool:
    """Whether the database shows that the batch was handed over."""
    found = await world.batches.batch("default", batch_events.id_of())
    return found is not None and found.engine_batch is not None and bool(found.engine_batch.job)


async def _is(ask: Callable[[], Awaitable[list[str]]], wanted: list[str]) -> bool:
    return sorted(await ask()) == wanted
