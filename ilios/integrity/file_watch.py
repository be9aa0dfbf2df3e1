"""Detection of files that vanish while they are open: an unmounted volume, a moved directory.

SQLite and nats-server continue to write to a file without a path, and that data would be lost. So
device and inode at each path are compared with those at the start.
"""

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Self

from msgspec import Struct

from bus import streams
from ilios.integrity.faults import Faults

CHECK_INTERVAL = 0.5  # seconds
SOURCE = "files"
_DELETED = ".blk (deleted)"
_BACK = "put it back, and the service goes on"


class WatchedPath(Struct, frozen=True):
    """A path, its label for messages, and device and inode when the service opened it."""

    path: str
    label: str
    device: int
    inode: int

    @classmethod
    def stat(cls, path: Path, label: str) -> Self | None:
        """Return the state of a path now; None if there is no file."""
        try:
            found = path.stat()
        except OSError:
            return None
        return cls(str(path.absolute()), label, found.st_dev, found.st_ino)

    @property
    def problem(self) -> str | None:
        """The problem with the path, or None."""
        try:
            found = os.stat(self.path)
        except OSError as error:
            return f"{self.label} {self.path} is gone ({error.strerror}): {_BACK}"
        if (found.st_dev, found.st_ino) == (self.device, self.inode):
            return None
        return (
            f"{self.label} {self.path} is not the one the service has open: {_BACK}; if the "
            "present one is right, start the service again"
        )


def stat_paths(places: dict[str, Path]) -> list[WatchedPath]:
    """Return the state of the paths that exist, by label, outer directories first."""
    found = (WatchedPath.stat(path, what) for what, path in places.items())
    return [one for one in found if one is not None]


class FileWatch:
    """Checks paths twice a second, in the given order.

    ``log_server_pid`` returns the process id of the embedded nats-server, or None.
    """

    def __init__(
        self,
        faults: Faults,
        watched: list[WatchedPath],
        log_server_pid: Callable[[], int | None] = lambda: None,
    ) -> None:
        self._faults = faults
        self.watched = watched
        self._log_server_pid = log_server_pid
        self._seen_deleted: set[str] = set()
        self._checked_in_this_turn = False

    async def run(self) -> None:
        """Check until cancelled."""
        while True:
            # In a thread: a hung volume must not block the event loop.
            problem = await asyncio.to_thread(self.check)
            if problem is None:
                self._faults.resolve(SOURCE)
            else:
                self._faults.report(SOURCE, problem, blocking=True)
            await asyncio.sleep(CHECK_INTERVAL)

    def check_paths(self) -> None:
        """Report a vanished path at once, before anything is accepted.

        Blocks for microseconds, longer only if a write would block as well. One check counts for
        all that ask in one turn of the event loop: what they ask about was stored before the turn.
        """
        if self._checked_in_this_turn:
            return
        self._checked_in_this_turn = True
        asyncio.get_running_loop().call_soon(self._begin_turn)
        if (problem := self._find_moved()) is not None:
            self._faults.report(SOURCE, problem, blocking=True)

    def _begin_turn(self) -> None:
        self._checked_in_this_turn = False

    def check(self) -> str | None:
        """Return the present problem, or None; blocks."""
        if (problem := self._find_moved()) is not None:
            return problem
        pid = self._log_server_pid()
        deleted = set() if pid is None else set(_deleted_blocks(pid))
        # The server may be about to close a file that it has removed; seen twice, it is not.
        stays, self._seen_deleted = deleted & self._seen_deleted, deleted
        if stays:
            return (
                f"the log is written to a file that was deleted, {min(stays)}: start the service "
                "again, and look for what is missing with `ilios rebuild --check`"
            )
        return None

    def _find_moved(self) -> str | None:
        return next((found for one in self.watched if (found := one.problem) is not None), None)


def _deleted_blocks(pid: int) -> Iterator[str]:
    """Yield deleted files of the log that a process still has open; see proc(5)."""
    descriptors = f"/proc/{pid}/fd"
    with suppress(OSError):
        for number in os.listdir(descriptors):
            with suppress(OSError):
                name = os.readlink(f"{descriptors}/{number}")
                if name.endswith(_DELETED) and streams.EVENTS in name:
                    yield name.removesuffix(" (deleted)")
