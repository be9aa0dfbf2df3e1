"""A slow, broken, full or unreachable bucket: clear errors, whole blobs, nothing left behind."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from aiohttp import web

from actors.backoff import Backoff
from actors.ports import StorageFull, StorageUnavailable
from ilios.blobs.s3 import S3Config, client, object_reader
from ilios.blobs.s3 import store as stores
from ilios.blobs.s3.bucket import PART_BYTES
from ilios.blobs.s3.store import S3Blobs
from ilios.blobs.s3.upload import ChecksumMismatch
from tests.ilios.blobs.contents import KEY, read_blob
from tests.ilios.blobs.test_s3 import left, opened, stream
from tests.s3.proxy import FaultProxy, failing_with
from tests.s3.servers import S3Server
from tests.waiting import wait_until

LARGE = os.urandom(2 * PART_BYTES + 12_345)
ListUploads = Callable[[], list[str]]
OTHER = "archive/default/abc123"


SERVERS = ["rclone", pytest.param("swift", marks=pytest.mark.slow)]
BOTH = pytest.mark.parametrize("server", SERVERS, indirect=True)
"""For what depends on the server; the other faults are made by the proxy."""


@pytest.fixture
def server(request: pytest.FixtureRequest) -> S3Server:
    found: S3Server = request.getfixturevalue(getattr(request, "param", "rclone"))
    return found


@pytest.fixture
async def proxy(server: S3Server) -> AsyncIterator[FaultProxy]:
    async with FaultProxy.in_front_of(server.endpoint) as proxy:
        yield proxy


@pytest.fixture
def place(server: S3Server, proxy: FaultProxy) -> S3Config:
    return server.config(proxy.endpoint)


@pytest.fixture
def still_there(server: S3Server, place: S3Config) -> ListUploads:
    return lambda: left(server, place)


@pytest.fixture
async def store(
    place: S3Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[S3Blobs]:
    monkeypatch.setattr(client, "ATTEMPTS", 2)
    monkeypatch.setattr("ilios.blobs.s3.bucket.SILENT_FOR", 0.4)
    monkeypatch.setattr(object_reader, "BACKOFF", Backoff(first=0.01, longest=0.1))
    async with opened(place, tmp_path) as store:
        yield store


@pytest.mark.parametrize("size", [1000, len(LARGE)], ids=["in one piece", "in parts"])
@pytest.mark.parametrize(
    "refusal", [(503, "SlowDown"), (500, "InternalError"), (403, "AccessDenied")]
)
async def test_a_put_that_is_refused_is_unavailable_and_leaves_nothing(
    store: S3Blobs, proxy: FaultProxy, size: int, refusal: tuple[int, str], still_there: ListUploads
) -> None:
    status, code = refusal
    proxy.intercept = failing_with(status, code, "PUT")
    proxy.request_counts.clear()
    with pytest.raises(StorageUnavailable, match=f"{code}|AWS_ACCESS_KEY_ID"):
        await store.put(KEY, stream(LARGE[:size]))
    assert proxy.request_counts["PUT"] <= 3 * client.ATTEMPTS, "attempts are bounded"
    proxy.intercept = lambda _: None
    assert still_there() == []
    assert (await store.put(KEY, stream(LARGE[:size]))).size == size


@pytest.mark.parametrize(
    ("status", "code"),
    [(403, "QuotaExceeded"), (507, "XMinioStorageFull"), (507, "Other"), (400, "EntityTooLarge")],
)
async def test_a_full_bucket_is_reported_until_a_put_succeeds(
    store: S3Blobs, proxy: FaultProxy, status: int, code: str
) -> None:
    await store.put_bytes(KEY, b"read me")
    proxy.intercept = failing_with(status, code, "PUT", "POST")
    for size in (1000, len(LARGE)):
        with pytest.raises(StorageFull, match="has no space"):
            await store.put("markdown/default/abc", stream(LARGE[:size]))
    with pytest.raises(StorageFull):
        await store.move(KEY, OTHER)
    with pytest.raises(StorageFull):
        await store.check()
    assert await read_blob(store, KEY) == b"read me"
    proxy.intercept = lambda _: None
    await store.put_bytes(KEY, b"text")
    await store.check()


async def test_a_full_bucket_is_no_longer_reported_after_a_while(
    store: S3Blobs, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy.intercept = failing_with(403, "QuotaExceeded", "PUT")
    with pytest.raises(StorageFull):
        await store.put_bytes(KEY, b"text")
    monkeypatch.setattr(stores, "FULL_FOR", 0.0)
    await store.check()


@BOTH
async def test_an_unreachable_bucket_is_unavailable_until_it_answers_again(
    store: S3Blobs, proxy: FaultProxy, tmp_path: Path
) -> None:
    await store.put_bytes(KEY, b"text")
    await proxy.stop_listening()
    asked: list[Callable[[], object]] = [
        store.check,
        lambda: store.size(KEY),
        lambda: read_blob(store, KEY),
        lambda: store.digest(KEY),
        lambda: store.move(KEY, OTHER),
        lambda: store.delete(KEY),
        lambda: store.list_page("", None, 10),
        lambda: store.put_bytes(KEY, b"other"),
    ]
    answers = await asyncio.gather(*(ask() for ask in asked), return_exceptions=True)  # type: ignore[call-overload]
    for answer in answers:
        assert isinstance(answer, StorageUnavailable)
        assert "set AWS_ENDPOINT_URL_S3" in str(answer)
    await proxy.start_listening()
    assert await read_blob(store, KEY) == b"text"
    await store.check()


async def test_a_silent_bucket_times_out(
    store: S3Blobs, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.put_bytes(KEY, b"text")
    with monkeypatch.context() as impatient:
        impatient.setattr(client, "ANSWER_WITHIN", 0.3)
        proxy.may_answer.clear()
        began = time.monotonic()
        for asking in (store.size(KEY), read_blob(store, KEY), store.put_bytes(KEY, b"other")):
            with pytest.raises(StorageUnavailable, match="does not answer"):
                await asking
        assert time.monotonic() - began < 30
        proxy.may_answer.set()
    await wait_until(lambda: is_there(store))


async def is_there(store: S3Blobs) -> bool:
    return await store.size(KEY) > 0


@BOTH
async def test_an_interrupted_download_is_resumed(store: S3Blobs, proxy: FaultProxy) -> None:
    await store.put(KEY, stream(LARGE))
    proxy.truncations, proxy.truncate_after = 4, 3_000_000
    assert await read_blob(store, KEY) == LARGE
    assert proxy.truncated == 4
    proxy.truncations, proxy.truncate_after = 1, 100_000
    async with store.local_path(KEY) as path:
        assert path.read_bytes() == LARGE
    proxy.truncations = 1
    assert (await store.digest(KEY)).size == len(LARGE)


async def test_a_download_that_is_always_interrupted_fails(
    store: S3Blobs, proxy: FaultProxy
) -> None:
    await store.put(KEY, stream(LARGE))
    proxy.truncations, proxy.truncate_after = 1000, 0
    with pytest.raises(StorageUnavailable):
        await read_blob(store, KEY)
    assert proxy.truncated < 20


@BOTH
async def test_a_blob_replaced_during_a_read_is_not_mixed_with_the_new_one(
    store: S3Blobs, proxy: FaultProxy
) -> None:
    await store.put(KEY, stream(LARGE))
    proxy.truncations, proxy.truncate_after = 1, 3_000_000
    reader = store.read(KEY)
    await anext(reader)
    await store.put(KEY, stream(LARGE[::-1]))
    with pytest.raises(StorageUnavailable):
        async for _ in reader:
            pass


@BOTH
async def test_bytes_corrupted_in_a_download_are_read_again_or_refused(
    store: S3Blobs, proxy: FaultProxy
) -> None:
    blob = await store.put(KEY, stream(LARGE))
    proxy.corruptions = 1
    assert await store.digest(KEY) == blob
    proxy.corruptions = 1
    with pytest.raises(StorageUnavailable, match="other bytes"):
        async with store.local_path(KEY):
            pytest.fail("it was lent")


@pytest.mark.parametrize("size", [1000, PART_BYTES + 1], ids=["in one piece", "in parts"])
async def test_bytes_corrupted_in_transit_are_not_stored(
    store: S3Blobs, server: S3Server, proxy: FaultProxy, place: S3Config, size: int
) -> None:
    def wrong_etag(request: web.Request) -> web.Response | None:
        if request.method != "PUT":
            return None
        return web.Response(headers={"ETag": f'"{"0" * 32}"'})

    proxy.intercept = wrong_etag
    with pytest.raises(ChecksumMismatch):
        await store.put(KEY, stream(bytes(size)))
    assert left(server, place) == []


@pytest.mark.slow
async def test_a_slow_bucket_causes_no_errors(store: S3Blobs, proxy: FaultProxy) -> None:
    proxy.bytes_per_second = 1_000_000
    blob = await store.put(KEY, stream(LARGE[:600_000]))
    assert blob.size == 600_000
    assert await read_blob(store, KEY) == LARGE[:600_000]


@BOTH
async def test_an_upload_that_cannot_be_aborted_is_swept_later(
    store: S3Blobs, server: S3Server, proxy: FaultProxy, place: S3Config, tmp_path: Path
) -> None:
    async def cut_off() -> AsyncIterator[bytes]:
        yield LARGE
        await proxy.stop_listening()
        yield LARGE

    with pytest.raises(StorageUnavailable):
        await store.put(KEY, cut_off())
    assert server.uploads(place.prefix) != []
    await proxy.start_listening()
    async with opened(place, tmp_path / "next start"):
        assert left(server, place) == []


async def test_a_result_and_its_markdown_are_sent_at_the_same_time_and_not_looked_up(
    store: S3Blobs, proxy: FaultProxy
) -> None:
    proxy.request_counts.clear()
    proxy.may_answer.clear()
    putting = asyncio.create_task(store.put_with_derived(KEY, b"result", OTHER, b"text"))
    await wait_until(lambda: proxy.request_counts["PUT"] == 2)
    proxy.may_answer.set()
    assert [blob.key for blob in await putting] == [KEY, OTHER]
    assert proxy.request_counts == {"PUT": 2}


async def test_a_local_copy_takes_one_request(store: S3Blobs, proxy: FaultProxy) -> None:
    for data in (b"", b"a few bytes", LARGE):
        await store.put_bytes(KEY, data)
        proxy.request_counts.clear()
        async with store.local_path(KEY) as path:
            assert path.read_bytes() == data
        assert proxy.request_counts == {"GET": 1}


async def test_markdown_that_is_refused_leaves_its_result_at_most(
    store: S3Blobs, proxy: FaultProxy, still_there: ListUploads
) -> None:
    refuse = failing_with(503, "SlowDown", "PUT")
    proxy.intercept = lambda request: refuse(request) if OTHER in request.path else None
    with pytest.raises(StorageUnavailable, match="SlowDown"):
        await store.put_with_derived(KEY, b"result", OTHER, b"text")
    assert {*still_there()} <= {KEY}
