"""Directories of a child process: one to write in, and one in which it gets its document."""

import asyncio
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
"""Seconds for which a directory without a lock is not removed: its engine may be about to lock
it."""

DOCUMENT_NAME = "document"
COPY_BYTES = 1024 * 1024
"""Bytes copied between two checks whether the copy is still wanted."""


class ScratchDir:
    """Parent of the children's directories, locked as long as the engine's process lives.

    A killed engine cannot remove its own. The next one in the same place does: the missing lock
    shows that the directory is abandoned.

    :param parent: where to make it; None is the temporary directory.
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
        """Remove the directory and all in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


class StagingDir:
    """A directory that holds one document at a time for one child.

    The document is a hard link where possible, which costs nothing however large it is: the child
    may open it for reading only, and is refused the calls that change a file by its name. From
    another volume, or of another owner, it is copied.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    async def stage(self, source: Path) -> Path:
        """Put a document there; return its path.

        :raises OSError: it cannot be read, or there is no room for the copy.
        """
        self.clear()
        target = self.path / DOCUMENT_NAME
        real = _link(source, target)
        if real is None:
            return target
        wanted = True

        def copy() -> None:
            # "x": an existing file might be a hard link to a blob, which would be overwritten.
            with open(real, "rb") as original, open(target, "xb") as copied:
                while wanted and (piece := original.read(COPY_BYTES)):
                    copied.write(piece)

        try:
            await asyncio.to_thread(copy)
        finally:
            wanted = False
        return target

    def clear(self) -> None:
        """Remove the document."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path / DOCUMENT_NAME)

    def remove(self) -> None:
        """Remove the directory."""
        shutil.rmtree(self.path, ignore_errors=True)


def clear_directory(directory: Path) -> None:
    """Remove what a child has left in its directory, which may be anything."""
    for entry in os.scandir(directory):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                os.unlink(entry.path)


def remove_abandoned(parent: Path) -> None:
    """Remove the directories of engines that are gone."""
    for path in parent.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError), _locked(path):
            shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock of an old directory of this user.

    :raises OSError: it is another user's, too young, in use, or already gone.
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


def _link(source: Path, target: Path) -> str | None:
    """Make a hard link to the file, or return the path to copy it from."""
    real = os.path.realpath(source, strict=True)  # the file itself is to be linked, not a symlink
    if os.stat(real).st_uid == os.geteuid():
        with contextlib.suppress(OSError):
            os.link(real, target)
            return None
    return real
