"""The volume of the bus inside: how much of it the log may take, and what is free there."""

import os
from pathlib import Path

MAX_STORE_BYTES = 20 * 1024**3
MIN_STORE_BYTES = 64 * 1024**2


def limit(store: Path) -> int:
    """Return how many bytes the log may have: what it has, and half of what is free besides.

    So the log is full before the volume is. What it has counts whole, or a log on a volume that
    others have filled could not take one event more, although there is room for many.
    """
    used = sum(map(_size, store.rglob("*")))
    return max(MIN_STORE_BYTES, min(MAX_STORE_BYTES, used + free(store) // 2))


def free(store: Path) -> int:
    """Return how many bytes of the volume are free, for those who are not root."""
    found = os.statvfs(store)
    return found.f_bavail * found.f_frsize


def _size(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except FileNotFoundError:  # a running server makes and removes files all the time
        return 0
