"""The patience of a start: what may come by itself is waited for, a wrong setting is not.

While something is waited for the edge answers that the service is not ready, and why.
"""

import asyncio
import errno
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import structlog

from actors.ports import StorageForeign, StorageMisconfigured, StorageUnavailable
from bus.errors import BusMisconfigured, BusUnavailable
from ilios.integrity.missing_database import DatabaseMissing
from ilios.nats import store
from ilios.nats.server import BusDidNotStart
from ilios.runtime.locks import AlreadyInUse

FIRST_PAUSE = 0.25  # seconds until something is tried again
LONGEST_PAUSE = 2.0  # seconds; the pause doubles
REMIND_EVERY = 60.0  # seconds between two lines in the log about the same want
RELEASE_GRACE = 30.0  # seconds `ilios rebuild` may hold the locks after the database is there
NEEDED_BYTES = 8 * 1024**2  # a volume with less has no room: the bus alone takes as much
STARTING = "its parts come up"

_FULL = (errno.ENOSPC, errno.EDQUOT)

_T = TypeVar("_T")

log = structlog.get_logger("startup")


class Startup:
    """What a start waits for. ``url`` is where the edge answers meanwhile.

    ``directories`` are those that are written to, by what they are for.
    """

    def __init__(self, url: str, directories: dict[str, Path]) -> None:
        self.waiting_for = STARTING
        self._url = url
        self._directories = directories
        self._logged = ""
        self._logged_at = 0.0
        self._missing_at: float | None = None

    async def retry_until_available(self, attempt: Callable[[], Awaitable[_T]]) -> _T:
        """Return what ``attempt`` returns; make it again for as long as what it wants may come.

        An attempt that fails must leave nothing behind. Its error is raised where waiting is no
        use.
        """
        pause = FIRST_PAUSE
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
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _transient_reason(self, error: Exception) -> str | None:
        """Return what is waited for after an error, or None if that would be no use."""
        if isinstance(error, DatabaseMissing):
            self._missing_at = time.monotonic()
            return str(error)
        if isinstance(error, AlreadyInUse):
            # The process that brought the database back may be about to let go of it.
            since = self._missing_at
            passes = since is not None and time.monotonic() - since < RELEASE_GRACE
            return str(error) if passes else None
        if isinstance(error, StorageForeign | StorageMisconfigured | BusMisconfigured):
            return None
        if (full := self._full_volume(error)) is not None:
            return full
        return str(error) if isinstance(error, StorageUnavailable | BusUnavailable) else None

    def _full_volume(self, error: Exception) -> str | None:
        """Return which volume has no room, where an error may be about that."""
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
    """Return how many bytes are free where a directory lies, or would be made."""
    for place in (directory, *directory.parents):
        try:
            return store.free(place)
        except FileNotFoundError:
            continue
        except OSError:
            return None
    return None
