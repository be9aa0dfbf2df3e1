"""The contract of every blob store, and of the fake that the tests of the actors use."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from actors.ports import BlobNotFound, Blobs
from ilios.blobs.local import HASH_STEP_BYTES, LocalBlobs
from ilios.blobs.s3.store import S3Blobs
from schemas.documents import Blob
from tests.actors.fakes import FakeBlobs
from tests.ilios.blobs.contents import KEY, list_keys, list_pages, read_blob

OTHER = "archive/default/abc123"
DATA = b"%PDF-1.7 " + bytes(range(256)) * 5000
LARGE = DATA * (2 * HASH_STEP_BYTES // len(DATA) + 1)
A_BIT = timedelta(seconds=2)  # file systems and servers have clocks of their own


@pytest.fixture(params=["local", "rclone", "fake", pytest.param("swift", marks=pytest.mark.slow)])
async def store(
    request: pytest.FixtureRequest, tmp_path: Path, blob_root: Path
) -> AsyncIterator[Blobs]:
    async with AsyncExitStack() as stack:
        match request.param:
            case "local":
                yield await stack.enter_async_context(LocalBlobs.open(blob_root))
            case "fake":
                yield FakeBlobs(tmp_path)
            case name:
                place = request.getfixturevalue(name).config()
                bucket = S3Blobs.open(place, tmp_path / "copies", "tests")
                yield await stack.enter_async_context(bucket)


def blob(key: str, data: bytes) -> Blob:
    return Blob(key, len(data), hashlib.sha256(data).hexdigest())


async def stream(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 100_000):
        yield data[start : start + 100_000]


async def test_any_content_is_read_as_it_was_put(store: Blobs) -> None:
    assert await store.put(KEY, stream(DATA)) == blob(KEY, DATA)
    assert await read_blob(store, KEY) == DATA
    assert await store.read_ends(KEY, 9) == (DATA[:9], DATA[-9:])
    async with store.local_path(KEY) as path:
        assert path.read_bytes() == DATA


@pytest.mark.parametrize("derived", [b"", b"text"])
async def test_bytes_are_stored_beside_those_they_are_derived_from(
    store: Blobs, derived: bytes
) -> None:
    expected = blob(KEY, DATA), blob(OTHER, derived)
    assert await store.put_with_derived(KEY, DATA, OTHER, derived) == expected
    assert await store.put_with_derived(KEY, DATA, OTHER, derived) == expected
    assert [await read_blob(store, key) for key in (KEY, OTHER)] == [DATA, derived]


@pytest.mark.parametrize("data", [b"", b"x", DATA, LARGE, LARGE[:HASH_STEP_BYTES]])
async def test_a_blob_has_its_size_and_hash(store: Blobs, data: bytes) -> None:
    await store.put_bytes(KEY, data)
    assert await store.size(KEY) == len(data)
    assert await store.digest(KEY) == blob(KEY, data)


@pytest.mark.parametrize(
    ("start", "stop"),
    [
        *((0, 1), (5, 10), (0, None), (1000, None), (len(DATA) - 1, None), (0, len(DATA))),
        *((7, len(DATA) + 100), (len(DATA), None), (len(DATA) + 9, len(DATA) + 10), (7, 7)),
    ],
)
async def test_a_part_of_a_blob_is_read(store: Blobs, start: int, stop: int | None) -> None:
    await store.put_bytes(KEY, DATA)
    assert b"".join([piece async for piece in store.read(KEY, start, stop)]) == DATA[start:stop]


async def test_a_failed_put_leaves_nothing(store: Blobs) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield LARGE
        raise ConnectionResetError("the client is gone")

    with pytest.raises(ConnectionResetError):
        await store.put(KEY, broken())
    assert await list_keys(store) == []
    assert await store.sweep_temporary(timedelta(0)) == 0
    await store.put_bytes(KEY, DATA)
    assert await read_blob(store, KEY) == DATA


async def test_the_check_of_a_working_store_succeeds(store: Blobs) -> None:
    await store.check()


async def test_the_digest_is_that_of_the_current_content(store: Blobs) -> None:
    await store.put_bytes(KEY, DATA)
    await store.put_bytes(KEY, b"replaced")
    assert await store.size(KEY) == 8
    assert await store.digest(KEY) == blob(KEY, b"replaced")


async def test_a_missing_blob_is_not_found(store: Blobs) -> None:
    with pytest.raises(BlobNotFound):
        await store.size(KEY)
    with pytest.raises(BlobNotFound):
        await store.digest(KEY)
    with pytest.raises(BlobNotFound):
        await store.move(KEY, OTHER)
    with pytest.raises(BlobNotFound):
        await store.move(KEY, KEY)
    with pytest.raises(BlobNotFound):
        await read_blob(store, KEY)
    await store.delete(KEY)


async def test_a_moved_blob_exists_only_under_its_new_key(store: Blobs) -> None:
    await store.put_bytes(KEY, DATA)
    await store.move(KEY, OTHER)
    assert await store.digest(OTHER) == blob(OTHER, DATA)
    assert await list_keys(store) == [OTHER]
    with pytest.raises(BlobNotFound):
        await store.size(KEY)


async def test_a_move_overwrites(store: Blobs) -> None:
    await store.put_bytes(OTHER, b"old")
    await store.put_bytes(KEY, DATA)
    await store.move(KEY, OTHER)
    assert await read_blob(store, OTHER) == DATA


async def test_repeating_a_finished_move_leaves_its_target_alone(store: Blobs) -> None:
    await store.put_bytes(KEY, DATA)
    await store.move(KEY, OTHER)
    with pytest.raises(BlobNotFound):
        await store.move(KEY, OTHER)
    assert await read_blob(store, OTHER) == DATA


async def test_an_interrupted_move_is_finished_by_its_repetition(
    store: Blobs,
) -> None:
    await store.put_bytes(KEY, DATA)
    await store.put_bytes(OTHER, DATA)
    await store.move(KEY, OTHER)
    assert await list_keys(store) == [OTHER]
    assert await read_blob(store, OTHER) == DATA


async def test_a_move_to_the_same_key_leaves_the_blob(store: Blobs) -> None:
    await store.put_bytes(KEY, DATA)
    await store.move(KEY, KEY)
    assert await read_blob(store, KEY) == DATA


async def test_one_of_many_concurrent_moves_of_a_blob_succeeds(store: Blobs) -> None:
    await store.put_bytes(KEY, DATA)
    targets = [f"archive/default/{number}" for number in range(10)]
    moves = (store.move(KEY, target) for target in targets)
    outcomes = await asyncio.gather(*moves, return_exceptions=True)
    (moved,) = [target for target, met in zip(targets, outcomes, strict=True) if met is None]
    assert sum(isinstance(met, BlobNotFound) for met in outcomes) == 9
    assert await list_keys(store) == [moved]


async def test_a_running_read_finishes_while_the_blob_is_moved(store: Blobs) -> None:
    await store.put_bytes(KEY, DATA)
    reading = store.read(KEY)
    first = await anext(reading)
    await store.move(KEY, OTHER)
    await store.put_bytes(KEY, b"another")
    assert first + b"".join([chunk async for chunk in reading]) == DATA


async def test_a_listed_blob_has_its_size_and_the_time_of_its_put(store: Blobs) -> None:
    before = datetime.now(UTC)
    await store.put_bytes(KEY, DATA)
    ((listed,),) = await list_pages(store)
    assert (listed.key, listed.size) == (KEY, len(DATA))
    assert before - A_BIT < listed.modified_at < datetime.now(UTC) + A_BIT
    assert listed.modified_at.tzinfo is UTC


async def test_only_keys_with_the_prefix_are_listed(store: Blobs) -> None:
    for key in ("originals/a/1", "originals/b/1", "originals2/a/1", "markdown/a/1"):
        await store.put_bytes(key, b"x")
    assert sorted(await list_keys(store, "originals/")) == ["originals/a/1", "originals/b/1"]
    assert await list_keys(store, "originals/a/") == ["originals/a/1"]
    assert await list_keys(store, "uploads/") == []
    assert len(await list_keys(store, "")) == 4


@pytest.mark.parametrize("limit", [1, 7, 19, 20, 21])
async def test_pages_of_any_length_list_every_blob_once_in_the_same_order(
    store: Blobs, limit: int
) -> None:
    put = [f"originals/default/{number}" for number in range(20)]
    for start in range(0, len(put), 10):  # all at once, the last would wait for many answers
        await asyncio.gather(*(store.put_bytes(key, b"x") for key in put[start : start + 10]))
    found = await list_keys(store, "originals/", limit)
    assert sorted(found) == sorted(put)
    assert found == await list_keys(store, "originals/", 1000)


async def test_a_position_is_valid_after_its_blob_is_deleted(store: Blobs) -> None:
    put = [f"originals/default/{number}" for number in range(40)]
    await asyncio.gather(*(store.put_bytes(key, b"x") for key in put))
    found: list[str] = []
    position: str | None = None
    while True:
        page, position = await store.list_page("originals/", position, 3)
        found += [blob.key for blob in page]
        for blob in page:
            await store.delete(blob.key)
        if position is None:
            break
    assert sorted(found) == sorted(put)
    assert await list_keys(store) == []


async def test_a_put_in_progress_is_neither_listed_nor_swept(store: Blobs) -> None:
    spilled, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield DATA
        spilled.set()
        await go_on.wait()

    putting = asyncio.create_task(store.put(KEY, slow()))
    await spilled.wait()
    assert await list_keys(store) == []
    assert await store.sweep_temporary(timedelta(hours=1)) == 0
    go_on.set()
    assert await putting == blob(KEY, DATA)
    assert await list_keys(store) == [KEY]


async def test_a_store_presigns_urls_or_returns_none(store: Blobs) -> None:
    putting = await store.presign_put(KEY, size=10, expires_in=60)
    getting = await store.presign_get(
        KEY, expires_in=60, disposition="attachment", content_type="text/plain"
    )
    assert (putting is None) == (getting is None)
    for url in (putting, getting):
        assert url is None or url.startswith(("http://", "https://"))
