"""Keeping writes in SQLite: the wall that fits ``actors.writes.Ledger``."""

import sqlite3
from collections import defaultdict
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import aiosqlite
import msgspec

from actors.writes import (
    ApplyEntries,
    Cursor,
    Entry,
    Forget,
    LedgerUnavailable,
    Ping,
    Write,
    WriteRefused,
)
from ilios.file_names import clean_name
from schemas.documents import (
    DocumentCompleted,
    DocumentConverted,
    DocumentFailed,
    DocumentFetched,
    DocumentSubmitted,
    Inline,
    Stored,
)

from . import rows, statements

CLOCKS_DIFFER_BY = timedelta(days=1)  # more is a mistake, or worse

_TERMINAL = (DocumentConverted, DocumentFailed)

# All else SQLite may raise is about the volume, the file or the connection: a damaged database that
# refused events one by one would turn the whole log into dead letters.
_WRITE_AT_FAULT = (sqlite3.IntegrityError, sqlite3.DataError, OverflowError, UnicodeError)

Parameters = dict[str, object]


class SqliteLedger:
    """Several writes in one transaction, each behind a savepoint of its own.

    Built on the one read-write connection; only the writer calls ``keep``.
    """

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection

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
                await self._connection.execute(statements.COMMIT)
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
            if isinstance(write, Forget):
                await self._connection.execute(statements.FORGET_CURSOR, {"reader": write.reader})
                return None
            if isinstance(write, Ping):
                return None
        except _WRITE_AT_FAULT as error:
            raise _Refused(f"{type(error).__name__}: {error}") from error
        raise TypeError(f"nobody knows how to keep a {type(write).__name__}")

    async def _apply(self, write: ApplyEntries) -> tuple[DocumentCompleted, ...]:
        stored = await self.cursor(write.reader)
        done = stored.sequence if stored and stored.created == write.cursor.created else 0
        for statement, parameters in _changes(write.entries, done).items():
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


def _changes(entries: tuple[Entry, ...], done: int) -> dict[str, list[Parameters]]:
    """Sort what the entries change by statement, so that a group costs few statements.

    Statements run in the order below. That is the order of events for one document, but for those
    that follow a terminal one in the same group: they change nothing, as they would one by one.
    """
    changes: dict[str, list[Parameters]] = defaultdict(list)
    ended: set[tuple[str, str]] = set()
    for entry in entries:
        event = entry.event
        name = (event.tenant, event.document_id)
        if entry.sequence <= done or name in ended:
            continue
        if isinstance(event, _TERMINAL):
            ended.add(name)
        for statement, parameters in _change(entry):
            changes[statement].append(parameters)
    order = (
        statements.SUBMITTED,
        statements.FETCHED,
        statements.CONVERTED,
        statements.USED,
        statements.FAILED,
    )
    return {statement: changes[statement] for statement in order if statement in changes}


def _change(entry: Entry) -> list[tuple[str, Parameters]]:
    event = entry.event
    common: Parameters = {
        "tenant": event.tenant,
        "id": event.document_id,
        "sequence": entry.sequence,
        "at": rows.milliseconds(entry.stored_at),
    }
    match event:
        case DocumentSubmitted():
            return [(statements.SUBMITTED, common | _submission(event, entry))]
        case DocumentFetched(original=blob):
            fetched = {"content_type": event.content_type}
            return [(statements.FETCHED, common | fetched | msgspec.structs.asdict(blob))]
        case DocumentConverted(markdown=blob):
            figures = msgspec.structs.asdict(event) | msgspec.structs.asdict(blob)
            return [(statements.CONVERTED, figures | common), (statements.USED, common)]
        case DocumentFailed():
            return [(statements.FAILED, msgspec.structs.asdict(event) | common)]
        case _:
            return []


def _submitted_at(event: DocumentSubmitted, entry: Entry) -> datetime:
    """Believe the publisher's clock as long as it is not absurd: retention counts from there."""
    said = event.submitted_at
    if said is None:
        return entry.stored_at
    aware = said if said.tzinfo else said.replace(tzinfo=UTC)
    return aware if abs(aware - entry.stored_at) < CLOCKS_DIFFER_BY else entry.stored_at


def _submission(event: DocumentSubmitted, entry: Entry) -> Parameters:
    size: int | None = None
    if isinstance(event.source, Stored):
        size = event.source.size
    elif isinstance(event.source, Inline):
        size = len(event.source.data)
    return {
        "file_name": clean_name(event.file_name),
        "content_type": event.content_type,
        "file_size": size,
        "priority": event.priority,
        "retention_days": event.retention_days,
        "operation": event.operation,
        "submitted_at": rows.milliseconds(_submitted_at(event, entry)),
    }
