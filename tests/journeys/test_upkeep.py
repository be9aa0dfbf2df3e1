"""What the janitor does on a real service, with real clocks moved in the database."""

import shutil
import sqlite3
from pathlib import Path
from typing import Any

import aiohttp

from tests import documents
from tests.journeys.running import RunningService, running_service
from tests.waiting import wait_until

OFTEN = {"ILIOS_JANITOR_INTERVAL": "1"}
DAY = 86_400_000  # milliseconds
WITHIN = 60.0  # seconds


class Client:
    """Asks a running service."""

    def __init__(self, service: RunningService) -> None:
        self._service = service

    async def submit(self, content: bytes) -> str:
        form = aiohttp.FormData()
        form.add_field("file", content, filename="report.pdf")
        url = f"{self._service.url}/api/documents/submit"
        async with aiohttp.ClientSession() as session, session.post(url, data=form) as response:
            assert response.status == 202
            return str((await response.json())["id"])

    async def get(self, path: str) -> tuple[int, bytes]:
        url = self._service.url + path
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return response.status, await response.read()

    async def status(self, name: str) -> Any:
        url = f"{self._service.url}/api/documents/status/{name}"
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            assert response.status == 200
            return await response.json()

    async def wait_for(self, name: str, *states: str) -> None:
        async def is_there() -> bool:
            return (await self.status(name))["status"] in states

        await wait_until(is_there, WITHIN)


def change(data: Path, statement: str) -> None:
    """Move the clocks of rows, while nobody else has the database open."""
    with sqlite3.connect(data / "ilios.db") as database:
        database.execute(statement)
    database.close()


def blobs(data: Path) -> set[str]:
    """Return the names of the blobs that lie in the store."""
    return {path.name for path in (data / "blobs").rglob("*+*")}


async def completed(data: Path, **environ: str) -> str:
    """Run a service until it has completed one document; return its id."""
    async with running_service(data, **environ) as service:
        client = Client(service)
        name = await client.submit(documents.pdf("Meridian"))
        await client.wait_for(name, "completed")
        return name


async def test_what_has_expired_is_gone_but_for_its_receipt_and_its_bill(tmp_path: Path) -> None:
    name = await completed(tmp_path)
    change(tmp_path, f"UPDATE documents SET expires_at = expires_at - 366 * {DAY}")
    async with running_service(tmp_path, **OFTEN) as service:
        client = Client(service)
        await client.wait_for(name, "deleted")
        status, body = await client.get(f"/api/documents/{name}")
        assert (status, b"document_expired" in body) == (410, True)
        assert (await client.get(f"/api/documents/{name}/original"))[0] == 410
        await wait_until(lambda: not blobs(tmp_path))
        _, summary = await client.get("/api/usage/summary")
        assert b'"totalDocuments":1' in summary


async def test_what_is_archived_keeps_its_markdown_and_moves_its_original(tmp_path: Path) -> None:
    name = await completed(tmp_path)
    change(tmp_path, f"UPDATE documents SET expires_at = expires_at - 366 * {DAY}")
    async with running_service(tmp_path, ILIOS_RETENTION="archive", **OFTEN) as service:
        client = Client(service)
        await client.wait_for(name, "archived")
        status, body = await client.get(f"/api/documents/{name}")
        assert (status, b"Meridian" in body) == (200, True)
        status, body = await client.get(f"/api/documents/{name}/original")
        assert (status, body) == (200, documents.pdf("Meridian"))
        assert {blob.partition("+")[0] for blob in blobs(tmp_path)} == {"archive", "markdown"}


async def test_nothing_expires_when_the_clock_has_jumped_while_the_service_was_off(
    tmp_path: Path,
) -> None:
    name = await completed(tmp_path)
    change(tmp_path, f"UPDATE documents SET expires_at = expires_at - 366 * {DAY}")
    change(tmp_path, f"UPDATE sweeps SET at = at - 400 * {DAY}")
    async with running_service(tmp_path, **OFTEN) as service:
        client = Client(service)
        other = await client.submit(documents.pdf("later"))
        await client.wait_for(other, "completed")
        assert (await client.status(name))["status"] == "completed"


async def test_documents_whose_bus_was_deleted_are_finished_all_the_same(tmp_path: Path) -> None:
    slow = documents.pdf(*(f"page {number} " * 40 for number in range(300)))
    async with running_service(tmp_path, WORKER_COUNT="1") as service:
        client = Client(service)
        names = [await client.submit(slow) for _ in range(8)]

        async def are_known() -> bool:
            with sqlite3.connect(f"file:{tmp_path / 'ilios.db'}?mode=ro", uri=True) as database:
                (count,) = database.execute("SELECT count(*) FROM documents").fetchone()
            return bool(count == len(names))

        await wait_until(are_known)
        await service.kill("all")
    shutil.rmtree(tmp_path / "nats" / "jetstream", ignore_errors=True)
    change(tmp_path, "UPDATE documents SET submitted_at = submitted_at - 600000")
    async with running_service(tmp_path, **OFTEN) as service:
        client = Client(service)
        for name in names:
            await client.wait_for(name, "completed")
        _, summary = await client.get("/api/usage/summary")
        assert b'"totalOperations":8' in summary
