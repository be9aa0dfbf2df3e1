"""The objects and multipart uploads that the S3 store leaves in a bucket."""

import asyncio
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import aiohttp
import msgspec
import pytest
from yarl import URL

from actors.ports import StorageFull
from ilios.blobs.s3 import AUTO, S3Config, SharingHost
from ilios.blobs.s3.bucket import PART_BYTES
from ilios.blobs.s3.client import open_client
from ilios.blobs.s3.store import S3Blobs
from ilios.secret import Secret
from tests.ilios.blobs.contents import KEY, list_keys, read_blob
from tests.s3.proxy import FaultProxy
from tests.s3.servers import BUCKET, S3Server
from tests.waiting import wait_until

MIB = 1024 * 1024


@pytest.fixture
def place(server: S3Server) -> S3Config:
    return server.config()


@pytest.fixture
async def store(place: S3Config, tmp_path: Path) -> AsyncIterator[S3Blobs]:
    async with opened(place, tmp_path) as store:
        yield store


@asynccontextmanager
async def opened(place: S3Config, directory: Path) -> AsyncIterator[S3Blobs]:
    async with S3Blobs.open(place, directory / "copies", "tests") as store:
        yield store


async def stream(data: bytes, pieces: int = 250_000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), pieces):
        yield data[start : start + pieces]


def as_it_is(url: str | None) -> URL:
    """Return a URL that is sent as it was signed: else %3A and : would be the same."""
    assert url is not None
    return URL(url, encoded=True)


def left(server: S3Server, place: S3Config) -> list[str]:
    """Return the keys of all objects but the owner's, and of unfinished uploads."""
    found = [*server.objects(place.prefix), *server.uploads(place.prefix)]
    return [key.removeprefix(place.prefix) for key in found if not key.endswith("/.ilios")]


@pytest.mark.parametrize("size", [PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 2 * PART_BYTES + 5])
async def test_a_stream_is_put_whole_wherever_its_parts_end(store: S3Blobs, size: int) -> None:
    data = os.urandom(size)
    blob = await store.put(KEY, stream(data))
    assert (blob.size, blob.sha256) == (size, hashlib.sha256(data).hexdigest())
    assert await read_blob(store, KEY) == data
    assert await store.digest(KEY) == blob
    async with store.local_path(KEY) as path:
        assert path.read_bytes() == data


async def test_bytes_are_put_in_one_piece_up_to_the_threshold(
    server: S3Server, tmp_path: Path
) -> None:
    async with FaultProxy.in_front_of(server.endpoint) as proxy:
        place = msgspec.structs.replace(server.config(proxy.endpoint), single_put_max_bytes=9 * MIB)
        async with opened(place, tmp_path) as store:
            proxy.request_counts.clear()
            await store.put_bytes(KEY, bytes(9 * MIB))
            assert proxy.request_counts == {"PUT": 1}
            await store.put_bytes(KEY, bytes(9 * MIB + 1))
            assert proxy.request_counts == {"PUT": 3, "POST": 2}
            assert await store.size(KEY) == 9 * MIB + 1


async def test_everything_is_under_the_prefix_and_foreign_objects_are_ignored(
    store: S3Blobs, server: S3Server, place: S3Config
) -> None:
    server.put_object(f"{place.prefix}Not/One.Of/Ours!", b"x")
    await store.put_bytes(KEY, b"y")
    assert await list_keys(store) == [KEY]
    assert sorted(left(server, place)) == ["Not/One.Of/Ours!", KEY]


async def test_a_put_that_is_cancelled_leaves_neither_an_object_nor_an_upload(
    store: S3Blobs, server: S3Server, place: S3Config
) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(MIB)
            await asyncio.sleep(0)

    putting = asyncio.create_task(store.put(KEY, endless()))
    await wait_until(lambda: bool(server.uploads(place.prefix + KEY)))
    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await putting
    assert left(server, place) == []


@pytest.mark.parametrize("size", [1000, PART_BYTES + 1], ids=["in one piece", "in parts"])
@pytest.mark.parametrize("method", ["PUT", "POST"])
async def test_a_put_that_is_cancelled_at_its_very_end_leaves_nothing(
    server: S3Server, tmp_path: Path, size: int, method: str
) -> None:
    async with FaultProxy.in_front_of(server.endpoint) as proxy:
        place = server.config(proxy.endpoint)
        async with opened(place, tmp_path) as store:
            before = proxy.request_counts[method]
            putting = asyncio.create_task(store.put(KEY, stream(bytes(size))))
            await wait_until(lambda: proxy.request_counts[method] > before or putting.done())
            putting.cancel()
            await asyncio.wait({putting})
            if putting.cancelled():
                assert left(server, place) == []


async def test_only_uploads_of_dead_processes_are_aborted_at_the_next_start(
    server: S3Server, tmp_path: Path
) -> None:
    place, other = server.config(), server.config()
    strangers = f"{place.prefix}backups/monday"
    for key in (place.prefix + KEY, other.prefix + KEY, strangers):
        server.client.create_multipart_upload(Bucket=BUCKET, Key=key)
    async with opened(place, tmp_path):
        assert server.uploads(place.prefix) == [strangers]
        assert server.uploads(other.prefix) == [other.prefix + KEY]


async def test_a_sweep_aborts_old_uploads_and_not_those_in_progress(
    server: S3Server, tmp_path: Path
) -> None:
    place, go_on = server.config(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield bytes(PART_BYTES)
        await go_on.wait()

    async with opened(place, tmp_path) as store:
        putting = asyncio.create_task(store.put(KEY, slow()))
        await wait_until(lambda: len(server.uploads(place.prefix)) == 1)
        server.client.create_multipart_upload(Bucket=BUCKET, Key=f"{place.prefix}markdown/a/b")
        assert await store.sweep_temporary(timedelta(hours=1)) == 0
        assert await store.sweep_temporary(timedelta(seconds=-60)) == 1
        assert server.uploads(place.prefix) == [place.prefix + KEY]
        go_on.set()
        assert (await putting).size == PART_BYTES


async def test_no_host_aborts_the_uploads_of_another_one(server: S3Server, tmp_path: Path) -> None:
    place, go_on = server.config(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield bytes(PART_BYTES)
        await go_on.wait()

    core, worker = SharingHost(sweeps=True), SharingHost(sweeps=False, probe_id="worker")
    async with S3Blobs.open(place, tmp_path / "one", "tests", host=core) as store:
        putting = asyncio.create_task(store.put(KEY, slow()))
        await wait_until(lambda: len(server.uploads(place.prefix)) == 1)
        async with S3Blobs.open(place, tmp_path / "two", "tests", host=worker, adopt=False) as two:
            assert await two.sweep_temporary(timedelta(seconds=-60)) == 0
        async with S3Blobs.open(place, tmp_path / "three", "tests", host=core) as again:
            assert await again.sweep_temporary(timedelta(hours=1)) == 0
        go_on.set()
        assert (await putting).size == PART_BYTES


async def test_a_local_copy_is_private_and_removed_after_use(
    store: S3Blobs, tmp_path: Path
) -> None:
    await store.put_bytes(KEY, b"text")
    async with store.local_path(KEY) as path:
        assert path.read_bytes() == b"text"
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.is_relative_to(tmp_path / "copies")
    assert not path.exists()


async def test_a_local_copy_that_does_not_fit_on_the_volume_is_refused(
    store: S3Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.put_bytes(KEY, b"text")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9, 9, 0))
    with pytest.raises(StorageFull, match="no room for a copy"):
        async with store.local_path(KEY):
            pytest.fail("it was lent")


async def test_presigned_urls_allow_a_put_and_a_get_with_their_signature(
    store: S3Blobs, place: S3Config
) -> None:
    async with aiohttp.ClientSession() as client:
        putting = await store.presign_put(KEY, size=4, expires_in=60)
        async with client.put(as_it_is(putting), data=b"text") as answer:
            assert answer.status == 200
        assert await read_blob(store, KEY) == b"text"
        getting = await store.presign_get(
            KEY, expires_in=60, disposition='attachment; filename="a.txt"', content_type="text/x-a"
        )
        assert getting is not None
        async with client.get(as_it_is(getting), headers={"Range": "bytes=1-2"}) as answer:
            assert await answer.read() == b"ex"
        forged = getting[:-1] + ("1" if getting.endswith("0") else "0")
        for changed in (getting.replace(KEY, "originals/default/other"), forged):
            async with client.get(as_it_is(changed)) as answer:
                assert answer.status in (400, 403)
        assert place.secret_key is not None
        assert place.secret_key.get_secret_value() not in f"{getting}{putting}"


async def test_a_presigned_url_sets_the_response_headers(server: S3Server, tmp_path: Path) -> None:
    disposition = "attachment; filename=\"a.txt\"; filename*=UTF-8''%C3%A4.txt"
    async with opened(server.config(), tmp_path) as store, aiohttp.ClientSession() as client:
        await store.put_bytes(KEY, b"text")
        url = await store.presign_get(
            KEY, expires_in=60, disposition=disposition, content_type="text/x-a"
        )
        async with client.get(as_it_is(url)) as answer:
            assert answer.headers["Content-Disposition"] == disposition
            assert answer.headers["Content-Type"].startswith("text/x-a")
        wrong = await store.presign_put(KEY, size=4, expires_in=60)
        async with client.put(as_it_is(wrong), data=b"more than that") as answer:
            assert answer.status == 403


async def test_a_reader_that_stops_early_releases_its_connection(
    server: S3Server, tmp_path: Path
) -> None:
    async with opened(server.config(), tmp_path) as store:
        await store.put_bytes(KEY, bytes(4 * MIB))
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(20):
            reading = store.read(KEY)
            await anext(reading)
            await reading.aclose()
        await wait_until(lambda: len(os.listdir("/proc/self/fd")) <= before + 2)


@pytest.mark.parametrize(
    ("endpoint", "addressing", "begins"),
    [
        (None, "auto", "https://documents.s3.eu-central-1.amazonaws.com/a?"),
        (None, "path", "https://s3.eu-central-1.amazonaws.com/documents/a?"),
        ("https://s3.example.com", "auto", "https://s3.example.com/documents/a?"),
        ("https://s3.example.com", "virtual", "https://documents.s3.example.com/a?"),
        ("https://example.com/storage/s3", "path", "https://example.com/storage/s3/documents/a?"),
    ],
)
async def test_the_bucket_is_named_in_the_path_or_in_the_host(
    endpoint: str | None, addressing: str, begins: str
) -> None:
    key = Secret("key")
    place = S3Config(
        bucket="documents",
        endpoint=endpoint,
        addressing=addressing,
        access_key=key,
        secret_key=key,
    )
    async with open_client(place, "eu-central-1") as client:
        url = await client.presign("get_object", 60, Key="a")
    assert url.startswith(begins)


def test_without_a_bucket_the_sdk_is_not_loaded() -> None:
    script = (
        "import ilios.service, sys; print('botocore' in sys.modules, 'aiobotocore' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    assert done.stdout.split() == ["False", "False"]


def test_the_representation_of_a_configuration_has_no_keys(server: S3Server) -> None:
    assert "testing" not in repr(server.config())
    assert AUTO in repr(server.config())
