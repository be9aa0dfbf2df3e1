"""The whole of it: locks, bus, snapshot, log, proof, and only then the new file in its place."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct, structs

from actors.persister import NAME
from bus import log_state, replay
from bus.connection import Connection, connect
from bus.dead_letters import FiledLetters
from bus.reader import Reader
from bus.replay import Extent
from ilios.bus_access import resting_bus
from ilios.database import snapshots
from ilios.database.comparison import Compared, compare, refuse_newer
from ilios.database.connection import lock_file, rebuilt_file
from ilios.database.swapping import is_there, remove, swap, what_is_left
from ilios.database.wal import what_is_lost
from ilios.locks import held
from ilios.rebuilding.expected import Name
from ilios.rebuilding.making import Made, make
from ilios.rebuilding.proving import Disagreement, Otherwise, against_log, against_old
from ilios.settings import Settings

SHOWN = 5  # ranges in a sentence


class NoSuchSnapshot(Exception):
    """The snapshot that was asked for is not there, or is damaged."""


class Gap(Exception):
    """Between snapshot and log something is missing; the message says what."""


class Report(Struct, frozen=True, kw_only=True):
    """What was found, and what was done about it.

    ``old`` is what the old database is called now, where it was replaced. ``excused`` documents
    stand otherwise than the log says because an event of theirs is a dead letter.
    """

    database: Path
    snapshot: Path | None
    skipped: tuple[tuple[Path, str], ...]
    extent: Extent | None
    gap: str | None
    made: Made
    compared: Compared
    lost: str | None
    disagreements: tuple[Disagreement, ...]
    excused: tuple[Disagreement, ...]
    otherwise: tuple[Otherwise, ...]
    had_old: bool
    replaced: bool = False
    old: Path | None = None

    @property
    def fault(self) -> str | None:
        """What is wrong with the file of the old database."""
        return self.lost or self.compared.fault

    @property
    def loses(self) -> bool:
        """Whether something that the old database has would be given up."""
        return any(one.changed or one.gone for one in self.otherwise)

    @property
    def equal(self) -> bool:
        """Whether the old database is sound and says the same, row by row."""
        return self.had_old and not self.fault and all(one.none for one in self.compared.tables)

    @property
    def in_order(self) -> bool:
        """Whether the old database is sound, and behind the log at most."""
        ahead = any(one.changed or one.overruled or one.gone for one in self.otherwise)
        unreadable = any(one.unreadable for one in self.compared.tables)
        return self.had_old and not (self.fault or unreadable or ahead or self._lacks)

    @property
    def _lacks(self) -> bool:
        # Rows the log has spoken of before the old one's cursor, and it does not have.
        cursor = self.compared.cursor
        seen = cursor[1] if cursor and self.extent and cursor[0] == self.extent.created else 0
        said = self.made.expected.documents
        names = (key for one in self.compared.tables for key in one.new if one.table != "batches")
        return any(
            (word := said.get((key[0], key[1]))) is None or word.sequence <= seen for key in names
        )


async def rebuild(
    settings: Settings, *, check: bool, accept_gap: bool, snapshot: str | None = None
) -> Report:
    """Make the database anew beside the old one, prove it, and put it in its place.

    ``check`` leaves everything as it is. ``accept_gap`` goes on where the log does not reach back
    to the snapshot, or the old database has what neither of them has. ``snapshot`` names the one to
    begin with, or is ``none``; else it is the one that knows most of those that are sound.

    :raises AlreadyInUse, ReaderTaken: the service runs. :raises Gap: see there.
    :raises NoSuchSnapshot, NewerDatabase: see there.
    :raises BusDidNotStart, BusUnavailable: there is no log.
    :raises LedgerUnavailable, OSError: there is no room for the new file.
    """
    data_dir, database = settings.data_dir, settings.database_path
    with (
        held(data_dir / "lock", f"the data directory {data_dir}"),
        held(lock_file(database), f"the database {database}"),
    ):
        async with _bus(settings) as connection:
            extent = await replay.extent(connection)
            new, copy = rebuilt_file(database), _copied(database)
            try:
                lost = await asyncio.to_thread(_what_is_lost, database)
                had_old, unreadable = await asyncio.to_thread(what_is_left, database, copy)
                old = copy if had_old and unreadable is None else None
                if old is not None:
                    refuse_newer(old, "the database")
                base, skipped = _base(settings.snapshots_dir, snapshot)
                gap = _gap(base, extent) or await _holes(connection, base)
                if gap and not accept_gap:
                    raise Gap(gap + _others(settings.snapshots_dir, base, extent))
                made = await make(new, base, connection, extent, settings.pricing)
                compared = await asyncio.to_thread(compare, new, old, NAME)
                compared = structs.replace(compared, fault=unreadable or compared.fault)
                found = against_log(new, made.expected, extent, whole=_same_log(base, extent))
                excused = [one for one in found if await _is_buried(connection, one.name)]
                report = Report(
                    database=database,
                    snapshot=base,
                    skipped=tuple(skipped),
                    extent=extent,
                    gap=gap,
                    made=made,
                    compared=compared,
                    lost=lost,
                    disagreements=tuple(one for one in found if one not in excused),
                    excused=tuple(excused),
                    otherwise=tuple(
                        against_old(compared, made.expected, extent.created if extent else None)
                    ),
                    had_old=had_old,
                )
                return _settle(report, new, check=check, accept_gap=accept_gap)
            finally:
                remove(copy)
                # While there is no database, an unfinished new one keeps the service from starting
                # with nothing.
                if is_there(database):
                    remove(new)


def _settle(report: Report, new: Path, *, check: bool, accept_gap: bool) -> Report:
    refused = report.disagreements or (report.loses and not accept_gap)
    if check or refused or report.in_order:
        return report
    old = swap(new, report.database, datetime.now(UTC))
    return structs.replace(report, replaced=True, old=old)


async def _is_buried(connection: Connection, name: Name) -> bool:
    """Whether the persister has not written down something the log says of it."""
    return NAME in [letter.actor async for letter in FiledLetters(connection).each(*name)]


def _what_is_lost(database: Path) -> str | None:
    try:
        return what_is_lost(database)
    except OSError as error:
        return f"{error.filename} cannot be read: {error.strerror}"


def _copied(database: Path) -> Path:
    return database.with_name(database.name + ".compared")


def _base(directory: Path, wanted: str | None) -> tuple[Path | None, list[tuple[Path, str]]]:
    """Choose the snapshot to begin with; returns also the better ones that cannot be used, and why.

    :raises NoSuchSnapshot: the one that was asked for cannot be.
    :raises NewerDatabase: it is of a newer ilios.
    """
    if wanted == "none":
        return None, []
    kept = snapshots.kept_in(directory)
    if wanted is not None:
        chosen = [path for path in kept if path.name == Path(wanted).name]
        fault = snapshots.fault_in(chosen[0]) if chosen else "there is none of this name"
        if fault:
            raise NoSuchSnapshot(f"the snapshot {wanted} cannot be used: {fault}")
        refuse_newer(chosen[0], f"the snapshot {wanted}")
        return chosen[0], []
    skipped: list[tuple[Path, str]] = []
    for path in kept:
        fault = snapshots.fault_in(path)
        if fault is None:
            refuse_newer(path, f"the snapshot {path.name}")
            return path, skipped
        skipped.append((path, fault))
    return None, skipped


def _others(directory: Path, base: Path | None, extent: Extent | None) -> str:
    """Name the snapshots that know less than ``base``, but after which the log has everything."""
    names = [
        path.name
        for path in snapshots.kept_in(directory)
        if path != base and not snapshots.fault_in(path) and not _gap(path, extent)
    ]
    return f" (of this log, if less: --snapshot {' or '.join(names)})" if names else ""


def _same_log(base: Path | None, extent: Extent | None) -> bool:
    cursor = snapshots.cursor_in(base, NAME) if base else None
    return cursor is None or (extent is not None and cursor.created == extent.created)


def _gap(base: Path | None, extent: Extent | None) -> str | None:
    """Say what neither the snapshot nor the log has."""
    cursor = snapshots.cursor_in(base, NAME) if base else None
    since = f"since the snapshot {base.name}" if base else "from the beginning, without a snapshot"
    if extent is None:
        return f"there is no log: all that happened {since} is missing"
    if not _same_log(base, extent):
        what = f"what the log before it said {since} is missing"
        return f"the log was made anew on {extent.created}: {what}"
    known = cursor.sequence if cursor else 0
    if extent.first > known + 1:
        return (
            f"the log begins with event {extent.first}: events {known + 1} to {extent.first - 1}, "
            f"{since}, are missing"
        )
    if known > extent.last:
        return f"the log ends with event {extent.last}, the snapshot has known {known}: another log"
    return None


async def _holes(connection: Connection, base: Path | None) -> str | None:
    """Return what is missing on the log behind the snapshot: a harmed disk leaves holes."""
    state = await log_state.look(connection)
    if state is None:
        return None
    cursor = snapshots.cursor_in(base, NAME) if base else None
    known = cursor.sequence if cursor and cursor.created == state.created else 0
    found = await log_state.unreadable(connection, state, after=known, pause=0.0)
    if not found:
        return None
    named = ", ".join(f"{first} to {last}" for first, last in found[:SHOWN])
    more = f" and {len(found) - SHOWN} more ranges" if len(found) > SHOWN else ""
    return f"events {named}{more} cannot be read on the log any more: what they changed is missing"


@asynccontextmanager
async def _bus(settings: Settings) -> AsyncIterator[Connection]:
    """Connect to the bus that is configured, or start the one inside; make nothing on it."""
    if settings.nats_url is not None:
        async with connect(settings.nats_url.reveal(), name="rebuild") as connection:
            await connection.check()
            # On a bus of one's own no lock tells whether the service runs on another machine.
            await Reader(connection, NAME, "", ()).refuse_company()
            yield connection
        return
    async with resting_bus(settings) as connection:
        yield connection
