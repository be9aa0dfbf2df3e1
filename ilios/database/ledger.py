"""Keeping writes in SQLite: the wall that fits ``actors.writes.Ledger``."""

import sqlite3
from contextlib import suppress

import aiosqlite
import msgspec

from actors.pricing import Pricing
from actors.writes import (
    ApplyEntries,
    Cursor,
    Entry,
    Forget,
    LedgerUnavailable,
    MarkClock,
    MarkErased,
    MarkRunning,
    MarkSweep,
    Ping,
    Write,
    WriteRefused,
)
from bus import failpoints
from schemas.documents import DocumentCompleted, DocumentConverted

from . import rows, statements
from .changes import changes
from .usage_bills import Bills

# All else SQLite may raise is about the volume, the file or the connection: a damaged database that
# refused events one by one would turn the whole log into dead letters.
_WRITE_AT_FAULT = (sqlite3.IntegrityError, sqlite3.DataError, OverflowError, UnicodeError)


class SqliteLedger:
    """Several writes in one transaction, each behind a savepoint of its own.

    Built on the one read-write connection; only the writer calls ``keep``.
    """

    def __init__(self, connection: aiosqlite.Connection, pricing: Pricing | None = None) -> None:
        self._connection = connection
        self._bills = Bills(pricing or Pricing())

    async def cursor(self, reader: str) -> Cursor | None:
        """Return how far ``reader`` has come, or None if it never wrote anything."""
        found = list(
            await self._connection.execute_fetchall(statements.GET_CURSOR, {"reader": reader})
        )
        return Cursor(*found[0]) if found else None

    async def keep(self, writes: list[Write[object]]) -> list[object | WriteRefused]:
        """Keep each write or refuse it alone; answers stand in the order of the writes.

        :raises LedgerUnavailable: the volume is full or broken; none was kept.
        """
        try:
            try:
                await self._connection.execute(statements.BEGIN)
                answers = [await self._keep_one(write, alone=len(writes) == 1) for write in writes]
                failpoints.reach("ledger.applied")
                await self._connection.execute(statements.COMMIT)
                failpoints.reach("ledger.committed")
            except BaseException:
                # Always: when this is cancelled, the thread may not even have come to the BEGIN.
                with suppress(sqlite3.OperationalError):  # there is nothing to roll back
                    await self._connection.execute(statements.ROLLBACK)
                raise
        except _Refused as refused:
            return [WriteRefused(str(refused))]
        except sqlite3.Error as error:
            raise LedgerUnavailable(f"SQLite: {error}") from error
        return answers

    async def _keep_one(self, write: Write[object], *, alone: bool) -> object | WriteRefused:
        """A lone write needs no savepoint: the transaction is its own."""
        if alone:
            return await self._run(write)
        await self._connection.execute(statements.SAVEPOINT)
        try:
            answer = await self._run(write)
        except _Refused as refused:
            await self._connection.execute(statements.ROLLBACK_TO)
            await self._connection.execute(statements.RELEASE)
            return WriteRefused(str(refused))
        await self._connection.execute(statements.RELEASE)
        return answer

    async def _run(self, write: Write[object]) -> object:
        try:
            if isinstance(write, ApplyEntries):
                return await self._apply(write)
            statement, parameters = _upkeep(write)
            await self._connection.execute(statement, parameters)
            return None
        except _WRITE_AT_FAULT as error:
            raise _Refused(f"{type(error).__name__}: {error}") from error

    async def _apply(self, write: ApplyEntries) -> tuple[DocumentCompleted, ...]:
        stored = await self.cursor(write.reader)
        done = stored.sequence if stored and stored.created == write.cursor.created else 0
        for statement, parameters in changes(write.entries, done, self._bills):
            await self._connection.executemany(statement, parameters)
        if write.cursor.sequence > done:
            await self._connection.execute(
                statements.SET_CURSOR,
                {
                    "reader": write.reader,
                    "stream": write.cursor.stream,
                    "created": write.cursor.created,
                    "sequence": write.cursor.sequence,
                },
            )
        return await self._completed(write.entries)

    async def _completed(self, entries: tuple[Entry, ...]) -> tuple[DocumentCompleted, ...]:
        names = [
            (entry.event.tenant, entry.event.document_id)
            for entry in entries
            if isinstance(entry.event, DocumentConverted)
        ]
        if not names:
            return ()
        found = await self._connection.execute_fetchall(
            statements.COMPLETED_AMONG, {"names": msgspec.json.encode(names).decode()}
        )
        records = map(rows.document_record, found)
        return tuple(event for record in records if (event := rows.completed_event(record)))


class _Refused(Exception):
    """One write cannot be kept."""


def _upkeep(write: object) -> tuple[str, dict[str, object]]:
    """Return the statement behind a write that no event stands for."""
    match write:
        case Forget(reader=reader):
            return statements.FORGET_CURSOR, {"reader": reader}
        case MarkErased(names=names, at=at):
            named = msgspec.json.encode(names).decode()
            return statements.ERASED, {"names": named, "at": rows.milliseconds(at)}
        case MarkSweep(at=at):
            return statements.MARK_SWEEP, {"at": rows.milliseconds(at)}
        case MarkRunning(ran=ran):
            return statements.MARK_RUNNING, {"ran": rows.duration(ran)}
        case MarkClock(state=state):
            return statements.MARK_CLOCK, rows.clock_parameters(state)
        case Ping():
            return statements.PING, {}
        case _:
            raise TypeError(f"nobody knows how to keep a {type(write).__name__}")
