"""Files that vanish while the service has them open: a volume unmounted, a directory moved away.

SQLite and nats-server go on writing to what no path leads to any more, and nobody would find it
again. So what lies at the paths is compared with what was opened.
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

LOOK_EVERY = 0.5  # seconds
SOURCE = "files"
_DELETED = ".blk (deleted)"
_BACK = "put it back, and the service goes on"


class WatchedPath(Struct, frozen=True):
    """A path, a name for what lies there, and which file it was when the service opened it."""

    path: str
    label: str
    device: int
    inode: int

    @classmethod
    def stat(cls, path: Path, label: str) -> Self | None:
        """Return what lies at a path now, if anything does."""
        try:
            found = path.stat()
        except OSError:
            return None
        return cls(str(path.absolute()), label, found.st_dev, found.st_ino)

    @property
    def problem(self) -> str | None:
        """A sentence, if it is not there any more."""
        try:
            found = os.stat(self.path)
        except OSError as error:
            return f"{self.label} {self.path} is gone ({error.strerror}): {_BACK}"
        if (found.st_dev, found.st_ino) == (self.device, self.inode):
            return None
        return (
            f"{self.label} {self.path} is not the one the service has open: {_BACK}; if what lies "
            "there now is right, start the service again"
        )


class FileWatch:
    """Looks at paths twice a second. ``places`` are what lies where, the outermost first.

    ``log_server`` gives the process that has the log's files open, where it is one of ours.
    """

    def __init__(
        self, faults: Faults, places: dict[str, Path], log_server_pid: Callable[[], int | None]
    ) -> None:
        self._faults = faults
        found = (WatchedPath.stat(path, what) for what, path in places.items())
        self._watched = [one for one in found if one is not None]
        self._log_server_pid = log_server_pid
        self._seen_deleted: set[str] = set()

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            # In a thread: a volume that hangs must not take the loop with it.
            problem = await asyncio.to_thread(self.check)
            if problem is None:
                self._faults.resolve(SOURCE)
            else:
                self._faults.report(SOURCE, problem, blocking=True)
            await asyncio.sleep(LOOK_EVERY)

    def check_paths(self) -> None:
        """Report at once what is gone from its path: before somebody is promised anything.

        It blocks for a few microseconds, and for longer only where writing would block as well.
        """
        if (problem := self._find_moved()) is not None:
            self._faults.report(SOURCE, problem, blocking=True)

    def check(self) -> str | None:
        """Return what is wrong at this moment; blocks."""
        if (problem := self._find_moved()) is not None:
            return problem
        pid = self._log_server_pid()
        deleted = set() if pid is None else set(_deleted_blocks(pid))
        # The server itself may be about to close one that it has removed: seen twice, it is not.
        stays, self._seen_deleted = deleted & self._seen_deleted, deleted
        if stays:
            return (
                f"the log is written to a file that was deleted, {min(stays)}: start the service "
                "again, and look for what is missing with `ilios rebuild --check`"
            )
        return None

    def _find_moved(self) -> str | None:
        return next((found for one in self._watched if (found := one.problem) is not None), None)


def _deleted_blocks(pid: int) -> Iterator[str]:
    """Yield the files of the log that a process writes to and no path leads to; proc(5)."""
    descriptors = f"/proc/{pid}/fd"
    with suppress(OSError):
        for number in os.listdir(descriptors):
            with suppress(OSError):
                name = os.readlink(f"{descriptors}/{number}")
                if name.endswith(_DELETED) and streams.EVENTS in name:
                    yield name.removesuffix(" (deleted)")
