"""The database follows the log: once, in order, after any crash."""

import asyncio
import sqlite3

import msgspec
import pytest
from structlog.testing import capture_logs

from actors import persister as module
from actors.persister import Persister
from actors.ports import NoLosses
from actors.writes import Cursor, Write, Writer, WriteRefused
from bus import dead_letters, streams
from bus.connection import Connection
from bus.errors import BusUnavailable
from bus.publisher import Publisher
from bus.reader import LogPosition, Reader
from bus.subjects import StreamIdentity
from ilios.nats.server import NatsServer
from schemas.documents import AnyDocumentEvent, DocumentCompleted
from schemas.options import options_from_json
from tests import events
from tests.actors.db import Database, acknowledged, persister, publish_events
from tests.actors.fakes import FakeTransactionStore
from tests.actors.running import Streams, running_in_background
from tests.bus.raw_client import RawClient, publish
from tests.waiting import wait_until


def full_history(number: int = 1) -> list[AnyDocumentEvent]:
    return [events.submitted(number), events.fetched(number), events.converted(number)]


async def test_a_conversion_makes_row_usage_and_completion(
    connection: Connection, db: Database
) -> None:
    async with running_in_background(persister(connection, db).run):
        await publish_events(connection, events.submitted())
        await wait_until(lambda: db.has_state("pending"))
        await publish_events(connection, events.fetched())
        await wait_until(lambda: db.has_state("processing"))
        await publish_events(connection, events.converted())
        (announced,) = await Streams(connection).wait_for(DocumentCompleted)
        assert await db.has_state("completed"), "announced before it was true"
    record = await db.document()
    assert record
    assert isinstance(announced, DocumentCompleted)
    assert announced.completed_at == record.finished_at
    assert (announced.markdown, announced.pages) == (events.converted().markdown, 3)
    assert len(db.rows("usage")) == 1


async def test_a_failed_document_is_not_billed_nor_announced(
    connection: Connection, db: Database
) -> None:
    await publish_events(connection, events.submitted(), events.fetched(), events.failed())
    async with running_in_background(persister(connection, db).run):
        await wait_until(lambda: db.is_at(3))
        await wait_until(lambda: acknowledged(connection, 3))
    record = await db.document()
    assert record
    assert (record.state, record.code, record.reason) == ("failed", "corrupt", "It is.")
    assert db.rows("usage") == []
    assert await Streams(connection).events(DocumentCompleted) == []


async def test_a_terminal_state_never_regresses(connection: Connection, db: Database) -> None:
    await publish_events(
        connection, *full_history(1), events.failed(1), events.submitted(2), events.failed(2)
    )
    await publish_events(connection, events.fetched(2), events.converted(2))
    async with running_in_background(persister(connection, db).run):
        await wait_until(lambda: acknowledged(connection, 8))
    assert await db.has_state("completed", 1)
    assert await db.has_state("failed", 2)
    assert len(db.rows("usage")) == 1


async def test_many_documents_are_applied_in_groups(connection: Connection) -> None:
    await asyncio.gather(*(publish_events(connection, events.submitted(n)) for n in range(1, 201)))
    transactions = FakeTransactionStore()
    writer = Writer(transactions)
    async with (
        running_in_background(writer.run),
        running_in_background(Persister(connection, writer, transactions).run),
    ):
        await wait_until(lambda: len(transactions.applied) == 200)
    assert transactions.applied == list(range(1, 201))
    assert len(transactions.groups) < 100


async def test_a_restart_begins_where_the_cursor_is(connection: Connection, db: Database) -> None:
    await publish_events(connection, *full_history(1))
    async with running_in_background(persister(connection, db).run):
        await wait_until(lambda: acknowledged(connection, 3))
    await publish_events(connection, *full_history(2))
    async with running_in_background(persister(connection, db).run):
        await wait_until(lambda: db.has_state("completed", 2))
    assert len(db.rows("documents")) == len(db.rows("usage")) == 2


async def test_completions_that_were_not_published_are_published_after_a_restart(
    connection: Connection, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lose(self: Publisher, event: AnyDocumentEvent, within: float = 10.0) -> int:
        raise BusUnavailable("died between commit and announcement")

    await publish_events(connection, *full_history(1))
    with monkeypatch.context() as crash:
        crash.setattr(Publisher, "publish", lose)
        with pytest.raises(BusUnavailable):
            await persister(connection, db).run()
    assert await db.has_state("completed")
    assert await Streams(connection).events(DocumentCompleted) == []
    async with running_in_background(persister(connection, db).run):
        await Streams(connection).wait_for(DocumentCompleted)
        await wait_until(lambda: acknowledged(connection, 3))
    assert len(db.rows("usage")) == 1


@pytest.mark.usefixtures("long_duplicate_window")
async def test_a_completion_that_is_published_again_is_dropped_by_the_log(
    connection: Connection, db: Database
) -> None:
    await publish_events(connection, *full_history(1))
    for _ in range(3):
        async with running_in_background(persister(connection, db).run):
            await Streams(connection).wait_for(DocumentCompleted)
            await wait_until(lambda: acknowledged(connection, 3))
        await connection.jetstream.delete_consumer(streams.EVENTS, module.NAME)
    assert len(await Streams(connection).events(DocumentCompleted)) == 1
    assert len(db.rows("usage")) == 1


async def test_a_recreated_log_is_read_from_its_beginning(
    connection: Connection, db: Database
) -> None:
    await publish_events(connection, *full_history(1), events.submitted(2))
    async with running_in_background(persister(connection, db).run):
        await wait_until(lambda: acknowledged(connection, 4))
    await connection.jetstream.delete_stream(streams.EVENTS)
    await streams.ensure(connection.jetstream)
    await publish_events(
        connection, *full_history(3)[:2], *full_history(1), events.submitted(5), events.converted(3)
    )
    async with running_in_background(persister(connection, db).run):
        await wait_until(lambda: db.has_state("completed", 3))
        await wait_until(lambda: db.has_state("pending", 5))
    assert await db.has_state("completed", 1)
    assert len(db.rows("usage")) == 2


async def test_a_log_replaced_while_reading_begins_is_read_from_its_beginning(
    connection: Connection, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await publish_events(connection, *full_history(1))
    async with running_in_background(persister(connection, db).run):
        await wait_until(lambda: acknowledged(connection, 3))
    identity = Reader.identity

    async def replaced_afterwards(reader: Reader) -> StreamIdentity:
        monkeypatch.setattr(Reader, "identity", identity)
        found = await reader.identity()
        await connection.jetstream.delete_stream(streams.EVENTS)
        await streams.ensure(connection.jetstream)
        await publish_events(connection, *full_history(2))
        return found

    monkeypatch.setattr(Reader, "identity", replaced_afterwards)
    async with running_in_background(persister(connection, db).run):
        await wait_until(lambda: db.has_state("completed", 2))


async def test_a_log_that_lost_its_end_is_read_from_its_beginning(
    connection: Connection, db: Database
) -> None:
    """New events with the sequences of lost ones must not count as applied."""
    await publish_events(connection, *full_history(1))
    async with running_in_background(persister(connection, db).run):
        await wait_until(lambda: acknowledged(connection, 3))
    with_ = sqlite3.connect(db._path)
    with_.execute("UPDATE cursors SET sequence = 50")
    with_.commit()
    with_.close()
    await publish_events(connection, *full_history(2))
    async with running_in_background(persister(connection, db).run):
        await wait_until(lambda: db.has_state("completed", 2))
        await publish_events(connection, *full_history(3))
        await wait_until(lambda: db.has_state("completed", 3))
    assert len(db.rows("usage")) == 3


async def test_an_event_the_database_rejects_becomes_a_dead_letter(
    connection: Connection,
) -> None:
    await publish_events(connection, *(events.submitted(number) for number in range(1, 8)))
    transactions = FakeTransactionStore()
    transactions.rejected.add(events.id_of(4))
    writer = Writer(transactions)
    async with (
        running_in_background(writer.run),
        running_in_background(Persister(connection, writer, transactions).run),
    ):
        (letter,) = await Streams(connection).wait_for_dead_letters()
        await wait_until(lambda: acknowledged(connection, 7))
    assert letter.subject == f"ilios.dead.submitted.default.{events.id_of(4)}"
    assert (letter.headers or {})[dead_letters.REASON] == "cannot be written: poison"
    assert transactions.applied == [1, 2, 3, 5, 6, 7]


async def test_an_event_with_a_value_no_column_can_store_becomes_a_dead_letter(
    connection: Connection, db: Database
) -> None:
    await publish_events(
        connection, *full_history(1)[:2], events.converted(1, pages=2**63), *full_history(2)
    )
    async with running_in_background(persister(connection, db).run):
        await Streams(connection).wait_for_dead_letters()
        await wait_until(lambda: db.has_state("completed", 2))
        await wait_until(lambda: acknowledged(connection, 6))
    assert len(db.rows("usage")) == 1


async def test_malformed_events_become_dead_letters(
    nats_server: NatsServer, connection: Connection, db: Database
) -> None:
    subject = b"ilios.document.submitted.p05.default." + events.id_of(9).encode()
    async with RawClient(nats_server.url("operator")) as publisher:
        await publisher.send(publish(subject, b"nonsense"))
        await publisher.send(publish(b"ilios.document.submitted.\xff.x", b""))
        await publisher.send(publish(subject, b"", header=b"NATS"))
        nested = b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
        await publisher.send(publish(subject, nested))
    await publish_events(connection, events.submitted())
    async with running_in_background(persister(connection, db).run):
        assert len(await Streams(connection).wait_for_dead_letters(4)) == 4
        await wait_until(lambda: acknowledged(connection, 5))
    record = await db.document(9)
    assert record
    assert (record.state, record.code) == ("failed", "invalid_event")
    assert len(db.rows("documents")) == 2


async def test_an_unwritable_database_makes_no_dead_letters(
    connection: Connection, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A damaged file refuses every event; that must not turn the log into dead letters."""
    await publish_events(connection, *full_history(1))

    def damaged(*_: object) -> object:
        raise sqlite3.DatabaseError("database disk image is malformed")

    with monkeypatch.context() as broken:
        broken.setattr(db.store, "_apply", damaged)
        with pytest.raises(Exception, match="malformed") as refusal:
            await persister(connection, db).run()
        assert not isinstance(refusal.value, WriteRefused)
    assert await Streams(connection).dead_letters() == []
    async with running_in_background(persister(connection, db).run):
        await wait_until(lambda: db.has_state("completed"))


async def test_a_gap_is_read_again_from_the_cursor(
    connection: Connection, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bus.reader.ACK_WAIT", 0.3)
    committed = asyncio.Event()
    keep = db.store.commit

    async def slowly(writes: list[Write[object]]) -> list[object | WriteRefused]:
        if not committed.is_set():
            committed.set()
            await asyncio.sleep(0.7)  # longer than the log waits: it delivers again
        return await keep(writes)

    monkeypatch.setattr(db.store, "commit", slowly)
    await publish_events(connection, *full_history(1))
    async with running_in_background(persister(connection, db).run):
        await wait_until(lambda: db.has_state("completed"))
        await publish_events(connection, *full_history(2))
        await wait_until(lambda: db.has_state("completed", 2))
    assert len(db.rows("usage")) == 2


async def test_the_persister_stops_at_once_at_any_moment(
    connection: Connection, db: Database
) -> None:
    await publish_events(
        connection, *(event for number in range(1, 21) for event in full_history(number))
    )
    for steps in (0, 1, 2, 3, 5, 8, 13, 21, 34, 55):
        task = asyncio.create_task(persister(connection, db).run())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        async with asyncio.timeout(30):
            await asyncio.wait([task])
    async with running_in_background(persister(connection, db).run):
        await Streams(connection).wait_for(DocumentCompleted, 20)
        await wait_until(lambda: acknowledged(connection, 60))
    assert len(db.rows("usage")) == 20


async def test_the_cursor_moves_past_events_without_changes(
    connection: Connection, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or, once that has gone by age, it would look as if something had gone unread."""
    monkeypatch.setattr(module, "IDLE_TIMEOUT", 0.05)
    await publish_events(connection, *full_history(1))
    async with running_in_background(persister(connection, db).run):

        async def is_passed() -> bool:
            cursor = await db.store.cursor(module.NAME)
            return cursor is not None and cursor.sequence == 4

        await wait_until(is_passed)  # the fourth is its own announcement
        await publish_events(connection, *full_history(2))
        await wait_until(lambda: db.has_state("completed", 2))


async def test_an_event_that_comes_while_the_end_is_looked_for_is_no_reason_to_read_again(
    connection: Connection, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "IDLE_TIMEOUT", 0.05)
    original, comes = Reader.end_position, [full_history(1)]

    async def end_position(reader: Reader) -> LogPosition | None:
        if comes:
            await publish_events(connection, *comes.pop())
            await asyncio.sleep(0.2)  # until it is delivered
        return await original(reader)

    monkeypatch.setattr(Reader, "end_position", end_position)
    with capture_logs() as logs:
        async with running_in_background(persister(connection, db).run):
            await wait_until(lambda: db.has_state("completed"))
    assert "reading again from the cursor" not in [one["event"] for one in logs]


class RecordedLosses(NoLosses):
    """Remembers up to where the database was written when it was noticed."""

    def __init__(self) -> None:
        self.cursors: list[int] = []

    async def record_loss(self, cursor: Cursor, _log: StreamIdentity) -> None:
        self.cursors.append(cursor.sequence)


async def test_a_log_whose_lost_end_has_grown_again_is_noticed_and_read_from_its_beginning(
    connection: Connection, db: Database
) -> None:
    """By the numbers alone nothing is missing; but the event that was read last is gone."""
    await publish_events(connection, *full_history(1))
    noticed = RecordedLosses()
    one = Persister(connection, db.writer, db.store, noticed)
    async with running_in_background(one.run):
        await wait_until(lambda: acknowledged(connection, 3))
    await connection.jetstream.delete_msg(streams.EVENTS, 3)
    await publish_events(connection, *full_history(2))
    async with running_in_background(one.run):
        await wait_until(lambda: db.has_state("completed", 2))
    assert noticed.cursors == [3]


async def test_a_document_with_an_unknown_option_gets_its_row(
    connection: Connection, db: Database
) -> None:
    options = options_from_json(b'{"dialect":"de"}')
    submitted = msgspec.structs.replace(events.submitted(), options=options)
    async with running_in_background(persister(connection, db).run):
        await publish_events(connection, submitted)
        await wait_until(lambda: db.has_state("pending"))
    record = await db.document()
    assert record
    assert record.options == options
    assert await Streams(connection).dead_letters() == []
