"""Snapshots of the database: made while it is written to, checked, and few at a time.

A snapshot and the later events of the log are enough to rebuild the database. Snapshots are ordered
and removed by their content, since their names carry the wall clock, which may have been wrong.
"""

import asyncio
import os
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog
from msgspec import Struct

from actors.writes import Cursor
from bus import failpoints
from ilios.database import statements
from ilios.database.connection import read_only_uri
from ilios.database.encryption import attach, open_sqlite
from ilios.database.sqlite import READ_ERRORS, DamageMonitor
from schemas.states import ARCHIVABLE_STATES, UNFINISHED_STATES

KEEP_COUNT = 2
"""Snapshots of one database; the second one is for the case that the first is damaged. A snapshot
is removed only if so many others contain all of it."""
FREE_SPACE_FACTOR = 2
"""Free space for a snapshot, as a multiple of its size; the log needs space as well."""

_NAME = "ilios-%Y%m%dT%H%M%SZ.db"
_PATTERN = re.compile(r"ilios-\d{8}T\d{6}Z\.db")
_UNFINISHED = ".new"
_COPY = "VACUUM INTO :copy"
_QUICK_CHECK = "PRAGMA quick_check(1)"
_VERSION = "PRAGMA user_version"

_UNKNOWN_RUNNING_TIME = -1  # milliseconds of running
_COUNT_DOCUMENTS = "SELECT count(*) FROM documents"
_COUNT_BILLS = "SELECT count(*) FROM usage"
_CURSORS = "SELECT stream, created, sequence FROM cursors ORDER BY sequence DESC"
_RAN = "SELECT ran FROM running"
_COLUMNS = "SELECT name FROM pragma_table_info(:table)"
_OTHER_COLUMNS = "SELECT name FROM pragma_table_info(:table, 'other')"

# The progress of a document. Only a requeue, which is counted, reverts it.
_STAGES = (
    dict.fromkeys(UNFINISHED_STATES, 0) | dict.fromkeys(ARCHIVABLE_STATES, 1) | {"archived": 2}
)
_CASES = " ".join(f"WHEN '{state}' THEN {stage}" for state, stage in _STAGES.items())
_STAGE = f"CASE {{0}}.state {_CASES} ELSE 3 END"
_MORE_DOCUMENTS = """
SELECT EXISTS (
    SELECT 1 FROM other.documents AS o
    LEFT JOIN main.documents AS n ON n.tenant = o.tenant AND n.id = o.id
    WHERE n.id IS NULL OR (({requeues_n}, {stage_n}) < ({requeues_o}, {stage_o}))
)
"""
_MORE_BILLS = """
SELECT EXISTS (
    SELECT 1 FROM other.usage AS o
    LEFT JOIN main.usage AS n
        ON n.tenant = o.tenant AND n.document_id = o.document_id AND n.operation = o.operation
    WHERE n.document_id IS NULL
)
"""
_MORE_BATCHES = """
SELECT EXISTS (
    SELECT 1 FROM other.batches AS o
    LEFT JOIN main.batches AS n ON n.tenant = o.tenant AND n.id = o.id
    WHERE n.id IS NULL OR (o.completed_at IS NOT NULL AND n.completed_at IS NULL)
)
"""

log = structlog.get_logger("snapshots")


class NotEnoughSpace(Exception):
    """A snapshot would use space that the service needs; none was made."""


class SnapshotDamaged(Exception):
    """A new snapshot cannot be read back: the volume is faulty. It was removed."""


class SnapshotContent(Struct, frozen=True, order=True):
    """The extent of a snapshot. Rows are never deleted, so more rows are more content.

    Of two with the same rows, the later one has the longer running time. Snapshots of earlier
    versions have none, and come first. ``sequence`` is the position of the cursor.
    """

    documents: int
    bills: int
    running_time: timedelta
    sequence: int


def created_at(snapshot: Path) -> datetime:
    """Return when a snapshot was made, by the wall clock in its name."""
    return datetime.strptime(snapshot.name, _NAME).replace(tzinfo=UTC)


def list_snapshots(directory: Path) -> list[Path]:
    """Return the snapshots, the fullest first, unreadable ones last.

    All of them are read, which takes time if they are large.
    """
    if not directory.is_dir():
        return []
    found = [path for path in directory.iterdir() if _PATTERN.fullmatch(path.name)]
    return [path for path, _ in sorted(_with_content(found), key=_sort_key, reverse=True)]


def find_latest(
    directory: Path, cursor: Cursor, running_time: timedelta
) -> tuple[Path, SnapshotContent] | None:
    """Return the last snapshot that a database with this cursor and running time can have."""
    found = []
    for path in list_snapshots(directory):
        content = read_content(path)
        # A longer running time, or a later cursor, is of a database that was lost.
        if (
            content is not None
            and content.running_time <= running_time
            and content.sequence <= cursor.sequence
        ):
            found.append((content.running_time, content.sequence, path, content))
    return max(found)[2:] if found else None


def _with_content(paths: list[Path]) -> list[tuple[Path, SnapshotContent | None]]:
    return [(path, read_content(path)) for path in paths]


def _sort_key(one: tuple[Path, SnapshotContent | None]) -> tuple[bool, SnapshotContent, str]:
    path, found = one
    return found is not None, found or SnapshotContent(0, 0, timedelta(), 0), path.name


async def create(database: Path, directory: Path, damage: DamageMonitor, now: datetime) -> Path:
    """Make a snapshot, and remove superseded ones.

    The copy is one read transaction on a separate connection, which does not block the writer. It
    delays checkpoints, so the write-ahead log grows meanwhile.

    :raises NotEnoughSpace, SnapshotDamaged: see there.
    :raises sqlite3.Error, OSError: it cannot be read or written; the snapshot is removed.
    """
    open_connections: list[sqlite3.Connection] = []
    try:
        return await asyncio.to_thread(_create, database, directory, damage, now, open_connections)
    except asyncio.CancelledError:
        for connection in open_connections:
            with suppress(sqlite3.ProgrammingError):  # it was closed just now
                # Else the copy of a large database would delay the stop of the service.
                connection.interrupt()
        raise


def _create(
    database: Path,
    directory: Path,
    damage: DamageMonitor,
    now: datetime,
    open_connections: list[sqlite3.Connection],
) -> Path:
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    for left in directory.glob(f"ilios-*{_UNFINISHED}"):
        left.unlink()  # by a killed process
    size, free = database.stat().st_size, shutil.disk_usage(directory).free
    if free < FREE_SPACE_FACTOR * size:
        raise NotEnoughSpace(
            f"{free // 1024**2} MB are free, {FREE_SPACE_FACTOR * size // 1024**2 + 1} are needed"
        )
    snapshot = _unused_path(directory, now.astimezone(UTC))
    unfinished = snapshot.with_name(snapshot.name + _UNFINISHED)
    try:
        _copy(database, unfinished, damage, open_connections)
        if (fault := find_fault(unfinished)) is not None:
            raise SnapshotDamaged(f"{unfinished} cannot be read back: {fault}")
        failpoints.reach("snapshots.written")
        os.rename(unfinished, snapshot)
        fsync_directory(directory)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    _prune(snapshot, open_connections)
    return snapshot


def _unused_path(directory: Path, now: datetime) -> Path:
    """Return an unused name: a clock that was set back gives the same time twice."""
    while (path := directory / now.strftime(_NAME)).exists():
        now += timedelta(seconds=1)
    return path


def _prune(new: Path, open_connections: list[sqlite3.Connection]) -> None:
    """Remove each snapshot that ``KEEP_COUNT`` remaining ones, ``new`` first, contain."""
    remaining, unmatched = [new], []
    for path in list_snapshots(new.parent):
        if path == new:
            continue
        superseding = 0
        for other in remaining:
            contains = contains_all_of(other, path, open_connections)
            if other == new and not contains:
                unmatched.append(path.name)
            superseding += contains
            if superseding == KEEP_COUNT:
                path.unlink()
                break
        else:
            remaining.append(path)
    if unmatched := [name for name in unmatched if (new.parent / name).exists()]:
        log.warning(
            "snapshots with content that the database lacks; move them away if it is not needed, "
            "or rebuild the database from one (ilios rebuild --snapshot NAME)",
            files=unmatched,
        )


def _copy(
    database: Path,
    unfinished: Path,
    damage: DamageMonitor,
    open_connections: list[sqlite3.Connection],
) -> None:
    # Created here, since SQLite would use the umask.
    descriptor = os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        damage.raise_if_damaged()
        with closing(open_sqlite(read_only_uri(database))) as source:
            open_connections.append(source)
            try:
                # Not the backup API: this reads all rows, and rebuilds the indexes.
                source.execute(_COPY, {"copy": str(unfinished)})
            except sqlite3.Error as error:
                damage.check_error(error)
                raise
            finally:
                open_connections.remove(source)  # a closed one must not be interrupted
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_content(snapshot: Path) -> SnapshotContent | None:
    """Return the extent of a snapshot; None if it cannot be read."""
    try:
        with open_snapshot(snapshot) as connection:
            ((documents,),) = connection.execute(_COUNT_DOCUMENTS).fetchall()
            ((bills,),) = connection.execute(_COUNT_BILLS).fetchall()
            ran = _UNKNOWN_RUNNING_TIME
            with suppress(sqlite3.OperationalError):  # of an earlier version
                ran = max((row[0] for row in connection.execute(_RAN)), default=0)
            cursor = next(iter(connection.execute(_CURSORS)), None)
            sequence = Cursor(*cursor).sequence if cursor else 0
            return SnapshotContent(documents, bills, timedelta(milliseconds=ran), sequence)
    except (sqlite3.Error, OverflowError, TypeError, ValueError):
        return None


def contains_all_of(
    one: Path, other: Path, open_connections: list[sqlite3.Connection] | None = None
) -> bool:
    """Whether ``one`` has every document, bill and batch of ``other``, at least as far along.

    False if either cannot be read. ``open_connections`` holds the connection during the query, so
    that it can be interrupted.
    """
    open_connections = [] if open_connections is None else open_connections
    try:
        with open_snapshot(one) as connection:
            open_connections.append(connection)
            try:
                attach(connection, immutable_uri(other), "other")
                return not any(
                    connection.execute(statement).fetchone()[0]
                    for statement in _comparison_queries(connection)
                )
            finally:
                open_connections.remove(connection)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
            raise
        return False
    except READ_ERRORS:
        return False


def _comparison_queries(connection: sqlite3.Connection) -> Iterator[str]:
    """Yield queries whether ``other`` has more content; it may be of an earlier version."""
    requeues = [
        f"{alias}.requeues"
        if "requeues" in _column_names(connection, question, "documents")
        else "0"
        for alias, question in (("n", _COLUMNS), ("o", _OTHER_COLUMNS))
    ]
    yield _MORE_DOCUMENTS.format(
        stage_n=_STAGE.format("n"),
        stage_o=_STAGE.format("o"),
        requeues_n=requeues[0],
        requeues_o=requeues[1],
    )
    yield _MORE_BILLS
    if _column_names(connection, _OTHER_COLUMNS, "batches"):
        yield _MORE_BATCHES


def _column_names(connection: sqlite3.Connection, question: str, table: str) -> set[str]:
    return {name for (name,) in connection.execute(question, {"table": table})}


@contextmanager
def open_snapshot(snapshot: Path) -> Iterator[sqlite3.Connection]:
    """Open a snapshot, which is never written to."""
    with closing(open_sqlite(immutable_uri(snapshot))) as connection:
        yield connection


def immutable_uri(path: Path) -> str:
    """Return the URI by which SQLite ignores a write-ahead log, and creates no files."""
    return f"{path.absolute().as_uri()}?mode=ro&immutable=1"


def find_fault(snapshot: Path) -> str | None:
    """Return the damage of a snapshot, or None."""
    try:
        with open_snapshot(snapshot) as connection:
            ((answer,),) = connection.execute(_QUICK_CHECK).fetchall()
            if answer == "ok" and not connection.execute(_VERSION).fetchone()[0]:
                answer = "it is empty"
    except READ_ERRORS as error:
        return str(error)
    return None if answer == "ok" else str(answer)


def read_cursor(snapshot: Path, reader: str) -> Cursor | None:
    """Return the cursor of ``reader`` in a snapshot.

    :raises sqlite3.Error: it cannot be read.
    """
    with open_snapshot(snapshot) as connection:
        found = connection.execute(statements.GET_CURSOR, {"reader": reader}).fetchone()
    return Cursor(*found) if found else None


def copy_snapshot(snapshot: Path, target: Path) -> None:
    """Copy a snapshot durably, with mode 0600, to be written to."""
    descriptor = os.open(target, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as copy, snapshot.open("rb") as source:
        shutil.copyfileobj(source, copy, 1024 * 1024)
        copy.flush()
        os.fsync(copy.fileno())


def fsync_directory(directory: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
