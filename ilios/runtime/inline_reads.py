"""Reads of small files in the thread of the event loop, as far as the page cache has their bytes.

The next step of a document usually follows at once, and reads what was just written. What the
kernel would have to wait for is left to a thread.
"""

import os
import time
from collections.abc import Callable
from typing import TypeVar

from ilios.runtime.inline_calls import InlineCalls

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_WAIT: int | None = getattr(os, "RWF_NOWAIT", None)

_T = TypeVar("_T")


class InlineReads:
    """Reads that return None where a thread has to read, or to find out what is wrong."""

    def __init__(self) -> None:
        self._calls = InlineCalls()

    def read(self, path: str, start: int, stop: int | None, most: int) -> bytes | None:
        """Return a part of a file, if it has at most so many bytes."""

        def part(file: int) -> bytes | None:
            size = os.fstat(file).st_size
            length = max(0, (size if stop is None else min(stop, size)) - start)
            return _cached(file, start, length) if length <= most else None

        return self._attempt(path, part)

    def read_ends(self, path: str, length: int) -> tuple[bytes, bytes] | None:
        """Return the first and the last ``length`` bytes of a file."""

        def ends(file: int) -> tuple[bytes, bytes] | None:
            size = os.fstat(file).st_size
            head = _cached(file, 0, min(length, size))
            if head is None or size <= length:
                return None if head is None else (head, head)
            tail = _cached(file, size - length, length)
            return None if tail is None else (head, tail)

        return self._attempt(path, ends)

    def size(self, path: str) -> int | None:
        """Return the size of a file."""
        return self._attempt(path, lambda file: os.fstat(file).st_size)

    def _attempt(self, path: str, work: Callable[[int], _T | None]) -> _T | None:
        if _NO_WAIT is None or not self._calls.are_allowed():
            return None
        began = time.monotonic()
        try:
            file = os.open(path, _FLAGS)
        except OSError:
            return None
        try:
            return work(file)
        except OSError:  # it has to be waited for, or the file system cannot tell
            return None
        finally:
            os.close(file)
            self._calls.record(began)


def _cached(file: int, offset: int, length: int) -> bytes | None:
    """Return bytes of the page cache; None if it lacks some.

    :raises OSError: it has none of them.
    """
    assert _NO_WAIT is not None
    data = bytearray(length)
    if length and os.preadv(file, [data], offset, _NO_WAIT) < length:
        return None
    return bytes(data)
