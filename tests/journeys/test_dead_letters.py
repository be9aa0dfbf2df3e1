"""A failed document is tried again on its operator's order, and billed once when it completes."""

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
from tests.journeys.commands import Said, ilios
from tests.journeys.running import RunningService, running
from tests.journeys.visitors import Visitor, billed, ended
from tests.waiting import until

WORDS = "What was not there at first"


class Shelf:
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
async def shelf() -> AsyncIterator[Shelf]:
    it = Shelf()
    server = await asyncio.start_server(it.answer, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    it.url = f"{host}:{port}"
    async with server:
        yield it


@pytest.fixture
async def empty() -> AsyncIterator[Shelf]:
    async with shelf() as it:
        yield it


async def failed(service: RunningService, visitor: Visitor, shelf: Shelf) -> str:
    """Submit by the bus what is not there, and wait until that has failed."""
    document_id = new_id()
    event = DocumentSubmitted(document_id=document_id, source=Remote(f"http://{shelf.url}/a"))
    assert await visitor.say(event)
    database = service.data_dir / "ilios.db"
    await until(lambda: ended(database).get(document_id) == "failed", within=60)
    return document_id


async def test_a_requeued_document_completes_and_is_billed_once_while_the_service_runs(
    tmp_path: Path, empty: Shelf
) -> None:
    data, database = tmp_path / "data", tmp_path / "data" / "ilios.db"
    allowed = {"ILIOS_DOWNLOAD_ALLOW": empty.url}
    async with running(data, **allowed) as service, Visitor(service) as visitor:
        document_id = await failed(service, visitor, empty)
        listed = await ilios(data, "dead", "list")
        assert (listed.code, listed.errors) == (0, "")
        assert document_id in listed.out
        assert "fetcher" in listed.out
        told = msgspec.json.decode((await ilios(data, "dead", "list", "--json")).out)
        shown = await ilios(data, "dead", "show", str(told["number"]))
        assert '"type":"document.submitted/1"' in shown.out

        again = await ilios(data, "dead", "requeue", str(told["number"]))
        assert again.code == 0
        await until(lambda: retries(data, document_id), within=60)
        assert billed(database) == []

        empty.content = documents.pdf(WORDS)
        assert (await ilios(data, "dead", "requeue", "--all")).code == 0
        await until(lambda: ended(database).get(document_id) == "completed", within=60)
        assert billed(database) == [document_id]
        assert await visitor.text(document_id) == WORDS
        assert (await ilios(data, "dead", "list")).out == ""
        assert not await visitor.problem()


async def retries(data: Path, document_id: str) -> bool:
    """Whether the document has failed once more after it was requeued."""
    listed = await ilios(data, "dead", "list", "--json")
    letters = [msgspec.json.decode(line) for line in listed.out.splitlines()]
    return [document_id in one["subject"] and '"requeues":1' in one["body"] for one in letters] == [
        True
    ]


async def test_letters_are_requeued_and_dropped_while_the_service_rests(
    tmp_path: Path, empty: Shelf
) -> None:
    data, database = tmp_path / "data", tmp_path / "data" / "ilios.db"
    allowed = {"ILIOS_DOWNLOAD_ALLOW": empty.url}
    async with running(data, **allowed) as service, Visitor(service) as visitor:
        first, second = [await failed(service, visitor, empty) for _ in range(2)]
    empty.content = documents.pdf(WORDS)
    assert (await ilios(data, "dead", "drop", "1")).out.startswith("dropped 1: ")
    assert (await ilios(data, "dead", "requeue", "2")).out.startswith("requeued 2: ")
    missing = await ilios(data, "dead", "requeue", "1", "2")
    assert missing.code == 1
    assert missing.errors.count("there is no such dead letter") == 2
    async with running(data, **allowed):
        await until(lambda: ended(database).get(second) == "completed", within=60)
        assert ended(database)[first] == "failed"
        assert billed(database) == [second]


async def test_where_no_service_has_run_there_are_no_letters(tmp_path: Path) -> None:
    said = await ilios(tmp_path / "nowhere", "dead", "list")
    assert (said.code, said.out) == (3, "")
    assert "no service has run" in said.errors
    assert not (tmp_path / "nowhere").exists()


async def test_what_a_stranger_has_written_is_shown_and_not_obeyed(tmp_path: Path) -> None:
    hostile = "\x1b[2J\x9b31m\u202e\x07\r"
    document_id = new_id()
    event = {"type": "document.submitted/1", "document_id": document_id, hostile: hostile}
    event["engine"] = f"local{hostile}"
    async with running(tmp_path / "data") as service:
        client = await nats.connect(
            (service.data_dir / "nats" / "publisher.url").read_text().strip()
        )
        subject = f"ilios.document.submitted.p05.default.{document_id}"
        # As it is, not escaped as JSON wants it: nobody checks what publishers send.
        body = json.dumps(event, ensure_ascii=False).encode() + hostile.encode()
        await client.request(subject, body, timeout=5)
        await client.close()
        listed: Said | None = None

        async def is_listed() -> bool:
            nonlocal listed
            listed = await ilios(service.data_dir, "dead", "list", "--json")
            return listed.out != ""

        await until(is_listed, within=20)
        assert listed is not None
        number = str(msgspec.json.decode(listed.out)["number"])
        shown = await ilios(service.data_dir, "dead", "show", number)
        rows = await ilios(service.data_dir, "dead", "list")
    assert r"\x1b[2J\x9b31m\u202e\x07\r" in shown.out
    for ran in (listed, shown, rows):
        assert ran.out.replace("\n", "").isprintable()
        assert ran.errors == ""
    assert hostile in msgspec.json.decode(listed.out)["body"]
