"""Openings of a store: each has a directory for files that are not to stay, and holds its lock.

``<tmp>/<opening>/`` is swept by others as soon as nobody holds the lock in it: the kernel takes it
from the dead. Everything here blocks and runs in the store's threads.
"""

import fcntl
import math
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ilios.blobs.files import open_lock_file

_LOCK = "lock"


def create(tmp: Path) -> tuple[Path, int]:
    """Sweep what dead openings left in ``tmp`` (made when missing), and begin an opening.

    Returns its directory and the lock that ``leave`` takes back.
    """
    tmp.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _sweep_lock(tmp):
        _sweep_dead(tmp, math.inf)
        session = tmp / secrets.token_hex(8)
        session.mkdir(mode=0o700)
        lock = open_lock_file(str(session / _LOCK))
        fcntl.flock(lock, fcntl.LOCK_EX)
    return session, lock


def remove(session: Path, lock: int) -> None:
    """End an opening."""
    shutil.rmtree(session, ignore_errors=True)
    os.close(lock)


def sweep(tmp: Path, older_than: float) -> int:
    """Remove what dead openings left, if all of it is older than so many seconds.

    Returns how many files that were. Living openings, one's own among them, keep theirs.
    """
    with _sweep_lock(tmp):
        return _sweep_dead(tmp, time.time() - older_than)


@contextmanager
def _sweep_lock(tmp: Path) -> Iterator[None]:
    """One at a time: a sweep must not meet a directory whose owner has not locked it yet."""
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
            continue  # its owner is just leaving
    return swept


def _sweep_session(session: Path, before: float) -> int:
    # Looked at before the lock is opened, which may make it anew.
    left = [path for path in session.iterdir() if path.name != _LOCK]
    if any(path.lstat().st_mtime > before for path in (session, *left)):
        return 0
    lock = open_lock_file(str(session / _LOCK))
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return 0  # its owner lives
    else:
        shutil.rmtree(session)
        return len(left)
    finally:
        os.close(lock)
