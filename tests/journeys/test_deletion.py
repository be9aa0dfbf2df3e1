"""Deletion and cancellation on a real service: nothing more is billed and no blob remains."""

import asyncio
import hashlib
import io
import os
import sqlite3
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from schemas.batches import document_id
from tests import documents
from tests.journeys.data_directory import blob_names
from tests.journeys.running import RunningService, Target, running_service
from tests.journeys.service_client import (
    Client,
)
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("edge_in_core")

WITHIN = 60.0  # seconds


def scan(pages: int) -> bytes:
    """Return scanned pages, each different: the recogniser reads equal pages only once."""
    first, *more = (
        documents.text_image(*(f"Page {page} line {n} of a long page" for n in range(8))).convert(
            "1"
        )
        for page in range(pages)
    )
    out = io.BytesIO()
    first.save(out, "TIFF", save_all=True, append_images=more, compression="group4")
    return out.getvalue()


async def delete(service: RunningService, name: str) -> tuple[int, Any]:
    url = f"{service.url}/api/documents/{name}"
    async with aiohttp.ClientSession() as session, session.delete(url) as answer:
        return answer.status, await answer.json()


def engine_seconds(service: RunningService) -> float:
    """Return how much CPU time the living engine processes have taken."""
    ticks = 0
    for pid in service.children("engines.local.child"):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


async def submit_slow(service: RunningService) -> tuple[str, bytes]:
    """Submit a document of minutes and wait until an engine converts it; return id and content."""
    client, content, before = Client(service), scan(120), engine_seconds(service)
    name = await client.submit(content)
    await wait_until(lambda: engine_seconds(service) > before + 2, WITHIN)
    assert (await client.status(name))["status"] == "processing"
    return name, content


def usage(data: Path) -> list[str]:
    """Return the ids of what was billed."""
    with sqlite3.connect(f"file:{data}/ilios.db?mode=ro", uri=True) as database:
        return [name for (name,) in database.execute("SELECT document_id FROM usage")]


@pytest.mark.slow
async def test_a_running_conversion_is_cancelled_and_nothing_is_billed(tmp_path: Path) -> None:
    # One worker, and minutes of work for it: the second document ends only if it was let go.
    async with running_service(tmp_path, WORKER_COUNT="1") as service:
        client = Client(service)
        name, slow = await submit_slow(service)

        status, receipt = await delete(service, name)

        assert (status, receipt["status"]) == (200, "cancelled")
        assert receipt["sha256"] == hashlib.sha256(slow).hexdigest()
        assert receipt["fileSize"] == len(slow)
        assert (await delete(service, name)) == (200, receipt)
        other = await client.submit(documents.pdf("Meridian"))
        await client.wait_for(other, "completed")
        assert (await client.status(name))["status"] == "cancelled"
        assert (await client.get(f"/api/documents/{name}"))[0] == 410
        assert usage(tmp_path) == [other]
        await wait_until(lambda: not [key for key in blob_names(tmp_path) if name in key], WITHIN)


async def test_a_completed_document_is_deleted_with_its_bytes_but_not_its_bill(
    tmp_path: Path,
) -> None:
    async with running_service(tmp_path) as service:
        client = Client(service)
        name = await client.submit(documents.pdf("Meridian"))
        await client.wait_for(name, "completed")
        assert [key for key in blob_names(tmp_path) if name in key]

        status, receipt = await delete(service, name)

        assert (status, receipt["status"]) == (200, "deleted")
        for path in (f"/api/documents/{name}", f"/api/documents/{name}/original"):
            answered, body = await client.get(path)
            assert answered == 410
            assert receipt["deletedAt"].encode() in body
        await wait_until(lambda: not [key for key in blob_names(tmp_path) if name in key], WITHIN)

        await service.kill("all")
        await service.start()

        assert await delete(service, name) == (200, receipt)
        assert (await client.status(name))["status"] == "deleted"
        assert usage(tmp_path) == [name]


async def test_documents_of_a_batch_can_be_cancelled_as_soon_as_it_is_accepted(
    tmp_path: Path,
) -> None:
    async with running_service(tmp_path, WORKER_COUNT="1") as service:
        form, slow = aiohttp.FormData(), scan(120)
        for number in range(5):
            form.add_field("files", slow, filename=f"{number}.tiff")
        form.add_field("files", documents.pdf("Meridian"), filename="last.pdf")
        async with aiohttp.ClientSession() as session:
            async with session.post(f"{service.url}/v1/batch/submit", data=form) as answer:
                assert answer.status == 202
                batch = (await answer.json())["batchId"]
            names = [document_id(batch, number) for number in range(1, 6)]
            removed = await asyncio.gather(*(delete(service, name) for name in names))
            assert {(status, receipt["status"]) for status, receipt in removed} == {
                (200, "cancelled")
            }

            async def progress() -> Any:
                async with session.get(f"{service.url}/v1/batch/status/{batch}") as answer:
                    return await answer.json()

            async def ended() -> bool:
                return bool((await progress())["completedAt"])

            await wait_until(ended, WITHIN)
            counts = (await progress())["progress"]
        assert (counts["completed"], counts["failed"], counts["total"]) == (1, 5, 6)
        assert usage(tmp_path) == [document_id(batch, 6)]


@pytest.mark.slow
async def test_a_waiting_client_is_answered_when_its_conversion_is_cancelled(
    tmp_path: Path,
) -> None:
    async with running_service(tmp_path) as service, aiohttp.ClientSession() as session:
        form = aiohttp.FormData()
        form.add_field("file", scan(120), filename="slow.tiff")
        asked = asyncio.ensure_future(session.post(f"{service.url}/v1/convert", data=form))

        def found() -> list[str]:
            with sqlite3.connect(f"file:{tmp_path}/ilios.db?mode=ro", uri=True) as database:
                return [name for (name,) in database.execute("SELECT id FROM documents")]

        await wait_until(lambda: bool(found()), WITHIN)
        (name,) = found()
        await delete(service, name)
        async with await asyncio.wait_for(asked, WITHIN) as answer:
            body = await answer.json()
        assert (answer.status, body["code"], body["id"]) == (410, "document_cancelled", name)
        assert usage(tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize("victim", [pytest.param("service", marks=pytest.mark.long), "all"])
async def test_a_cancelled_document_stays_so_whatever_is_killed(
    tmp_path: Path, victim: Target
) -> None:
    async with running_service(tmp_path, WORKER_COUNT="1") as service:
        client = Client(service)
        name, _ = await submit_slow(service)
        waiting = [await client.submit(scan(3)) for _ in range(2)]
        for one in (name, *waiting):
            assert (await delete(service, one))[0] == 200
        await service.kill(victim)
        await service.start()
        other = await client.submit(documents.pdf("Meridian"))
        await client.wait_for(other, "completed")
        for one in (name, *waiting):
            assert (await client.status(one))["status"] == "cancelled"
        assert usage(tmp_path) == [other]
