"""Numbered SQL files, applied once each, in order; ``PRAGMA user_version`` remembers how far."""

from importlib.resources import files

import aiosqlite


class NewerDatabase(Exception):
    """The database was written by a newer ilios; upgrade, or restore a snapshot."""


class BrokenReference(Exception):
    """A step would break references between rows; it was not applied."""


def scripts() -> list[tuple[int, str]]:
    """Return (version, SQL) of every migration, oldest first."""
    found = [
        (int(entry.name.partition("_")[0]), entry.read_text())
        for entry in files(__name__).iterdir()
        if entry.name.endswith(".sql")
    ]
    return sorted(found)


def statements(script: str) -> list[str]:
    """Split a script at the semicolons that end its lines, without its comments."""
    lines = [line.partition("--")[0].rstrip() for line in script.splitlines()]
    return [part.strip() for part in "\n".join(lines).split(";\n") if part.strip(" \n;")]


async def migrate(connection: aiosqlite.Connection) -> int:
    """Bring the database up to date, each step in a transaction; returns the version reached.

    :raises NewerDatabase: it is ahead of this program.
    """
    rows = list(await connection.execute_fetchall("PRAGMA user_version"))
    version = int(rows[0][0])
    known = scripts()
    if version > known[-1][0]:
        raise NewerDatabase(f"the database has version {version}, this ilios knows {known[-1][0]}")
    # A step may make a table anew that others refer to, and in a transaction this is not heard.
    await connection.execute("PRAGMA foreign_keys = OFF")
    try:
        version = await _apply(connection, known, version)
    finally:
        await connection.execute("PRAGMA foreign_keys = ON")
    return version


async def _apply(
    connection: aiosqlite.Connection, known: list[tuple[int, str]], version: int
) -> int:
    for number, script in known:
        if number <= version:
            continue
        # Not executescript: it commits first, and a failing step would stay half done.
        await connection.execute("BEGIN EXCLUSIVE")
        try:
            for statement in statements(script + "\n"):
                await connection.execute(statement)
            broken = list(await connection.execute_fetchall("PRAGMA foreign_key_check"))
            if broken:
                raise BrokenReference(f"step {number} would leave {len(broken)} rows astray")
            await connection.execute(f"PRAGMA user_version = {number}")
            await connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:  # some errors end it by themselves
                await connection.execute("ROLLBACK")
            raise
        version = number
    return version
