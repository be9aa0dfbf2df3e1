"""A move in the local store is atomic, and durable before it returns."""

import asyncio
import os
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from actors.ports import BlobNotFound
from ilios.blobs.local import LocalBlobs
from tests.ilios.blobs.contents import KEY, list_pages, read_blob

OTHER = "archive/default/abc123"
DATA = b"%PDF-1.7 small"

MOVER = """
import asyncio, sys
from pathlib import Path
from ilios.blobs.local import LocalBlobs

async def main():
    async with LocalBlobs.open(Path(sys.argv[1])) as store:
        async def mover(number):
            while True:
                await store.move(f"originals/{number}", f"archive/{number}")
                print(number, flush=True)
                await store.move(f"archive/{number}", f"originals/{number}")
        await asyncio.gather(*(mover(number) for number in range(int(sys.argv[2]))))

asyncio.run(main())
"""
MOVED_AT_ONCE = 12


def data_of(number: int) -> bytes:
    return str(number).encode() * 100


def noted(monkeypatch: pytest.MonkeyPatch, steps: list[tuple[str, str]]) -> None:
    """Record renames by their target and syncs by their path."""
    rename, fsync = os.rename, os.fsync

    def rename_noted(source: str, target: str) -> None:
        steps.append(("rename", target))
        rename(source, target)

    def fsync_noted(file: int) -> None:
        steps.append(("fsync", os.readlink(f"/proc/self/fd/{file}")))
        fsync(file)

    monkeypatch.setattr(os, "rename", rename_noted)
    monkeypatch.setattr(os, "fsync", fsync_noted)


async def places(store: LocalBlobs) -> tuple[Path, Path]:
    """Return the paths of a blob under its key and under the target."""
    found = []
    for key in (KEY, OTHER):
        await store.put_bytes(key, DATA)
        async with store.local_path(key) as path:
            found.append(path)
    await store.delete(OTHER)
    assert found[0].parent != found[1].parent
    return found[0], found[1]


async def test_a_move_makes_the_new_name_durable_before_the_old_one(
    blobs: LocalBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = await places(blobs)
    steps: list[tuple[str, str]] = []
    noted(monkeypatch, steps)
    await blobs.move(KEY, OTHER)
    assert steps == [
        ("rename", str(target)),
        ("fsync", str(target.parent)),
        ("fsync", str(source.parent)),
    ]


async def test_repeating_a_move_makes_it_durable(
    blobs: LocalBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = await places(blobs)
    source.rename(target)  # by a process that was killed before the sync
    steps: list[tuple[str, str]] = []
    noted(monkeypatch, steps)
    with pytest.raises(BlobNotFound):
        await blobs.move(KEY, OTHER)
    assert ("fsync", str(target.parent)) in steps


async def test_a_moved_blob_has_the_time_of_its_move(blobs: LocalBlobs) -> None:
    source, _ = await places(blobs)
    os.utime(source, (0, 0))
    await blobs.move(KEY, OTHER)
    ((moved,),) = await list_pages(blobs)
    assert datetime.now(UTC) - moved.modified_at < timedelta(minutes=1)


async def test_a_move_cancelled_at_any_moment_leaves_one_complete_blob(blobs: LocalBlobs) -> None:
    numbers = range(40)
    await asyncio.gather(*(blobs.put_bytes(f"originals/{n}", data_of(n)) for n in numbers))
    moves = [asyncio.create_task(blobs.move(f"originals/{n}", f"archive/{n}")) for n in numbers]
    await moves[5]
    for move in moves:
        move.cancel()
    await asyncio.gather(*moves, return_exceptions=True)
    await blobs.size("archive/5")
    (listed,) = await list_pages(blobs)
    assert sorted(int(blob.key.split("/")[1]) for blob in listed) == list(numbers)


async def test_a_move_does_not_block_the_event_loop(
    blobs: LocalBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    await blobs.put_bytes(KEY, DATA)
    began, go_on, rename = threading.Event(), threading.Event(), os.rename

    def slow(source: str, target: str) -> None:
        began.set()
        assert go_on.wait(10), "nobody else had a turn"
        rename(source, target)

    monkeypatch.setattr(os, "rename", slow)
    moving = asyncio.create_task(blobs.move(KEY, OTHER))
    await asyncio.to_thread(began.wait, 10)
    go_on.set()
    await moving
    assert await read_blob(blobs, OTHER) == DATA


@pytest.mark.parametrize("after", [1, 7, 40])
async def test_a_move_interrupted_by_a_kill_loses_no_blob_and_is_finished_later(
    tmp_path: Path, after: int
) -> None:
    async with LocalBlobs.open(tmp_path) as store:
        for number in range(MOVED_AT_ONCE):
            await store.put_bytes(f"originals/{number}", data_of(number))
    mover = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", MOVER, str(tmp_path), str(MOVED_AT_ONCE)),
        stdout=asyncio.subprocess.PIPE,
    )
    assert mover.stdout is not None
    for _ in range(after):
        assert await mover.stdout.readline()
    mover.kill()
    await mover.wait()
    async with LocalBlobs.open(tmp_path) as store:
        for number in range(MOVED_AT_ONCE):
            try:
                await store.move(f"originals/{number}", f"archive/{number}")
            except BlobNotFound:
                assert await store.size(f"archive/{number}")
            assert await read_blob(store, f"archive/{number}") == data_of(number)
        assert len([blob for page in await list_pages(store) for blob in page]) == MOVED_AT_ONCE
