"""An edge on a real socket, with a real blob store and nothing else that is real."""

import asyncio
import socket
import time
from asyncio.trsock import TransportSocket
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import AddrInfoType, ClientSession, TCPConnector
from msgspec import Struct

from ilios.blobs.local import LocalBlobs
from ilios.edge.app import serve_edge
from ilios.edge.context import Edge, EventLog, Limits, ListQueries, UsageQueries
from ilios.edge.server import ListeningSockets
from ilios.edge.signed_urls import Signer
from ilios.integrity.faults import Faults
from ilios.passwords.seal import Seal
from ilios.passwords.sealed import SealedPasswords
from ilios.runtime.disk_space import BLOBS, DiskGuard, Volume
from schemas.documents import (
    Blob,
    DocumentCompleted,
    DocumentFailed,
    DocumentSubmitted,
)
from schemas.options import EngineName
from schemas.records import DocumentRecord
from schemas.service_replies import HealthReport
from tests.fakes import (
    FakeBatches,
    FakeEventLog,
    FakeLog,
    FakeOutcomes,
    FakePages,
    FakeProgress,
    FakePublisher,
    FakeReads,
    FakeUsage,
    NoLists,
)
from tests.stored_files import files_below
from tests.waiting import wait_until

ID = "abcdefghij0123456789abcd"
PDF = b"%PDF-1.7 the document"
RESERVE = 1024 * 1024  # bytes
CREATED_AT = datetime(2026, 1, 15, 10, 30, 0, 123_456, tzinfo=UTC)


class RawResponse(Struct):
    """What came back over a raw connection."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class World:
    """The edge under test and everything around it."""

    def __init__(self, blobs: LocalBlobs, root: Path) -> None:
        self.blobs = blobs
        self.root = root
        self.seal = Seal(bytes(32))
        self.log = FakeLog()
        self.events: EventLog = FakeEventLog()
        self.publisher = FakePublisher(self.log)
        self.outcomes = FakeOutcomes()
        self.reads = FakeReads()
        self.pages = FakePages()
        self.progress = FakeProgress()
        self.batches = FakeBatches(self.reads)
        self.lists: ListQueries = NoLists()
        self.usage: UsageQueries = FakeUsage()
        self.volume = Volume(device=1, free=2**50, files=None)
        self.report = HealthReport(services={"database": "connected"}, healthy=True, problems=[])
        self.port = 0
        self.public_url: str | None = None
        self.engines: tuple[EngineName, ...] = ("local",)
        self.original_redirect = False
        self.allowed_hosts: tuple[str, ...] = ()
        self.allowed_origins: tuple[str, ...] = ()
        self.clock_offset = 0.0
        self.faults = Faults()
        self.is_alive = True
        self.check_faults: Callable[[], None] = lambda: None
        self._stack = AsyncExitStack()
        self._edge_stack = AsyncExitStack()
        self._sockets: list[socket.socket | TransportSocket] = []
        self._writers: list[asyncio.StreamWriter] = []

    async def serve(self, *keys: str, **limits: Any) -> ClientSession:
        """Start the edge and return a client of it."""
        sockets = await self._edge_stack.enter_async_context(ListeningSockets.open("127.0.0.1", 0))
        serving = serve_edge(self.edge(*keys, **limits), sockets, shutdown_timeout=2)
        await self._edge_stack.enter_async_context(serving)
        self.port = sockets.port
        self._stack.push_async_callback(self.stop_edge)
        connector = TCPConnector(socket_factory=self._open_socket)
        client = ClientSession(f"http://127.0.0.1:{self.port}", connector=connector)
        return await self._stack.enter_async_context(client)

    def edge(self, *keys: str, **limits: Any) -> Edge:
        """Return what the edge is made of."""
        return Edge(
            publisher=self.publisher,
            log=self.log,
            events=self.events,
            outcomes=self.outcomes,
            reads=self.reads,
            pages=self.pages,
            progress=self.progress,
            batches=self.batches,
            lists=self.lists,
            usage=self.usage,
            blobs=self.blobs,
            passwords=SealedPasswords(self.blobs, self.seal),
            disk_space=DiskGuard({BLOBS: self.root}, RESERVE, stat_volume=lambda _: self.volume),
            health=self.health,
            signer=Signer(b"the secret of this world", clock=self.now),
            public_url=self.public_url,
            engines=self.engines,
            original_redirect=self.original_redirect,
            allowed_hosts=self.allowed_hosts,
            allowed_origins=self.allowed_origins,
            api_keys=keys,
            limits=Limits(**limits),
            faults=self.faults,
            is_alive=lambda: self.is_alive,
            check_faults=self.check_faults,
        )

    def now(self) -> float:
        """Return the time in seconds since 1970, by the clock signatures are held against."""
        return time.time() + self.clock_offset

    async def stop_edge(self) -> None:
        """Stop the edge, as leaving ``serve_edge`` does."""
        await self._edge_stack.aclose()

    async def close(self) -> None:
        """Stop the edge and its clients, and wait until none of their connections is left.

        One with a part of a request still to be sent would remain until its loop has ended.
        """
        await self._stack.aclose()
        for writer in self._writers:
            writer.transport.abort()
        for one in self._sockets:
            if one.fileno() != -1:
                with suppress(OSError):  # it is not connected any more
                    one.shutdown(socket.SHUT_RDWR)
        await wait_until(lambda: all(one.fileno() == -1 for one in self._sockets))

    def _open_socket(self, address: AddrInfoType) -> socket.socket:
        made = socket.socket(*address[:3])
        self._sockets.append(made)
        return made

    async def health(self) -> HealthReport:
        return self.report

    def stored_files(self) -> set[Path]:
        """Return the files in the blob store."""
        return {path for path in files_below(self.root) if path.name != "lock"}

    def uploads_in_progress(self) -> int:
        """Return how many puts of more than one step are under way in the blob store."""
        return sum(path.parent.parent.name == "tmp" for path in self.stored_files())

    async def connect(
        self, source: str = "127.0.0.1"
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Return a raw connection to the edge, from an address of this machine."""
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.port, local_addr=(source, 0)
        )
        self._writers.append(writer)
        self._sockets.append(writer.get_extra_info("socket"))
        return reader, writer

    async def send_raw(self, raw: bytes) -> RawResponse:
        """Send raw bytes and return the answer to them."""
        reader, writer = await self.connect()
        try:
            writer.write(raw)
            async with asyncio.timeout(20):
                return await read_response(reader)
        finally:
            writer.close()

    async def add_completed(self, markdown: bytes, **overrides: Any) -> DocumentRecord:
        """Add a completed document to the database."""
        blob = await self.blobs.put_bytes(f"markdown/default/{ID}.0", markdown)
        original = await self.blobs.put_bytes(f"originals/default/{ID}", PDF)
        defaults: dict[str, Any] = {
            "state": "completed",
            "original": original,
            "markdown": blob,
            "pages": 3,
            "engine": "local",
            "model": "local-1",
            "seconds": 1.2346,
            "input_tokens": 10,
            "output_tokens": 5,
            "finished_at": CREATED_AT,
        }
        document = record(**(defaults | overrides))
        self.reads.add(document)
        return document

    async def convert(self, submitted: DocumentSubmitted) -> None:
        """Complete what is submitted, as the actors would."""
        key = f"markdown/{submitted.tenant}/{submitted.document_id}.0"
        markdown = await self.blobs.put_bytes(key, "# Grüße\n".encode())
        self.outcomes.end(completed_event(submitted, markdown))

    async def fail(self, submitted: DocumentSubmitted) -> None:
        """Fail what is submitted, as the actors would."""
        self.outcomes.end(
            DocumentFailed(
                document_id=submitted.document_id,
                tenant=submitted.tenant,
                code="corrupt",
                reason="The PDF is damaged.",
            )
        )


def record(**overrides: Any) -> DocumentRecord:
    """Return a record of a document with the usual values where none are given."""
    defaults: dict[str, Any] = {
        "tenant": "default",
        "document_id": ID,
        "state": "pending",
        "file_name": "paper.pdf",
        "content_type": "application/pdf",
        "file_size": len(PDF),
        "priority": 5,
        "retention_days": 365,
        "operation": "convert",
        "submitted_at": CREATED_AT,
    }
    return DocumentRecord(**(defaults | overrides))


def completed_event(submitted: DocumentSubmitted, markdown: Blob) -> DocumentCompleted:
    """Return the event that ends a submission well."""
    return DocumentCompleted(
        document_id=submitted.document_id,
        tenant=submitted.tenant,
        file_name=submitted.file_name,
        content_type="application/pdf",
        original=Blob(key="originals/x", size=len(PDF), sha256="0" * 64),
        markdown=markdown,
        pages=3,
        engine="local",
        model="local-1",
        seconds=1.5,
        input_tokens=10,
        output_tokens=5,
        submitted_at=CREATED_AT,
        completed_at=CREATED_AT,
    )


def multipart_form(*parts: tuple[str, bytes], boundary: str = "BOUNDARY") -> bytes:
    """Return a multipart body; each part is the text of its header and its content."""
    lines = (
        f"--{boundary}\r\n{head}\r\n\r\n".encode("utf-8", "surrogateescape") + content + b"\r\n"
        for head, content in parts
    )
    return b"".join(lines) + f"--{boundary}--\r\n".encode()


def file_part(name: str = "paper.pdf", content: bytes = PDF) -> tuple[str, bytes]:
    """Return the part of a form that holds the document."""
    return f'Content-Disposition: form-data; name="file"; filename="{name}"', content


def field_part(name: str, value: bytes) -> tuple[str, bytes]:
    """Return the part of a form that holds a field."""
    return f'Content-Disposition: form-data; name="{name}"', value


def post_request(
    body: bytes,
    *headers: str,
    path: str = "/api/documents/submit",
    content_type: str | None = "multipart/form-data; boundary=BOUNDARY",
    length: int | None = None,
) -> bytes:
    """Return a raw POST request."""
    lines = [f"POST {path} HTTP/1.1", "Host: ilios", *headers]
    if content_type is not None:
        lines.append(f"Content-Type: {content_type}")
    lines.append(f"Content-Length: {len(body) if length is None else length}")
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + body


async def read_response(reader: asyncio.StreamReader) -> RawResponse:
    """Read one answer off a connection."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *lines = head.split("\r\n")[:-2]
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return RawResponse(int(first.split()[1]), headers, body)
