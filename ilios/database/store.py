"""Committing writes to SQLite, as ``actors.writes.TransactionStore``."""

import sqlite3
from collections.abc import Iterator
from contextlib import suppress

import msgspec

from actors.pricing import Pricing
from actors.writes import (
    Announcement,
    ApplyEvents,
    Cursor,
    DatabaseUnavailable,
    LogEntry,
    MarkClock,
    MarkErased,
    MarkRunningTime,
    MarkSweep,
    Ping,
    ResetCursor,
    Write,
    WriteRefused,
)
from bus import failpoints
from ilios.database import clock_statements, rows, statements
from ilios.database.changes import Billing, changes_of
from ilios.database.sqlite import Database, Row, Session
from schemas.documents import DocumentCompleted, DocumentConverted, DocumentRejected

# Every other error is about the volume, the file or the connection: a damaged database must not
# refuse events one by one, which would turn the whole log into dead letters.
_WRITE_ERRORS = (sqlite3.IntegrityError, sqlite3.DataError, OverflowError, UnicodeError)


class SqliteTransactionStore:
    """Several writes in one transaction, each behind a savepoint.

    Uses the one read-write connection; only the writer calls ``commit``.
    """

    def __init__(self, connection: Database, pricing: Pricing | None = None) -> None:
        self._connection = connection
        self._billing = Billing(pricing or Pricing())

    async def cursor(self, reader: str) -> Cursor | None:
        """Return the cursor of ``reader``, or None if it never wrote anything."""
        return _cursor(await self._connection.fetchall(statements.GET_CURSOR, {"reader": reader}))

    async def commit(self, writes: list[Write[object]]) -> list[object | WriteRefused]:
        """Commit each write or refuse it alone; returns the results in the same order.

        :raises DatabaseUnavailable: the volume is full or broken; nothing was committed.
        """
        try:
            return await self._connection.run(lambda session: self._commit(session, writes))
        except _Rejected as refused:
            return [WriteRefused(str(refused))]
        except sqlite3.Error as error:
            raise DatabaseUnavailable(f"SQLite: {error}") from error

    def _commit(self, session: Session, writes: list[Write[object]]) -> list[object | WriteRefused]:
        try:
            session.execute(statements.BEGIN)
            answers = [
                self._write_one(session, write, only_write=len(writes) == 1) for write in writes
            ]
            failpoints.reach("ledger.applied")
            session.execute(statements.COMMIT)
            failpoints.reach("ledger.committed")
        except BaseException:
            with suppress(sqlite3.OperationalError):  # there is nothing to roll back
                session.execute(statements.ROLLBACK)
            raise
        return answers

    def _write_one(
        self, session: Session, write: Write[object], *, only_write: bool
    ) -> object | WriteRefused:
        """Execute one write; a single one needs no savepoint."""
        if only_write:
            return self._execute(session, write)
        session.execute(statements.SAVEPOINT)
        try:
            answer = self._execute(session, write)
        except _Rejected as refused:
            session.execute(statements.ROLLBACK_TO)
            session.execute(statements.RELEASE)
            return WriteRefused(str(refused))
        session.execute(statements.RELEASE)
        return answer

    def _execute(self, session: Session, write: Write[object]) -> object:
        try:
            if isinstance(write, ApplyEvents):
                return self._apply(session, write)
            statement, parameters = _statement_for(write)
            session.execute(statement, parameters)
            return None
        except _WRITE_ERRORS as error:
            raise _Rejected(f"{type(error).__name__}: {error}") from error

    def _apply(self, session: Session, write: ApplyEvents) -> tuple[Announcement, ...]:
        stored = _cursor(session.fetchall(statements.GET_CURSOR, {"reader": write.reader}))
        applied_up_to = stored.sequence if stored and stored.created == write.cursor.created else 0
        for statement, parameters in changes_of(write.entries, applied_up_to, self._billing):
            session.executemany(statement, parameters)
        if write.cursor.sequence > applied_up_to:
            session.execute(
                statements.SET_CURSOR,
                {
                    "reader": write.reader,
                    "stream": write.cursor.stream,
                    "created": write.cursor.created,
                    "sequence": write.cursor.sequence,
                },
            )
        return *_completed_events(session, write.entries), *_rejections(session, write.entries)


def _cursor(found: list[Row]) -> Cursor | None:
    return Cursor(*found[0]) if found else None


def _completed_events(
    session: Session, entries: tuple[LogEntry, ...]
) -> tuple[DocumentCompleted, ...]:
    names = [
        (entry.event.tenant, entry.event.document_id)
        for entry in entries
        if isinstance(entry.event, DocumentConverted)
    ]
    if not names:
        return ()
    wanted = {"names": msgspec.json.encode(names).decode()}
    records = map(rows.document_record, session.fetchall(statements.COMPLETED_BY_ID, wanted))
    return tuple(event for record in records if (event := rows.completed_event(record)))


def _rejections(session: Session, entries: tuple[LogEntry, ...]) -> Iterator[DocumentRejected]:
    """Yield the rejections that are the state of their document."""
    for entry in entries:
        event = entry.event
        if isinstance(event, DocumentRejected):
            named = {"tenant": event.tenant, "id": event.document_id, "sequence": event.sequence}
            if session.fetchall(statements.IS_REJECTED, named):
                yield event


class _Rejected(Exception):
    """One write is refused."""


def _statement_for(write: object) -> tuple[str, dict[str, object]]:
    """Return the statement for a write without events."""
    match write:
        case ResetCursor(reader=reader):
            return statements.RESET_CURSOR, {"reader": reader}
        case MarkErased(names=names, at=at):
            named = msgspec.json.encode(names).decode()
            return statements.SET_ERASED, {"names": named, "at": rows.to_milliseconds(at)}
        case MarkSweep(at=at):
            return clock_statements.MARK_SWEEP, {"at": rows.to_milliseconds(at)}
        case MarkRunningTime(ran=ran):
            return clock_statements.MARK_RUNNING, {"ran": rows.duration_milliseconds(ran)}
        case MarkClock(state=state):
            return clock_statements.MARK_CLOCK, rows.clock_parameters(state)
        case Ping():
            return statements.PING, {}
        case _:
            raise TypeError(f"unknown write {type(write).__name__}")
