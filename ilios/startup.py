"""Retries at startup: for a store that is temporarily unavailable, not for a wrong setting.

Meanwhile the edge answers that the service is not ready, and why.
"""

import asyncio
import errno
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import structlog

from actors.backoff import Backoff
from actors.ports import StorageForeign, StorageMisconfigured, StorageUnavailable
from bus.errors import BusMisconfigured, BusUnavailable
from ilios.blobs.factory import blob_directory
from ilios.integrity.missing_database import DatabaseMissing
from ilios.nats import store
from ilios.nats.server import BusDidNotStart
from ilios.runtime.locks import AlreadyInUse
from ilios.settings.settings import Settings

FIRST_PAUSE = 0.25  # seconds until the first retry
LONGEST_PAUSE = 2.0  # seconds; the pause doubles
REMIND_EVERY = 60.0  # seconds between two log lines about the same reason
RELEASE_GRACE = 30.0  # seconds `ilios rebuild` may hold the locks after the database is there
NEEDED_BYTES = 8 * 1024**2  # a volume with less is full: the bus alone needs as much
STARTING = "its parts come up"

_FULL = (errno.ENOSPC, errno.EDQUOT)

_T = TypeVar("_T")

log = structlog.get_logger("startup")


class Startup:
    """A start and what it waits for. The edge answers at ``url`` meanwhile.

    ``directories`` are those the service writes to, by their purpose.
    """

    def __init__(self, url: str, directories: dict[str, Path]) -> None:
        self.waiting_for = STARTING
        self._url = url
        self._directories = directories
        self._logged = ""
        self._logged_at = 0.0
        self._missing_at: float | None = None

    async def retry_until_available(self, attempt: Callable[[], Awaitable[_T]]) -> _T:
        """Return the result of ``attempt``, which is repeated while its error may be temporary.

        An attempt that fails must leave nothing behind. An error that is not temporary is raised.
        """
        backoff = Backoff(first=FIRST_PAUSE, longest=LONGEST_PAUSE)
        attempts = 0
        while True:
            try:
                answer = await attempt()
            except Exception as error:
                reason = self._transient_reason(error)
                if reason is None:
                    raise
                self._log_waiting(reason)
            else:
                if self._logged:
                    log.warning("no longer waiting", for_what=self._logged)
                self.waiting_for, self._logged = STARTING, ""
                return answer
            await asyncio.sleep(backoff.pause(attempts))
            attempts += 1

    def _transient_reason(self, error: Exception) -> str | None:
        """Return the reason to wait after an error, or None if it is not temporary."""
        if isinstance(error, DatabaseMissing):
            self._missing_at = time.monotonic()
            return str(error)
        if isinstance(error, AlreadyInUse):
            # The process that restored the database may be about to release its locks.
            since = self._missing_at
            passes = since is not None and time.monotonic() - since < RELEASE_GRACE
            return str(error) if passes else None
        if isinstance(error, StorageForeign | StorageMisconfigured | BusMisconfigured):
            return None
        if (full := self._full_volume(error)) is not None:
            return full
        return str(error) if isinstance(error, StorageUnavailable | BusUnavailable) else None

    def _full_volume(self, error: Exception) -> str | None:
        """Return which volume is full, if that may be the cause of an error."""
        causes = list(_causes(error))
        surely = any(isinstance(one, OSError) and one.errno in _FULL for one in causes)
        surely |= any(getattr(one, "sqlite_errorcode", 0) == sqlite3.SQLITE_FULL for one in causes)
        maybe = (sqlite3.OperationalError, BusDidNotStart, BusUnavailable)
        if not surely and not any(isinstance(one, maybe) for one in causes):
            return None
        for name, directory in self._directories.items():
            room = _free(directory)
            if room is not None and room < NEEDED_BYTES:
                return f"no room for the {name} on the volume of {directory}: make room there"
        return f"no room on a volume: {error}" if surely else None

    def _log_waiting(self, reason: str) -> None:
        self.waiting_for = reason
        now = time.monotonic()
        if reason != self._logged or now - self._logged_at > REMIND_EVERY:
            log.warning("waiting, not ready", for_what=reason, listening=self._url)
            self._logged, self._logged_at = reason, now


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _free(directory: Path) -> int | None:
    """Return the free bytes of the volume of a directory that may not exist yet."""
    for place in (directory, *directory.parents):
        try:
            return store.free(place)
        except FileNotFoundError:
            continue
        except OSError:
            return None
    return None


def written_directories(settings: Settings) -> dict[str, Path]:
    """Return the directories the service writes to, by their purpose."""
    return {
        "database": settings.database_path.parent,
        "log": settings.data_dir / "nats",
        "documents": blob_directory(settings.s3, settings.data_dir, settings.shared_blobs),
        "data": settings.data_dir,
    }
