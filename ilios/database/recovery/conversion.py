"""Rewriting databases under another key: each file at once, so that a kill leaves it old or new."""

import hashlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from msgspec import Struct

from bus import failpoints
from ilios.database import sqlcipher
from ilios.database.encryption import is_plain
from ilios.database.recovery import wal
from ilios.database.recovery.snapshots import fsync_directory
from ilios.database.sqlite import READ_ERRORS, DatabaseDamaged

_UNFINISHED = ".rekeyed"
_LEFT_BY_REBUILD = (".compared", ".control", ".rebuilt")  # copies beside a database that is there
_SIDECARS = ("", "-wal", "-shm", "-journal")

_FIRST_PAGE = "SELECT count(*) FROM sqlite_master"
_CHECK = "PRAGMA integrity_check(1)"
_ATTACH = "ATTACH :file AS rewritten KEY \"x'{key}'\""
_EXPORT = "SELECT sqlcipher_export('rewritten')"
_NUMBERS = ("user_version", "application_id")
_SCHEMA = "SELECT type, name, sql FROM {name}.sqlite_master ORDER BY type, name"
_TABLES = "SELECT name FROM main.sqlite_master WHERE type = 'table'"


class Outcome(Struct, frozen=True):
    """A file and whether it was rewritten; ``fault``: why it could not be."""

    path: Path
    rewritten: bool
    fault: str | None = None


def rewrite_all(
    database: Path, snapshots: Path, old_key: str | None, new_key: str
) -> Iterator[Outcome]:
    """Rewrite a database, its snapshots and what was set aside; the caller holds the locks.

    What has the new key already is left as it is, so that this can be repeated after a kill.
    ``old_key`` is None for files that are not encrypted.
    """
    _remove_leftovers(database, snapshots)
    aside = sorted(database.parent.glob(f"{database.name}.damaged-*"))
    found = [path for path in aside if not path.name.endswith(_SIDECARS[1:])]
    # The database comes last: until then the service starts with the old key.
    for path in (*sorted(snapshots.glob("ilios-*.db")), *found, database):
        if path.is_file() and path.stat().st_size:
            yield _rewrite_if_needed(path, old_key, new_key)


def find_plain(database: Path, snapshots: Path) -> list[Path]:
    """Return the files beside a database and its snapshots that are not encrypted."""
    beside = sorted(database.parent.glob(f"{database.name}*"))
    return [path for path in (*beside, *sorted(snapshots.glob("ilios-*"))) if is_plain(path)]


def _remove_leftovers(database: Path, snapshots: Path) -> None:
    """Remove copies that a killed process has left."""
    unfinished = [*snapshots.glob(f"*{_UNFINISHED}"), *snapshots.glob("ilios-*.db.new")]
    unfinished += database.parent.glob(f"{database.name}*{_UNFINISHED}")
    if database.exists():
        unfinished += [database.with_name(database.name + suffix) for suffix in _LEFT_BY_REBUILD]
    for path in unfinished:
        for suffix in _SIDECARS:
            wal.sidecar(path, suffix).unlink(missing_ok=True)


def _rewrite_if_needed(path: Path, old_key: str | None, new_key: str) -> Outcome:
    if opens_with(path, new_key):
        return Outcome(path, rewritten=False)
    if not opens_with(path, old_key):
        plain = "it is not encrypted; run `ilios database encrypt` first"
        fault = plain if is_plain(path) else "it has another key, or is damaged"
        return Outcome(path, rewritten=False, fault=fault)
    try:
        rewrite(path, old_key, new_key)
    except (*READ_ERRORS, OSError) as error:
        return Outcome(path, rewritten=False, fault=str(error))
    return Outcome(path, rewritten=True)


def opens_with(path: Path, key: str | None) -> bool:
    """Whether the first page of a file can be read with a key, or is plain without one."""
    if is_plain(path):
        return key is None
    if key is None:
        return False
    uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
    try:
        with closing(sqlcipher.connect(uri, key)) as connection:
            connection.execute(_FIRST_PAGE).fetchone()
    except sqlite3.DatabaseError:
        return False
    return True


def rewrite(path: Path, old_key: str | None, new_key: str) -> None:
    """Replace a database by an equal one under another key.

    :raises sqlite3.DatabaseError, OSError: it cannot be; it is as it was.
    """
    if fault := wal.find_damage(path):
        raise DatabaseDamaged(fault)
    fresh = path.with_name(path.name + _UNFINISHED)
    # Created here, since SQLite would use the umask.
    descriptor = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with closing(sqlcipher.connect(path, old_key)) as connection:
            _copy(connection, fresh, new_key)
            _ensure_equal(connection)
        os.fsync(descriptor)
        # The last connection has emptied and removed its write-ahead log. Where it could not, the
        # log belongs to the old file, and would be taken for that of the new one.
        if wal.has_leftover(path):
            raise DatabaseDamaged("its write-ahead log cannot be emptied: another program has it")
        failpoints.reach("rekeying.written")
        os.rename(fresh, path)
        fsync_directory(path.parent)
        failpoints.reach("rekeying.replaced")
    except BaseException:
        for suffix in _SIDECARS:
            wal.sidecar(fresh, suffix).unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)


def _copy(connection: sqlite3.Connection, fresh: Path, key: str) -> None:
    ((answer,),) = connection.execute(_CHECK).fetchall()
    if answer != "ok":
        raise DatabaseDamaged(str(answer))
    connection.execute(_ATTACH.format(key=key), {"file": str(fresh)})
    connection.execute(_EXPORT)
    for name in _NUMBERS:  # which the export leaves out
        ((number,),) = connection.execute(f"PRAGMA main.{name}").fetchall()
        connection.execute(f"PRAGMA rewritten.{name} = {number}")


def _ensure_equal(connection: sqlite3.Connection) -> None:
    """Compare the copy, as it can be read back, with the original."""
    ((answer,),) = connection.execute("PRAGMA rewritten.integrity_check(1)").fetchall()
    schemas = [
        connection.execute(_SCHEMA.format(name=name)).fetchall() for name in ("main", "rewritten")
    ]
    if answer != "ok" or schemas[0] != schemas[1]:
        raise DatabaseDamaged("its copy cannot be read back: the volume is faulty")
    for (table,) in connection.execute(_TABLES).fetchall():
        digests = [_digest(connection, name, table) for name in ("main", "rewritten")]
        if digests[0] != digests[1]:
            raise DatabaseDamaged(f"its copy has other rows of {table}: the volume is faulty")


def _digest(connection: sqlite3.Connection, name: str, table: str) -> bytes:
    digest = hashlib.sha256()
    for row in connection.execute(f'SELECT * FROM {name}."{table}"'):  # noqa: S608  # both are ours
        digest.update(repr(row).encode("utf-8", "surrogatepass"))
    return digest.digest()
