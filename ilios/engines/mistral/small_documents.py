"""Documents that are small enough to be prepared without a thread, if the page cache has them."""

from pathlib import Path

from ilios.runtime.inline_reads import InlineReads

SMALL_BYTES = 128 * 1024
"""Searching and encoding so many bytes takes less than a hop to a thread and back."""

_reads = InlineReads()


def read_small(path: Path) -> bytes | None:
    """Return the bytes of a document; None if it is large, or a thread has to read it."""
    return _reads.read(str(path), 0, None, SMALL_BYTES)
