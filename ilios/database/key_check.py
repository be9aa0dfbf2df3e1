"""Refusal of a key that does not fit the database, before anything is opened or written."""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from ilios.database.encryption import (
    has_key,
    is_plain,
    looks_encrypted,
    open_sqlite,
)

VARIABLE = "DB_ENCRYPTION_KEY"
FIRST_START = (
    "the database is encrypted from now on, its copies and snapshots too: without "
    f"{VARIABLE} nobody can ever read them; store the key apart from the data"
)
_FIRST = "SELECT count(*) FROM sqlite_master"  # reads the first page


class KeyRefused(Exception):
    """The database cannot be used with this key, or without one; the message has the remedy."""


def refuse_wrong_key(database: Path, snapshots: Iterable[Path]) -> None:
    """Return if the key of this process fits the database and the snapshots; nothing is written.

    A damaged file passes: it is found and refused when it is opened.

    :raises KeyRefused: it does not fit.
    """
    found = [path for path in snapshots if path.is_file()]
    is_missing = not database.is_file() or database.stat().st_size == 0
    if not has_key():
        # Those beside a plain database are of another one, and are not read.
        for path in [database, *(found if is_missing else ())]:
            if looks_encrypted(path):
                raise KeyRefused(
                    f"{path} is encrypted, and {VARIABLE} is not set: set the key that it was "
                    f"written with ({VARIABLE}, or its file in {VARIABLE}_FILE)"
                )
        return
    for path in [database, *found]:
        if is_plain(path):
            raise KeyRefused(
                f"{path} is not encrypted, although {VARIABLE} is set: `ilios database encrypt` "
                "encrypts the database and its snapshots; or unset the key"
            )
    if looks_encrypted(database):
        if not opens(database):
            raise KeyRefused(_wrong(database))
    elif is_missing and found and not any(map(opens, found)):
        raise KeyRefused(_wrong(found[0]))


def _wrong(path: Path) -> str:
    return (
        f"{path} cannot be decrypted: {VARIABLE} is not the key that it was written with. Set that "
        "one; without it nobody can read the file. If you are sure of the key, the file is "
        "damaged: move it aside and run `ilios rebuild`"
    )


def opens(path: Path) -> bool:
    """Whether the first page of a file can be decrypted with the key of this process."""
    try:
        uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
        with closing(open_sqlite(uri)) as connection:
            connection.execute(_FIRST).fetchone()
    except sqlite3.DatabaseError:
        return False
    return True
