"""Sources that are slow, or dear to read, hold up nothing but the documents that lie there."""

import asyncio
import base64
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import aiohttp
import msgspec
import nats
import pytest

from ilios.api_keys import tenant_of
from schemas.ids import new_id
from tests import documents
from tests.journeys.running import RunningService, running_service
from tests.waiting import wait_until

KEYS = ("the-key-of-the-first-tenant", "the-key-of-the-second-tenant")
PDF = documents.pdf("Not held up")


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
        await client.request(subject, msgspec.json.encode(event), timeout=5)
    await client.close()
    return ids


async def _is(service: RunningService, key: str, document_id: str, state: str) -> bool:
    async with (
        aiohttp.ClientSession(headers={"X-Api-Key": key}) as session,
        session.get(f"{service.url}/api/documents/status/{document_id}") as answer,
    ):
        return answer.status == 200 and (await answer.json())["status"] == state


@pytest.mark.parametrize("kind", ["dripping", "chunks", "informing"])
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
