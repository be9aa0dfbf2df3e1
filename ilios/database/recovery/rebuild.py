"""Rebuilding the database: locks, bus, snapshot, log, proof, and then the exchange of the files."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct, structs

from actors.persister import NAME
from bus import failpoints, log_state, reader
from bus.connection import Connection, connect
from bus.dead_letters import DeadLetterStore
from bus.reader import LogExtent, Reader
from ilios.database.connection import lock_file, rebuilt_file
from ilios.database.recovery import snapshots
from ilios.database.recovery.comparison import (
    Comparison,
    UnexplainedDiff,
    compare,
    compare_with_old,
    ensure_not_newer,
)
from ilios.database.recovery.replay import BuildResult, Ref, build
from ilios.database.recovery.verify import Disagreement, check_against_log, find_faults
from ilios.database.recovery.wal import find_damage, sidecar
from ilios.nats.access import offline_connection
from ilios.runtime.locks import exclusive_lock
from ilios.settings.settings import Settings

MAX_SHOWN = 5  # ranges in an error message
_SUFFIXES = ("", "-wal", "-shm")


class NoSuchSnapshot(Exception):
    """The requested snapshot does not exist, or is damaged."""


class Gap(Exception):
    """Events between snapshot and log are missing; the message names them."""


class RebuildReport(Struct, frozen=True, kw_only=True):
    """Findings of a rebuild, and its result.

    ``faults`` are those of the new database as a whole, ``disagreements`` those of its documents.
    ``excused`` documents contradict the log because an event of theirs is a dead letter. ``old`` is
    the new name of the old database, if it was replaced.
    """

    database: Path
    snapshot: Path | None
    skipped: tuple[tuple[Path, str], ...]
    extent: LogExtent | None
    gap: str | None
    build: BuildResult
    faults: tuple[str, ...]
    compared: Comparison
    wal_damage: str | None
    disagreements: tuple[Disagreement, ...]
    excused: tuple[Disagreement, ...]
    unexplained: tuple[UnexplainedDiff, ...]
    had_old: bool
    replaced: bool = False
    old: Path | None = None

    @property
    def is_proven(self) -> bool:
        """Whether nothing is wrong with the new database."""
        return not (self.faults or self.disagreements)

    @property
    def old_fault(self) -> str | None:
        """Damage of the file of the old database, or None."""
        return self.wal_damage or self.compared.fault

    @property
    def would_lose_data(self) -> bool:
        """Whether the old database has rows that the new one lacks or contradicts."""
        return any(one.changed or one.gone for one in self.unexplained)

    @property
    def equal(self) -> bool:
        """Whether the old database is sound and equal, row by row."""
        return (
            self.had_old
            and not self.old_fault
            and all(one.identical for one in self.compared.tables)
        )

    @property
    def is_sound(self) -> bool:
        """Whether the old database is sound, and at most behind the log."""
        ahead = any(one.changed or one.overruled or one.gone for one in self.unexplained)
        unreadable = any(one.unreadable for one in self.compared.tables)
        return self.had_old and not (self.old_fault or unreadable or ahead or self._lacks_rows)

    @property
    def is_behind(self) -> bool:
        """Whether the log has events that are not applied to the old database."""
        index = self.build.index
        return max((*index.documents.values(), *index.batches.values()), default=0) > self._seen

    @property
    def _seen(self) -> int:
        """The cursor of the old database on the log."""
        cursor = self.compared.cursor
        return cursor[1] if cursor and self.extent and cursor[0] == self.extent.created else 0

    @property
    def _lacks_rows(self) -> bool:
        # Rows with an event before the cursor of the old database, which nevertheless lacks them.
        index, seen = self.build.index, self._seen
        # Earlier versions stored no rejected submissions.
        never_stored = index.rejected - index.submitted
        events = index.documents
        # Nor do their databases have the history of what was before the upgrade.
        compared = [one for one in self.compared.tables if one.table in ("documents", "usage")]
        keys = (key for one in compared for key in one.new)
        return any(
            events.get((str(key[0]), str(key[1])), 0) <= seen
            for key in keys
            if (str(key[0]), str(key[1])) not in never_stored
        )


async def rebuild(
    settings: Settings, *, check: bool, accept_gap: bool, snapshot: str | None = None
) -> RebuildReport:
    """Make a new database beside the old one, prove it, and replace the old one.

    ``check`` changes nothing. ``accept_gap`` continues where events between snapshot and log are
    missing, or where the old database has rows that neither of them has. ``snapshot`` names the one
    to start from, or is ``none``; the default is the fullest one that is sound.

    :raises AlreadyInUse, ReaderInUse: the service runs. :raises Gap, NoSuchSnapshot: see there.
    :raises NewerDatabase: the database or the snapshot is of a newer ilios.
    :raises BusDidNotStart, BusUnavailable: the log cannot be read.
    :raises DatabaseUnavailable, OSError: the new file cannot be written.
    """
    data_dir, database = settings.data_dir, settings.database_path
    new, control = rebuilt_file(database), database.with_name(database.name + ".control")
    with (
        exclusive_lock(data_dir / "lock", f"the data directory {data_dir}"),
        exclusive_lock(lock_file(database), f"the database {database}"),
    ):
        async with _connect_bus(settings) as connection:
            try:
                report = await _build_and_prove(
                    settings, connection, new, control, accept_gap=accept_gap, snapshot=snapshot
                )
                return _replace_if_needed(report, new, check=check, accept_gap=accept_gap)
            finally:
                _remove_database(_copy_path(database))
                _remove_database(control)
                # Without a database, an unfinished new one prevents that the service starts with an
                # empty one.
                if _exists(database):
                    _remove_database(new)


async def _build_and_prove(
    settings: Settings,
    connection: Connection,
    new: Path,
    control: Path,
    *,
    accept_gap: bool,
    snapshot: str | None,
) -> RebuildReport:
    database, copy = settings.database_path, _copy_path(settings.database_path)
    extent = await reader.fetch_extent(connection)
    wal_damage = await asyncio.to_thread(_find_wal_damage, database)
    had_old, unreadable = await asyncio.to_thread(_copy_if_present, database, copy)
    old = copy if had_old and unreadable is None else None
    if old is not None:
        ensure_not_newer(old, "the database")
    base, skipped = _choose_snapshot(settings.snapshots_dir, snapshot)
    gap = _find_gap(base, extent) or await _find_holes(connection, base)
    if gap and not accept_gap:
        raise Gap(gap + _alternatives(settings.snapshots_dir, base, extent))
    for path in (new, control):
        _remove_database(path)
    built = await build(new, control, base, connection, extent, settings.pricing)
    faults = await asyncio.to_thread(find_faults, new, control, extent)
    found = await asyncio.to_thread(check_against_log, new, built.index, base)
    compared = await asyncio.to_thread(compare, new, old)
    compared = structs.replace(compared, fault=unreadable or compared.fault)
    excused = [one for one in found if await _has_dead_letter(connection, one.name)]
    unexplained = compare_with_old(compared, built.index, extent.created if extent else None)
    return RebuildReport(
        database=database,
        snapshot=base,
        skipped=tuple(skipped),
        extent=extent,
        gap=gap,
        build=built,
        faults=tuple(faults),
        compared=compared,
        wal_damage=wal_damage,
        disagreements=tuple(one for one in found if one not in excused),
        excused=tuple(excused),
        unexplained=tuple(unexplained),
        had_old=had_old,
    )


def _replace_if_needed(
    report: RebuildReport, new: Path, *, check: bool, accept_gap: bool
) -> RebuildReport:
    refused = not report.is_proven or (report.would_lose_data and not accept_gap)
    if check or refused or report.is_sound:
        return report
    old = replace_database(new, report.database, datetime.now(UTC))
    return structs.replace(report, replaced=True, old=old)


async def _has_dead_letter(connection: Connection, name: Ref) -> bool:
    """Whether the persister could not apply an event of a document or batch."""
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
    """Choose the snapshot to start from; returns also the fuller ones that are unusable, and why.

    :raises NoSuchSnapshot: the requested one is unusable.
    :raises NewerDatabase: it is of a newer ilios.
    """
    if wanted == "none":
        return None, []
    found = snapshots.list_snapshots(directory)
    if wanted is not None:
        chosen = [path for path in found if path.name == Path(wanted).name]
        fault = snapshots.find_fault(chosen[0]) if chosen else "there is none of this name"
        if fault:
            raise NoSuchSnapshot(f"the snapshot {wanted} cannot be used: {fault}")
        ensure_not_newer(chosen[0], f"the snapshot {wanted}")
        return chosen[0], []
    skipped: list[tuple[Path, str]] = []
    for path in found:
        fault = snapshots.find_fault(path)
        if fault is None:
            ensure_not_newer(path, f"the snapshot {path.name}")
            return path, skipped
        skipped.append((path, fault))
    return None, skipped


def _alternatives(directory: Path, base: Path | None, extent: LogExtent | None) -> str:
    """Name the snapshots with less in them than ``base``, but without a gap to the log."""
    names = [
        path.name
        for path in snapshots.list_snapshots(directory)
        if path != base and not snapshots.find_fault(path) and not _find_gap(path, extent)
    ]
    return f" (of this log, if less: --snapshot {' or '.join(names)})" if names else ""


def _find_gap(base: Path | None, extent: LogExtent | None) -> str | None:
    """Describe the events that are neither in the snapshot nor on the log."""
    cursor = snapshots.read_cursor(base, NAME) if base else None
    since = f"since the snapshot {base.name}" if base else "from the beginning, without a snapshot"
    if extent is None:
        return f"there is no log: all events {since} are missing"
    if cursor is not None and cursor.created != extent.created:
        return f"the log was created on {extent.created}: earlier events {since} are missing"
    applied = cursor.sequence if cursor else 0
    if extent.first > applied + 1:
        return (
            f"the log begins with event {extent.first}: events {applied + 1} to "
            f"{extent.first - 1}, {since}, are missing"
        )
    if applied > extent.last:
        return (
            f"the log ends with event {extent.last}, the snapshot with {applied}: it is another log"
        )
    return None


async def _find_holes(connection: Connection, base: Path | None) -> str | None:
    """Describe the events after the snapshot that a damaged disk has made unreadable."""
    state = await log_state.fetch(connection)
    if state is None:
        return None
    cursor = snapshots.read_cursor(base, NAME) if base else None
    applied = cursor.sequence if cursor and cursor.created == state.created else 0
    found = await log_state.unreadable_ranges(connection, state, after=applied, pause=0.0)
    if not found:
        return None
    named = ", ".join(f"{first} to {last}" for first, last in found[:MAX_SHOWN])
    more = f" and {len(found) - MAX_SHOWN} more ranges" if len(found) > MAX_SHOWN else ""
    return f"events {named}{more} cannot be read from the log: their changes are missing"


@asynccontextmanager
async def _connect_bus(settings: Settings) -> AsyncIterator[Connection]:
    """Connect to the configured bus, or start the embedded one; creates nothing on it."""
    if settings.external_bus is not None:
        async with connect(settings.external_bus, name="rebuild") as connection:
            await connection.check()
            # No lock shows whether the service runs on another machine.
            await Reader(connection, NAME, "", ()).ensure_only_reader()
            yield connection
        return
    async with offline_connection(settings) as connection:
        yield connection


def _exists(database: Path) -> bool:
    """Whether a path exists, also as a dangling link."""
    return os.path.lexists(database)


def _remove_database(database: Path) -> None:
    """Remove a database and the files of SQLite beside it."""
    for suffix in _SUFFIXES:
        sidecar(database, suffix).unlink(missing_ok=True)


def _copy_if_present(database: Path, copy: Path) -> tuple[bool, str | None]:
    """Copy a database, damaged or not, so that reading it changes nothing.

    Returns whether there is one, and why it could not be copied; then there is no copy.
    """
    try:
        present = _exists(database) and (not database.is_file() or database.stat().st_size > 0)
        if present:
            _copy_raw(database, copy)
    except OSError as error:
        _remove_database(copy)
        return True, f"{error.filename} cannot be read: {error.strerror}"
    if present and not copy.exists():
        return True, f"{database} is a link to {os.readlink(database)}, which does not exist"
    return present, None


def _copy_raw(database: Path, target: Path) -> None:
    """Copy a database and its write-ahead log.

    Not the shared index: SQLite would make a new one in its place.
    """
    _remove_database(target)
    for suffix in ("", "-wal"):
        if sidecar(database, suffix).exists():
            shutil.copyfile(sidecar(database, suffix), sidecar(target, suffix))
            os.chmod(sidecar(target, suffix), 0o600)


def replace_database(new: Path, database: Path, now: datetime) -> Path | None:
    """Rename ``new`` to ``database``; returns the new name of the old one, if there was one.

    A crash in between leaves no ``database``, and ``new`` shows why. The old write-ahead log is
    renamed first: SQLite would write its pages into the new file.
    """
    aside = database.with_name(f"{database.name}.damaged-{now:%Y%m%dT%H%M%SZ}")
    moved = False
    for suffix in _SUFFIXES:
        if sidecar(database, suffix).exists():
            os.rename(sidecar(database, suffix), sidecar(aside, suffix))
            moved = True
    snapshots.fsync_directory(database.parent)
    failpoints.reach("swapping.aside")
    os.rename(new, database)
    snapshots.fsync_directory(database.parent)
    return aside if moved else None
