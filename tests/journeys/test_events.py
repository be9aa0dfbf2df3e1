"""Streams of events of a running service."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests import documents
from tests.journeys.event_client import EventClient
from tests.journeys.running import RunningService, running_service
from tests.waiting import wait_until

WITHIN = 60.0


@asynccontextmanager
async def reading(*clients: EventClient) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(client.run()) for client in clients]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def submit(service: RunningService, path: str, *contents: bytes, key: str = "") -> Any:
    form = aiohttp.FormData()
    for number, content in enumerate(contents):
        name = "files" if "batch" in path else "file"
        form.add_field(name, content, filename=f"{number}.pdf")
    headers = {"X-Api-Key": key} if key else {}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(service.url + path, data=form) as response,
    ):
        assert response.status == 202, await response.text()
        return await response.json()


async def test_events_of_a_document_a_batch_and_a_tenant_arrive_once_and_in_order(
    tmp_path: Path,
) -> None:
    async with running_service(tmp_path) as service:
        everything = EventClient(f"{service.url}/v1/events")
        async with reading(everything):
            await wait_until(lambda: bool(everything.last_id), within=WITHIN)
            good = (await submit(service, "/api/documents/submit", documents.pdf("One")))["id"]
            bad = (await submit(service, "/api/documents/submit", b"%PDF-1.7 broken"))["id"]
            batch = await submit(
                service, "/v1/batch/submit", documents.pdf("Two"), documents.pdf("Three")
            )
            batch_id, members = batch["batchId"], [one["id"] for one in batch["documents"]]
            clients = {
                name: EventClient(f"{service.url}/v1/{path}/{name}/events")
                for path, name in (("documents", good), ("documents", bad), ("batch", batch_id))
            }
            async with reading(*clients.values()):
                await wait_until(lambda: all(one.ended for one in clients.values()), within=WITHIN)
            assert clients[good].names() == [
                ("document.submitted", good),
                ("document.completed", good),
            ]
            assert clients[bad].names()[-1] == ("document.failed", bad)
            assert clients[bad].events[-1].data["code"] == "corrupt"
            of_batch = clients[batch_id].names()
            assert of_batch[0] == ("batch.submitted", batch_id)
            assert of_batch[-1] == ("batch.completed", batch_id)
            assert sorted(of_batch[1:-1]) == sorted(
                (name, one)
                for one in members
                for name in ("document.submitted", "document.completed")
            )
            await wait_until(
                lambda: ("batch.completed", batch_id) in everything.names(), within=WITHIN
            )
            expected = [one for client in clients.values() for one in client.names()]
            assert sorted(everything.names()) == sorted(expected)
            for client in clients.values():
                ours = set(client.names())
                assert [one for one in everything.names() if one in ours] == client.names()
            data = clients[good].events[-1].data
            assert (data["status"], data["pages"], data["engine"]) == ("completed", 1, "local")
            assert not {"original", "markdown", "result", "key", "tenant"} & set(data)
