"""A failed document is requeued by its operator, and billed once when it completes."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import nats
import pytest

from schemas.documents import DocumentSubmitted, Remote
from schemas.ids import new_id
from tests import documents
from tests.journeys.commands import CommandResult, run_ilios
from tests.journeys.running import RunningService, running_service
from tests.journeys.service_client import ServiceClient, billed_documents, document_states
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("edge_in_core")

TEXT = "What was not there at first"


class DocumentServer:
    """A server on loopback with one document, as soon as ``content`` has it; else 404."""

    def __init__(self) -> None:
        self.content: bytes | None = None
        self.url = ""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = self.content or b""
        status = b"200 OK" if self.content else b"404 Not Found"
        head = b"HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
        writer.write(head % (status, len(body)) + body)
        await writer.drain()
        writer.close()


@asynccontextmanager
async def document_server() -> AsyncIterator[DocumentServer]:
    it = DocumentServer()
    server = await asyncio.start_server(it.answer, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    it.url = f"{host}:{port}"
    async with server:
        yield it


@pytest.fixture
async def empty_server() -> AsyncIterator[DocumentServer]:
    async with document_server() as it:
        yield it


async def failed(service: RunningService, client: ServiceClient, server: DocumentServer) -> str:
    """Submit by the bus what is not there, and wait until that has failed."""
    document_id = new_id()
    event = DocumentSubmitted(document_id=document_id, source=Remote(f"http://{server.url}/a"))
    assert await client.publish_event(event)
    database = service.data_dir / "ilios.db"
    await wait_until(lambda: document_states(database).get(document_id) == "failed", within=60)
    return document_id


@pytest.mark.slow
async def test_a_requeued_document_completes_and_is_billed_once_while_the_service_runs(
    tmp_path: Path, empty_server: DocumentServer
) -> None:
    data, database = tmp_path / "data", tmp_path / "data" / "ilios.db"
    allowed = {"ILIOS_DOWNLOAD_ALLOW": empty_server.url}
    async with running_service(data, **allowed) as service, ServiceClient(service) as client:
        document_id = await failed(service, client, empty_server)
        listed = await run_ilios(data, "dead", "list")
        assert (listed.code, listed.errors) == (0, "")
        assert document_id in listed.out
        assert "fetcher" in listed.out
        letters = msgspec.json.decode((await run_ilios(data, "dead", "list", "--json")).out)
        shown = await run_ilios(data, "dead", "show", str(letters["number"]))
        assert '"type":"document.submitted/1"' in shown.out

        again = await run_ilios(data, "dead", "requeue", str(letters["number"]))
        assert again.code == 0
        await wait_until(lambda: retries(data, document_id), within=60)
        assert billed_documents(database) == []

        empty_server.content = documents.pdf(TEXT)
        assert (await run_ilios(data, "dead", "requeue", "--all")).code == 0
        await wait_until(
            lambda: document_states(database).get(document_id) == "completed", within=60
        )
        assert billed_documents(database) == [document_id]
        assert await client.first_line(document_id) == TEXT
        assert (await run_ilios(data, "dead", "list")).out == ""
        assert not await client.health_error()


async def retries(data: Path, document_id: str) -> bool:
    """Whether the document has failed once more after it was requeued."""
    listed = await run_ilios(data, "dead", "list", "--json")
    letters = [msgspec.json.decode(line) for line in listed.out.splitlines()]
    return [document_id in one["subject"] and '"requeues":1' in one["body"] for one in letters] == [
        True
    ]


@pytest.mark.slow
async def test_dead_letters_are_requeued_and_dropped_while_the_service_is_stopped(
    tmp_path: Path, empty_server: DocumentServer
) -> None:
    data, database = tmp_path / "data", tmp_path / "data" / "ilios.db"
    allowed = {"ILIOS_DOWNLOAD_ALLOW": empty_server.url}
    async with running_service(data, **allowed) as service, ServiceClient(service) as client:
        first, second = [await failed(service, client, empty_server) for _ in range(2)]
    empty_server.content = documents.pdf(TEXT)
    assert (await run_ilios(data, "dead", "drop", "1")).out.startswith("dropped 1: ")
    assert (await run_ilios(data, "dead", "requeue", "2")).out.startswith("requeued 2: ")
    missing = await run_ilios(data, "dead", "requeue", "1", "2")
    assert missing.code == 1
    assert missing.errors.count("there is no such dead letter") == 2
    async with running_service(data, **allowed):
        await wait_until(lambda: document_states(database).get(second) == "completed", within=60)
        assert document_states(database)[first] == "failed"
        assert billed_documents(database) == [second]


async def test_without_a_data_directory_the_list_of_dead_letters_fails(tmp_path: Path) -> None:
    result = await run_ilios(tmp_path / "nowhere", "dead", "list")
    assert (result.code, result.out) == (3, "")
    assert "no service has run" in result.errors
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.slow
async def test_control_sequences_in_dead_letters_are_escaped(tmp_path: Path) -> None:
    hostile = "\x1b[2J\x9b31m\u202e\x07\r"
    document_id = new_id()
    event = {"type": "document.submitted/1", "document_id": document_id, hostile: hostile}
    event["engine"] = f"local{hostile}"
    async with running_service(tmp_path / "data") as service:
        client = await nats.connect(
            (service.data_dir / "nats" / "publisher.url").read_text().strip()
        )
        subject = f"ilios.document.submitted.p05.default.{document_id}"
        # As it is, not escaped as JSON wants it: nobody checks what publishers send.
        body = json.dumps(event, ensure_ascii=False).encode() + hostile.encode()
        await client.request(subject, body, timeout=30)
        await client.close()
        listed: CommandResult | None = None

        async def is_listed() -> bool:
            nonlocal listed
            listed = await run_ilios(service.data_dir, "dead", "list", "--json")
            return listed.out != ""

        await wait_until(is_listed, within=20)
        assert listed is not None
        number = str(msgspec.json.decode(listed.out)["number"])
        shown = await run_ilios(service.data_dir, "dead", "show", number)
        rows = await run_ilios(service.data_dir, "dead", "list")
    assert r"\x1b[2J\x9b31m\u202e\x07\r" in shown.out
    for ran in (listed, shown, rows):
        assert ran.out.replace("\n", "").isprintable()
        assert ran.errors == ""
    assert hostile in msgspec.json.decode(listed.out)["body"]
