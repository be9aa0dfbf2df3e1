"""Exclusive locks between processes; the kernel releases them when the process dies."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class AlreadyInUse(Exception):
    """Another process holds the lock. Stop it, or use another data directory."""


class CannotLock(Exception):
    """The lock file cannot be created or opened."""


@contextmanager
def exclusive_lock(path: Path, what: str) -> Iterator[None]:
    """Hold the lock file ``path``; ``what`` names in errors what it protects.

    :raises AlreadyInUse: another process holds it.
    :raises CannotLock: it cannot be created there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # CLOEXEC: a child that inherited it would hold it beyond our death.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise CannotLock(
            f"{what} cannot be used: {error.filename}: {error.strerror}; make it a directory that "
            "can be written to, or set ILIOS_DATA_DIR (and LOCAL_DB_PATH) to another"
        ) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyInUse(
                f"{what} is in use by another process; stop it, or set ILIOS_DATA_DIR "
                "(and PORT) to run a second service beside it"
            ) from None
        yield
    finally:
        os.close(descriptor)
