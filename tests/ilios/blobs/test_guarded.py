"""A store that may be the wrong one is checked before a blob counts as missing."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest

from actors.blob_keys import original_key, result_key
from actors.ports import BlobNotFound, StorageMismatch
from ilios.blobs import factory
from ilios.blobs.guarded import GuardedBlobs
from ilios.blobs.local import LocalBlobs
from tests.ilios.edge.world import ID

KEY = original_key("default", ID)
MISSING = original_key("default", "a" * 24)


class FakeStoreCheck:
    """A store check whose result the test sets."""

    def __init__(self) -> None:
        self.is_right = True
        self.check_count = 0

    def raise_if_misplaced(self) -> None:
        if not self.is_right:
            raise StorageMismatch("another one")

    async def recheck(self) -> None:
        self.check_count += 1
        self.raise_if_misplaced()


@pytest.fixture
async def store(blob_root: Path) -> AsyncIterator[LocalBlobs]:
    async with LocalBlobs.open(blob_root) as store:
        await store.put_bytes(KEY, b"bytes")
        yield store


async def read(blobs: GuardedBlobs, key: str) -> bytes:
    return b"".join([chunk async for chunk in blobs.read(key)])


async def path_of(blobs: GuardedBlobs, key: str) -> bytes:
    async with blobs.local_path(key) as path:
        return path.read_bytes()


READS: dict[str, Callable[[GuardedBlobs, str], Awaitable[object]]] = {
    "read": read,
    "local_path": path_of,
    "size": lambda blobs, key: blobs.size(key),
    "ends": lambda blobs, key: blobs.read_ends(key, 2),
    "examine": lambda blobs, key: blobs.digest(key),
    "move": lambda blobs, key: blobs.move(key, f"{key}.moved"),
}


@pytest.mark.parametrize("name", READS)
async def test_a_missing_blob_triggers_a_store_check(store: LocalBlobs, name: str) -> None:
    store_check = FakeStoreCheck()
    blobs = GuardedBlobs(store, store_check)
    await READS[name](blobs, KEY)
    assert store_check.check_count == 0
    with pytest.raises(BlobNotFound):
        await READS[name](blobs, MISSING)
    assert store_check.check_count == 1
    store_check.is_right = False
    with pytest.raises(StorageMismatch):
        await READS[name](blobs, MISSING)


async def test_a_missing_optional_blob_triggers_no_store_check(store: LocalBlobs) -> None:
    store_check = FakeStoreCheck()
    with pytest.raises(BlobNotFound):
        await GuardedBlobs(store, store_check).size(result_key("default", ID, "work"))
    assert store_check.check_count == 0


async def test_a_wrong_store_refuses_changes(store: LocalBlobs) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"bytes"

    store_check = FakeStoreCheck()
    store_check.is_right = False
    blobs = GuardedBlobs(store, store_check)
    for change in (
        lambda: blobs.put(MISSING, chunks()),
        lambda: blobs.put_bytes(MISSING, b"bytes"),
        lambda: blobs.delete(KEY),
        lambda: blobs.move(KEY, MISSING),
        lambda: blobs.list_page("", None, 10),
        lambda: blobs.sweep_temporary(timedelta(0)),
        lambda: blobs.presign_put(KEY, size=1, expires_in=1),
        blobs.check,
    ):
        with pytest.raises(StorageMismatch):
            await change()
    assert await store.size(KEY) == 5
    with pytest.raises(BlobNotFound):
        await store.size(MISSING)


async def test_one_existing_blob_identifies_the_store(store: LocalBlobs) -> None:
    await factory.ensure_any_present(store, [MISSING, KEY])
    await factory.ensure_any_present(store, [MISSING])
    with pytest.raises(StorageMismatch, match="none of 2 blobs"):
        await factory.ensure_any_present(store, [MISSING, f"{MISSING}.other"])


async def test_a_directory_is_checked_before_it_is_created(tmp_path: Path) -> None:
    root = tmp_path / "blobs"
    factory.ensure_any_in_directory(root, [])
    for _ in ("not there", "empty"):
        with pytest.raises(StorageMismatch):
            factory.ensure_any_in_directory(root, [KEY])
        assert not root.exists() or not list(root.iterdir())
        root.mkdir(exist_ok=True)
    async with LocalBlobs.open(root) as store:
        factory.ensure_any_in_directory(root, [KEY])  # of one blob alone it may be its own matter
        await store.put_bytes(KEY, b"bytes")
    factory.ensure_any_in_directory(root, [MISSING, KEY])
