"""A lean HTTP/1.1 client: one connection, no parsing beyond what is needed.

The load generator shares two cores with the service: the client of ``ilios chaos``, which survives
restarts and reads everything, would cost as much as the service does.
"""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec

BOUNDARY = "ilios-bench-boundary"
POLL_INTERVAL = 0.05  # seconds

_T = TypeVar("_T")


class Response(msgspec.Struct):
    """Status and body of a response."""

    status: int
    body: bytes

    def json(self) -> dict[str, Any]:
        """Return the body as a JSON object."""
        return msgspec.json.decode(self.body, type=dict[str, Any])


class Client:
    """One connection; one request at a time. ``key`` is an API key."""

    def __init__(self, url: str, key: str = "") -> None:
        parts = urlsplit(url)
        self._key = f"Authorization: Bearer {key}\r\n" if key else ""
        self._host = parts.hostname or "127.0.0.1"
        self._port = parts.port or 80
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def post_file(self, path: str, name: str, content: bytes) -> Response:
        """POST one file as ``multipart/form-data``."""
        return await self.post(path, *multipart("file", [(name, content)]))

    async def post(self, path: str, content_type: str, body: bytes) -> Response:
        """POST a body."""
        request = (
            f"POST {path} HTTP/1.1\r\nHost: {self._host}\r\n{self._key}"
            f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode()
        return await self._exchange(request + body)

    async def get(self, path: str) -> Response:
        """GET a path."""
        request = f"GET {path} HTTP/1.1\r\nHost: {self._host}\r\n{self._key}\r\n"
        return await self._exchange(request.encode())

    async def submit(self, name: str, content: bytes) -> str:
        """Submit a document and return its id.

        :raises RuntimeError: it is not accepted.
        """
        answer = await self.post_file("/api/documents/submit", name, content)
        if answer.status != 202:
            raise RuntimeError(f"submit answered {answer.status}: {answer.body!r}")
        return str(answer.json()["id"])

    async def wait_until_ended(self, document_id: str, within: float) -> dict[str, Any]:
        """Poll a document; returns its status when it has ended, or after ``within`` seconds."""
        deadline = time.monotonic() + within
        while True:
            answer = await self.get(f"/api/documents/status/{document_id}")
            if answer.status >= 500:
                return {"status": "unanswered", "code": str(answer.status)}
            status = answer.json()
            if status["status"] in ("completed", "failed") or time.monotonic() > deadline:
                return status
            await asyncio.sleep(POLL_INTERVAL)

    async def _exchange(self, request: bytes) -> Response:
        if self._reader is None or self._writer is None:
            self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        self._writer.write(request)
        await self._writer.drain()
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length:")[2].partition("\r\n")[0] or 0)
        body = await self._reader.readexactly(length)
        return Response(int(head.split()[1]), body)

    def close(self) -> None:
        """Close the connection."""
        if self._writer is not None:
            self._writer.close()


async def share(
    url: str,
    clients: int,
    work: Iterable[_T],
    do: Callable[[Client, _T], Awaitable[None]],
    *,
    key: str = "",
) -> None:
    """Do all of the work, shared among so many clients."""
    left = iter(work)

    async def one_client() -> None:
        client = Client(url, key)
        for item in left:
            await do(client, item)
        client.close()

    await asyncio.gather(*(one_client() for _ in range(clients)))


def multipart(name: str, files: list[tuple[str, bytes]]) -> tuple[str, bytes]:
    """Return content type and body of a form whose files are parts called ``name``."""
    body = bytearray()
    for file_name, content in files:
        body += (
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"; '
            f'filename="{file_name}"\r\nContent-Type: application/pdf\r\n\r\n'
        ).encode()
        body += content + b"\r\n"
    body += f"--{BOUNDARY}--\r\n".encode()
    return f"multipart/form-data; boundary={BOUNDARY}", bytes(body)


def unique_pdf(kilobytes: int) -> bytes:
    """Return unique bytes that look like a PDF."""
    return b"%PDF-1.7\n" + secrets.token_bytes(32) + b"\0" * (kilobytes * 1024 - 41)
