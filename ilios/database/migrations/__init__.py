"""Numbered SQL files, each applied once, in order; ``PRAGMA user_version`` is the last one."""

import sqlite3
from contextlib import suppress
from importlib.resources import files

from ilios import __version__
from ilios.database.sqlite import Database

_DAMAGE_HINT = (
    ". If none was ever installed here, its header is damaged: move the file away and run "
    "`ilios rebuild`"
)


class NewerDatabase(Exception):
    """The database was written by a newer ilios; the message contains the remedy."""

    def __init__(self, what: str, version: int, program: str | None) -> None:
        latest = scripts()[-1][0]
        wanted = f"ilios {program}" if program else f"an ilios with step {version}"
        super().__init__(
            f"{what} was written by a newer ilios: it has step {version} of the schema, this ilios "
            f"({__version__}) has {latest}. Install {wanted} again, or a newer one. There is no "
            "way back but a copy of the whole data directory of before the upgrade; "
            "`ilios rebuild` of this version cannot read what the newer one has written"
            + ("" if program else _DAMAGE_HINT)
        )


VERSION = "PRAGMA user_version"
PROGRAM = "SELECT program FROM upgrades WHERE version = ?"
_NOTE_UPGRADE = "INSERT INTO upgrades (version, program) VALUES (?, ?)"
_UPGRADES_SINCE = 7  # the migration that creates the table


class BrokenReference(Exception):
    """A migration would break references between rows; it was not applied."""


def scripts() -> list[tuple[int, str]]:
    """Return version and SQL of every migration, oldest first."""
    found = [
        (int(entry.name.partition("_")[0]), entry.read_text())
        for entry in files(__name__).iterdir()
        if entry.name.endswith(".sql")
    ]
    return sorted(found)


def split_statements(script: str) -> list[str]:
    """Split a script at the semicolons that end its lines, without its comments."""
    lines = [line.partition("--")[0].rstrip() for line in script.splitlines()]
    return [part.strip() for part in "\n".join(lines).split(";\n") if part.strip(" \n;")]


async def is_outdated(connection: Database) -> bool:
    """Whether this is a database of an older version, and no empty one."""
    rows = await connection.fetchall(VERSION)
    return 0 < int(rows[0][0]) < scripts()[-1][0]


async def migrate(connection: Database) -> int:
    """Apply the missing migrations, each in a transaction; returns the version reached.

    :raises NewerDatabase: the database is newer than this program.
    """
    rows = await connection.fetchall(VERSION)
    version = int(rows[0][0])
    steps = scripts()
    if version > steps[-1][0]:
        program = None
        with suppress(sqlite3.OperationalError):  # the table may be missing
            found = await connection.fetchall(PROGRAM, (version,))
            program = str(found[0][0]) if found else None
        raise NewerDatabase("the database", version, program)
    # A migration may replace a table that others refer to, and the pragma has no effect in a
    # transaction.
    await connection.execute("PRAGMA foreign_keys = OFF")
    try:
        version = await _apply(connection, steps, version)
    finally:
        await connection.execute("PRAGMA foreign_keys = ON")
    return version


async def _apply(connection: Database, steps: list[tuple[int, str]], version: int) -> int:
    for number, script in steps:
        if number <= version:
            continue
        # Not executescript: it commits first, and a failing migration would be half applied.
        await connection.execute("BEGIN EXCLUSIVE")
        try:
            for statement in split_statements(script + "\n"):
                await connection.execute(statement)
            broken = await connection.fetchall("PRAGMA foreign_key_check")
            if broken:
                raise BrokenReference(f"step {number} would leave {len(broken)} broken references")
            if number >= _UPGRADES_SINCE:
                await connection.execute(_NOTE_UPGRADE, (number, __version__))
            await connection.execute(f"PRAGMA user_version = {number}")
            await connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:  # some errors end the transaction
                await connection.execute("ROLLBACK")
            raise
        version = number
    return version
