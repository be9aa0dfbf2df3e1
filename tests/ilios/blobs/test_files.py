"""Sessions of dead processes are swept, those of running ones never."""

import asyncio
import fcntl
import os
import sys
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from ilios.blobs.local import CHUNK_BYTES, LocalBlobs
from tests.ilios.blobs.contents import KEY, read_blob

HOUR = timedelta(hours=1)
LONG_AGO = time.time() - 2 * 3600
LARGE = bytes(3 * CHUNK_BYTES)

PUTTER = """
import asyncio, sys
from pathlib import Path
from ilios.blobs.local import CHUNK_BYTES, LocalBlobs

async def endless():
    yield bytes(CHUNK_BYTES)
    yield b"more"
    print("spilled", flush=True)
    await asyncio.Event().wait()

async def main():
    async with LocalBlobs.open(Path(sys.argv[1])) as store:
        await store.put("originals/a/1", endless())

asyncio.run(main())
"""


def make_old(opening: Path) -> None:
    for path in (*opening.iterdir(), opening):
        os.utime(path, (LONG_AGO, LONG_AGO))


def dead_sessions(root: Path, *names: str) -> Path:
    """Make the files of a session whose process was killed."""
    opening = root / "tmp" / "0123456789abcdef"
    opening.mkdir()
    for name in ("lock", *names):
        (opening / name).write_bytes(b"half")
    return opening


async def test_old_puts_of_a_dead_session_are_swept_and_counted(
    blobs: LocalBlobs, tmp_path: Path
) -> None:
    opening = dead_sessions(tmp_path / "blobs", "0", "1")
    make_old(opening)
    assert await blobs.sweep_temporary(HOUR) == 2
    assert not opening.exists()
    assert await blobs.sweep_temporary(HOUR) == 0


@pytest.mark.parametrize("young", ["0", "."])
async def test_a_dead_session_with_a_young_file_is_not_swept(
    blobs: LocalBlobs, tmp_path: Path, young: str
) -> None:
    opening = dead_sessions(tmp_path / "blobs", "0", "1")
    make_old(opening)
    os.utime(opening / young)
    assert await blobs.sweep_temporary(HOUR) == 0
    assert (opening / "1").exists()


async def test_puts_of_a_live_session_are_never_swept(blobs: LocalBlobs, tmp_path: Path) -> None:
    async with LocalBlobs.open(tmp_path / "blobs") as second:
        spilled, go_on = asyncio.Barrier(3), asyncio.Event()

        async def slow() -> AsyncIterator[bytes]:
            yield LARGE
            await spilled.wait()
            await go_on.wait()

        puts = [
            asyncio.create_task(store.put(key, slow()))
            for store, key in ((blobs, KEY), (second, "originals/b"))
        ]
        await spilled.wait()
        for opening in (tmp_path / "blobs" / "tmp").iterdir():
            if opening.is_dir():
                make_old(opening)
        for store in (blobs, second):
            assert await store.sweep_temporary(HOUR) == 0
            assert await store.sweep_temporary(timedelta(0)) == 0
        go_on.set()
        await asyncio.gather(*puts)
        assert await read_blob(blobs, KEY) == LARGE
        assert await read_blob(blobs, "originals/b") == LARGE


async def test_files_of_a_killed_process_are_swept_by_a_running_one(
    blobs: LocalBlobs, tmp_path: Path
) -> None:
    putter = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PUTTER, str(tmp_path / "blobs")), stdout=asyncio.subprocess.PIPE
    )
    assert putter.stdout is not None
    assert await putter.stdout.readline() == b"spilled\n"
    assert await blobs.sweep_temporary(timedelta(0)) == 0
    putter.kill()
    await putter.wait()
    assert await blobs.sweep_temporary(HOUR) == 0
    assert await blobs.sweep_temporary(timedelta(0)) == 1
    assert len([path for path in (tmp_path / "blobs" / "tmp").iterdir() if path.is_dir()]) == 1


async def test_a_session_that_is_being_closed_is_no_error(
    blobs: LocalBlobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opening = dead_sessions(tmp_path / "blobs", "0")
    make_old(opening)
    flock = fcntl.flock

    def late(file: int, operation: int) -> None:
        flock(file, operation)
        if operation & fcntl.LOCK_NB and opening.exists():
            # One that leaves unlinks what it had before it lets go of its lock.
            for path in opening.iterdir():
                path.unlink()
            opening.rmdir()

    monkeypatch.setattr(fcntl, "flock", late)
    assert await blobs.sweep_temporary(HOUR) == 0
    async with LocalBlobs.open(tmp_path / "blobs") as another:
        await another.put_bytes(KEY, b"x")
