"""Uploads by URL on a real service: with curl, repeated, and with the service killed in between."""

import asyncio
import shutil
import sqlite3
import stat
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from actors.blob_keys import original_key
from ilios.blobs.local import LocalBlobs
from ilios.edge.upload_urls import UPLOAD_SUFFIX
from tests import documents
from tests.journeys.data_directory import blob_names
from tests.journeys.running import RunningService, running_service
from tests.journeys.service_client import (
    Client,
)

PDF = documents.pdf("Meridian")


async def ask(service: RunningService, size: int = len(PDF)) -> Any:
    url = f"{service.url}/api/documents/upload-url"
    wanted = {"fileName": "report.pdf", "fileSize": size}
    async with aiohttp.ClientSession() as session, session.post(url, json=wanted) as answer:
        assert answer.status == 200
        return await answer.json()


async def put(url: str, content: bytes = PDF) -> int:
    async with aiohttp.ClientSession() as session, session.put(url, data=content) as answer:
        return answer.status


async def complete(service: RunningService, name: str) -> tuple[int, Any]:
    url = f"{service.url}/api/documents/upload-complete/{name}"
    async with aiohttp.ClientSession() as session, session.post(url) as answer:
        return answer.status, await answer.json()


def rows(data: Path) -> tuple[int, int]:
    """Return how many documents there are, and how many bills."""
    with sqlite3.connect(f"file:{data}/ilios.db?mode=ro", uri=True) as database:
        counts = [
            database.execute("SELECT count(*) FROM documents").fetchone()[0],
            database.execute("SELECT count(*) FROM usage").fetchone()[0],
        ]
    return counts[0], counts[1]


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
async def test_curl_uploads_to_the_url_as_it_was_given(tmp_path: Path) -> None:
    file = tmp_path / "large.bin"
    file.write_bytes(bytes(3_000_000))  # curl waits to be invited with more than 1 MB
    async with running_service(tmp_path / "data") as service:
        asked = await ask(service, 3_000_000)
        process = await asyncio.create_subprocess_exec(
            *("curl", "-sS", "-w", "%{http_code}", "-T", str(file), asked["uploadUrl"]),
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await process.communicate()
        assert out == b"200"
        assert (await complete(service, asked["id"]))[0] == 200
        client = Client(service)
        await client.wait_for(asked["id"], "failed")
        assert (await client.status(asked["id"]))["code"] == "unsupported_type"


async def test_an_upload_is_converted_and_billed_once_however_often_it_is_completed(
    tmp_path: Path,
) -> None:
    async with running_service(tmp_path) as service:
        client, asked = Client(service), await ask(service)
        name = asked["id"]
        assert await put(asked["uploadUrl"]) == 200
        answers = await asyncio.gather(*(complete(service, name) for _ in range(10)))
        await client.wait_for(name, "completed")
        answers.append(await complete(service, name))
        assert {status for status, _ in answers} == {200}
        assert all(answer == answers[0] for answer in answers)
        assert b"Meridian" in (await client.get(f"/api/documents/{name}"))[1]
        assert await client.get(f"/api/documents/{name}/original") == (200, PDF)
        assert await put(asked["uploadUrl"]) == 409
        assert rows(tmp_path) == (1, 1)
        assert not [key for key in blob_names(tmp_path) if key.startswith("uploads")]


@pytest.mark.slow
@pytest.mark.usefixtures("edge_in_core")
async def test_urls_and_uploads_outlive_the_service_and_no_step_is_done_twice(
    tmp_path: Path,
) -> None:
    async with running_service(tmp_path) as service:
        asked = await ask(service)
        name, url = asked["id"], asked["uploadUrl"]
        origin = service.url

        await service.kill("all")
        await service.start()
        assert await put(url.replace(origin, service.url)) == 200
        await service.kill("all")
        await service.start()
        # Killed while it is at it: whether before, between or after its steps is up to chance.
        at_it = [asyncio.create_task(complete(service, name)) for _ in range(3)]
        await asyncio.wait(at_it, return_when=asyncio.FIRST_COMPLETED)
        await service.kill("all")
        await asyncio.gather(*at_it, return_exceptions=True)
        await service.start()
        assert (await complete(service, name))[0] == 200
        client = Client(service)
        await client.wait_for(name, "completed")
        assert (await complete(service, name))[0] == 200
        assert rows(tmp_path) == (1, 1)
        secret = tmp_path / "upload-url.secret"
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600


@pytest.mark.usefixtures("edge_in_core")
async def test_an_upload_killed_between_its_move_and_its_submission_is_completed(
    tmp_path: Path,
) -> None:
    async with running_service(tmp_path) as service:
        asked = await ask(service)
        name = asked["id"]
        assert await put(asked["uploadUrl"]) == 200
        await service.kill("all")
        async with LocalBlobs.open(tmp_path / "blobs") as store:
            await store.move(asked["s3Key"], original_key("default", name, UPLOAD_SUFFIX))
        await service.start()
        assert (await complete(service, name))[0] == 200
        await Client(service).wait_for(name, "completed")
        assert rows(tmp_path) == (1, 1)
        assert not [key for key in blob_names(tmp_path) if key.startswith("uploads")]


@pytest.mark.slow
@pytest.mark.usefixtures("edge_in_core")
async def test_an_upload_moved_but_not_submitted_is_completed_by_the_next_request(
    tmp_path: Path,
) -> None:
    service = RunningService(tmp_path)
    service.armed = "uploads.moved"
    await service.start()
    try:
        asked = await ask(service)
        assert await put(asked["uploadUrl"]) == 200
        with pytest.raises(aiohttp.ClientError):
            await complete(service, asked["id"])
        await service.wait_until_killed()
        await service.start()
        assert (await complete(service, asked["id"]))[0] == 200
        client = Client(service)
        await client.wait_for(asked["id"], "completed")
        assert await client.get(f"/api/documents/{asked['id']}/original") == (200, PDF)
        assert rows(tmp_path) == (1, 1)
        assert not [key for key in blob_names(tmp_path) if key.startswith("uploads")]
    finally:
        await service.stop()
