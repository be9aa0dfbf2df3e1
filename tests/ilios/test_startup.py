"""The start waits for what is temporarily unavailable, and for nothing else."""

import asyncio
import errno
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from actors.ports import (
    StorageForeign,
    StorageFull,
    StorageMisconfigured,
    StorageMismatch,
    StorageUnavailable,
)
from bus.errors import BusMisconfigured, BusUnavailable
from bus.reader import ReaderInUse
from ilios.database.migrations import NewerDatabase
from ilios.database.sqlite import DatabaseDamaged
from ilios.integrity.missing_database import DatabaseMissing
from ilios.nats.server import BusDidNotStart
from ilios.runtime.locks import AlreadyInUse, CannotLock
from ilios.secret import SecretsDamaged
from ilios.startup import STARTING, Startup

URL = "http://127.0.0.1:1"


def full() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a file")


def caused_by_it(error: Exception) -> Exception:
    error.__cause__ = full()
    return error


def of_sqlite(code: int) -> sqlite3.Error:
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = code
    return error


PASSES: dict[str, Callable[[], Exception]] = {
    "a store that is away": lambda: StorageUnavailable("S3 does not answer"),
    "a store that is full": lambda: StorageFull("S3 takes no more"),
    "an emptied store": lambda: StorageMismatch("nothing is there"),
    "a bus that is away": lambda: BusUnavailable("cannot connect"),
    "a missing database": lambda: DatabaseMissing("it is missing"),
    "a full volume": full,
    "a lock on a full volume": lambda: caused_by_it(CannotLock("cannot be used")),
    "a database on a full volume": lambda: of_sqlite(sqlite3.SQLITE_FULL),
}
STAYS: dict[str, Callable[[], Exception]] = {
    "a store that refuses": lambda: StorageMisconfigured("set S3_BUCKET"),
    "a store of another directory": lambda: StorageForeign("those of another ilios"),
    "a bus that refuses": lambda: BusMisconfigured("authorization violation"),
    "a bus of another": lambda: ReaderInUse("another ilios"),
    "a directory in use": lambda: AlreadyInUse("in use"),
    "a directory that cannot be used": lambda: CannotLock("cannot be used"),
    "no right": lambda: PermissionError(errno.EACCES, "Permission denied"),
    "a database of SQLite's that cannot be opened": lambda: of_sqlite(sqlite3.SQLITE_CANTOPEN),
    "a server that does not start": lambda: BusDidNotStart("it ended"),
    "a damaged database": lambda: DatabaseDamaged("malformed"),
    "a newer database": lambda: NewerDatabase("ilios.db", 99, None),
    "damaged secrets": lambda: SecretsDamaged("damaged"),
}


class Attempt:
    """Fails so often, and then succeeds."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.seen: list[str] = []

    async def __call__(self) -> str:
        if self.errors:
            raise self.errors.pop(0)
        return "made"


@pytest.mark.parametrize("what", PASSES)
async def test_a_temporary_error_is_retried(tmp_path: Path, what: str) -> None:
    startup = Startup(URL, {"data": tmp_path})
    attempt = Attempt(PASSES[what]())
    with capture_logs() as logs:
        waiting = asyncio.create_task(startup.retry_until_available(attempt))
        await asyncio.sleep(0)
        assert startup.waiting_for != STARTING
        assert await waiting == "made"
    assert startup.waiting_for == STARTING
    assert [line["event"] for line in logs] == ["waiting, not ready", "no longer waiting"]
    assert logs[0]["listening"] == URL


@pytest.mark.parametrize("what", STAYS)
async def test_a_lasting_error_ends_the_start(tmp_path: Path, what: str) -> None:
    startup = Startup(URL, {"data": tmp_path})
    error = STAYS[what]()
    with pytest.raises(type(error)):
        await startup.retry_until_available(Attempt(error))


async def test_locks_are_waited_for_once_a_missing_database_was(tmp_path: Path) -> None:
    startup = Startup(URL, {"data": tmp_path})
    attempt = Attempt(DatabaseMissing("it is missing"), AlreadyInUse("by ilios rebuild"))
    assert await startup.retry_until_available(attempt) == "made"


async def test_the_same_reason_to_wait_is_logged_once(tmp_path: Path) -> None:
    startup = Startup(URL, {"data": tmp_path})
    with capture_logs() as logs:
        await startup.retry_until_available(Attempt(*[BusUnavailable("cannot connect")] * 2))
    assert len([line for line in logs if line["event"] == "waiting, not ready"]) == 1
