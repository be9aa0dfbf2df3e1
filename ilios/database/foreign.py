"""Recognition of files that are not a database of ilios, without changing a byte of them."""

import shutil
import sqlite3
import tempfile
from pathlib import Path

from ilios.database.encryption import HEADER, has_key, open_sqlite
from ilios.database.recovery import wal

OWN_TABLE = "cursors"  # which every version of the schema has
ORIGINAL_TABLES = {"documents", "usage"}  # of the service that ilios replaces
MAX_NAMED = 5  # tables named in a message

_HEADER_BYTES = 100
_SCHEMA_BYTES = 1024 * 1024  # from the beginning of a file: its schema is there
_USER_VERSION, _APPLICATION_ID = slice(60, 64), slice(68, 72)  # sqlite.org/fileformat2.html
_TABLES = (
    "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite!_%' ESCAPE '!'"
)


class ForeignDatabase(Exception):
    """The file belongs to another program; the message names the setting to change."""


def refuse_foreign(path: Path, remedy: str) -> None:
    """Refuse a file that is not a database of ilios; nothing is written.

    A database of ours that is damaged passes: it is found and refused when it is opened.

    :param remedy: the advice that the message ends with.
    :raises ForeignDatabase: the file is none.
    """
    if not path.is_file() or (path.stat().st_size == 0 and not wal.has_leftover(path)):
        return
    with path.open("rb") as file:
        header = file.read(len(HEADER))
    if header and header != HEADER and not has_key():
        if _has_writer(path):
            return
        raise ForeignDatabase(f"{path} is no SQLite database; it was not changed. {remedy}")
    try:
        tables = _tables(path)
    except sqlite3.OperationalError:
        return  # refused when it is opened, with the reason
    except sqlite3.DatabaseError as error:
        if _is_damaged_own(path):
            return
        raise ForeignDatabase(
            f"{path} is damaged ({error}), and nothing shows that it is a database of ilios; it "
            f"was not changed. {remedy}"
        ) from None
    if OWN_TABLE in tables or (not tables and not _is_marked(path)):
        return
    if not tables:
        raise ForeignDatabase(
            f"{path} is a database of another program, without tables; it was not changed. {remedy}"
        )
    named = ", ".join(sorted(tables)[:MAX_NAMED]) + (", ..." if len(tables) > MAX_NAMED else "")
    owner = (
        " (the service that ilios replaces; `ilios import-original` takes over its documents)"
        if tables >= ORIGINAL_TABLES
        else ""
    )
    raise ForeignDatabase(
        f"{path} is a database of another program{owner}, with the tables {named}; it was not "
        f"changed. {remedy}"
    )


def _has_writer(path: Path) -> bool:
    """Whether a writer of ours has left its lock file: then the database is ours."""
    return path.with_name(path.name + ".lock").exists()


def _is_damaged_own(path: Path) -> bool:
    """Whether a damaged file is ours, by a lock file or by the statement that made a table."""
    with path.open("rb") as file:
        return _has_writer(path) or b"CREATE TABLE " + OWN_TABLE.encode() in file.read(
            _SCHEMA_BYTES
        )


def _is_marked(path: Path) -> bool:
    """Whether a database without tables has the numbers of a program: ours come with its tables."""
    if has_key():  # which opened it: it is ours
        return False
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    return any(header[_USER_VERSION]) or any(header[_APPLICATION_ID])


def _tables(path: Path) -> set[str]:
    """Return the tables of a database, those in its write-ahead log included."""
    # Immutable: without locks, -shm or recovery of the -wal file, which would change something.
    found = _read_tables(f"{path.absolute().as_uri()}?mode=ro&immutable=1")
    if found or not wal.has_leftover(path):
        return found
    # All tables are in the log still, so both files are small: look at a copy.
    with tempfile.TemporaryDirectory(prefix="ilios-") as directory:
        copy = Path(directory) / "copy.db"
        shutil.copyfile(path, copy)
        shutil.copyfile(wal.sidecar(path, "-wal"), wal.sidecar(copy, "-wal"))
        return _read_tables(str(copy))


def _read_tables(database: str) -> set[str]:
    connection = open_sqlite(database)
    try:
        return {str(name) for (name,) in connection.execute(_TABLES)}
    finally:
        connection.close()
