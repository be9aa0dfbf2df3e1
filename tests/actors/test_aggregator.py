"""A batch's documents are submitted, and its end is said once, whatever happens in between."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from actors import aggregator as module
from actors.aggregator import Aggregator
from actors.ports import OpenBatch
from bus import dead_letters
from bus.connection import Connection
from bus.publisher import Publisher
from ilios.database.batch_reads import BatchReads
from ilios.database.connection import open_reader, open_writer
from ilios.database.ledger import SqliteLedger
from ilios.database.reads import Reads
from ilios.nats_server import NatsServer
from schemas.batches import BatchCompleted
from schemas.documents import DocumentCancelled, DocumentCompleted, DocumentSubmitted
from schemas.events import AnyEvent
from schemas.records import BatchRecord
from tests import batch_events, events
from tests.actors.books import Books
from tests.actors.running import Streams, running
from tests.actors.town import Town
from tests.bus.raw import RawClient, publish
from tests.waiting import until

FAILED = batch_events.of(events.failed(), 2)
CANCELLED = batch_events.of(DocumentCancelled(document_id=events.name(1)), 2)


def well(place: int, number: int = 1) -> list[AnyEvent]:
    """Return what is said of a document of a batch that is converted."""
    return [
        batch_events.of(events.fetched(), place, number),
        batch_events.of(events.converted(), place, number),
    ]


ONE, TWO = well(1), well(2)


@pytest.fixture
async def town(tmp_path: Path, connection: Connection) -> AsyncIterator[Town]:
    path = tmp_path / "ilios.db"
    async with open_writer(path) as writing, open_reader(path) as reading:
        books = Books(path, SqliteLedger(writing), Reads(reading))
        async with running(books.writer.run):
            yield Town(connection, books, BatchReads(reading))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the aggregator look at the database again at once."""
    monkeypatch.setattr(module, "REBUILD_EVERY", 0.05)


async def test_every_document_of_a_batch_is_submitted_as_the_batch_says(town: Town) -> None:
    batch = batch_events.submitted(documents=3, priority=9)
    await town.say(batch)
    async with town.aggregating():
        await until(town.acknowledged)
    said = await town.said(DocumentSubmitted)
    assert said == [
        DocumentSubmitted(
            document_id=document.document_id,
            priority=9,
            source=document.source,
            file_name=document.file_name,
            submitted_at=events.SUBMITTED_AT,
        )
        for document in batch.documents
    ]


@pytest.mark.parametrize(
    ("second", "completed"),
    [(TWO, 2), ([FAILED], 1), ([CANCELLED], 1)],
    ids=["well", "ill", "never"],
)
async def test_the_end_of_a_batch_is_said_once_with_the_databases_counts(
    town: Town, second: list[AnyEvent], completed: int
) -> None:
    async with town.persisting(), town.aggregating():
        await town.say(batch_events.submitted(), *ONE)
        await until(town.acknowledged)
        assert await town.ended(times=0)
        await town.say(*second)
        await until(town.written_down)
        await town.say(FAILED, CANCELLED)
        await until(town.acknowledged)
    (end,) = await town.said(BatchCompleted)
    expected = BatchCompleted(
        batch_id=batch_events.name(), total=2, completed=completed, failed=2 - completed
    )
    assert end == expected


async def test_many_batches_end_each_for_itself(town: Town) -> None:
    async with town.persisting(), town.aggregating():
        for number in range(1, 21):
            await town.say(batch_events.submitted(number))
        for place in (1, 2):
            for number in range(1, 21):
                await town.say(*well(place, number))
        await until(lambda: town.ended(times=20))
    ends = await town.said(BatchCompleted)
    assert {end.batch_id for end in ends if isinstance(end, BatchCompleted)} == {
        batch_events.name(number) for number in range(1, 21)
    }


async def test_a_failure_heard_before_the_database_knows_it_is_no_end_yet(town: Town) -> None:
    async with town.aggregating():
        first = batch_events.of(events.failed(), 1)
        await town.say(batch_events.submitted(), first, FAILED)
        await until(town.acknowledged)
        assert await town.ended(times=0)
        async with town.persisting():
            await until(town.ended)
    (end,) = await town.said(BatchCompleted)
    assert isinstance(end, BatchCompleted)
    assert (end.completed, end.failed) == (0, 2)


async def test_a_crash_before_the_acknowledgement_submits_no_document_twice(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def dies(_delivery: object) -> None:
        raise RuntimeError("dead")

    await town.say(batch_events.submitted())
    with monkeypatch.context() as dying:
        dying.setattr("bus.delivery.Delivery.ack", dies)
        with pytest.raises(RuntimeError):
            async with town.aggregating() as task:
                await until(task.done)
    assert len(await town.said(DocumentSubmitted)) == 2
    assert not await town.acknowledged()
    async with town.persisting(), town.aggregating():
        await until(town.acknowledged)
        await town.say(*ONE, *TWO)
        await until(town.written_down)
    assert len(await town.said(DocumentSubmitted)) == 2
    assert await town.ended()


async def test_what_a_restart_has_not_heard_it_learns_from_the_database(town: Town) -> None:
    async with town.persisting():
        async with town.aggregating():
            await town.say(batch_events.submitted(), batch_events.submitted(2), *ONE)
            await until(town.acknowledged)
        await town.say(*TWO)
        async with town.aggregating():
            await until(town.ended)
            await town.say(*well(1, 2), *well(2, 2))
            await until(lambda: town.ended(times=2))
            await until(lambda: town.written_down(2))
        async with town.aggregating():
            await until(town.acknowledged)
    assert await town.ended(times=2)


async def test_what_was_heard_before_a_restart_and_written_after_it_is_not_forgotten(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    rebuilt = asyncio.Event()
    open_batches = town.batches.open_batches

    async def noted() -> list[OpenBatch]:
        found = await open_batches()
        rebuilt.set()
        return found

    async with town.aggregating():
        await town.say(batch_events.submitted(), batch_events.of(events.failed(), 1), FAILED)
        await until(town.acknowledged)
    monkeypatch.setattr(town.batches, "open_batches", noted)
    async with town.aggregating():
        await rebuilt.wait()
        async with town.persisting():
            await until(town.written_down, within=module.REBUILD_EVERY / 2)
    assert await town.ended()


async def test_an_end_that_was_said_and_is_not_written_down_is_not_said_again(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a crash: whoever said it before has used another message id."""
    ask = town.batches.batch

    async def behind(tenant: str, batch_id: str) -> BatchRecord | None:
        record = await ask(tenant, batch_id)
        return msgspec.structs.replace(record, completed_at=None) if record else None

    async with town.persisting():
        await town.say(batch_events.submitted(), *ONE, *TWO)
        await until(lambda: town.books.reached(5))
        await town.say(batch_events.completed(), batch_events.submitted(2))
        monkeypatch.setattr(town.batches, "batch", behind)
        async with town.aggregating():
            await town.say(*well(1, 2), *well(2, 2))
            await until(lambda: town.ended(times=2))
            await until(town.acknowledged)
    ends = await town.said(BatchCompleted)
    assert [end.batch_id for end in ends if isinstance(end, BatchCompleted)] == [
        batch_events.name(1),
        batch_events.name(2),
    ]


@pytest.mark.usefixtures("quick")
async def test_an_end_that_nobody_heard_is_found_in_the_database(town: Town) -> None:
    """Nobody says completed of a document that has no original, as after a log began anew."""
    async with town.persisting(), town.aggregating():
        await town.say(batch_events.submitted(), *ONE)
        await town.say(batch_events.of(events.converted(), 2))
        await until(town.ended)
    assert len(await town.said(DocumentCompleted)) == 1


@pytest.mark.usefixtures("quick")
async def test_the_database_is_looked_at_under_any_load(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = asyncio.Event()
    open_batches = town.batches.open_batches
    looks = 0

    async def noted() -> object:
        nonlocal looks
        looks += 1
        if looks > 2:
            looked.set()
        return await open_batches()

    monkeypatch.setattr(town.batches, "open_batches", noted)
    monkeypatch.setattr(Aggregator, "_patience", lambda _: 1000.0)

    async def load() -> None:
        for number in range(1, 10_000):
            await town.say(events.failed(number))

    async with town.aggregating():
        loading = asyncio.create_task(load())
        async with asyncio.timeout(10):
            await looked.wait()
        loading.cancel()


async def test_another_batch_under_an_id_is_a_dead_letter_and_the_first_goes_on(
    town: Town,
) -> None:
    async with town.persisting(), town.aggregating():
        await town.say(batch_events.submitted())
        await Publisher(town.connection).say(batch_events.submitted(documents=3), again="other")
        await Publisher(town.connection).say(batch_events.submitted(), again="the same")
        (letter,) = await Streams(town.connection).wait_for_dead()
        await town.say(*ONE, *TWO)
        await until(town.written_down)
    assert letter.headers is not None
    assert "already taken" in letter.headers[dead_letters.REASON]
    assert letter.subject == f"ilios.dead.batch-submitted.default.{batch_events.name()}"
    assert len(await town.said(DocumentSubmitted)) == 2
    assert await town.ended()
    assert len(await Streams(town.connection).dead()) == 1


async def test_a_malformed_batch_is_a_dead_letter_and_holds_nobody_up(
    town: Town, nats_server: NatsServer
) -> None:
    subject = f"ilios.batch.submitted.default.{batch_events.name()}".encode()
    async with town.persisting(), town.aggregating():
        async with RawClient(nats_server.url("operator")) as client:
            await client.say(publish(subject, b"{}"))
        await Streams(town.connection).wait_for_dead()
        await Publisher(town.connection).say(batch_events.submitted(2, documents=1))
        await town.say(*well(1, 2))
        await until(lambda: town.written_down(2))


async def test_a_batch_without_a_time_came_when_the_log_took_it(town: Town) -> None:
    batch = batch_events.submitted()
    timeless = type(batch)(batch_id=batch.batch_id, documents=batch.documents)
    await town.say(timeless)
    async with town.persisting(), town.aggregating():
        await until(town.acknowledged)
        await until(lambda: town.books.reached(3))
    first, second = await town.said(DocumentSubmitted)
    assert isinstance(first, DocumentSubmitted)
    assert isinstance(second, DocumentSubmitted)
    assert first.submitted_at == second.submitted_at
    assert first.submitted_at is not None
    found = await town.batches.batch("default", batch.batch_id)
    assert found is not None
    assert abs((found.submitted_at - first.submitted_at).total_seconds()) < 0.001
