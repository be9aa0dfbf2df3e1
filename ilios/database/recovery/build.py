"""Writing down anew what the log has said: as the persister does, but that nothing is announced."""

from pathlib import Path

from msgspec import Struct

from actors.persister import GROUP_SIZE, HANDLED_EVENTS, NAME
from actors.pricing import Pricing
from actors.writes import ApplyEvents, Cursor, LogEntry, Write, WriteRefused
from bus import codec, subjects
from bus.connection import Connection
from bus.delivery import Delivery
from bus.replay import LogExtent, replay
from ilios.database.connection import open_writer
from ilios.database.recovery import snapshots
from ilios.database.recovery.database_files import remove_database
from ilios.database.recovery.expected import ExpectedState
from ilios.database.store import SqliteTransactionStore


class BuildResult(Struct, frozen=True):
    """What a new database was made of.

    ``applied`` events were written down, ``refused`` could not be, by this or the first time;
    ``malformed`` ones are none.
    """

    expected: ExpectedState
    applied: int
    refused: int
    malformed: int


async def build(
    target: Path,
    base: Path | None,
    connection: Connection,
    extent: LogExtent | None,
    pricing: Pricing,
) -> BuildResult:
    """Make a database at ``target`` from the snapshot ``base`` and all that the log said since.

    Of the log all is read: what the snapshot knows already is only held against it, later.

    :raises BusUnavailable: the log cannot be read to its end.
    :raises LedgerUnavailable: it cannot be written.
    """
    remove_database(target)
    if base is not None:
        snapshots.copy_snapshot(base, target)
    async with open_writer(target) as writer_connection:
        builder = _Builder(SqliteTransactionStore(writer_connection, pricing))
        if extent is not None:
            await builder.replay_log(connection, extent)
        return BuildResult(builder.expected, builder.applied, builder.refused, builder.malformed)


class _Builder:
    def __init__(self, store: SqliteTransactionStore) -> None:
        self._store = store
        self.expected = ExpectedState()
        self.applied = self.refused = self.malformed = 0

    async def replay_log(self, connection: Connection, extent: LogExtent) -> None:
        cursor = await self._store.cursor(NAME)
        applied_up_to = cursor.sequence if cursor and cursor.created == extent.created else 0
        async for group in replay(connection, extent.first - 1, extent.last, GROUP_SIZE):
            entries = [entry for delivery in group if (entry := self._decode(delivery))]
            fresh = [entry for entry in entries if entry.sequence > applied_up_to]
            refused = await self._apply(extent, fresh)
            for entry in entries:
                if entry.sequence not in refused:
                    self.expected.apply(entry.sequence, entry.event)
        # Also when the last events say nothing to it: the service goes on behind them.
        if extent.last > applied_up_to:
            await self._commit(extent, [], extent.last)

    def _decode(self, delivery: Delivery) -> LogEntry | None:
        if delivery.subject.startswith(f"{subjects.JANITOR}."):
            return None  # about the service itself; what the database is made of is not among it
        try:
            event = codec.decode(delivery.subject, delivery.body)
        except codec.MalformedEvent:
            self.malformed += 1
            return None
        if not isinstance(event, HANDLED_EVENTS):
            return None
        return LogEntry(delivery.sequence, delivery.stored_at, event)

    async def _apply(self, extent: LogExtent, entries: list[LogEntry]) -> set[int]:
        """Write a group down, event by event where it is refused; returns those that cannot be."""
        if not entries:
            return set()
        if await self._commit(extent, entries, entries[-1].sequence):
            self.applied += len(entries)
            return set()
        refused = set()
        for entry in entries:
            if await self._commit(extent, [entry], entry.sequence):
                self.applied += 1
            else:
                # The persister has made a dead letter of it when it came.
                refused.add(entry.sequence)
                self.refused += 1
        return refused

    async def _commit(self, extent: LogExtent, entries: list[LogEntry], last: int) -> bool:
        cursor = Cursor(extent.name, extent.created, last)
        write: Write[object] = ApplyEvents(NAME, tuple(entries), cursor)  # type: ignore[assignment]
        (answer,) = await self._store.commit([write])
        return not isinstance(answer, WriteRefused)
