"""A client of streams of events, which connects again after every interruption."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import suppress
from typing import Any, NamedTuple

import aiohttp
import msgspec

RECONNECT_PAUSE = 0.05  # seconds


class Event(NamedTuple):
    """An event that arrived."""

    name: str
    id: str
    data: Any


async def parse(lines: AsyncIterable[bytes]) -> AsyncIterator[Event]:
    """Yield the events of a stream (WHATWG HTML, server-sent events); also ids without data."""
    fields: dict[str, str] = {}
    async for line in lines:
        text = line.decode().rstrip("\n")
        if text:
            name, _, value = text.partition(":")
            if name:
                fields[name] = value.removeprefix(" ")
            continue
        if "id" in fields:
            data = msgspec.json.decode(fields["data"]) if "data" in fields else None
            yield Event(fields.get("event", "message"), fields["id"], data)
        fields.clear()


class EventClient:
    """Collects the events of one stream over all interruptions."""

    def __init__(self, url: str, headers: dict[str, str] | None = None) -> None:
        self._url = url
        self._headers = headers or {}
        self._response: aiohttp.ClientResponse | None = None
        self.last_id = ""
        self.events: list[Event] = []
        self.connections = 0
        self.ended = False
        self.refused: list[int] = []

    async def run(self) -> None:
        """Read until the stream has ended, connecting again whenever it breaks off."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while not self.ended:
                with suppress(aiohttp.ClientError, OSError, TimeoutError):
                    await self._read(session)
                await asyncio.sleep(RECONNECT_PAUSE)

    @property
    def is_connected(self) -> bool:
        """Whether a stream is open."""
        return self._response is not None

    def disconnect(self) -> None:
        """Break the connection off."""
        if self._response is not None:
            self._response.close()

    def names(self, *kinds: str) -> list[tuple[str, str]]:
        """Return name and document or batch of each event, of these kinds or of all."""
        return [
            (event.name, event.data.get("id") or event.data.get("batchId"))
            for event in self.events
            if not kinds or event.name in kinds
        ]

    async def _read(self, session: aiohttp.ClientSession) -> None:
        headers = self._headers | ({"Last-Event-ID": self.last_id} if self.last_id else {})
        async with session.get(self._url, headers=headers) as response:
            if response.status == 204:
                self.ended = True
                return
            if response.status != 200:
                self.refused.append(response.status)
                return
            self.connections += 1
            self._response = response
            try:
                async for event in parse(response.content):
                    self.last_id = event.id
                    if event.data is not None:
                        self.events.append(event)
            finally:
                self._response = None
