"""The service on a bucket: documents travel as on a directory, whatever becomes of the bucket."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from yarl import URL

from tests import documents
from tests.journeys.commands import run_ilios
from tests.journeys.running import RunningService, running_service
from tests.journeys.service_client import ServiceClient, document_states, wait_until_completed
from tests.s3.proxy import FaultProxy, failing_with
from tests.s3.servers import S3Server
from tests.waiting import wait_until

MIB = 1024 * 1024
PDF = documents.pdf("Meridian")
pytestmark = pytest.mark.slow

WITHIN = 60.0  # seconds; a machine under load is slow, not wrong


async def sent_by_hand(service: RunningService, megabytes: int) -> asyncio.Task[None]:
    """Begin an upload that sends so much and then nothing more."""

    async def body() -> AsyncIterator[bytes]:
        yield b"%PDF-1.7"
        for _ in range(megabytes):
            yield bytes(MIB)
        await asyncio.get_running_loop().create_future()

    async def send() -> None:
        headers = {"Content-Type": "application/pdf"}
        url = f"{service.url}/api/documents/submit"
        async with aiohttp.ClientSession() as session:
            await session.post(url, data=body(), headers=headers)

    return asyncio.create_task(send())


async def test_a_document_goes_all_the_way_and_is_read_back(
    swift: S3Server, tmp_path: Path
) -> None:
    place = swift.config()
    async with (
        running_service(tmp_path, **swift.environ(place)) as service,
        ServiceClient(service) as client,
    ):
        assert await client.is_accepted()
        await wait_until_completed(client, tmp_path)
        (name,) = client.accepted_texts
        original = f"/api/documents/{name}/original"
        whole = await client.send("GET", original)
        assert whole.body.startswith(b"%PDF")
        part = await client.send("GET", original, headers={"Range": "bytes=1-3"})
        assert (part.status, part.body) == (206, b"PDF")
        assert part.headers["Content-Range"] == f"bytes 1-3/{len(whole.body)}"
        health = msgspec.json.decode((await client.send("GET", "/health")).body)
        assert (health["services"]["s3"], health["services"]["blobs"]) == ("connected", "s3")
        assert not (tmp_path / "blobs").exists()
        assert sorted(key.split("/")[0] for key in swift.content_keys(place)) == [
            "markdown",
            "originals",
            "results",
        ]
        assert (await client.send("DELETE", f"/api/documents/{name}")).status == 200
        await wait_until(lambda: swift.content_keys(place) == [])


async def test_uploads_and_originals_bypass_the_service_by_presigned_urls(
    swift: S3Server, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    environ = swift.environ(swift.config())
    environ |= {"ILIOS_ORIGINAL_REDIRECT": "true", "ILIOS_LOG_LEVEL": "debug"}
    async with (
        running_service(tmp_path, **environ) as service,
        ServiceClient(service) as service_client,
    ):
        wanted = {"fileName": "report.pdf", "fileSize": len(PDF)}
        asked = await service_client.send("POST", "/api/documents/upload-url", json=wanted)
        place = msgspec.json.decode(asked.body)
        assert place["uploadUrl"].startswith(swift.endpoint)
        async with aiohttp.ClientSession() as client:
            async with client.put(URL(place["uploadUrl"], encoded=True), data=PDF) as answer:
                assert answer.status == 200
            done = await service_client.send(
                "POST", f"/api/documents/upload-complete/{place['id']}"
            )
            assert done.status == 200, done.body
            service_client.accepted_texts[place["id"]] = "Meridian"
            await wait_until_completed(service_client, tmp_path)
            path = f"/api/documents/{place['id']}/original"
            sent = await service_client.send("GET", path, allow_redirects=False)
            assert (sent.status, sent.headers["Cache-Control"]) == (307, "no-store")
            location = sent.headers["Location"]
            assert location.startswith(swift.endpoint)
            async with client.get(URL(location, encoded=True)) as answer:
                assert await answer.read() == PDF
                assert answer.headers["Content-Type"] == "application/pdf"
                assert "report.pdf" in answer.headers["Content-Disposition"]
        head = await service_client.send("HEAD", path)
        assert (head.status, head.headers["Content-Length"]) == (200, str(len(PDF)))
        unchanged = await service_client.send(
            "GET", path, headers={"If-None-Match": head.headers["ETag"]}
        )
        assert unchanged.status == 304
    logged = capfd.readouterr().err
    assert "document accepted" in logged
    assert "X-Amz-" not in logged, "a presigned URL is a right"


async def test_an_unfinished_upload_leaves_nothing_in_the_bucket(
    swift: S3Server, tmp_path: Path
) -> None:
    place = swift.config()
    async with running_service(tmp_path, **swift.environ(place)) as service:
        sending = await sent_by_hand(service, 20)
        await wait_until(lambda: swift.content_keys(place) != [])
        sending.cancel()
        await wait_until(lambda: swift.content_keys(place) == [], within=WITHIN)

        sending = await sent_by_hand(service, 20)
        await wait_until(lambda: swift.content_keys(place) != [])
        await service.kill("service")
        with pytest.raises(aiohttp.ClientError):
            await sending
        assert swift.content_keys(place) != []
        await service.start()
        assert swift.content_keys(place) == []


async def test_while_the_bucket_is_gone_nothing_is_lost_and_work_goes_on_by_itself(
    swift: S3Server, tmp_path: Path
) -> None:
    async with FaultProxy.in_front_of(swift.endpoint) as proxy:
        environ = swift.environ(swift.config(proxy.endpoint))
        async with (
            running_service(tmp_path, **environ) as service,
            ServiceClient(service) as client,
        ):
            for _ in range(4):
                assert await client.is_accepted()
            await proxy.stop_listening()
            refused = await client.submit()
            assert (refused.status, refused.code) == (503, "storage_unavailable")
            assert int(refused.headers["Retry-After"]) > 0
            ready = await client.send("GET", "/readyz")
            assert ready.status == 503
            # In the words of S3's client, or of who did not wait for them any longer.
            assert re.search("blobs: .+ does not answer", await client.health_error())
            for _ in range(3):
                assert await client.publish() is not None
            assert not set(document_states(tmp_path / "ilios.db").values()) & {
                "failed",
                "cancelled",
            }
            assert not service.has_ended
            await proxy.start_listening()
            await wait_until_completed(client, tmp_path)
            await wait_until(lambda: is_well(client))


async def test_while_the_bucket_is_full_nothing_is_lost_and_work_goes_on_by_itself(
    swift: S3Server, tmp_path: Path
) -> None:
    async with FaultProxy.in_front_of(swift.endpoint) as proxy:
        environ = swift.environ(swift.config(proxy.endpoint))
        async with (
            running_service(tmp_path, **environ) as service,
            ServiceClient(service) as client,
        ):
            assert await client.is_accepted()
            proxy.intercept = failing_with(403, "QuotaExceeded", "PUT", "POST")
            refused = await client.submit()
            assert (refused.status, refused.code) == (507, "storage_full")
            assert await client.publish() is not None
            await wait_until(lambda: is_full(client))
            assert not set(document_states(tmp_path / "ilios.db").values()) & {
                "failed",
                "cancelled",
            }
            proxy.intercept = lambda _: None
            await wait_until_completed(client, tmp_path)
            await wait_until(lambda: is_well(client))


async def test_a_missing_bucket_ends_the_start_with_one_sentence(
    swift: S3Server, tmp_path: Path
) -> None:
    environ: dict[str, Any] = swift.environ(swift.config()) | {"S3_BUCKET": "not-there"}
    result = await run_ilios(tmp_path, "serve", **environ, PORT="0", ILIOS_LOG_LEVEL="error")
    (line,) = result.errors.splitlines()
    assert line.startswith("ilios cannot start: there is no bucket not-there at http://127.0.0.1")
    assert line.endswith("set S3_BUCKET")
    assert result.code == 2


async def is_well(client: ServiceClient) -> bool:
    return not await client.health_error()


async def is_full(client: ServiceClient) -> bool:
    return "has no space: QuotaExceeded" in await client.health_error()
