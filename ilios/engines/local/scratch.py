"""Temporary room for an engine's children, cleared even after the engine was killed."""

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

PREFIX = "ilios-engine-"
MIN_AGE = 60.0
"""Seconds for which a room without a lock is left alone: its engine may be about to lock it."""


class ScratchDir:
    """A directory of this engine's own, locked as long as the process lives.

    A killed engine cannot tidy up; the next one in the same place does, and knows by the lock
    which rooms are abandoned.

    :param parent: where it lies; None is the temporary directory.
    """

    def __init__(self, parent: Path | None = None) -> None:
        parent = (parent or Path(tempfile.gettempdir())).absolute()
        parent.mkdir(mode=0o700, exist_ok=True)
        remove_abandoned(parent)
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        self._lock = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def new(self) -> Path:
        """Make an empty directory for one child."""
        return Path(tempfile.mkdtemp(dir=self.path))

    def close(self) -> None:
        """Remove the room and all in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def clear_directory(directory: Path) -> None:
    """Remove what a child has left in its directory, which may be anything."""
    for entry in os.scandir(directory):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                os.unlink(entry.path)


def remove_abandoned(parent: Path) -> None:
    """Remove the rooms of engines that are gone."""
    for path in parent.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError), _locked(path):
            shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock of an old room of this user's.

    :raises OSError: it is another's, too young, in use, or already gone.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        facts = os.fstat(descriptor)
        if facts.st_uid != os.getuid() or abs(time.time() - facts.st_mtime) < MIN_AGE:
            raise PermissionError(path)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)
