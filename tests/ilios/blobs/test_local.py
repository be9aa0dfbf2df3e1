import asyncio
import errno
import hashlib
import os
import stat
import threading
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest

from actors.ports import BlobNotFound, StorageFull, StorageMismatch
from ilios.blobs.local import CHUNK_BYTES, LocalBlobs
from schemas.documents import Blob
from tests.ilios.blobs.contents import KEY, read_blob
from tests.waiting import wait_until

SMALL = b"%PDF-1.7 small"
OTHER = "originals/default/lies-in-another-shard"
LARGE = os.urandom(CHUNK_BYTES) * 3 + b"the end"


async def stream(data: bytes, size: int = 10_000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def left_in(root: Path) -> set[Path]:
    return {path for path in root.rglob("*") if path.is_file() and path.name != "lock"}


def noted_steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that gets the steps of puts from now on."""
    steps: list[str] = []

    def note(name: str) -> None:
        real = getattr(os, name)

        def step(*arguments: object) -> object:
            steps.append(name)
            return real(*arguments)

        monkeypatch.setattr(os, name, step)

    note("fsync")
    note("rename")
    return steps


@pytest.mark.parametrize("data", [b"", SMALL, LARGE[:CHUNK_BYTES], LARGE])
async def test_a_blob_is_read_as_it_was_put(blobs: LocalBlobs, data: bytes) -> None:
    expected = Blob(key=KEY, size=len(data), sha256=hashlib.sha256(data).hexdigest())
    assert await blobs.put(KEY, stream(data)) == expected
    assert await read_blob(blobs, KEY) == data
    assert await blobs.put_bytes(KEY, data) == expected
    assert await read_blob(blobs, KEY) == data


async def test_a_put_overwrites(blobs: LocalBlobs, tmp_path: Path) -> None:
    await blobs.put_bytes(KEY, SMALL)
    await blobs.put(KEY, stream(LARGE))
    assert await read_blob(blobs, KEY) == LARGE
    assert len(left_in(tmp_path)) == 1


async def test_a_reader_sees_one_blob_even_if_it_is_replaced_meanwhile(blobs: LocalBlobs) -> None:
    await blobs.put_bytes(KEY, LARGE)
    reading = blobs.read(KEY)
    first = await anext(reading)
    await blobs.put_bytes(KEY, SMALL)
    assert first + b"".join([chunk async for chunk in reading]) == LARGE


async def test_a_reader_that_stops_early_leaves_no_open_file(blobs: LocalBlobs) -> None:
    await blobs.put_bytes(KEY, LARGE)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        reading = blobs.read(KEY)
        await anext(reading)
        await reading.aclose()
        await blobs.read_ends(KEY, 1)
    # A thread may have a file open for a moment longer.
    await wait_until(lambda: len(os.listdir("/proc/self/fd")) <= before + 1)


async def test_the_ends_are_the_first_and_the_last_bytes(blobs: LocalBlobs) -> None:
    await blobs.put_bytes(KEY, LARGE)
    assert await blobs.read_ends(KEY, 100) == (LARGE[:100], LARGE[-100:])
    assert await blobs.read_ends(KEY, len(LARGE) + 5) == (LARGE, LARGE)


async def test_a_blob_has_a_local_path(blobs: LocalBlobs) -> None:
    await blobs.put_bytes(KEY, SMALL)
    async with blobs.local_path(KEY) as path:
        assert path.read_bytes() == SMALL


async def test_deleting_a_missing_blob_is_no_error(blobs: LocalBlobs) -> None:
    await blobs.put_bytes(KEY, SMALL)
    await blobs.delete(KEY)
    await blobs.delete(KEY)
    with pytest.raises(BlobNotFound):
        await read_blob(blobs, KEY)
    with pytest.raises(BlobNotFound):
        await blobs.read_ends(KEY, 10)
    with pytest.raises(BlobNotFound):
        async with blobs.local_path(KEY):
            pass


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/a",
        "a/",
        "a//b",
        "../a",
        "a/../b",
        "a/..",
        "a/.b",
        "a..b",
        "a\n",
        "A",
        "a+b",
        "é",
        "\0",
    ],
)
async def test_a_key_that_could_lead_elsewhere_is_refused(blobs: LocalBlobs, key: str) -> None:
    with pytest.raises(ValueError, match="not a blob key"):
        await blobs.put_bytes(key, SMALL)
    with pytest.raises(ValueError, match="not a blob key"):
        await blobs.delete(key)


async def test_files_and_directories_are_private_to_their_owner(
    blobs: LocalBlobs, tmp_path: Path
) -> None:
    await blobs.put_bytes(KEY, SMALL)
    for path in (tmp_path / "blobs").rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600)


async def test_a_stream_that_breaks_off_leaves_nothing(blobs: LocalBlobs, tmp_path: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        async for chunk in stream(LARGE):
            yield chunk
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await blobs.put(KEY, broken())
    assert left_in(tmp_path) == set()


async def test_a_cancelled_stream_leaves_nothing(blobs: LocalBlobs, tmp_path: Path) -> None:
    spilled = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield LARGE
        spilled.set()
        await asyncio.Event().wait()

    putting = asyncio.create_task(blobs.put(KEY, endless()))
    await spilled.wait()
    assert len(left_in(tmp_path)) == 1
    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await putting
    assert left_in(tmp_path) == set()


async def test_a_put_cancelled_while_its_thread_writes_leaves_nothing(
    blobs: LocalBlobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, go_on = threading.Event(), threading.Event()
    write = os.write

    def slow(file: int, data: bytes) -> int:
        began.set()
        go_on.wait(10)
        return write(file, data)

    monkeypatch.setattr(os, "write", slow)
    writing = asyncio.create_task(blobs.put(KEY, stream(LARGE, CHUNK_BYTES)))
    await asyncio.to_thread(began.wait, 10)
    writing.cancel()
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert left_in(tmp_path) == set()


async def test_a_put_cancelled_at_any_moment_is_complete_or_absent(
    blobs: LocalBlobs, tmp_path: Path
) -> None:
    puts = [asyncio.create_task(blobs.put_bytes(f"a/{n}", LARGE)) for n in range(40)]
    await puts[5]
    for put in puts:
        put.cancel()
    await asyncio.gather(*puts, return_exceptions=True)
    left = left_in(tmp_path)
    assert all(path.read_bytes() == LARGE for path in left)
    assert not any((tmp_path / "blobs" / "tmp") in path.parents for path in left)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("data", [SMALL, LARGE])
async def test_a_full_volume_is_reported_and_stores_nothing(
    blobs: LocalBlobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, data: bytes
) -> None:
    def full(_file: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageFull):
        await blobs.put(KEY, stream(data))
    assert left_in(tmp_path) == set()


async def test_a_short_write_is_continued(
    blobs: LocalBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:1000]))
    await blobs.put_bytes(KEY, LARGE[:5500])
    assert await read_blob(blobs, KEY) == LARGE[:5500]


async def test_bytes_are_durable_before_the_file_is_renamed(
    blobs: LocalBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = noted_steps(monkeypatch)
    await blobs.put_bytes(KEY, SMALL)
    assert steps == ["fsync", "rename", "fsync"]


async def test_what_can_be_made_again_is_stored_without_waiting_for_the_disk(
    blobs: LocalBlobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = noted_steps(monkeypatch)
    await blobs.put_with_derived(KEY, SMALL, OTHER, SMALL)
    assert steps == ["fsync", "rename", "fsync", "rename"]
    assert len(left_in(tmp_path)) == 2


async def test_a_put_with_derived_bytes_may_be_cancelled_at_any_moment(
    blobs: LocalBlobs, tmp_path: Path
) -> None:
    puts = [
        asyncio.create_task(blobs.put_with_derived(f"a/{n}", LARGE, f"b/{n}", SMALL))
        for n in range(40)
    ]
    await puts[5]
    for put in puts:
        put.cancel()
    await asyncio.gather(*puts, return_exceptions=True)
    left = left_in(tmp_path)
    assert {path.read_bytes() for path in left} == {LARGE, SMALL}
    assert not any((tmp_path / "blobs" / "tmp") in path.parents for path in left)


async def test_a_volume_too_full_for_derived_bytes_leaves_nothing_unfinished(
    blobs: LocalBlobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write

    def full(file: int, data: bytes) -> int:
        if bytes(data) == b"derived":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(file, data)

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StorageFull):
        await blobs.put_with_derived(KEY, SMALL, OTHER, b"derived")
    assert [path.read_bytes() for path in left_in(tmp_path)] == [SMALL]


async def test_opening_sweeps_only_sessions_of_dead_processes(tmp_path: Path) -> None:
    dead = tmp_path / "tmp" / "0123456789abcdef"
    dead.mkdir(parents=True)
    (dead / "lock").touch()
    (dead / "half").write_bytes(SMALL)
    async with LocalBlobs.open(tmp_path) as living:
        assert not dead.exists()
        spilled, go_on = asyncio.Event(), asyncio.Event()

        async def slow() -> AsyncIterator[bytes]:
            yield LARGE
            spilled.set()
            await go_on.wait()

        putting = asyncio.create_task(living.put(KEY, slow()))
        await spilled.wait()
        async with LocalBlobs.open(tmp_path) as second:
            go_on.set()
            await putting
            assert await read_blob(second, KEY) == LARGE
    assert list((tmp_path / "tmp").iterdir()) == [tmp_path / "tmp" / "lock"]


async def test_blobs_spread_over_the_shards(blobs: LocalBlobs, tmp_path: Path) -> None:
    await asyncio.gather(*(blobs.put_bytes(f"originals/default/{n}", SMALL) for n in range(64)))
    assert len(shards(left_in(tmp_path))) > 40


async def test_a_missing_shard_is_an_error_and_not_a_missing_blob(
    blobs: LocalBlobs, tmp_path: Path
) -> None:
    await blobs.put_bytes(KEY, SMALL)
    await blobs.put_bytes(OTHER, SMALL)
    (shard,) = {path.parent for path in left_in(tmp_path) if path.name == KEY.replace("/", "+")}
    aside = shard.rename(tmp_path / "aside")
    for refused in (
        blobs.check(),
        blobs.put_bytes(KEY, SMALL),
        blobs.put(KEY, stream(LARGE)),
        blobs.size(KEY),
        blobs.read_ends(KEY, 1),
        blobs.digest(KEY),
        blobs.move(OTHER, KEY),
        blobs.delete(KEY),
        anext(blobs.read(KEY)),
        blobs.local_path(KEY).__aenter__(),
    ):
        with pytest.raises(StorageMismatch, match=f"{shard} is gone"):
            await refused
    assert await blobs.size(OTHER) == len(SMALL)
    aside.rename(shard)
    await blobs.check()
    assert await blobs.size(KEY) == len(SMALL)


def shards(paths: Iterable[Path]) -> set[str]:
    return {path.parent.name for path in paths}
