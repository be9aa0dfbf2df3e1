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
from bus.dead_letters import DeadLetterStore
from bus.reader import Reader
from bus.replay import LogExtent
from ilios.database.connection import lock_file, rebuilt_file
from ilios.database.recovery import snapshots
from ilios.database.recovery.build import BuildResult, build
from ilios.database.recovery.comparison import Comparison, compare, ensure_not_newer
from ilios.database.recovery.database_files import (
    copy_if_present,
    exists,
    remove_database,
    replace_database,
)
from ilios.database.recovery.expected import Ref
from ilios.database.recovery.verify import (
    Disagreement,
    UnexplainedDiff,
    check_against_log,
    compare_with_old,
)
from ilios.database.recovery.wal import find_damage
from ilios.nats.access import offline_connection
from ilios.runtime.locks import exclusive_lock
from ilios.settings.settings import Settings

MAX_SHOWN = 5  # ranges in a sentence


class NoSuchSnapshot(Exception):
    """The snapshot that was asked for is not there, or is damaged."""


class Gap(Exception):
    """Between snapshot and log something is missing; the message says what."""


class RebuildReport(Struct, frozen=True, kw_only=True):
    """What was found, and what was done about it.

    ``old`` is what the old database is called now, where it was replaced. ``excused`` documents
    stand otherwise than the log says because an event of theirs is a dead letter.
    """

    database: Path
    snapshot: Path | None
    skipped: tuple[tuple[Path, str], ...]
    extent: LogExtent | None
    gap: str | None
    build: BuildResult
    compared: Comparison
    wal_damage: str | None
    disagreements: tuple[Disagreement, ...]
    excused: tuple[Disagreement, ...]
    unexplained: tuple[UnexplainedDiff, ...]
    had_old: bool
    replaced: bool = False
    old: Path | None = None

    @property
    def fault(self) -> str | None:
        """What is wrong with the file of the old database."""
        return self.wal_damage or self.compared.fault

    @property
    def would_lose_data(self) -> bool:
        """Whether something that the old database has would be given up."""
        return any(one.changed or one.gone for one in self.unexplained)

    @property
    def equal(self) -> bool:
        """Whether the old database is sound and says the same, row by row."""
        return (
            self.had_old and not self.fault and all(one.identical for one in self.compared.tables)
        )

    @property
    def is_sound(self) -> bool:
        """Whether the old database is sound, and behind the log at most."""
        ahead = any(one.changed or one.overruled or one.gone for one in self.unexplained)
        unreadable = any(one.unreadable for one in self.compared.tables)
        return self.had_old and not (self.fault or unreadable or ahead or self._lacks_rows)

    @property
    def _lacks_rows(self) -> bool:
        # Rows the log has spoken of before the old one's cursor, and it does not have.
        cursor = self.compared.cursor
        seen = cursor[1] if cursor and self.extent and cursor[0] == self.extent.created else 0
        said = self.build.expected.documents
        names = (key for one in self.compared.tables for key in one.new if one.table != "batches")
        return any(
            (word := said.get((key[0], key[1]))) is None or word.sequence <= seen for key in names
        )


async def rebuild(
    settings: Settings, *, check: bool, accept_gap: bool, snapshot: str | None = None
) -> RebuildReport:
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
        exclusive_lock(data_dir / "lock", f"the data directory {data_dir}"),
        exclusive_lock(lock_file(database), f"the database {database}"),
    ):
        async with _connect_bus(settings) as connection:
            extent = await replay.fetch_extent(connection)
            new, copy = rebuilt_file(database), _copy_path(database)
            try:
                wal_damage = await asyncio.to_thread(_find_wal_damage, database)
                had_old, unreadable = await asyncio.to_thread(copy_if_present, database, copy)
                old = copy if had_old and unreadable is None else None
                if old is not None:
                    ensure_not_newer(old, "the database")
                base, skipped = _choose_snapshot(settings.snapshots_dir, snapshot)
                gap = _find_gap(base, extent) or await _find_holes(connection, base)
                if gap and not accept_gap:
                    raise Gap(gap + _alternatives(settings.snapshots_dir, base, extent))
                made = await build(new, base, connection, extent, settings.pricing)
                compared = await asyncio.to_thread(compare, new, old, NAME)
                compared = structs.replace(compared, fault=unreadable or compared.fault)
                found = check_against_log(new, made.expected, extent, whole=_same_log(base, extent))
                excused = [one for one in found if await _has_dead_letter(connection, one.name)]
                report = RebuildReport(
                    database=database,
                    snapshot=base,
                    skipped=tuple(skipped),
                    extent=extent,
                    gap=gap,
                    build=made,
                    compared=compared,
                    wal_damage=wal_damage,
                    disagreements=tuple(one for one in found if one not in excused),
                    excused=tuple(excused),
                    unexplained=tuple(
                        compare_with_old(
                            compared, made.expected, extent.created if extent else None
                        )
                    ),
                    had_old=had_old,
                )
                return _replace_if_needed(report, new, check=check, accept_gap=accept_gap)
            finally:
                remove_database(copy)
                # While there is no database, an unfinished new one keeps the service from starting
                # with nothing.
                if exists(database):
                    remove_database(new)


def _replace_if_needed(
    report: RebuildReport, new: Path, *, check: bool, accept_gap: bool
) -> RebuildReport:
    refused = report.disagreements or (report.would_lose_data and not accept_gap)
    if check or refused or report.is_sound:
        return report
    old = replace_database(new, report.database, datetime.now(UTC))
    return structs.replace(report, replaced=True, old=old)


async def _has_dead_letter(connection: Connection, name: Ref) -> bool:
    """Whether the persister has not written down something the log says of it."""
    return NAME in [letter.actor async for letter in DeadLetterStore(connection).iterate(*name)]


def _find_wal_damage(database: Path) -> str | None:
    try:
        return find_damage(database)
    except OSError as error:
        return f"{error.filename} cannot be read: {error.strerror}"


def _copy_path(database: Path) -> Path:
    return database.with_name(database.name + ".compared")


def _choose_snapshot(
    directory: Path, wanted: str | None
) -> tuple[Path | None, list[tuple[Path, str]]]:
    """Choose the snapshot to begin with; returns also the better ones that cannot be used, and why.

    :raises NoSuchSnapshot: the one that was asked for cannot be.
    :raises NewerDatabase: it is of a newer ilios.
    """
    if wanted == "none":
        return None, []
    kept = snapshots.list_snapshots(directory)
    if wanted is not None:
        chosen = [path for path in kept if path.name == Path(wanted).name]
        fault = snapshots.find_fault(chosen[0]) if chosen else "there is none of this name"
        if fault:
            raise NoSuchSnapshot(f"the snapshot {wanted} cannot be used: {fault}")
        ensure_not_newer(chosen[0], f"the snapshot {wanted}")
        return chosen[0], []
    skipped: list[tuple[Path, str]] = []
    for path in kept:
        fault = snapshots.find_fault(path)
        if fault is None:
            ensure_not_newer(path, f"the snapshot {path.name}")
            return path, skipped
        skipped.append((path, fault))
    return None, skipped


def _alternatives(directory: Path, base: Path | None, extent: LogExtent | None) -> str:
    """Name the snapshots that know less than ``base``, but after which the log has everything."""
    names = [
        path.name
        for path in snapshots.list_snapshots(directory)
        if path != base and not snapshots.find_fault(path) and not _find_gap(path, extent)
    ]
    return f" (of this log, if less: --snapshot {' or '.join(names)})" if names else ""


def _same_log(base: Path | None, extent: LogExtent | None) -> bool:
    cursor = snapshots.read_cursor(base, NAME) if base else None
    return cursor is None or (extent is not None and cursor.created == extent.created)


def _find_gap(base: Path | None, extent: LogExtent | None) -> str | None:
    """Say what neither the snapshot nor the log has."""
    cursor = snapshots.read_cursor(base, NAME) if base else None
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


async def _find_holes(connection: Connection, base: Path | None) -> str | None:
    """Return what is missing on the log behind the snapshot: a harmed disk leaves holes."""
    state = await log_state.fetch(connection)
    if state is None:
        return None
    cursor = snapshots.read_cursor(base, NAME) if base else None
    known = cursor.sequence if cursor and cursor.created == state.created else 0
    found = await log_state.unreadable_ranges(connection, state, after=known, pause=0.0)
    if not found:
        return None
    named = ", ".join(f"{first} to {last}" for first, last in found[:MAX_SHOWN])
    more = f" and {len(found) - MAX_SHOWN} more ranges" if len(found) > MAX_SHOWN else ""
    return f"events {named}{more} cannot be read on the log any more: what they changed is missing"


@asynccontextmanager
async def _connect_bus(settings: Settings) -> AsyncIterator[Connection]:
    """Connect to the bus that is configured, or start the one inside; make nothing on it."""
    if settings.nats_url is not None:
        async with connect(settings.nats_url.get_secret_value(), name="rebuild") as connection:
            await connection.check()
            # On a bus of one's own no lock tells whether the service runs on another machine.
            await Reader(connection, NAME, "", ()).ensure_only_reader()
            yield connection
        return
    async with offline_connection(settings) as connection:
        yield connection
