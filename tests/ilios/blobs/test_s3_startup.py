"""An unusable bucket is refused at the start, with the setting to change."""

import asyncio
from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs

from actors.ports import StorageMisconfigured, StorageMismatch, StorageUnavailable
from ilios.blobs.factory import open_blobs, warn_of_unmoved_blobs
from ilios.blobs.s3 import S3Config
from ilios.blobs.s3.store import S3Blobs
from ilios.secret import Secret
from tests.ilios.blobs.contents import KEY, read_blob
from tests.ilios.blobs.test_s3 import opened
from tests.s3.proxy import FaultProxy, failing_with
from tests.s3.servers import S3Server

SECRET_KEY = "hush-hush-hush"


async def refused(place: S3Config, directory: Path, owner: str = "tests") -> str:
    with pytest.raises(StorageUnavailable) as met:
        async with S3Blobs.open(place, directory / "copies", owner):
            pytest.fail("it was opened")
    assert SECRET_KEY not in str(met.value)
    assert "\n" not in str(met.value)
    return str(met.value)


async def test_a_missing_bucket_is_reported(server: S3Server, tmp_path: Path) -> None:
    place = msgspec.structs.replace(server.config(), bucket="not-there")
    message = await refused(place, tmp_path)
    assert "there is no bucket not-there" in message
    assert "set S3_BUCKET" in message


async def test_a_wrong_key_is_reported(server: S3Server, tmp_path: Path) -> None:
    for wrong in ("access_key", "secret_key"):
        place = msgspec.structs.replace(server.config(), **{wrong: Secret(SECRET_KEY)})
        assert "AWS_ACCESS_KEY_ID" in await refused(place, tmp_path)


@pytest.mark.slow
async def test_a_key_without_any_permission_is_reported(swift: S3Server, tmp_path: Path) -> None:
    place = msgspec.structs.replace(
        swift.config(), access_key=Secret("test:reader"), secret_key=Secret("reading")
    )
    assert "allow s3:ListBucket in bucket documents" in await refused(place, tmp_path)


@pytest.mark.parametrize(
    ("method", "right"),
    [
        ("PUT", "s3:PutObject"),
        ("DELETE", "s3:DeleteObject"),
        ("POST", "s3:PutObject"),
    ],
)
async def test_a_missing_permission_is_reported(
    server: S3Server, tmp_path: Path, method: str, right: str
) -> None:
    async with FaultProxy.in_front_of(server.endpoint) as proxy:
        proxy.intercept = failing_with(403, "AccessDenied", method)
        assert f"allow {right}" in await refused(server.config(proxy.endpoint), tmp_path)


async def test_an_endpoint_that_refuses_connections_is_reported(
    server: S3Server, tmp_path: Path
) -> None:
    async with FaultProxy.in_front_of(server.endpoint) as proxy:
        place = server.config(proxy.endpoint)
        await proxy.stop_listening()
        message = await refused(place, tmp_path)
        assert place.endpoint is not None
        assert place.endpoint in message
        assert "set AWS_ENDPOINT_URL_S3" in message


async def test_an_endpoint_that_is_not_s3_is_reported(server: S3Server, tmp_path: Path) -> None:
    async with FaultProxy.in_front_of(server.endpoint) as proxy:
        proxy.intercept = failing_with(404, "", "GET", "PUT")
        assert "S3 at http://127" in await refused(server.config(proxy.endpoint), tmp_path)


@pytest.mark.slow
async def test_a_wrong_region_is_reported(swift: S3Server, tmp_path: Path) -> None:
    place = msgspec.structs.replace(swift.config(), region="eu-central-1")
    assert "set AWS_REGION to" in await refused(place, tmp_path)
    assert "us-east-1" in await refused(place, tmp_path)


async def test_a_bucket_of_another_service_is_refused(server: S3Server, tmp_path: Path) -> None:
    place = server.config()
    async with opened(place, tmp_path) as store:
        await store.put_bytes(KEY, b"text")
    assert "set ILIOS_S3_PREFIX" in await refused(place, tmp_path, owner="others")
    async with opened(place, tmp_path) as store:
        assert await read_blob(store, KEY) == b"text"


@pytest.mark.slow
async def test_the_region_of_the_bucket_is_found(swift: S3Server, tmp_path: Path) -> None:
    for region in ("auto", "us-east-1"):
        place = msgspec.structs.replace(swift.config(), region=region)
        async with opened(place, tmp_path) as store:
            url = await store.presign_put(KEY, size=1, expires_in=60)
            assert url is not None
            assert "us-east-1" in url


async def test_stored_blobs_are_found_after_a_restart(server: S3Server, tmp_path: Path) -> None:
    place = server.config()
    async with open_blobs(place, tmp_path) as store:
        await store.put_bytes(KEY, b"text")
    async with open_blobs(place, tmp_path) as store:
        assert await read_blob(store, KEY) == b"text"
    assert sorted(server.objects(place.prefix)) == [f"{place.prefix}.ilios", place.prefix + KEY]


async def test_blobs_in_the_directory_are_a_warning_when_a_bucket_is_used(
    server: S3Server, tmp_path: Path
) -> None:
    async with open_blobs(None, tmp_path) as store:
        await store.put_bytes(KEY, b"text")
    with capture_logs() as logged:
        warn_of_unmoved_blobs(None, tmp_path)
        assert logged == []
        warn_of_unmoved_blobs(server.config(), tmp_path)
        # It is opened again and again while the bucket does not answer.
        async with open_blobs(server.config(), tmp_path):
            await asyncio.sleep(0)
    assert ["run without S3_BUCKET" in line["event"] for line in logged] == [True]


async def test_a_bucket_without_an_owner_is_not_adopted_if_blobs_are_expected(
    server: S3Server, tmp_path: Path
) -> None:
    place = server.config()
    with pytest.raises(StorageMismatch, match=r"put the file s3-owner\.id"):
        async with S3Blobs.open(place, tmp_path / "copies", "tests", adopt=False):
            pytest.fail("it was opened")
    assert server.objects(place.prefix) == {}
    async with S3Blobs.open(place, tmp_path / "copies", "tests"):
        pass
    async with S3Blobs.open(place, tmp_path / "copies", "tests", adopt=False) as store:
        await store.check()
        server.client.delete_object(Bucket=place.bucket, Key=f"{place.prefix}.ilios")
        with pytest.raises(StorageMismatch):
            await store.check()
        server.put_object(f"{place.prefix}.ilios", b'{"id":"another"}')
        with pytest.raises(StorageMismatch, match="another ilios"):
            await store.check()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("status", "code", "stays"),
    [(503, "SlowDown", False), (500, "InternalError", False), (403, "AccessDenied", True)],
)
async def test_a_temporary_refusal_is_not_a_wrong_setting(
    server: S3Server, tmp_path: Path, status: int, code: str, *, stays: bool
) -> None:
    async with FaultProxy.in_front_of(server.endpoint) as proxy:
        proxy.intercept = failing_with(status, code)
        with pytest.raises(StorageUnavailable) as met:
            async with S3Blobs.open(server.config(proxy.endpoint), tmp_path / "copies", "tests"):
                pytest.fail("it was opened")
    assert isinstance(met.value, StorageMisconfigured) == stays
