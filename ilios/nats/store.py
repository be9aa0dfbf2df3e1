"""The files of the embedded nats-server: how large the log may become, and damaged consumers."""

import os
import re
from pathlib import Path

import structlog

MAX_STORE_BYTES = 20 * 1024**3
MIN_STORE_BYTES = 64 * 1024**2

# A consumer with an unreadable state is not loaded and cannot be created again. One with unreadable
# settings can stop its whole stream.
_STATE = re.compile(
    r"Error adding consumer '(\S+) > (\S+) > (\S+)': error creating store for consumer"
)
_SETTINGS = re.compile(r'Error unmarshalling consumer metafile "([^"]+)"')

log = structlog.get_logger("nats-server")


def corrupt_file_in(line: str, store: Path) -> Path | None:
    """Return the damaged file of a consumer that a line of the server log names, if any."""
    if found := _STATE.search(line):
        account, stream, consumer = found.groups()
        root = store / "jetstream" / account / "streams" / stream / "obs"
        return root / consumer / "o.dat"
    if found := _SETTINGS.search(line):
        return Path(found[1])
    return None


def remove_corrupt(files: set[Path], store: Path) -> None:
    """Remove damaged files of consumers, so that the consumers can be created again.

    Nothing is lost: the position of a consumer is derived from the database.
    """
    for path in files:
        if path.resolve().is_relative_to(store.resolve()) and path.is_file():
            path.unlink()
            log.warning("damaged file of a consumer removed", path=str(path))


def store_limit(store: Path) -> int:
    """Return the maximal size of the log: its present size, and half of the free space.

    So the log is full before the volume is. The present size counts whole: else a log on a volume
    filled by other programs could store no event, although there is space for many.
    """
    used = sum(map(_size, store.rglob("*")))
    return max(MIN_STORE_BYTES, min(MAX_STORE_BYTES, used + free(store) // 2))


def bucket_limit(store: Path, wanted: int, tenants: int) -> int:
    """Return the size of the bucket of each tenant: at most ``wanted``, and a share of the space.

    All together may use a quarter of the free space, in addition to the log.
    """
    return min(wanted, free(store) // 4 // max(1, tenants))


def free(store: Path) -> int:
    """Return the free bytes of the volume, for users other than root."""
    found = os.statvfs(store)
    return found.f_bavail * found.f_frsize


def _size(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except FileNotFoundError:  # a running server creates and removes files
        return 0
