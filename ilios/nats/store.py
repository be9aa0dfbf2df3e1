"""The store of the bus inside: how much of its volume the log may take, and what spoils a start."""

import os
import re
from pathlib import Path

import structlog

MAX_STORE_BYTES = 20 * 1024**3
MIN_STORE_BYTES = 64 * 1024**2

# A consumer of which the server cannot read how far it has come is neither loaded nor can another
# be made in its place, and one with settings it cannot read can stop its whole stream.
_STATE = re.compile(
    r"Error adding consumer '(\S+) > (\S+) > (\S+)': error creating store for consumer"
)
_SETTINGS = re.compile(r'Error unmarshalling consumer metafile "([^"]+)"')

log = structlog.get_logger("nats-server")


def corrupt_file_in(line: str, store: Path) -> Path | None:
    """Return the file of a consumer that a line of the server's log complains of, if it does."""
    if found := _STATE.search(line):
        account, stream, consumer = found.groups()
        root = store / "jetstream" / account / "streams" / stream / "obs"
        return root / consumer / "o.dat"
    if found := _SETTINGS.search(line):
        return Path(found[1])
    return None


def remove_corrupt(files: set[Path], store: Path) -> None:
    """Remove files of consumers, so that their consumers can be made again.

    Nothing is lost with them: how far a consumer has come is worked out from the database.
    """
    for path in files:
        if path.resolve().is_relative_to(store.resolve()) and path.is_file():
            path.unlink()
            log.warning("damaged file of a consumer removed", path=str(path))


def store_limit(store: Path) -> int:
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
