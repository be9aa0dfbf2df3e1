"""The file work of the local store. Everything here blocks and runs in the store's threads."""

import contextlib
import hashlib
import os
from threading import Lock

from bus import failpoints

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class PendingFile:
    """A blob being written under a name nobody reads, until ``finish`` gives it its own.

    Steps may run in any thread but one at a time; ``abandon`` may be called while a step runs: it
    waits for it and makes every later step fail. Without that a cancelled put could close a
    descriptor a thread still writes to, or store a blob after its owner was told it is gone.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = Lock()
        self._file: int | None = None
        self._size = 0
        self._hash = hashlib.sha256()
        self._closed = False

    def write(self, data: bytes | bytearray) -> None:
        """Append ``data``, making the file at the first call."""
        with self._lock:
            self._append(data)

    def finish(self, data: bytes | bytearray, path: str) -> tuple[int, str]:
        """Append ``data``, make all of it durable under ``path`` and return size and SHA-256.

        When it fails, nothing is left of the pending file.
        """
        with self._lock:
            try:
                self._append(data)
                assert self._file is not None
                os.fsync(self._file)
                failpoints.reach("blobs.written")
                os.rename(self._path, path)
            except BaseException:
                self._remove()
                raise
            self._closed = True
            os.close(self._file)
            self._file = None
            fsync_directory(os.path.dirname(path))
            failpoints.reach("blobs.put")
            return self._size, self._hash.hexdigest()

    def finish_in_place(self) -> None:
        """Let the file be, whole under its own name, for as long as nobody cuts the power."""
        with self._lock:
            if self._closed or self._file is None:
                raise AbandonedError
            self._closed = True
            os.close(self._file)
            self._file = None

    def abandon(self) -> None:
        """Leave nothing of an unfinished file; after ``finish`` or ``keep`` this does nothing."""
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


class BlobReader:
    """A blob, or a part of it, being read from front to back.

    It is opened at the first ``read``, closed at the end of what is wanted, and held open between:
    what is read is one blob even if another replaces it meanwhile. ``close`` may be called while a
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
        """Return the next ``length`` bytes; fewer only at the end of what is wanted."""
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
        """Close the file; a second time this does nothing."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        self.closed = True
        if self._file is not None:
            os.close(self._file)
            self._file = None


class HashingReader(BlobReader):
    """A blob being hashed from front to back; ``size`` and ``sha256`` tell of what was read."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.size = 0
        self._hash = hashlib.sha256()

    def hash_next(self, max_bytes: int, chunk: int) -> None:
        """Hash up to ``most`` further bytes, in chunks; at its end the file is closed."""
        end = self.size + max_bytes
        while self.size < end and not self.closed:
            data = self.read(chunk)
            self._hash.update(data)
            self.size += len(data)

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()


class AbandonedError(Exception):
    """The file was given up before this step began."""


def fsync_directory(path: str) -> None:
    """Make the names in ``path`` durable; a renamed file without this can vanish in a power cut."""
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def open_lock_file(path: str) -> int:
    """Open a lock file for its owner alone, making it when it is missing."""
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
    """Rename a blob, durably; it gets the time of now.

    :raises FileNotFoundError: ``source`` is not there, and that is durable, too.
    """
    try:
        # Before it gets its new name: nobody may find it there and think that it is old.
        os.utime(source)
        os.rename(source, target)
    finally:
        # Also when it is not there any more: it may have been moved by somebody who was killed
        # before he came here, and the caller will believe what he finds under the target.
        # The target first: whatever is lost in a power cut, it is not both names.
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
