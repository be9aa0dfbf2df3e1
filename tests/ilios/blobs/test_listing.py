"""Listings of the local store: every blob once, also during other changes."""

import asyncio
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ilios.blobs import layout
from ilios.blobs.layout import SHARDS, blob_path
from ilios.blobs.local import LocalBlobs
from tests.ilios.blobs.contents import KEY, list_keys, list_pages
from tests.waiting import wait_until

MANY = 10_000
LIMIT = 2_000


def fill(root: Path, count: int) -> set[str]:
    """Write blobs without the syncs of a put; return their keys."""
    put = {f"originals/default/{number:05}" for number in range(count)}
    for key in put:
        Path(blob_path(str(root), key)).touch()
    return put


async def test_ten_thousand_blobs_are_listed_once_in_pages_within_the_limit(
    blobs: LocalBlobs, tmp_path: Path
) -> None:
    put = fill(tmp_path / "blobs", MANY)
    found = await list_pages(blobs, "originals/", LIMIT)
    met = [blob.key for page in found for blob in page]
    assert len(met) == MANY
    assert set(met) == put
    assert [len(page) for page in found][:4] == [LIMIT] * 4


async def test_blobs_that_exist_throughout_are_listed_once_during_changes(
    blobs: LocalBlobs, tmp_path: Path
) -> None:
    stays = fill(tmp_path / "blobs", MANY)
    turns = 0

    async def come_and_go(name: int) -> None:
        nonlocal turns
        while True:
            key = f"originals/default/x{name}-{turns}"
            await blobs.put_bytes(key, b"x")
            await blobs.move(key, f"{key}-moved")
            await blobs.put_bytes(f"originals/default/{turns % MANY:05}", b"replaced")
            await blobs.delete(f"{key}-moved")
            turns += 1

    others = [asyncio.create_task(come_and_go(name)) for name in range(4)]
    met: list[str] = []
    position: str | None = None
    while True:
        page, position = await blobs.list_page("originals/", position, 500)
        met.extend(blob.key for blob in page)
        if position is None:
            break
        before = turns
        await wait_until(lambda before=before: turns > before, 60)  # type: ignore[misc]
    for other in others:
        other.cancel()
    ends = await asyncio.gather(*others, return_exceptions=True)
    assert all(isinstance(end, asyncio.CancelledError) for end in ends), ends
    assert turns >= MANY // 500
    assert sorted(stays.intersection(met)) == sorted(key for key in met if key in stays)
    assert stays <= set(met)


async def test_a_blob_that_vanishes_while_it_is_listed_is_skipped(
    blobs: LocalBlobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = fill(tmp_path / "blobs", 20)
    gone, lstat = sorted(put)[7], os.lstat

    def late(path: str) -> os.stat_result:
        if path == blob_path(str(tmp_path / "blobs"), gone):
            os.unlink(path)
        return lstat(path)

    monkeypatch.setattr(os, "lstat", late)
    assert set(await list_keys(blobs)) == put - {gone}


async def test_files_that_are_not_blobs_are_not_listed(blobs: LocalBlobs, tmp_path: Path) -> None:
    await blobs.put_bytes(KEY, b"x")
    root = tmp_path / "blobs"
    own = Path(blob_path(str(root), KEY))
    another_shard = root / SHARDS[(SHARDS.index(own.parent.name) + 1) % len(SHARDS)]
    (another_shard / own.name).touch()
    Path(blob_path(str(root), "originals/a/directory")).mkdir()
    Path(blob_path(str(root), "originals/a/link")).symlink_to(root / "tmp")
    (root / "00" / "Upper case").touch()
    (root / "00" / ".hidden").touch()
    assert await list_keys(blobs, limit=1) == [KEY]


async def test_a_listing_holds_one_page_in_memory(
    blobs: LocalBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []

    def endless(_shard: str, _prefix: str, after: str) -> Iterator[str]:
        for number in range(100_000):
            yield f"k{number:06}"

    def unreadable(_root: str, _shard: str, key: str) -> None:
        looked.append(key)

    monkeypatch.setattr(layout, "_keys", endless)
    monkeypatch.setattr(layout, "_stored", unreadable)
    found, position = layout.list_shard("", "", layout.Position(0), 3)
    assert looked == ["k000000", "k000001", "k000002"]
    assert (found, position) == ([], layout.Position(0, "k000002"))


async def test_a_listing_does_not_block_the_event_loop(
    blobs: LocalBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    await blobs.put_bytes(KEY, b"x")
    began, go_on, scandir = threading.Event(), threading.Event(), os.scandir

    def slow(path: str) -> object:
        began.set()
        assert go_on.wait(10), "nobody else had a turn"
        return scandir(path)

    monkeypatch.setattr(os, "scandir", slow)
    walking = asyncio.create_task(list_keys(blobs))
    await asyncio.to_thread(began.wait, 10)
    go_on.set()
    assert await walking == [KEY]


@pytest.mark.parametrize("position", ["", "/", "zz/", "0/", "abc/x", "../x"])
async def test_an_invalid_position_is_refused(blobs: LocalBlobs, position: str) -> None:
    with pytest.raises(ValueError, match="not a position"):
        await blobs.list_page("", position, 10)


@pytest.mark.parametrize("limit", [0, -1])
async def test_a_page_limit_of_zero_is_refused(blobs: LocalBlobs, limit: int) -> None:
    with pytest.raises(ValueError, match="at least one blob"):
        await blobs.list_page("", None, limit)


async def test_a_position_is_valid_in_another_process(blobs: LocalBlobs, tmp_path: Path) -> None:
    put = fill(tmp_path / "blobs", 50)
    first, position = await blobs.list_page("", None, 20)
    async with LocalBlobs.open(tmp_path / "blobs") as other:
        second, end = await other.list_page("", position, 100)
    assert end is None
    assert {blob.key for blob in (*first, *second)} == put
    assert len(first) + len(second) == 50
