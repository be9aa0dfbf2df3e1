"""Messages of a stream, read without a consumer: from any replica, or from the leader.

A direct get (NATS ADR-31) may be answered by a replica that lags behind the leader. What it returns
is on the stream; that it finds nothing is no proof, not even of a message acknowledged before. So
where there are several servers the leader is asked again.
"""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime

import msgspec
from msgspec import Struct

from bus.api_replies import MessageReply
from bus.connection import Connection
from bus.errors import BusUnavailable

NO_MESSAGE = 10037  # JetStream API error code, nats-server server/errors.json
_SEQUENCE_HEADER, _SUBJECT_HEADER, _TIME_HEADER = "Nats-Sequence", "Nats-Subject", "Nats-Time-Stamp"


class StoredMessage(Struct, frozen=True):
    """A stored message; ``headers`` are those of its publisher and of the server."""

    sequence: int
    stored_at: datetime
    subject: str
    headers: Mapping[str, str]
    body: bytes


_leader_reply = msgspec.json.Decoder(MessageReply)


class DirectGet:
    """Reads a stream without a consumer. Every method may raise ``BusUnavailable``.

    None is certain: the leader has no such message either. Unless ``certain`` is False, for callers
    that only want a hint.
    """

    def __init__(self, connection: Connection, stream: str, *, certain: bool = True) -> None:
        self._connection = connection
        self._stream = stream
        self._subject = f"$JS.API.DIRECT.GET.{stream}"
        self._certain = certain

    async def get(self, sequence: int) -> StoredMessage | None:
        """Return the message with a sequence, or None."""
        return await self._request({"seq": sequence})

    async def last(self, subject: str) -> StoredMessage | None:
        """Return the newest message on a subject or filter, or None."""
        query = {"last_by_subj": subject}
        if self._asks_leader:  # a replica may return one that is no longer the newest
            return await ask_leader(self._connection, self._stream, query)
        return await self._ask_any(query)

    async def next_after(self, after: int, subject: str) -> StoredMessage | None:
        """Return the next message after a sequence on a subject or filter, or None."""
        return await self._request({"seq": after + 1, "next_by_subj": subject})

    async def iterate(self, subject: str) -> AsyncIterator[StoredMessage]:
        """Yield all messages on a subject or filter, oldest first."""
        after = 0
        while found := await self.next_after(after, subject):
            after = found.sequence
            yield found

    @property
    def _asks_leader(self) -> bool:
        return self._certain and self._connection.may_lag

    async def _request(self, query: dict[str, object]) -> StoredMessage | None:
        found = await self._ask_any(query)
        if found is None and self._asks_leader:
            return await ask_leader(self._connection, self._stream, query)
        return found

    async def _ask_any(self, query: Mapping[str, object]) -> StoredMessage | None:
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


async def ask_leader(
    connection: Connection, stream: str, query: Mapping[str, object]
) -> StoredMessage | None:
    """Return the message that a direct get with this query returns, as the leader has it, or None.

    :raises BusUnavailable: the stream has no leader, or it does not answer.
    """
    operation = f"$JS.API.STREAM.MSG.GET.{stream}"
    reply = await connection.request(operation, msgspec.json.encode(query))
    try:
        answer = _leader_reply.decode(reply.body)
    except msgspec.MsgspecError as error:
        raise BusUnavailable(f"no valid reply of the leader of {stream}: {error}") from error
    found, refused = answer.message, answer.error
    if refused is not None and refused.err_code == NO_MESSAGE:
        return None
    if refused is not None or found is None:
        reason = refused.description if refused else "no message"
        raise BusUnavailable(f"the leader of {stream} answered: {reason}")
    headers = _parse_headers(found.hdrs)
    return StoredMessage(found.seq, found.time, found.subject, headers, found.data)


def _parse_headers(encoded: bytes) -> dict[str, str]:
    """Return headers as a direct get has them; lines that are none are left out."""
    _version, *lines = encoded.decode("utf-8", "surrogateescape").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return {name: value.strip() for name, colon, value in pairs if colon}
