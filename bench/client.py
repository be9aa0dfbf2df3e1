"""A lean HTTP/1.1 client: one kept-alive connection, no parsing beyond what is needed.

The load generator shares two cores with the service, so it must cost next to nothing.
"""

import asyncio
import secrets
from urllib.parse import urlsplit

import msgspec

BOUNDARY = "ilios-bench-boundary"


class Answer(msgspec.Struct):
    """Status and body of a response."""

    status: int
    body: bytes

    def json(self) -> dict[str, object]:
        """Read the body as a JSON object."""
        return msgspec.json.decode(self.body, type=dict[str, object])


class Client:
    """One connection; one request at a time."""

    def __init__(self, url: str, key: str = "") -> None:
        parts = urlsplit(url)
        self._key = f"Authorization: Bearer {key}\r\n" if key else ""
        self._host = parts.hostname or "127.0.0.1"
        self._port = parts.port or 80
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def post_file(self, path: str, name: str, content: bytes) -> Answer:
        """POST one file as ``multipart/form-data``."""
        return await self.post(path, *multipart("file", [(name, content)]))

    async def post(self, path: str, content_type: str, body: bytes) -> Answer:
        """POST a body."""
        request = (
            f"POST {path} HTTP/1.1\r\nHost: {self._host}\r\n{self._key}"
            f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode()
        return await self._exchange(request + body)

    async def get(self, path: str) -> Answer:
        """GET a path."""
        request = f"GET {path} HTTP/1.1\r\nHost: {self._host}\r\n{self._key}\r\n"
        return await self._exchange(request.encode())

    async def _exchange(self, request: bytes) -> Answer:
        if self._reader is None or self._writer is None:
            self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        self._writer.write(request)
        await self._writer.drain()
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length:")[2].partition("\r\n")[0] or 0)
        body = await self._reader.readexactly(length)
        return Answer(int(head.split()[1]), body)

    def close(self) -> None:
        """Close the connection."""
        if self._writer is not None:
            self._writer.close()


def multipart(name: str, files: list[tuple[str, bytes]]) -> tuple[str, bytes]:
    """Return content type and body of a form whose files all stand in parts called ``name``."""
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
    """Return bytes that look like a PDF and are like no other's."""
    return b"%PDF-1.7\n" + secrets.token_bytes(32) + b"\0" * (kilobytes * 1024 - 41)
