"""Batches of an engine's own: handed over once, fetched once, and nobody waits for ever."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest

from actors import batcher as module
from actors.batcher import Batcher
from actors.engines import Conversion, EngineJob, EngineUnavailable, HeldDocument, Unconvertible
from bus import subjects, wire
from bus.connection import Connection
from bus.publisher import MESSAGE_ID
from ilios.database.batch_reads import BatchReads
from ilios.database.connection import open_reader, open_writer
from ilios.database.ledger import SqliteLedger
from ilios.database.reads import Reads
from schemas.batches import BatchProgressed, EngineJobStatus, document_id
from schemas.documents import DocumentCancelled, DocumentConverted, DocumentFetched
from tests import batch_events, events
from tests.actors.books import Books
from tests.actors.fakes import FakeBlobs
from tests.actors.running import running
from tests.actors.town import Town
from tests.waiting import until

ONE, TWO = (document_id(batch_events.name(), place) for place in (1, 2))


Word = TypeVar("Word", DocumentFetched, DocumentConverted, BatchProgressed)


class FakeBatches:
    """An engine's batches: what was handed over, how far the job is, and what it brings."""

    def __init__(self) -> None:
        self.handed: list[list[str]] = []
        self.status: EngineJobStatus = "QUEUED"
        self.brings: list[str] = [ONE, TWO]
        self.misfits: frozenset[str] = frozenset()
        self.meets: list[Exception] = []
        self.gone = False
        self.cancelled = 0
        self.forgotten: list[str] = []

    async def hand_over(
        self, name: str, documents: Sequence[HeldDocument], model: str | None
    ) -> tuple[EngineJob | None, frozenset[str]]:
        if self.meets:
            raise self.meets.pop(0)
        self.handed.append([one.document_id for one in documents])
        fits = [one for one in documents if one.document_id not in self.misfits]
        return (self._job() if fits else None), self.misfits

    async def look(self, job: str) -> EngineJob | None:
        if self.meets:
            raise self.meets.pop(0)
        return None if self.gone else self._job()

    async def results(
        self, job: str, documents: Sequence[HeldDocument], model: str | None
    ) -> AsyncIterator[tuple[str, Conversion]]:
        for name in self.brings:
            yield name, Conversion((f"text of {name}",), "mistral", "m-1", 0.0, variant="batch")

    async def cancel(self, job: str) -> None:
        self.cancelled += 1

    async def forget(self, name: str, job: str) -> None:
        self.forgotten.append(name)

    def _job(self) -> EngineJob:
        return EngineJob(id="job-1", status=self.status, total=2)


class World(Town):
    """A town with an engine that has batches."""

    def __init__(self, town: Town, blobs: FakeBlobs) -> None:
        super().__init__(town.connection, town.books, town.batches)
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
        """Submit a batch of two for the engine's own, and say which of them are fetched."""
        batch = msgspec.structs.replace(
            batch_events.submitted(),
            engine="mistral",
            engine_batch=True,
            submitted_at=datetime.now(UTC),
        )
        await self.say(batch, *map(self.fetched, fetched))

    def fetched(self, place: int) -> DocumentFetched:
        heard = msgspec.structs.replace(events.fetched(), held=True, engine="mistral")
        return batch_events.of(heard, place)

    async def words(self, word: type[Word]) -> list[Word]:
        """Return what lies on the log of one kind."""
        return [one for one in await self.said(word) if isinstance(one, word)]

    async def one_is_ready(self) -> bool:
        """Whether the database knows of both, and that one of them is fetched."""
        states = [document.state for document in await self.batches.held(10)]
        return sorted(states) == ["pending", "processing"]

    async def freed(self) -> list[str]:
        """Return which documents were said to be held no longer."""
        said = await self.words(DocumentFetched)
        return [one.document_id for one in said if not one.held]


@pytest.fixture
async def world(tmp_path: Path, connection: Connection) -> AsyncIterator[World]:
    path = tmp_path / "ilios.db"
    async with open_writer(path) as writing, open_reader(path) as reading:
        books = Books(path, SqliteLedger(writing), Reads(reading))
        async with running(books.writer.run):
            yield World(Town(connection, books, BatchReads(reading)), FakeBlobs(tmp_path))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EVERY", 0.02)
    monkeypatch.setattr(module, "FIRST_LOOK", 0.02)
    monkeypatch.setattr(module, "LAST_LOOK", 0.05)


async def test_a_batch_is_handed_over_once_when_all_of_it_is_here(world: World) -> None:
    async with world.persisting(), running(world.batcher.run):
        await world.submit(1)
        await until(world.one_is_ready)
        assert world.jobs.handed == []
        await world.say(world.fetched(2))
        await until(lambda: world.jobs.handed == [[ONE, TWO]])
        await until(lambda: _said(world, "QUEUED"))
        await until(lambda: _has_job(world))
    async with running(world.batcher.run):  # as after a restart
        world.jobs.status = "RUNNING"
        async with world.persisting():
            await until(lambda: _said(world, "RUNNING"))
    assert world.jobs.handed == [[ONE, TWO]]


async def test_a_job_that_ended_before_anybody_heard_of_it_is_fetched(world: World) -> None:
    """As after a crash between the handing over and the word of it."""
    world.jobs.status = "SUCCESS"
    async with world.persisting(), running(world.batcher.run):
        await world.submit(1, 2)
        await until(lambda: _said(world, "SUCCESS"))
    assert len(await world.words(DocumentConverted)) == 2
    assert await world.freed() == []


async def test_documents_that_are_still_being_fetched_are_not_waited_for_for_ever(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GATHER", timedelta(0))
    async with world.persisting(), running(world.batcher.run):
        await world.submit(1)
        await until(lambda: world.jobs.handed == [[ONE]])


async def test_results_are_said_at_the_price_of_a_batch(world: World) -> None:
    world.jobs.status = "SUCCESS"
    async with world.persisting(), running(world.batcher.run):
        await world.submit(1, 2)
        await until(lambda: _said(world, "SUCCESS"))
    converted = await world.words(DocumentConverted)
    assert sorted(one.document_id for one in converted) == [ONE, TWO]
    assert {one.variant for one in converted} == {"batch"}
    text = world.blobs.kept[converted[0].markdown.key].decode()
    assert text == f"text of {converted[0].document_id}"
    assert await world.freed() == []
    assert world.jobs.forgotten == [f"default-{batch_events.name()}"]


async def test_a_job_is_done_with_only_when_all_it_brought_is_on_the_log(world: World) -> None:
    """What is killed before that fetches the results again; afterwards nobody would."""
    world.jobs.status = "SUCCESS"
    async with world.persisting(), running(world.batcher.run):
        await world.submit(1, 2)
        await until(lambda: _said(world, "SUCCESS"))
    log = await world.said(DocumentConverted, BatchProgressed)
    assert [type(one) for one in log[-3:]] == [DocumentConverted] * 2 + [BatchProgressed]


async def test_results_are_fetched_once_and_nothing_is_freed_while_the_database_is_behind(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LAST_LOOK", module.NO_WAIT)  # each look looks, from the second on
    batcher = world.batcher

    async def is_handed_over() -> bool:
        await batcher.look()
        return await _has_job(world)

    async with world.persisting():
        await world.submit(1, 2)
        await until(is_handed_over)
    world.jobs.status = "SUCCESS"

    async def is_fetched() -> bool:
        await batcher.look()
        return await _said(world, "SUCCESS")

    await until(is_fetched)
    assert len(await world.words(DocumentConverted)) == 2
    world.jobs.gone = True
    await batcher.look()
    await world.batcher.look()  # as after a restart
    assert world.jobs.forgotten == [f"default-{batch_events.name()}"]
    assert await world.freed() == []


async def test_what_a_batch_does_not_bring_is_converted_alone(world: World) -> None:
    world.jobs.status, world.jobs.brings = "SUCCESS", [TWO]
    async with world.persisting(), running(world.batcher.run):
        await world.submit(1, 2)
        await until(lambda: _said(world, "SUCCESS"))
        assert await world.freed() == [ONE]


@pytest.mark.parametrize("status", ["FAILED", "TIMEOUT_EXCEEDED", "CANCELLED"])
async def test_of_a_batch_that_fails_all_documents_are_converted_alone(
    world: World, status: EngineJobStatus
) -> None:
    world.jobs.status, world.jobs.brings = status, []
    async with world.persisting(), running(world.batcher.run):
        await world.submit(1, 2)
        await until(lambda: _said(world, status))
        assert sorted(await world.freed()) == [ONE, TWO]


async def test_a_document_that_was_freed_before_a_restart_is_not_freed_again(world: World) -> None:
    """The database is behind: it has not read yet that the document is held no longer."""
    world.jobs.status, world.jobs.brings = "FAILED", []
    async with world.persisting():
        await world.submit(1)
        await until(world.one_is_ready)
    world.engine = None
    await world.batcher.look()
    assert await world.freed() == [ONE]
    log, marked, other = world.connection.jetstream, {MESSAGE_ID: "another"}, events.submitted(9)

    async def is_forgotten() -> bool:
        """Whether the server would take for new what it had just now."""
        name = subjects.subject(other)
        return not (await log.publish(name, wire.encode(other), headers=marked)).duplicate

    assert await is_forgotten()
    await until(is_forgotten)
    await world.batcher.look()
    freed = await world.words(DocumentFetched)
    assert [one.held for one in freed] == [True, False]


async def test_of_a_job_that_is_gone_all_documents_are_converted_alone(world: World) -> None:
    async with world.persisting(), running(world.batcher.run):
        await world.submit(1, 2)
        await until(lambda: _said(world, "QUEUED"))
        world.jobs.gone = True
        await until(lambda: _said(world, "FAILED"))
        assert sorted(await world.freed()) == [ONE, TWO]


async def test_what_does_not_fit_is_converted_alone(world: World) -> None:
    world.jobs.misfits = frozenset({TWO})
    async with world.persisting(), running(world.batcher.run):
        await world.submit(1, 2)
        await until(lambda: _said(world, "QUEUED"))
        await until(lambda: _is(world.freed, [TWO]))


async def test_a_batch_that_is_refused_is_converted_one_by_one(world: World) -> None:
    world.jobs.meets = [Unconvertible("refused", "No.")]
    async with world.persisting(), running(world.batcher.run):
        await world.submit(1, 2)
        await until(lambda: _is(world.freed, [ONE, TWO]))
    assert await world.words(BatchProgressed) == []


async def test_an_engine_that_is_away_is_waited_for(world: World) -> None:
    world.jobs.meets = [EngineUnavailable("down", "It is away.", after=0.02)] * 3
    async with world.persisting(), running(world.batcher.run):
        await world.submit(1, 2)
        await until(lambda: _said(world, "QUEUED"))
    assert await world.freed() == []


async def test_without_an_engine_nobody_is_held(world: World) -> None:
    world.engine = None
    async with world.persisting(), running(world.batcher.run):
        await world.submit(1, 2)
        await until(lambda: _is(world.freed, [ONE, TWO]))


async def test_who_is_held_without_a_batch_is_set_free(world: World) -> None:
    alone = msgspec.structs.replace(events.submitted(), held=True)
    fetched = msgspec.structs.replace(events.fetched(), held=True)
    async with world.persisting(), running(world.batcher.run):
        await world.say(alone, fetched)
        await until(lambda: _is(world.freed, [fetched.document_id]))


async def test_a_job_nobody_waits_for_any_more_is_cancelled(world: World) -> None:
    async with world.persisting(), running(world.batcher.run):
        await world.submit(1, 2)
        await until(lambda: _said(world, "QUEUED"))
        cancelled = DocumentCancelled(document_id=ONE)
        await world.say(*(batch_events.of(cancelled, place) for place in (1, 2)))
        await until(lambda: world.jobs.cancelled > 0)
        world.jobs.status = "CANCELLED"
        await until(lambda: _said(world, "CANCELLED"))
    assert await world.words(DocumentConverted) == []


async def _said(world: World, status: EngineJobStatus) -> bool:
    return status in [one.status for one in await world.words(BatchProgressed)]


async def _has_job(world: World) -> bool:
    """Whether the database shows that the batch was handed over."""
    found = await world.batches.batch("default", batch_events.name())
    return found is not None and found.engine_batch is not None and bool(found.engine_batch.job)


async def _is(ask: Callable[[], Awaitable[list[str]]], wanted: list[str]) -> bool:
    return sorted(await ask()) == wanted
