"""File work of the local store and of local copies: blocking, run in threads.

Each process that opens a store has a session directory ``<tmp>/<session>/`` for unfinished files,
and holds the lock in it. The kernel releases the lock when the process dies; then others sweep it.
"""

import contextlib
import fcntl
import hashlib
import math
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from bus import failpoints

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class PendingFile:
    """A blob being written under a temporary name, until ``finish`` renames it.

    Steps may run in any thread but one at a time; ``abandon`` may be called while a step runs: it
    waits for it and makes every later step fail. Without that a cancelled put could close a
    descriptor a thread still writes to, or store a blob after the put has failed.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = Lock()
        self._file: int | None = None
        self._size = 0
        self._hash = hashlib.sha256()
        self._closed = False

    def write(self, data: bytes | bytearray) -> None:
        """Append ``data``; the first call creates the file."""
        with self._lock:
            self._append(data)

    def finish(
        self, data: bytes | bytearray, path: str, *, durable: bool = True
    ) -> tuple[int, str]:
        """Append ``data``, make all of it durable under ``path`` and return size and SHA-256.

        One that is not ``durable`` may be missing, empty or damaged after a power cut. On an error
        the pending file is removed.
        """
        with self._lock:
            try:
                self._append(data)
                assert self._file is not None
                if durable:
                    os.fsync(self._file)
                failpoints.reach("blobs.written")
                os.rename(self._path, path)
            except BaseException:
                self._remove()
                raise
            self._closed = True
            os.close(self._file)
            self._file = None
            if durable:
                fsync_directory(os.path.dirname(path))
                failpoints.reach("blobs.put")
            else:
                failpoints.reach("blobs.derived")
            return self._size, self._hash.hexdigest()

    def finish_in_place(self) -> None:
        """Close the file, complete under its temporary name, without waiting for the disk."""
        with self._lock:
            if self._closed or self._file is None:
                raise AbandonedError
            self._closed = True
            os.close(self._file)
            self._file = None

    def abandon(self) -> None:
        """Remove an unfinished file; does nothing after ``finish`` or ``finish_in_place``."""
        with self._lock:
            if not self._closed:
                self._remove()

    def _append(self, data: bytes | bytearray) -> None:
        if self._closed:
            raise AbandonedError
        if self._file is None:
            self._file = os.open(self._path, _NEW, 0o600)
        view = memoryview(data)
        while view:  # a write may be short, on a full volume above all
            view = view[os.write(self._file, view) :]
        self._hash.update(data)
        self._size += len(data)

    def _remove(self) -> None:
        self._closed = True
        if self._file is not None:
            os.close(self._file)
            self._file = None
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path)


Finishing = tuple[PendingFile, bytes, str]
"""The arguments of ``PendingFile.finish``, after the file itself."""


def finish_with_derived(
    source: Finishing, derived: Finishing
) -> tuple[tuple[int, str], tuple[int, str]]:
    """Finish a file durably, and then one that can be made of it again."""
    pending, data, path = source
    stored = pending.finish(data, path)
    pending, data, path = derived
    return stored, pending.finish(data, path, durable=False)


class BlobReader:
    """A blob, or a part of it, being read from front to back.

    The file is opened by the first ``read`` and stays open until the end of the part, so that all
    bytes are of one blob even if another replaces it meanwhile. ``close`` may be called while a
    read runs; it waits for it.
    """

    def __init__(self, path: str, start: int = 0, stop: int | None = None) -> None:
        self._path = path
        self._lock = Lock()
        self._file: int | None = None
        self._offset = start
        self._stop = stop
        self.closed = False

    def read(self, length: int) -> bytes:
        """Return the next ``length`` bytes; fewer only at the end of the part."""
        with self._lock:
            if self.closed:
                raise AbandonedError
            if self._file is None:
                self._file = _open_blob(self._path)
            wanted = length if self._stop is None else min(length, self._stop - self._offset)
            data = _read_at(self._file, self._offset, wanted) if wanted > 0 else b""
            self._offset += len(data)
            if len(data) < length:
                self._close()
            return data

    def close(self) -> None:
        """Close the file; closing twice is allowed."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        self.closed = True
        if self._file is not None:
            os.close(self._file)
            self._file = None


class HashingReader(BlobReader):
    """A blob being hashed from front to back; ``size`` and ``sha256`` are those so far."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.size = 0
        self._hash = hashlib.sha256()

    def hash_next(self, max_bytes: int, chunk: int) -> None:
        """Hash up to ``max_bytes`` further bytes, in chunks; at its end the file is closed."""
        end = self.size + max_bytes
        while self.size < end and not self.closed:
            data = self.read(chunk)
            self._hash.update(data)
            self.size += len(data)

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()


class AbandonedError(Exception):
    """The file was abandoned before this step began."""


def fsync_directory(path: str) -> None:
    """Make the names in a directory durable: without it a power cut can undo a rename."""
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def open_lock_file(path: str) -> int:
    """Open a lock file of mode 0600, creating it if it is missing."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def read_ends(path: str, length: int) -> tuple[bytes, bytes]:
    """Return the first and the last ``length`` bytes of a file."""
    file = _open_blob(path)
    try:
        size = os.fstat(file).st_size
        head = _read_at(file, 0, length)
        return head, head if size <= length else _read_at(file, size - length, length)
    finally:
        os.close(file)


def durable_rename(source: str, target: str) -> None:
    """Rename a blob durably, and set its time to now.

    :raises FileNotFoundError: ``source`` does not exist, which is durable as well.
    """
    try:
        # Before the rename: a sweep must not take it for an old file under its new name.
        os.utime(source)
        os.rename(source, target)
    finally:
        # Also if the source is missing: a process that was killed here may have renamed it, and
        # the caller relies on the target. The target first: a power cut must not lose both names.
        fsync_directory(os.path.dirname(target))
        fsync_directory(os.path.dirname(source))


def _open_blob(path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)


def _read_at(file: int, offset: int, length: int) -> bytes:
    data = os.pread(file, length, offset)
    while data and len(data) < length:
        more = os.pread(file, length - len(data), offset + len(data))
        if not more:
            break
        data += more
    return data


_LOCK = "lock"


def create_session(tmp: Path) -> tuple[Path, int]:
    """Sweep dead sessions in ``tmp`` (created if missing), and create a session.

    Returns its directory and its lock, for ``remove_session``.
    """
    tmp.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _sweep_lock(tmp):
        _sweep_dead(tmp, math.inf)
        session = tmp / secrets.token_hex(8)
        session.mkdir(mode=0o700)
        lock = open_lock_file(str(session / _LOCK))
        fcntl.flock(lock, fcntl.LOCK_EX)
    return session, lock


def remove_session(session: Path, lock: int) -> None:
    """Remove a session directory and release its lock."""
    shutil.rmtree(session, ignore_errors=True)
    os.close(lock)


def count_sessions(tmp: Path) -> int:
    """Return the number of sessions of running processes in ``tmp``; blocks."""
    found = 0
    for session in tmp.iterdir() if tmp.is_dir() else ():
        try:
            lock = os.open(session / _LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            found += 1
        finally:
            os.close(lock)
    return found


def sweep_sessions(tmp: Path, older_than: float) -> int:
    """Remove dead sessions of which every file is older than so many seconds.

    Returns the number of files. Sessions of running processes stay.
    """
    with _sweep_lock(tmp):
        return _sweep_dead(tmp, time.time() - older_than)


@contextmanager
def _sweep_lock(tmp: Path) -> Iterator[None]:
    """Exclude other sweeps: one must not meet a session that is not locked yet."""
    lock = open_lock_file(str(tmp / _LOCK))
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _sweep_dead(tmp: Path, before: float) -> int:
    swept = 0
    for session in tmp.iterdir():
        try:
            if session.is_dir():
                swept += _sweep_session(session, before)
        except FileNotFoundError:
            continue  # its process is removing it
    return swept


def _sweep_session(session: Path, before: float) -> int:
    # Before the lock is opened, which may create it.
    left = [path for path in session.iterdir() if path.name != _LOCK]
    if any(path.lstat().st_mtime > before for path in (session, *left)):
        return 0
    lock = open_lock_file(str(session / _LOCK))
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return 0  # its process runs
    else:
        shutil.rmtree(session)
        return len(left)
    finally:
        os.close(lock)
