"""Urgent documents, other tenants and other sources do not wait for slow ones."""

import asyncio
import base64
import io
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Self

import aiohttp
import msgspec
import nats
import pytest

from ilios.api_keys import tenant_of
from schemas.ids import new_id
from tests import documents
from tests.journeys.running import RunningService, running_service
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("edge_in_core")

BACKLOG = 500
IN_ONE_BATCH = 100
ENDED_WITHIN = 100.0  # seconds
SLOW, OTHER = "key-of-the-slow-one", "key-of-the-other-one"
KEYS = ("the-key-of-the-first-tenant", "the-key-of-the-second-tenant")
PDF = documents.pdf("Not held up")


@pytest.mark.slow
async def test_an_urgent_document_overtakes_a_backlog_and_the_backlog_still_moves(
    tmp_path: Path,
) -> None:
    slow = documents.pdf(*(f"page {number} " * 50 for number in range(60)))
    async with (
        running_service(tmp_path, WORKER_COUNT="1") as service,
        aiohttp.ClientSession(service.url) as session,
    ):

        async def submit(count: int, priority: int) -> str:
            form = aiohttp.FormData()
            for number in range(count):
                form.add_field("files", slow, filename=f"{number}.pdf")
            form.add_field("priority", str(priority))
            async with session.post("/v1/batch/submit", data=form) as response:
                assert response.status == 202
                return str((await response.json())["batchId"])

        async def progress(batch: str) -> Any:
            async with session.get(f"/v1/batch/status/{batch}") as response:
                return (await response.json())["progress"]

        backlog = [await submit(IN_ONE_BATCH, 1) for _ in range(BACKLOG // IN_ONE_BATCH)]

        async def waiting() -> int:
            counts = [await progress(batch) for batch in backlog]
            return sum(count["pending"] + count["processing"] for count in counts)

        before = await waiting()
        assert before > BACKLOG // 2, "there is a backlog to overtake"
        urgent = await submit(20, 9)

        async def is_done() -> bool:
            return bool((await progress(urgent))["completed"] == 20)

        await wait_until(is_done, ENDED_WITHIN)
        overtaken = await waiting()
        # With turns of 8 to 1 and a few that were in hand already, far fewer than went before it.
        assert before - overtaken < 40
        assert overtaken > BACKLOG // 2

        async def moves() -> bool:
            return await waiting() < overtaken

        await wait_until(moves, ENDED_WITHIN)


class Tenant:
    """Submits documents with one API key and reads their status."""

    def __init__(self, url: str, key: str) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {key}"}
        self._session = aiohttp.ClientSession()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def submit(self, content: bytes) -> str:
        form = aiohttp.FormData()
        form.add_field(
            "file", io.BytesIO(content), filename="a.pdf", content_type="application/pdf"
        )
        url = f"{self._url}/api/documents/submit"
        async with self._session.post(url, data=form, headers=self._headers) as response:
            assert response.status == 202
            return str((await response.json())["id"])

    async def status(self, name: str) -> Any:
        url = f"{self._url}/api/documents/status/{name}"
        async with self._session.get(url, headers=self._headers) as response:
            assert response.status == 200
            return await response.json()

    async def states(self, names: list[str]) -> set[str]:
        return {(await self.status(name))["status"] for name in names}


@pytest.mark.slow
async def test_another_tenants_documents_are_converted_while_long_scans_hold_the_engine(
    tmp_path: Path,
) -> None:
    page = documents.text_image(*["Some words that have to be read"] * 12)
    scan = documents.image_file(page, "PDF", [page] * 99)
    async with (
        running_service(tmp_path, WORKER_COUNT="1", API_KEY=f"{SLOW},{OTHER}") as service,
        Tenant(service.url, SLOW) as slow,
        Tenant(service.url, OTHER) as other,
    ):
        # More of them than are taken in hand, so that the lane is full of them as well.
        long = [await slow.submit(scan + b"%% %d\n" % number) for number in range(12)]

        async def at_work() -> bool:
            return await slow.states(long[:1]) == {"processing"}

        await wait_until(at_work, ENDED_WITHIN)
        text = [documents.pdf(f"A short text, number {number}.") for number in range(10)]
        short = await asyncio.gather(*map(other.submit, text))

        async def done() -> bool:
            return await other.states(list(short)) == {"completed"}

        await wait_until(done, ENDED_WITHIN)
        assert await slow.states(long) <= {"pending", "processing"}


class Sources:
    """A server whose documents are dripped, cut into chunks of one byte, or never begun."""

    def __init__(self) -> None:
        self.address = ""
        self.request_counts: Counter[str] = Counter()
        self.tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        me = asyncio.current_task()
        assert me is not None
        self.tasks.add(me)
        with suppress(ConnectionError, asyncio.CancelledError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            kind = head.split()[1].decode().strip("/")
            self.request_counts[kind] += 1
            await self._answer(kind, writer)
        writer.close()
        self.tasks.discard(me)

    async def _answer(self, kind: str, writer: asyncio.StreamWriter) -> None:
        if kind == "fine":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(PDF) + PDF)
            await writer.drain()
            return
        if kind == "informing":
            endless, pause = b"HTTP/1.1 100 Continue\r\n\r\n" * 2000, 0.0
        elif kind == "chunks":
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            endless, pause = b"1\r\nx\r\n" * 8000, 0.0
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
            endless, pause = b"x", 0.1
        while True:
            writer.write(endless)
            await writer.drain()
            await asyncio.sleep(pause)


@pytest.fixture
async def sources() -> AsyncIterator[Sources]:
    sources = Sources()
    server = await asyncio.start_server(sources.serve, "127.0.0.1", 0)
    sources.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield sources
    server.close()
    for task in sources.tasks:
        task.cancel()
    if sources.tasks:
        await asyncio.wait(sources.tasks)


@pytest.fixture
async def service(tmp_path: Path, sources: Sources) -> AsyncIterator[RunningService]:
    allowed = sources.address
    async with running_service(
        tmp_path, ILIOS_DOWNLOAD_ALLOW=allowed, API_KEY=",".join(KEYS)
    ) as service:
        yield service


async def _publish(
    service: RunningService, key: str, source: dict[str, str], *, priority: int = 5, times: int = 1
) -> list[str]:
    tenant = tenant_of(key)
    file = service.data_dir / "nats" / f"publisher-{tenant}.url"
    client = await nats.connect(file.read_text().strip())
    ids = [new_id() for _ in range(times)]
    for document_id in ids:
        event = {
            "type": "document.submitted/1",
            "document_id": document_id,
            "tenant": tenant,
            "priority": priority,
            "source": source,
        }
        subject = f"ilios.document.submitted.p{priority:02d}.{tenant}.{document_id}"
        await client.request(subject, msgspec.json.encode(event), timeout=30)
    await client.close()
    return ids


async def _is(service: RunningService, key: str, document_id: str, state: str) -> bool:
    async with (
        aiohttp.ClientSession(headers={"X-Api-Key": key}) as session,
        session.get(f"{service.url}/api/documents/status/{document_id}") as answer,
    ):
        return answer.status == 200 and (await answer.json())["status"] == state


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("dripping", marks=pytest.mark.slow),
        pytest.param("chunks", marks=pytest.mark.slow),
        "informing",
    ],
)
async def test_slow_sources_of_one_tenant_do_not_block_others(
    service: RunningService, sources: Sources, kind: str
) -> None:
    slow = {"kind": "url", "url": f"http://{sources.address}/{kind}"}
    fine = {"kind": "url", "url": f"http://{sources.address}/fine"}
    inline = {"kind": "inline", "data": base64.b64encode(PDF).decode()}
    hostile = await _publish(service, KEYS[0], slow, times=64)
    await wait_until(lambda: sources.request_counts[kind] >= 16, within=20)

    mine = await _publish(service, KEYS[0], inline, priority=10)
    theirs = await _publish(service, KEYS[1], inline, priority=10)
    theirs += await _publish(service, KEYS[1], fine)

    for key, document_id in [(KEYS[0], *mine), *((KEYS[1], one) for one in theirs)]:
        await wait_until(partial(_is, service, key, document_id, "completed"), within=40)
    assert await _is(service, KEYS[0], hostile[0], "pending")
