"""The database says what the log says: once, in order, whatever happens in between."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from nats.js.errors import NotFoundError

from actors import persister as module
from actors.losses import NoLosses
from actors.persister import Persister
from actors.writer import Writer
from actors.writes import Cursor, Write, WriteRefused
from bus import dead_letters, streams
from bus.connection import Connection
from bus.errors import BusUnavailable
from bus.publisher import Publisher
from bus.streams import StreamIdentity
from ilios.database.connection import open_reader, open_writer
from ilios.database.ledger import SqliteLedger
from ilios.database.reads import Reads
from ilios.nats_server import NatsServer
from schemas.documents import AnyDocumentEvent, DocumentCompleted
from tests import events
from tests.actors.books import Books
from tests.actors.fakes import FakeLedger
from tests.actors.running import Streams, running
from tests.bus.raw import RawClient, publish
from tests.waiting import until


@pytest.fixture
async def books(tmp_path: Path) -> AsyncIterator[Books]:
    path = tmp_path / "ilios.db"
    async with open_writer(path) as connection, open_reader(path) as reading:
        books = Books(path, SqliteLedger(connection), Reads(reading))
        async with running(books.writer.run):
            yield books


async def say(connection: Connection, *said: AnyDocumentEvent) -> None:
    publisher = Publisher(connection)
    for event in said:
        await publisher.say(event)


def persister(connection: Connection, books: Books) -> Persister:
    return Persister(connection, books.writer, books.ledger)


def whole(number: int = 1) -> list[AnyDocumentEvent]:
    return [events.submitted(number), events.fetched(number), events.converted(number)]


async def acknowledged(connection: Connection, sequence: int) -> bool:
    try:
        info = await connection.jetstream.consumer_info(streams.EVENTS, module.NAME)
    except NotFoundError:
        return False
    floor = info.ack_floor
    return floor is not None and floor.stream_seq == sequence


async def test_a_document_gets_its_row_its_usage_and_its_announcement(
    connection: Connection, books: Books
) -> None:
    async with running(persister(connection, books).run):
        await say(connection, events.submitted())
        await until(lambda: books.is_("pending"))
        await say(connection, events.fetched())
        await until(lambda: books.is_("processing"))
        await say(connection, events.converted())
        (announced,) = await Streams(connection).wait_for(DocumentCompleted)
        assert await books.is_("completed"), "announced before it was true"
    record = await books.document()
    assert record
    assert isinstance(announced, DocumentCompleted)
    assert announced.completed_at == record.finished_at
    assert (announced.markdown, announced.pages) == (events.converted().markdown, 3)
    assert len(books.rows("usage")) == 1


async def test_a_failed_document_is_not_billed_nor_announced(
    connection: Connection, books: Books
) -> None:
    await say(connection, events.submitted(), events.fetched(), events.failed())
    async with running(persister(connection, books).run):
        await until(lambda: books.reached(3))
        await until(lambda: acknowledged(connection, 3))
    record = await books.document()
    assert record
    assert (record.state, record.code, record.reason) == ("failed", "corrupt", "It is.")
    assert books.rows("usage") == []
    assert await Streams(connection).said(DocumentCompleted) == []


async def test_a_terminal_state_never_regresses(connection: Connection, books: Books) -> None:
    await say(connection, *whole(1), events.failed(1), events.submitted(2), events.failed(2))
    await say(connection, events.fetched(2), events.converted(2))
    async with running(persister(connection, books).run):
        await until(lambda: acknowledged(connection, 8))
    assert await books.is_("completed", 1)
    assert await books.is_("failed", 2)
    assert len(books.rows("usage")) == 1


async def test_many_documents_are_applied_in_groups(connection: Connection) -> None:
    await asyncio.gather(*(say(connection, events.submitted(n)) for n in range(1, 201)))
    ledger = FakeLedger()
    writer = Writer(ledger)
    async with running(writer.run), running(Persister(connection, writer, ledger).run):
        await until(lambda: len(ledger.applied) == 200)
    assert ledger.applied == list(range(1, 201))
    assert len(ledger.groups) < 100


async def test_a_restart_begins_where_the_cursor_is(connection: Connection, books: Books) -> None:
    await say(connection, *whole(1))
    async with running(persister(connection, books).run):
        await until(lambda: acknowledged(connection, 3))
    await say(connection, *whole(2))
    async with running(persister(connection, books).run):
        await until(lambda: books.is_("completed", 2))
    assert len(books.rows("documents")) == len(books.rows("usage")) == 2


async def test_what_was_written_but_not_announced_is_announced_after_a_restart(
    connection: Connection, books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lose(self: Publisher, event: AnyDocumentEvent, within: float = 10.0) -> int:
        raise BusUnavailable("died between commit and announcement")

    await say(connection, *whole(1))
    with monkeypatch.context() as crash:
        crash.setattr(Publisher, "say", lose)
        with pytest.raises(BusUnavailable):
            await persister(connection, books).run()
    assert await books.is_("completed")
    assert await Streams(connection).said(DocumentCompleted) == []
    async with running(persister(connection, books).run):
        await Streams(connection).wait_for(DocumentCompleted)
        await until(lambda: acknowledged(connection, 3))
    assert len(books.rows("usage")) == 1


async def test_what_was_announced_but_not_acknowledged_is_announced_once(
    connection: Connection, books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    await say(connection, *whole(1))
    for _ in range(3):
        async with running(persister(connection, books).run):
            await Streams(connection).wait_for(DocumentCompleted)
            await until(lambda: acknowledged(connection, 3))
        await connection.jetstream.delete_consumer(streams.EVENTS, module.NAME)
    assert len(await Streams(connection).said(DocumentCompleted)) == 1
    assert len(books.rows("usage")) == 1


async def test_a_log_that_began_anew_is_read_from_its_beginning(
    connection: Connection, books: Books
) -> None:
    await say(connection, *whole(1), events.submitted(2))
    async with running(persister(connection, books).run):
        await until(lambda: acknowledged(connection, 4))
    await connection.jetstream.delete_stream(streams.EVENTS)
    await streams.ensure(connection.jetstream)
    await say(connection, *whole(3)[:2], *whole(1), events.submitted(5), events.converted(3))
    async with running(persister(connection, books).run):
        await until(lambda: books.is_("completed", 3))
        await until(lambda: books.is_("pending", 5))
    assert await books.is_("completed", 1)
    assert len(books.rows("usage")) == 2


async def test_a_log_that_lost_its_end_is_read_from_its_beginning(
    connection: Connection, books: Books
) -> None:
    """What gets the numbers of what was lost must not count as known."""
    await say(connection, *whole(1))
    async with running(persister(connection, books).run):
        await until(lambda: acknowledged(connection, 3))
    with_ = sqlite3.connect(books._path)
    with_.execute("UPDATE cursors SET sequence = 50")
    with_.commit()
    with_.close()
    await say(connection, *whole(2))
    async with running(persister(connection, books).run):
        await until(lambda: books.is_("completed", 2))
        await say(connection, *whole(3))
        await until(lambda: books.is_("completed", 3))
    assert len(books.rows("usage")) == 3


async def test_an_event_the_database_chokes_on_is_buried_and_the_log_goes_on(
    connection: Connection,
) -> None:
    await say(connection, *(events.submitted(number) for number in range(1, 8)))
    ledger = FakeLedger()
    ledger.refused.add(events.name(4))
    writer = Writer(ledger)
    async with running(writer.run), running(Persister(connection, writer, ledger).run):
        (letter,) = await Streams(connection).wait_for_dead()
        await until(lambda: acknowledged(connection, 7))
    assert letter.subject == f"ilios.dead.submitted.default.{events.name(4)}"
    assert (letter.headers or {})[dead_letters.REASON] == "cannot be written: poison"
    assert ledger.applied == [1, 2, 3, 5, 6, 7]


async def test_what_no_column_can_hold_is_buried_and_the_log_goes_on(
    connection: Connection, books: Books
) -> None:
    await say(connection, *whole(1)[:2], events.converted(1, pages=2**63), *whole(2))
    async with running(persister(connection, books).run):
        await Streams(connection).wait_for_dead()
        await until(lambda: books.is_("completed", 2))
        await until(lambda: acknowledged(connection, 6))
    assert len(books.rows("usage")) == 1


async def test_malformed_events_are_buried_and_the_log_goes_on(
    nats_server: NatsServer, connection: Connection, books: Books
) -> None:
    subject = b"ilios.document.submitted.p05.default." + events.name(9).encode()
    async with RawClient(nats_server.url("operator")) as publisher:
        await publisher.say(publish(subject, b"nonsense"))
        await publisher.say(publish(b"ilios.document.submitted.\xff.x", b""))
        await publisher.say(publish(subject, b"", header=b"NATS"))
        nested = b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
        await publisher.say(publish(subject, nested))
    await say(connection, events.submitted())
    async with running(persister(connection, books).run):
        assert len(await Streams(connection).wait_for_dead(4)) == 4
        await until(lambda: acknowledged(connection, 5))
    assert len(books.rows("documents")) == 1


async def test_a_database_that_cannot_be_written_buries_nothing(
    connection: Connection, books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A damaged file refuses every event; that must not turn the log into dead letters."""
    await say(connection, *whole(1))

    async def damaged(write: Write[object]) -> object:
        raise sqlite3.DatabaseError("database disk image is malformed")

    with monkeypatch.context() as broken:
        broken.setattr(books.ledger, "_apply", damaged)
        with pytest.raises(Exception, match="malformed") as refusal:
            await persister(connection, books).run()
        assert not isinstance(refusal.value, WriteRefused)
    assert await Streams(connection).dead() == []
    async with running(persister(connection, books).run):
        await until(lambda: books.is_("completed"))


async def test_a_gap_is_read_again_from_the_cursor(
    connection: Connection, books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bus.reader.ACK_WITHIN", 0.3)
    committed = asyncio.Event()
    keep = books.ledger.keep

    async def slowly(writes: list[Write[object]]) -> list[object | WriteRefused]:
        if not committed.is_set():
            committed.set()
            await asyncio.sleep(0.7)  # longer than the log waits: it delivers again
        return await keep(writes)

    monkeypatch.setattr(books.ledger, "keep", slowly)
    await say(connection, *whole(1))
    async with running(persister(connection, books).run):
        await until(lambda: books.is_("completed"))
        await say(connection, *whole(2))
        await until(lambda: books.is_("completed", 2))
    assert len(books.rows("usage")) == 2


async def test_it_stops_at_once_and_at_any_moment(connection: Connection, books: Books) -> None:
    await say(connection, *(event for number in range(1, 21) for event in whole(number)))
    for steps in (0, 1, 2, 3, 5, 8, 13, 21, 34, 55):
        task = asyncio.create_task(persister(connection, books).run())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        async with asyncio.timeout(30):
            await asyncio.wait([task])
    async with running(persister(connection, books).run):
        await Streams(connection).wait_for(DocumentCompleted, 20)
        await until(lambda: acknowledged(connection, 60))
    assert len(books.rows("usage")) == 20


async def test_the_cursor_passes_over_what_says_nothing_to_the_database(
    connection: Connection, books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or, once that has gone by age, it would look as if something had gone unread."""
    monkeypatch.setattr(module, "QUIET", 0.05)
    await say(connection, *whole(1))
    async with running(persister(connection, books).run):

        async def is_passed() -> bool:
            cursor = await books.ledger.cursor(module.NAME)
            return cursor is not None and cursor.sequence == 4

        await until(is_passed)  # the fourth is its own announcement
        await say(connection, *whole(2))
        await until(lambda: books.is_("completed", 2))


class Noticed(NoLosses):
    """Remembers up to where the database was written when it was noticed."""

    def __init__(self) -> None:
        self.cursors: list[int] = []

    async def notice(self, cursor: Cursor, _log: StreamIdentity) -> None:
        self.cursors.append(cursor.sequence)


async def test_a_log_whose_lost_end_has_grown_again_is_noticed_and_read_from_its_beginning(
    connection: Connection, books: Books
) -> None:
    """By the numbers alone nothing is missing; but the event that was read last is gone."""
    await say(connection, *whole(1))
    noticed = Noticed()
    one = Persister(connection, books.writer, books.ledger, noticed)
    async with running(one.run):
        await until(lambda: acknowledged(connection, 3))
    await connection.jetstream.delete_msg(streams.EVENTS, 3)
    await say(connection, *whole(2))
    async with running(one.run):
        await until(lambda: books.is_("completed", 2))
    assert noticed.cursors == [3]
