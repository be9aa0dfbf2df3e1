"""Small blobs of the page cache are read without a thread, and others as ever."""

import errno
import os
from collections.abc import Callable

import pytest

from ilios.blobs.local import CHUNK_BYTES, LocalBlobs
from ilios.runtime import inline_calls
from tests.ilios.blobs.contents import KEY, read_blob

DATA = b"a few bytes"
LARGE = bytes(range(256)) * (CHUNK_BYTES // 256 + 1)


def raising(number: int) -> Callable[..., int]:
    def fail(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    return fail


def count_thread_reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that gets the number of bytes of each read by a thread from now on."""
    reads: list[int] = []
    read = os.pread

    def pread(file: int, length: int, offset: int) -> bytes:
        reads.append(length)
        return read(file, length, offset)

    monkeypatch.setattr(os, "pread", pread)
    return reads


async def read_in_parts(blobs: LocalBlobs) -> list[object]:
    parts: list[object] = [await read_blob(blobs, KEY), await blobs.size(KEY)]
    for start, stop in ((0, 3), (3, None), (3, 400), (400, None), (5, 2)):
        parts.append(b"".join([chunk async for chunk in blobs.read(KEY, start, stop)]))
    return [*parts, *[await blobs.read_ends(KEY, length) for length in (0, 3, 400)]]


EXPECTED: list[object] = [
    *(DATA, len(DATA), DATA[:3], DATA[3:], DATA[3:], b"", b""),
    *((b"", b""), (DATA[:3], DATA[-3:]), (DATA, DATA)),
]


async def test_a_small_blob_is_read_without_a_thread(
    blobs: LocalBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread_reads = count_thread_reads(monkeypatch)
    await blobs.put_bytes(KEY, DATA)
    assert await read_in_parts(blobs) == EXPECTED
    assert thread_reads == []
    await blobs.put_bytes(KEY, LARGE)
    assert await read_blob(blobs, KEY) == LARGE
    assert thread_reads


@pytest.mark.parametrize(
    "preadv", [raising(errno.EAGAIN), raising(errno.EOPNOTSUPP), lambda *_: 1, lambda *_: 0]
)
async def test_what_the_page_cache_lacks_is_read_by_a_thread(
    blobs: LocalBlobs, monkeypatch: pytest.MonkeyPatch, preadv: Callable[..., int]
) -> None:
    await blobs.put_bytes(KEY, DATA)
    monkeypatch.setattr(os, "preadv", preadv)
    assert await read_in_parts(blobs) == EXPECTED


async def test_after_slow_reads_threads_read_for_a_while(
    blobs: LocalBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread_reads = count_thread_reads(monkeypatch)
    await blobs.put_bytes(KEY, DATA)
    monkeypatch.setattr(inline_calls, "SLOW_SECONDS", -1.0)
    for _ in range(inline_calls.MOST_SLOW):
        await read_blob(blobs, KEY)
    assert thread_reads == []
    await read_blob(blobs, KEY)
    assert thread_reads


async def test_reads_without_a_thread_leave_no_open_file(blobs: LocalBlobs) -> None:
    await blobs.put_bytes(KEY, DATA)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        await read_in_parts(blobs)
    assert len(os.listdir("/proc/self/fd")) == before
