"""Committing writes to SQLite, as ``actors.writes.TransactionStore``."""

import sqlite3
from contextlib import suppress

import msgspec

from actors.pricing import Pricing
from actors.writes import (
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
from ilios.database import rows, statements
from ilios.database.changes import Billing, changes_of
from ilios.database.sqlite import Database
from schemas.documents import DocumentCompleted, DocumentConverted

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
        found = await self._connection.fetchall(statements.GET_CURSOR, {"reader": reader})
        return Cursor(*found[0]) if found else None

    async def commit(self, writes: list[Write[object]]) -> list[object | WriteRefused]:
        """Commit each write or refuse it alone; returns the results in the same order.

        :raises DatabaseUnavailable: the volume is full or broken; nothing was committed.
        """
        try:
            try:
                await self._connection.execute(statements.BEGIN)
                answers = [
                    await self._write_one(write, only_write=len(writes) == 1) for write in writes
                ]
                failpoints.reach("ledger.applied")
                await self._connection.execute(statements.COMMIT)
                failpoints.reach("ledger.committed")
            except BaseException:
                # Always: when this is cancelled, the thread may not have reached BEGIN yet.
                with suppress(sqlite3.OperationalError):  # there is nothing to roll back
                    await self._connection.execute(statements.ROLLBACK)
                raise
        except _Rejected as refused:
            return [WriteRefused(str(refused))]
        except sqlite3.Error as error:
            raise DatabaseUnavailable(f"SQLite: {error}") from error
        return answers

    async def _write_one(self, write: Write[object], *, only_write: bool) -> object | WriteRefused:
        """Execute one write; a single one needs no savepoint."""
        if only_write:
            return await self._execute(write)
        await self._connection.execute(statements.SAVEPOINT)
        try:
            answer = await self._execute(write)
        except _Rejected as refused:
            await self._connection.execute(statements.ROLLBACK_TO)
            await self._connection.execute(statements.RELEASE)
            return WriteRefused(str(refused))
        await self._connection.execute(statements.RELEASE)
        return answer

    async def _execute(self, write: Write[object]) -> object:
        try:
            if isinstance(write, ApplyEvents):
                return await self._apply(write)
            statement, parameters = _statement_for(write)
            await self._connection.execute(statement, parameters)
            return None
        except _WRITE_ERRORS as error:
            raise _Rejected(f"{type(error).__name__}: {error}") from error

    async def _apply(self, write: ApplyEvents) -> tuple[DocumentCompleted, ...]:
        stored = await self.cursor(write.reader)
        applied_up_to = stored.sequence if stored and stored.created == write.cursor.created else 0
        for statement, parameters in changes_of(write.entries, applied_up_to, self._billing):
            await self._connection.executemany(statement, parameters)
        if write.cursor.sequence > applied_up_to:
            await self._connection.execute(
                statements.SET_CURSOR,
                {
                    "reader": write.reader,
                    "stream": write.cursor.stream,
                    "created": write.cursor.created,
                    "sequence": write.cursor.sequence,
                },
            )
        return await self._completed_events(write.entries)

    async def _completed_events(
        self, entries: tuple[LogEntry, ...]
    ) -> tuple[DocumentCompleted, ...]:
        names = [
            (entry.event.tenant, entry.event.document_id)
            for entry in entries
            if isinstance(entry.event, DocumentConverted)
        ]
        if not names:
            return ()
        found = await self._connection.fetchall(
            statements.COMPLETED_BY_ID, {"names": msgspec.json.encode(names).decode()}
        )
        records = map(rows.document_record, found)
        return tuple(event for record in records if (event := rows.completed_event(record)))


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
            return statements.MARK_SWEEP, {"at": rows.to_milliseconds(at)}
        case MarkRunningTime(ran=ran):
            return statements.MARK_RUNNING, {"ran": rows.duration_milliseconds(ran)}
        case MarkClock(state=state):
            return statements.MARK_CLOCK, rows.clock_parameters(state)
        case Ping():
            return statements.PING, {}
        case _:
            raise TypeError(f"unknown write {type(write).__name__}")
