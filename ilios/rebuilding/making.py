"""Writing down anew what the log has said: as the persister does, but that nothing is announced."""

from pathlib import Path

from msgspec import Struct

from actors.persister import GROUP, HEARS, NAME
from actors.pricing import Pricing
from actors.writes import ApplyEntries, Cursor, Entry, Write, WriteRefused
from bus import subjects, wire
from bus.connection import Connection
from bus.delivery import Delivery
from bus.replay import Extent, replay
from ilios.database import snapshots
from ilios.database.connection import open_writer
from ilios.database.ledger import SqliteLedger
from ilios.database.swapping import remove
from ilios.rebuilding.expected import Expected


class Made(Struct, frozen=True):
    """What a new database was made of.

    ``applied`` events were written down, ``refused`` could not be, by this or the first time;
    ``malformed`` ones are none.
    """

    expected: Expected
    applied: int
    refused: int
    malformed: int


async def make(
    target: Path,
    base: Path | None,
    connection: Connection,
    extent: Extent | None,
    pricing: Pricing,
) -> Made:
    """Make a database at ``target`` from the snapshot ``base`` and all that the log said since.

    Of the log all is read: what the snapshot knows already is only held against it, later.

    :raises BusUnavailable: the log cannot be read to its end.
    :raises LedgerUnavailable: it cannot be written.
    """
    remove(target)
    if base is not None:
        snapshots.copy_to(base, target)
    async with open_writer(target) as writing:
        making = _Making(SqliteLedger(writing, pricing))
        if extent is not None:
            await making.read(connection, extent)
        return Made(making.expected, making.applied, making.refused, making.malformed)


class _Making:
    def __init__(self, ledger: SqliteLedger) -> None:
        self._ledger = ledger
        self.expected = Expected()
        self.applied = self.refused = self.malformed = 0

    async def read(self, connection: Connection, extent: Extent) -> None:
        cursor = await self._ledger.cursor(NAME)
        done = cursor.sequence if cursor and cursor.created == extent.created else 0
        async for group in replay(connection, extent.first - 1, extent.last, GROUP):
            entries = [entry for delivery in group if (entry := self._decode(delivery))]
            fresh = [entry for entry in entries if entry.sequence > done]
            refused = await self._apply(extent, fresh)
            for entry in entries:
                if entry.sequence not in refused:
                    self.expected.hear(entry.sequence, entry.event)
        # Also when the last events say nothing to it: the service goes on behind them.
        if extent.last > done:
            await self._keep(extent, [], extent.last)

    def _decode(self, delivery: Delivery) -> Entry | None:
        if delivery.subject.startswith(f"{subjects.JANITOR}."):
            return None  # about the service itself; what the database is made of is not among it
        try:
            event = wire.decode(delivery.subject, delivery.body)
        except wire.Malformed:
            self.malformed += 1
            return None
        if not isinstance(event, HEARS):
            return None
        return Entry(delivery.sequence, delivery.stored_at, event)

    async def _apply(self, extent: Extent, entries: list[Entry]) -> set[int]:
        """Write a group down, event by event where it is refused; returns those that cannot be."""
        if not entries:
            return set()
        if await self._keep(extent, entries, entries[-1].sequence):
            self.applied += len(entries)
            return set()
        refused = set()
        for entry in entries:
            if await self._keep(extent, [entry], entry.sequence):
                self.applied += 1
            else:
                # The persister has made a dead letter of it when it came.
                refused.add(entry.sequence)
                self.refused += 1
        return refused

    async def _keep(self, extent: Extent, entries: list[Entry], last: int) -> bool:
        cursor = Cursor(extent.name, extent.created, last)
        write: Write[object] = ApplyEntries(NAME, tuple(entries), cursor)  # type: ignore[assignment]
        (answer,) = await self._ledger.keep([write])
        return not isinstance(answer, WriteRefused)
