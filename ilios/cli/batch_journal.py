"""The journal of ``ilios batch``: what came of each file, so that an interrupted run goes on.

Its first line has a random name of the run, of which idempotency keys are derived. It is on disk
before anything is submitted: a file that was submitted by an interrupted run, also one whose
answer was lost, is the same document to the service when it is submitted again.
"""

import fcntl
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec
from msgspec import Struct

from ilios.settings.bad_settings import BadSettings

NAME = ".ilios-batch.jsonl"


class Head(Struct, frozen=True, kw_only=True):
    """The first line: the name of the run, and the server whose documents it is about."""

    run: str
    server: str


class Entry(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What came of a file. ``content`` is a digest of its path, its bytes and the options.

    ``attempt`` is 1, and one more with each time a failed file was submitted again.
    """

    content: str
    path: str
    attempt: int
    status: str
    id: str | None = None
    code: str | None = None
    error: str | None = None
    warnings: tuple[str, ...] = ()


class Journal:
    """An open journal; only one process can have it open."""

    def __init__(self, file: BinaryIO, head: Head, entries: dict[str, Entry]) -> None:
        self._file = file
        self._head = head
        self._entries = entries

    def last(self, content: str) -> Entry | None:
        """Return what came of a file the last time."""
        return self._entries.get(content)

    def key(self, content: str, attempt: int) -> str:
        """Return the idempotency key of a submission."""
        digest = hashlib.sha256(f"{self._head.run}\n{content}\n{attempt}".encode())
        return f"ilios-batch-{digest.hexdigest()}"

    def add(self, entry: Entry) -> None:
        """Write what came of a file; it is on disk when this returns."""
        _append(self._file, msgspec.json.encode(entry))
        self._entries[entry.content] = entry


@contextmanager
def open_journal(directory: Path, server: str) -> Iterator[Journal]:
    """Open the journal of a directory of results, and make it if there is none.

    :raises BadSettings: another process has it open, or it is that of another server.
    :raises OSError: it cannot be written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / NAME
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    with open(descriptor, "r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BadSettings([f"another `ilios batch` writes into {directory}"]) from None
        yield _read(file, path, server)


def _read(file: BinaryIO, path: Path, server: str) -> Journal:
    whole, newline, _ = file.read().rpartition(b"\n")
    # A line that was cut off by a kill is dropped: nothing was promised for it.
    file.truncate(len(whole) + len(newline))
    head_line, *lines = whole.split(b"\n")
    try:
        if not head_line:
            head = Head(run=secrets.token_hex(16), server=server)
            _append(file, msgspec.json.encode(head))
            _sync_directory(path.parent)
        else:
            head = msgspec.json.decode(head_line, type=Head)
        found = [msgspec.json.decode(line, type=Entry) for line in lines]
    except msgspec.DecodeError as error:
        raise BadSettings([f"{path} is no journal of `ilios batch`: {error}"]) from error
    if head.server != server:
        others = f"the results in {path.parent} are of the service at {head.server}"
        raise BadSettings([f"{others}, not at {server}: choose another directory with -o"])
    return Journal(file, head, {entry.content: entry for entry in found})


def _append(file: BinaryIO, line: bytes) -> None:
    file.write(line + b"\n")
    file.flush()
    os.fsync(file.fileno())


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
