"""Single messages of a stream, by sequence or by subject (JetStream direct get, NATS ADR-31)."""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime

import msgspec
from msgspec import Struct

from bus.connection import Connection
from bus.errors import BusUnavailable

_SEQUENCE_HEADER, _SUBJECT_HEADER, _TIME_HEADER = "Nats-Sequence", "Nats-Subject", "Nats-Time-Stamp"


class StoredMessage(Struct, frozen=True):
    """A stored message; ``headers`` are those of its publisher and of the server."""

    sequence: int
    stored_at: datetime
    subject: str
    headers: Mapping[str, str]
    body: bytes


class DirectGet:
    """Reads a stream without a consumer. Every method may raise ``BusUnavailable``."""

    def __init__(self, connection: Connection, stream: str) -> None:
        self._connection = connection
        self._subject = f"$JS.API.DIRECT.GET.{stream}"

    async def get(self, sequence: int) -> StoredMessage | None:
        """Return the message with a sequence, or None."""
        return await self._request({"seq": sequence})

    async def last(self, subject: str) -> StoredMessage | None:
        """Return the newest message on a subject or filter, or None."""
        return await self._request({"last_by_subj": subject})

    async def next_after(self, after: int, subject: str) -> StoredMessage | None:
        """Return the next message after a sequence on a subject or filter, or None."""
        return await self._request({"seq": after + 1, "next_by_subj": subject})

    async def iterate(self, subject: str) -> AsyncIterator[StoredMessage]:
        """Yield all messages on a subject or filter, oldest first."""
        after = 0
        while found := await self.next_after(after, subject):
            after = found.sequence
            yield found

    async def _request(self, query: dict[str, object]) -> StoredMessage | None:
        reply = await self._connection.request(self._subject, msgspec.json.encode(query))
        headers = reply.headers
        if _SEQUENCE_HEADER in headers:  # a message, whatever else its publisher put there
            return StoredMessage(
                int(headers[_SEQUENCE_HEADER]),
                datetime.fromisoformat(headers[_TIME_HEADER]),
                headers.get(_SUBJECT_HEADER, ""),
                headers,
                reply.body,
            )
        if reply.status == "404":
            return None
        raise BusUnavailable(f"the stream answered {reply.status}")
