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

from ilios.blobs.files import open_private

_LOCK = "lock"


def enter(tmp: Path) -> tuple[Path, int]:
    """Sweep what dead openings left in ``tmp`` (made when missing), and begin an opening.

    Returns its directory and the lock that ``leave`` takes back.
    """
    tmp.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _doorway(tmp):
        _sweep_dead(tmp, math.inf)
        opening = tmp / secrets.token_hex(8)
        opening.mkdir(mode=0o700)
        lock = open_private(str(opening / _LOCK))
        fcntl.flock(lock, fcntl.LOCK_EX)
    return opening, lock


def leave(opening: Path, lock: int) -> None:
    """End an opening."""
    shutil.rmtree(opening, ignore_errors=True)
    os.close(lock)


def sweep(tmp: Path, older_than: float) -> int:
    """Remove what dead openings left, if all of it is older than so many seconds.

    Returns how many files that were. Living openings, one's own among them, keep theirs.
    """
    with _doorway(tmp):
        return _sweep_dead(tmp, time.time() - older_than)


@contextmanager
def _doorway(tmp: Path) -> Iterator[None]:
    """One at a time: a sweep must not meet a directory whose owner has not locked it yet."""
    doorway = open_private(str(tmp / _LOCK))
    try:
        fcntl.flock(doorway, fcntl.LOCK_EX)
        yield
    finally:
        os.close(doorway)


def _sweep_dead(tmp: Path, before: float) -> int:
    swept = 0
    for opening in tmp.iterdir():
        try:
            if opening.is_dir():
                swept += _sweep(opening, before)
        except FileNotFoundError:
            continue  # its owner is just leaving
    return swept


def _sweep(opening: Path, before: float) -> int:
    # Looked at before the lock is opened, which may make it anew.
    left = [path for path in opening.iterdir() if path.name != _LOCK]
    if any(path.lstat().st_mtime > before for path in (opening, *left)):
        return 0
    lock = open_private(str(opening / _LOCK))
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return 0  # its owner lives
    else:
        shutil.rmtree(opening)
        return len(left)
    finally:
        os.close(lock)
