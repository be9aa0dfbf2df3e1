"""The files of a database that is replaced: copied to be looked at, set aside, put in place."""

import os
import shutil
from datetime import datetime
from pathlib import Path

from bus import failpoints
from ilios.database.recovery.snapshots import fsync_directory
from ilios.database.recovery.wal import sidecar

_SUFFIXES = ("", "-wal", "-shm")


def remove_database(database: Path) -> None:
    """Remove a database that nobody needs, with what SQLite keeps beside it."""
    for suffix in _SUFFIXES:
        sidecar(database, suffix).unlink(missing_ok=True)


def copy_raw(database: Path, target: Path) -> None:
    """Copy a database and its write-ahead log, so that looking at it changes nothing.

    Without the shared index: SQLite makes it anew, over what tells how far the log once went.
    """
    remove_database(target)
    for suffix in ("", "-wal"):
        if sidecar(database, suffix).exists():
            shutil.copyfile(sidecar(database, suffix), sidecar(target, suffix))
            os.chmod(sidecar(target, suffix), 0o600)


def exists(database: Path) -> bool:
    """Whether there is anything of this name, if only a link to what is gone."""
    return os.path.lexists(database)


def copy_if_present(database: Path, copy: Path) -> tuple[bool, str | None]:
    """Copy what there is of a database, damaged or not; returns whether there is one, and why not
    all of it could be copied. Then there is no copy.
    """  # noqa: D205
    try:
        there = exists(database) and (not database.is_file() or database.stat().st_size > 0)
        if there:
            copy_raw(database, copy)
    except OSError as error:
        remove_database(copy)
        return True, f"{error.filename} cannot be read: {error.strerror}"
    if there and not copy.exists():
        return True, f"{database} leads to {os.readlink(database)}, which is not there"
    return there, None


def replace_database(new: Path, database: Path, now: datetime) -> Path | None:
    """Put ``new`` in the place of ``database``; returns what the old one is called from now on.

    Broken off in between there is no ``database``, and ``new`` tells why. The old one's write-ahead
    log goes before the new one comes: SQLite would write its pages over it.
    """
    aside = database.with_name(f"{database.name}.damaged-{now:%Y%m%dT%H%M%SZ}")
    moved = False
    for suffix in _SUFFIXES:
        if sidecar(database, suffix).exists():
            os.rename(sidecar(database, suffix), sidecar(aside, suffix))
            moved = True
    fsync_directory(database.parent)
    failpoints.reach("swapping.aside")
    os.rename(new, database)
    fsync_directory(database.parent)
    return aside if moved else None
