"""Recent small blobs are read from memory, with the same result as from the store."""

import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from actors.ports import BlobNotFound
from ilios.blobs import caching as module
from ilios.blobs.caching import CachingBlobs
from ilios.blobs.local import LocalBlobs

KEY = "originals/default/abc"


@pytest.fixture
async def store(blob_root: Path) -> AsyncIterator[LocalBlobs]:
    async with LocalBlobs.open(blob_root) as store:
        yield store


@pytest.fixture
async def blobs(store: LocalBlobs, tmp_path: Path) -> AsyncIterator[CachingBlobs]:
    async with CachingBlobs.open(store, tmp_path / "copies") as blobs:
        yield blobs


async def chunks(*data: bytes) -> AsyncIterator[bytes]:
    for one in data:
        yield one


async def text(blobs: CachingBlobs, start: int = 0, stop: int | None = None) -> bytes:
    return b"".join([chunk async for chunk in blobs.read(KEY, start, stop)])


async def test_a_small_blob_is_read_from_the_cache(blobs: CachingBlobs, store: LocalBlobs) -> None:
    await blobs.put(KEY, chunks(b"hello ", b"world"))
    await store.delete(KEY)  # behind its back: so it can only come from memory

    assert await text(blobs) == b"hello world"
    assert await text(blobs, 2, 4) == b"ll"
    assert await blobs.read_ends(KEY, 3) == (b"hel", b"rld")
    async with blobs.local_path(KEY) as path:
        assert path.read_bytes() == b"hello world"
    assert not path.exists()


async def test_bytes_and_what_is_derived_from_them_are_read_from_the_cache(
    blobs: CachingBlobs, store: LocalBlobs
) -> None:
    await blobs.put_bytes(KEY, b"of before")
    await blobs.put_with_derived("results/default/abc", b"[]", KEY, b"text")
    for key in (KEY, "results/default/abc"):
        await store.delete(key)
    assert await text(blobs) == b"text"
    assert await blobs.read_ends("results/default/abc", 1) == (b"[", b"]")


async def test_size_and_digest_come_from_the_store(blobs: CachingBlobs, store: LocalBlobs) -> None:
    await blobs.put_bytes(KEY, b"hello")
    await store.delete(KEY)
    with pytest.raises(BlobNotFound):
        await blobs.size(KEY)
    with pytest.raises(BlobNotFound):
        await blobs.digest(KEY)


async def test_a_deleted_blob_is_removed_from_the_cache(blobs: CachingBlobs) -> None:
    await blobs.put_bytes(KEY, b"hello")
    await blobs.delete(KEY)
    with pytest.raises(BlobNotFound):
        await text(blobs)


async def test_a_moved_blob_is_gone_from_its_old_key(blobs: CachingBlobs) -> None:
    await blobs.put_bytes(KEY, b"hello")
    await blobs.move(KEY, "archive/default/abc")
    with pytest.raises(BlobNotFound):
        await text(blobs)


async def test_a_replaced_blob_is_read_with_its_new_content(blobs: CachingBlobs) -> None:
    await blobs.put_bytes(KEY, b"first")
    await blobs.put_bytes(KEY, b"second")
    assert await text(blobs) == b"second"


async def test_large_blobs_are_not_cached(
    blobs: CachingBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_BLOB_BYTES", 4)
    await blobs.put(KEY, chunks(b"hel", b"lo"))
    assert not blobs._cache
    assert await text(blobs) == b"hello"


async def test_a_large_blob_is_not_collected_in_memory_while_it_is_put(blobs: CachingBlobs) -> None:
    async def large() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield bytes(module.MAX_BLOB_BYTES)

    tracemalloc.start()
    try:
        await blobs.put(KEY, large())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20 * module.MAX_BLOB_BYTES


async def test_the_oldest_blobs_are_evicted(
    blobs: CachingBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CAPACITY_BYTES", 10)
    for name in ("a", "b", "c"):
        await blobs.put_bytes(f"originals/default/{name}", b"12345")
    assert list(blobs._cache) == ["originals/default/b", "originals/default/c"]
    assert blobs._cached_bytes == 10


async def test_a_failed_put_is_not_cached(
    blobs: CachingBlobs, store: LocalBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(key: str, data: bytes) -> None:
        raise OSError("no")

    monkeypatch.setattr(store, "put_bytes", refuse)
    with pytest.raises(OSError, match="no"):
        await blobs.put_bytes(KEY, b"hello")
    assert not blobs._cache
