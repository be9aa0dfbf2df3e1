"""Comparing a new database with the old one, row by row; the old one may be damaged."""

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from actors.persister import NAME
from ilios.database import migrations
from ilios.database.connection import read_only_uri
from ilios.database.encryption import open_sqlite
from ilios.database.recovery.replay import LogIndex
from ilios.database.sqlite import READ_ERRORS

PRIMARY_KEYS = {
    "documents": ("tenant", "id"),
    "usage": ("tenant", "document_id", "operation"),
    "batches": ("tenant", "id"),
    "history": ("tenant", "document_id", "requeues", "event"),
}
"""The tables that are compared, and their primary keys. Cursors and sweeps are bookkeeping."""

IGNORED_COLUMNS = {"erased_at", "engine_wanted", "model_wanted"}
"""Bookkeeping of the janitor, and columns whose content is in ``options``."""

_ERASED = "iif(removed_at IS NULL, {name}, NULL)"
_COMPARED_AS = {
    # The janitor clears the keys of blobs that it has erased.
    **{name: _ERASED.format(name=name) for name in ("original_key", "markdown_key", "result_key")},
    # Each decoding of an invalid event writes its reason, and versions differ in the text.
    "reason": "iif(code IS 'invalid_event', NULL, reason)",
}
_PRICE = ("unit_micros", "base_micros", "margin_percent", "total_micros")
_VERSION = "PRAGMA user_version"
_CHECK = "PRAGMA integrity_check(1)"
_TABLES = "SELECT name FROM sqlite_schema WHERE type = 'table'"
_COLUMNS = "SELECT name FROM pragma_table_info(?)"
_LAST_SWEEP = "SELECT at FROM sweeps WHERE name = 'last'"
_SET_LAST_SWEEP = "INSERT OR REPLACE INTO sweeps (name, at) VALUES ('last', ?)"
_RAN = "SELECT ran FROM running"
_CLOCK = "SELECT ran, believed_ran, seen_at, seen_ran, held_since, held_ahead FROM running"
_SET_CLOCK = (
    "INSERT OR REPLACE INTO running "
    "(one, ran, believed_ran, seen_at, seen_ran, held_since, held_ahead) "
    "VALUES (1, ?, ?, ?, ?, ?, ?)"
)
_CURSOR = "SELECT created, sequence FROM cursors WHERE reader = :reader"
Key = tuple[str | int, ...]


class UnexplainedDiff(Struct, frozen=True):
    """Differences of a table that no event after the cursor of the old database explains.

    ``changed`` rows differ, and the new ones come from a snapshot alone. ``overruled`` rows differ,
    but the old file is damaged and the new ones come from the log. ``gone`` rows are neither in a
    snapshot nor on the log.
    """

    table: str
    changed: tuple[Key, ...]
    overruled: tuple[Key, ...]
    gone: tuple[Key, ...]


class TableDiff(Struct, frozen=True, kw_only=True):
    """Differences between a table of the new database and that of the old one.

    ``rows`` and ``digest`` describe the new table, ``old_rows`` and ``old_digest`` the old one if
    all of it can be read. ``new`` rows are missing in the old table, ``gone`` rows in the new one.
    ``unreadable`` counts rows of the new table that cannot be looked up in the old one.
    """

    table: str
    rows: int
    digest: str
    old_rows: int | None
    old_digest: str | None
    changed: tuple[Key, ...] = ()
    new: tuple[Key, ...] = ()
    gone: tuple[Key, ...] = ()
    unreadable: int = 0

    @property
    def identical(self) -> bool:
        """Whether the two tables are equal."""
        return self.digest == self.old_digest


class Comparison(Struct, frozen=True, kw_only=True):
    """The old database, as far as it can be read, compared with the new one.

    ``fault`` is the damage of its file; ``cursor`` is the log its reader was on, and how far.
    """

    fault: str | None
    cursor: tuple[str, int] | None
    tables: tuple[TableDiff, ...]
    prices_copied: int = 0


def compare(new: Path, old: Path | None) -> Comparison:
    """Compare all tables. ``old`` may be missing; it is only read.

    Prices of the old database that add up are copied to the new one, which has today's prices.
    """
    with closing(open_sqlite(new)) as ours:
        if old is None:
            diffs = tuple(_without_old(ours, table) for table in PRIMARY_KEYS)
            return Comparison(fault=None, cursor=None, tables=diffs)
        with closing(open_sqlite(read_only_uri(old))) as theirs:
            fault = find_fault(theirs)
            cursor = read_cursor(theirs, NAME)
            copied = _copy_prices(ours, theirs)
            _copy_clock(ours, theirs)
            tables = tuple(
                _compare(ours, theirs, table) for table in PRIMARY_KEYS if not _lacks(theirs, table)
            )
    return Comparison(fault=fault, cursor=cursor, tables=tables, prices_copied=copied)


def compare_with_old(
    compared: Comparison, index: LogIndex, created: str | None
) -> list[UnexplainedDiff]:
    """Return the differences that no event after the cursor of the old database explains.

    ``created`` identifies the log.
    """
    seen = compared.cursor[1] if compared.cursor and compared.cursor[0] == created else 0
    found = []
    for table in compared.tables:
        changed: list[Key] = []
        overruled: list[Key] = []
        for key in table.changed:
            sequence = _last_sequence(table.table, key, index)
            if sequence > seen:
                continue
            from_log = sequence > 0 and compared.fault is not None
            (overruled if from_log else changed).append(key)
        one = UnexplainedDiff(table.table, tuple(changed), tuple(overruled), table.gone)
        if one.changed or one.overruled or one.gone:
            found.append(one)
    return found


def _last_sequence(table: str, key: Key, index: LogIndex) -> int:
    """Return the sequence of the last event about a row; 0 if there is none on the log."""
    events = index.batches if table == "batches" else index.documents
    return events.get((str(key[0]), str(key[1])), 0)


def ensure_not_newer(old: Path, what: str) -> None:
    """Refuse a database, possibly a damaged one, of a newer ilios.

    ``what`` names it in the message.

    :raises NewerDatabase: it is newer.
    """
    with closing(open_sqlite(read_only_uri(old))) as theirs:
        version, program = 0, None
        with suppress(*READ_ERRORS):
            ((version,),) = theirs.execute(migrations.VERSION).fetchall()
            for (found,) in theirs.execute(migrations.PROGRAM, (version,)):
                program = str(found)
        ahead = version > migrations.scripts()[-1][0]
        # In a damaged file the number may be anything; newer versions also record their program.
        if ahead and (program or find_fault(theirs) is None):
            raise migrations.NewerDatabase(what, version, program)


def read_cursor(theirs: sqlite3.Connection, reader: str) -> tuple[str, int] | None:
    """Return the log that ``reader`` was on and how far, None if it cannot be read."""
    with suppress(*READ_ERRORS):
        match theirs.execute(_CURSOR, {"reader": reader}).fetchone():
            case (str(created), int(sequence)):
                return created, sequence
    return None


def find_fault(connection: sqlite3.Connection) -> str | None:
    """Return the damage of the file of a database, or None."""
    try:
        found = connection.execute(_CHECK).fetchone()
        version = connection.execute(migrations.VERSION).fetchone()
    except READ_ERRORS as error:
        return str(error)
    # For a truncated file SQLite may return no row at all.
    if found is None or version is None:
        return "it cannot be checked"
    if found[0] != "ok":
        return str(found[0])
    # SQLite takes a file of a few bytes for an empty database, and a sound one.
    return None if version[0] else "it is empty, or not of ilios"


def _lacks(theirs: sqlite3.Connection, table: str) -> bool:
    """Whether the old database is of a version without this table."""
    with suppress(*READ_ERRORS):
        known = {name for (name,) in theirs.execute(_TABLES)}
        return "documents" in known and table not in known
    return False


def _columns(connection: sqlite3.Connection, table: str) -> list[str]:
    """Return the columns of a table; none if they cannot be read."""
    try:
        found = connection.execute(_COLUMNS, (table,)).fetchall()
    except READ_ERRORS:
        return []
    return [name for (name,) in found]


def _select(table: str, columns: list[str]) -> str:
    """Return the query for all rows of a table, without bookkeeping."""
    shown = [_COMPARED_AS.get(name, name) for name in columns if name not in IGNORED_COLUMNS]
    return f"SELECT {', '.join(shown)} FROM {table}"  # noqa: S608  # the names are constants


def _without_old(ours: sqlite3.Connection, table: str) -> TableDiff:
    rows, new_digest = digest(ours, _select(table, _columns(ours, table)), PRIMARY_KEYS[table])
    return TableDiff(table=table, rows=rows, digest=new_digest, old_rows=None, old_digest=None)


def _compare(ours: sqlite3.Connection, theirs: sqlite3.Connection, table: str) -> TableDiff:
    key = PRIMARY_KEYS[table]
    in_old = _columns(theirs, table)
    # The old database may be of an earlier version, with fewer columns.
    columns = [name for name in _columns(ours, table) if name in in_old] or list(key)
    shown = _select(table, columns)
    rows, new_digest = digest(ours, shown, key)
    try:
        old_rows, old_digest = digest(theirs, shown, key)
    except READ_ERRORS:
        old_rows, old_digest = None, None
    found = TableDiff(
        table=table, rows=rows, digest=new_digest, old_rows=old_rows, old_digest=old_digest
    )
    if found.identical:
        return found
    changed, new, unreadable = _compare_rows(ours, theirs, shown, columns, key)
    return msgspec.structs.replace(
        found,
        changed=tuple(changed),
        new=tuple(new),
        gone=tuple(_missing_keys(ours, theirs, table)),
        unreadable=unreadable,
    )


def digest(connection: sqlite3.Connection, shown: str, key: tuple[str, ...]) -> tuple[int, str]:
    """Return the number and the SHA-256 of the rows of a query, in the order of ``key``."""
    sums, rows = hashlib.sha256(), 0
    for row in connection.execute(f"{shown} ORDER BY {', '.join(key)}"):
        sums.update(msgspec.json.encode(row) + b"\n")
        rows += 1
    return rows, sums.hexdigest()


def _compare_rows(
    ours: sqlite3.Connection,
    theirs: sqlite3.Connection,
    shown: str,
    columns: list[str],
    key: tuple[str, ...],
) -> tuple[list[Key], list[Key], int]:
    """Look up each row of ours in theirs: a damaged page hides its own rows, not all."""
    places = [columns.index(name) for name in key]
    one = f"{shown} WHERE {' AND '.join(f'{name} = ?' for name in key)}"
    changed, new, unreadable = [], [], 0
    for row in ours.execute(shown):
        name = tuple(row[place] for place in places)
        try:
            found = theirs.execute(one, name).fetchone()
        except READ_ERRORS:
            unreadable += 1
            continue
        if found is None:
            new.append(name)
        elif found != row:
            changed.append(name)
    return changed, new, unreadable


def _missing_keys(
    ours: sqlite3.Connection, theirs: sqlite3.Connection, table: str
) -> Iterator[Key]:
    """Yield the keys that ours lacks, reading theirs from both ends as far as possible."""
    key = ", ".join(PRIMARY_KEYS[table])
    named = " AND ".join(f"{name} = ?" for name in PRIMARY_KEYS[table])
    one = f"SELECT 1 FROM {table} WHERE {named}"  # noqa: S608  # the names are constants
    every = f"SELECT {key} FROM {table} ORDER BY "  # noqa: S608  # likewise
    seen: set[Key] = set()
    for order in (key, f"{' DESC, '.join(PRIMARY_KEYS[table])} DESC"):
        try:
            for name in theirs.execute(every + order):
                # In a damaged file a key may be anything; such a key is not one of ours.
                if name in seen or not all(isinstance(part, str | int) for part in name):
                    continue
                if ours.execute(one, name).fetchone() is None:
                    seen.add(name)
                    yield name
        except READ_ERRORS:
            continue
        return


def _copy_clock(ours: sqlite3.Connection, theirs: sqlite3.Connection) -> None:
    """Copy the state of the clock guard, or a rebuild would lift its hold after a clock jump.

    Only plausible values: at worst, numbers of a damaged file hold everything for a day.
    """
    with suppress(*READ_ERRORS):
        sweep = theirs.execute(_LAST_SWEEP).fetchone()
        clock = theirs.execute(_CLOCK).fetchone()
        if sweep is None or clock is None:
            return
        ran, believed_ran, _, seen_ran, held_since, held_ahead = clock
        ((before,),) = ours.execute(_RAN).fetchall() or [(0,)]
        moments = [one for one in (before, believed_ran, seen_ran, held_since) if one is not None]
        if (
            all(type(one) is int or one is None for one in (*sweep, *clock))
            and (held_since is None) == (held_ahead is None)
            and all(0 <= one <= ran for one in moments)
        ):
            ours.execute("BEGIN")
            ours.execute(_SET_LAST_SWEEP, sweep)
            ours.execute(_SET_CLOCK, clock)
            ours.execute("COMMIT")


def _copy_prices(ours: sqlite3.Connection, theirs: sqlite3.Connection) -> int:
    """Copy the prices of the old database that add up; returns how many rows changed."""
    price = ", ".join(_PRICE)
    one = (
        f"SELECT {price} FROM usage "  # noqa: S608  # the names are constants
        "WHERE tenant = ? AND document_id = ? AND operation = ? AND engine = ? AND model = ? "
        "AND pages = ? AND base_micros = pages * unit_micros "
        "AND total_micros = (base_micros * (100 + margin_percent) + 50) / 100 "
        "AND unit_micros >= 0 AND margin_percent >= 0"
    )
    columns = f"tenant, document_id, operation, engine, model, pages, {price}"
    every = f"SELECT {columns} FROM usage"  # noqa: S608  # likewise
    found: list[tuple[object, ...]] = []
    for row in ours.execute(every):
        with suppress(*READ_ERRORS):
            was = theirs.execute(one, row[:6]).fetchone()
            if was is not None and was != row[6:] and all(isinstance(one, int) for one in was):
                found.append((*was, *row[:3]))
    ours.execute("BEGIN")
    ours.executemany(
        f"UPDATE usage SET {', '.join(f'{name} = ?' for name in _PRICE)} "  # noqa: S608  # likewise
        "WHERE tenant = ? AND document_id = ? AND operation = ?",
        found,
    )
    ours.execute("COMMIT")
    return len(found)
