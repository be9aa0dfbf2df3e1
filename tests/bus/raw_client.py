"""A client that sends exact bytes, also those that no library would send."""

import asyncio
import json
from contextlib import suppress
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

CRLF = b"\r\n"


def publish(
    subject: bytes, body: bytes, *, header: bytes | None = None, reply: bytes = b""
) -> bytes:
    """Return the protocol line and the bytes that publish ``body``."""
    subjects = subject + (b" " + reply if reply else b"")
    if header is None:
        return b"PUB %s %d\r\n" % (subjects, len(body)) + body + CRLF
    sizes = (len(header), len(header) + len(body))
    return b"HPUB %s %d %d\r\n" % (subjects, *sizes) + header + body + CRLF


class RawClient:
    """One connection; its requests return what the server has answered to everything sent."""

    def __init__(self, url: str) -> None:
        self._url = urlsplit(url)

    async def __aenter__(self) -> Self:
        reader, writer = await asyncio.open_connection(self._url.hostname, self._url.port)
        self._reader, self._writer = reader, writer
        await reader.readline()
        options = {"user": self._url.username, "pass": self._url.password, "headers": True}
        more = {"no_responders": True, "verbose": False, "pedantic": False}
        self._writer.write(b"CONNECT " + json.dumps(options | more).encode() + CRLF)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._writer.close()
        with suppress(ConnectionError):  # the server may have reset it, which is its answer
            await self._writer.wait_closed()

    async def send(self, data: bytes) -> bytes:
        self._writer.write(data + b"PING" + CRLF)
        answer = b""
        while not answer.endswith(b"PONG" + CRLF):
            line = await asyncio.wait_for(self._reader.readline(), 30)
            if not line:
                return answer
            answer += line
        return answer.removesuffix(b"PONG" + CRLF)

    async def read_until(self, marker: bytes) -> bytes:
        """Read on until ``until`` has come."""
        return await asyncio.wait_for(self._reader.readuntil(marker), 30)
