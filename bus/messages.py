"""Single messages of a stream, by place or by subject (JetStream direct get, NATS ADR-31)."""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime

import msgspec
from msgspec import Struct

from .connection import Connection
from .errors import BusUnavailable

_SEQUENCE, _SUBJECT, _TIME = "Nats-Sequence", "Nats-Subject", "Nats-Time-Stamp"


class Stored(Struct, frozen=True):
    """A message as it lies on a stream; ``headers`` are its publisher's and the server's."""

    sequence: int
    stored_at: datetime
    subject: str
    headers: Mapping[str, str]
    body: bytes


class Messages:
    """Reads one stream without a consumer. All of it raises ``BusUnavailable``: no answer."""

    def __init__(self, connection: Connection, stream: str) -> None:
        self._connection = connection
        self._subject = f"$JS.API.DIRECT.GET.{stream}"

    async def at(self, sequence: int) -> Stored | None:
        """Return the message at a place, or None."""
        return await self._get({"seq": sequence})

    async def last(self, subject: str) -> Stored | None:
        """Return the newest message on a subject or filter, or None."""
        return await self._get({"last_by_subj": subject})

    async def following(self, after: int, subject: str) -> Stored | None:
        """Return the next message after a place on a subject or filter, or None."""
        return await self._get({"seq": after + 1, "next_by_subj": subject})

    async def each(self, subject: str) -> AsyncIterator[Stored]:
        """Yield all that lies on a subject or filter, oldest first."""
        after = 0
        while found := await self.following(after, subject):
            after = found.sequence
            yield found

    async def _get(self, query: dict[str, object]) -> Stored | None:
        reply = await self._connection.request(self._subject, msgspec.json.encode(query))
        headers = reply.headers
        if _SEQUENCE in headers:  # a message, whatever else its publisher put there
            return Stored(
                int(headers[_SEQUENCE]),
                datetime.fromisoformat(headers[_TIME]),
                headers.get(_SUBJECT, ""),
                headers,
                reply.body,
            )
        if reply.status == "404":
            return None
        raise BusUnavailable(f"the stream answered {reply.status}")
