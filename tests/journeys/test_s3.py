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
from tests.ilios.blobs.test_s3 import left
from tests.journeys.commands import ilios
from tests.journeys.running import RunningService, running
from tests.journeys.visitors import Visitor, billed, ended
from tests.s3.proxy import FaultProxy, refusing
from tests.s3.servers import S3Server
from tests.waiting import until

MIB = 1024 * 1024
PDF = documents.pdf("Meridian")
WITHIN = 60.0  # seconds; a machine under load is slow, not wrong


async def completed(visitor: Visitor, data: Path) -> None:
    """Wait until all that was promised is kept, and billed once."""
    await until(
        lambda: all(ended(data / "ilios.db").get(one) == "completed" for one in visitor.promised),
        within=WITHIN,
    )
    for document, words in visitor.promised.items():
        assert await visitor.text(document) == words
    assert billed(data / "ilios.db") == sorted(ended(data / "ilios.db"))


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
    place = swift.place()
    async with running(tmp_path, **swift.environ(place)) as service, Visitor(service) as visitor:
        assert await visitor.is_accepted()
        await completed(visitor, tmp_path)
        (name,) = visitor.promised
        original = f"/api/documents/{name}/original"
        whole = await visitor.ask("GET", original)
        assert whole.body.startswith(b"%PDF")
        part = await visitor.ask("GET", original, headers={"Range": "bytes=1-3"})
        assert (part.status, part.body) == (206, b"PDF")
        assert part.headers["Content-Range"] == f"bytes 1-3/{len(whole.body)}"
        health = msgspec.json.decode((await visitor.ask("GET", "/health")).body)
        assert (health["services"]["s3"], health["services"]["blobs"]) == ("connected", "s3")
        assert not (tmp_path / "blobs").exists()
        assert sorted(key.split("/")[0] for key in left(swift, place)) == ["markdown", "originals"]
        assert (await visitor.ask("DELETE", f"/api/documents/{name}")).status == 200
        await until(lambda: left(swift, place) == [])


async def test_bytes_go_past_the_service_where_that_is_wanted(
    swift: S3Server, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    environ = swift.environ(swift.place())
    environ |= {"ILIOS_ORIGINAL_REDIRECT": "true", "ILIOS_LOG_LEVEL": "debug"}
    async with running(tmp_path, **environ) as service, Visitor(service) as visitor:
        wanted = {"fileName": "report.pdf", "fileSize": len(PDF)}
        asked = await visitor.ask("POST", "/api/documents/upload-url", json=wanted)
        place = msgspec.json.decode(asked.body)
        assert place["uploadUrl"].startswith(swift.endpoint)
        async with aiohttp.ClientSession() as client:
            async with client.put(URL(place["uploadUrl"], encoded=True), data=PDF) as answer:
                assert answer.status == 200
            done = await visitor.ask("POST", f"/api/documents/upload-complete/{place['id']}")
            assert done.status == 200, done.body
            visitor.promised[place["id"]] = "Meridian"
            await completed(visitor, tmp_path)
            path = f"/api/documents/{place['id']}/original"
            sent = await visitor.ask("GET", path, allow_redirects=False)
            assert (sent.status, sent.headers["Cache-Control"]) == (307, "no-store")
            location = sent.headers["Location"]
            assert location.startswith(swift.endpoint)
            async with client.get(URL(location, encoded=True)) as answer:
                assert await answer.read() == PDF
                assert answer.headers["Content-Type"] == "application/pdf"
                assert "report.pdf" in answer.headers["Content-Disposition"]
        told = await visitor.ask("HEAD", path)
        assert (told.status, told.headers["Content-Length"]) == (200, str(len(PDF)))
        known = await visitor.ask("GET", path, headers={"If-None-Match": told.headers["ETag"]})
        assert known.status == 304
    logged = capfd.readouterr().err
    assert "document accepted" in logged
    assert "X-Amz-" not in logged, "a presigned URL is a right"


async def test_of_an_upload_that_nobody_finishes_nothing_is_left(
    swift: S3Server, tmp_path: Path
) -> None:
    place = swift.place()
    async with running(tmp_path, **swift.environ(place)) as service:
        sending = await sent_by_hand(service, 20)
        await until(lambda: left(swift, place) != [])
        sending.cancel()
        await until(lambda: left(swift, place) == [], within=WITHIN)

        sending = await sent_by_hand(service, 20)
        await until(lambda: left(swift, place) != [])
        await service.kill("service")
        with pytest.raises(aiohttp.ClientError):
            await sending
        assert left(swift, place) != []
        await service.start()
        assert left(swift, place) == []


async def test_while_the_bucket_is_gone_nothing_is_lost_and_work_goes_on_by_itself(
    swift: S3Server, tmp_path: Path
) -> None:
    async with FaultProxy.before(swift.endpoint) as proxy:
        environ = swift.environ(swift.place(proxy.endpoint))
        async with running(tmp_path, **environ) as service, Visitor(service) as visitor:
            for _ in range(4):
                assert await visitor.is_accepted()
            await proxy.refuse()
            refused = await visitor.submit()
            assert (refused.status, refused.code) == (503, "storage_unavailable")
            assert int(refused.headers["Retry-After"]) > 0
            ready = await visitor.ask("GET", "/readyz")
            assert ready.status == 503
            # In the words of S3's client, or of who did not wait for them any longer.
            assert re.search("blobs: .+ does not answer", await visitor.problem())
            for _ in range(3):
                assert await visitor.publish() is not None
            assert not set(ended(tmp_path / "ilios.db").values()) & {"failed", "cancelled"}
            assert not service.has_ended
            await proxy.accept()
            await completed(visitor, tmp_path)
            await until(lambda: is_well(visitor))


async def test_while_the_bucket_is_full_nothing_is_lost_and_work_goes_on_by_itself(
    swift: S3Server, tmp_path: Path
) -> None:
    async with FaultProxy.before(swift.endpoint) as proxy:
        environ = swift.environ(swift.place(proxy.endpoint))
        async with running(tmp_path, **environ) as service, Visitor(service) as visitor:
            assert await visitor.is_accepted()
            proxy.trouble = refusing(403, "QuotaExceeded", "PUT", "POST")
            refused = await visitor.submit()
            assert (refused.status, refused.code) == (507, "storage_full")
            assert await visitor.publish() is not None
            await until(lambda: is_full(visitor))
            assert not set(ended(tmp_path / "ilios.db").values()) & {"failed", "cancelled"}
            proxy.trouble = lambda _: None
            await completed(visitor, tmp_path)
            await until(lambda: is_well(visitor))


async def test_a_bucket_that_is_not_there_is_a_sentence_and_no_service(
    swift: S3Server, tmp_path: Path
) -> None:
    environ: dict[str, Any] = swift.environ(swift.place()) | {"S3_BUCKET": "not-there"}
    said = await ilios(tmp_path, "serve", **environ, PORT="0", ILIOS_LOG_LEVEL="error")
    (line,) = said.errors.splitlines()
    assert line.startswith("ilios cannot start: there is no bucket not-there at http://127.0.0.1")
    assert line.endswith("set S3_BUCKET")
    assert said.code == 2


async def is_well(visitor: Visitor) -> bool:
    return not await visitor.problem()


async def is_full(visitor: Visitor) -> bool:
    return "takes no more: QuotaExceeded" in await visitor.problem()
