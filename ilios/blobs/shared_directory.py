"""Proof that a directory is the one into which the core of a service writes its blobs.

The core writes a mark with a new random text at each start, and publishes the text. A copy of the
directory, or an empty mount point, does not have it.
"""

import os
import secrets
from pathlib import Path

MARK_FILE = "core.mark"
PROBE_PREFIX = "probe-"
MARK_BYTES = 16


class NotShared(Exception):
    """The directory is not that of the core, or cannot be used; the message is a clause."""


def write_mark(root: Path, mark: str = "") -> str:
    """Write a mark into the directory, by default a new one, and return its text; blocks."""
    mark = mark or secrets.token_hex(MARK_BYTES)
    fresh = root / f"{MARK_FILE}.new"
    with fresh.open("w") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(mark)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(root / MARK_FILE)
    return mark


def ensure_marked(root: Path, mark: str) -> None:
    """Check that the directory has the mark, and that files can be made in it; blocks.

    :raises NotShared: it has not, or they cannot.
    """
    try:
        found = (root / MARK_FILE).read_text()
    except OSError as error:
        raise NotShared(f"{root} has no mark of the core ({error.strerror})") from error
    if not secrets.compare_digest(found.encode(), mark.encode()):
        raise NotShared(f"{root} has the mark of another core, or is a copy")
    probe = root / f"{PROBE_PREFIX}{secrets.token_hex(MARK_BYTES)}"
    try:
        probe.write_text(mark)
        written = probe.read_text()
        probe.unlink()
    except OSError as error:
        raise NotShared(f"{root} cannot be written ({error.strerror})") from error
    if written != mark:
        raise NotShared(f"{root} returns other bytes than were written")
