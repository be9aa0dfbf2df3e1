"""Saying something on the log: returns when the log has it on disk."""

import asyncio
import secrets
import time
from typing import NoReturn

import msgspec
import nats.errors
import structlog

from bus import codec, failpoints, subjects
from bus.connection import Connection
from bus.errors import AlreadyPublished, BusFull, BusUnavailable, EventTooLarge, NotPublished
from schemas.batches import BatchEvent
from schemas.documents import DocumentEvent
from schemas.events import JanitorProbed, JanitorSwept

ACK_TIMEOUT = 2.0  # seconds for one try; the log acknowledges in milliseconds
PUBLISH_TIMEOUT = 10.0  # seconds for all tries: a local server that died is back in less
RETRY_DELAY = 0.1  # seconds
MSG_ID_HEADER = "Nats-Msg-Id"
EXPECTED_LAST_SEQUENCE_HEADER = "Nats-Expected-Last-Subject-Sequence"
EXPECTED_LAST_SUBJECT_HEADER = "Nats-Expected-Last-Subject-Sequence-Subject"

# JetStream API error codes, nats-server server/errors.json
_STREAM_FULL = {10077, 10023, 10122, 10047}
_TOO_LARGE = {10054, 10141}
_WRONG_LAST_SEQUENCE = {10071, 10164}


class _PubAck(msgspec.Struct):
    """The server's answer to a publish: a sequence, or an error."""

    stream: str = ""
    seq: int = 0
    duplicate: bool = False
    error: dict[str, object] | None = None


log = structlog.get_logger("bus")

_pub_ack = msgspec.json.Decoder(_PubAck)


def message_id(event: DocumentEvent | BatchEvent) -> str:
    """Return the ``Nats-Msg-Id``: the same for all events of one kind about one document.

    One that was requeued ends anew.
    """
    name = subjects.event_name(type(event))
    if isinstance(event, BatchEvent):
        return f"{event.tenant}:{event.batch_id}:batch-{name}"
    suffix = f":{event.requeues}" if event.requeues else ""
    return f"{event.tenant}:{event.document_id}:{name}{suffix}"


class Publisher:
    """Says events. What was said is on disk when ``say`` returns.

    A try whose acknowledgement is lost is repeated under the same ``Nats-Msg-Id``. As a rule the
    log has forgotten that by then and stores the event twice, which changes nothing.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def publish(
        self,
        event: DocumentEvent | BatchEvent,
        within: float = PUBLISH_TIMEOUT,
        *,
        msg_id_suffix: str = "",
    ) -> int:
        """Publish an event on its own subject; returns its sequence on the log.

        ``again`` is for what was said before and must be heard once more: another text each time.

        :raises NothingSaid: the bus was away for ``within`` seconds, or has been for long.
        :raises BusUnavailable: no acknowledgement ``within`` seconds; it may have been stored.
        :raises BusFull: the log has no room.
        :raises EventTooLarge: the log does not take events of this size.
        """
        msg_id = f"{message_id(event)}:{msg_id_suffix}" if msg_id_suffix else message_id(event)
        headers = {MSG_ID_HEADER: msg_id}
        return await self.publish_raw(
            subjects.subject_for(event), codec.encode(event), headers, within
        )

    async def publish_if_first(
        self, event: DocumentEvent | BatchEvent, within: float = PUBLISH_TIMEOUT
    ) -> int:
        """Say something only if it was not said of this document or batch by anybody before.

        :raises AlreadySaid: it was, perhaps by a try of ours whose acknowledgement was lost; the
            rest as ``say``.
        """
        headers = {
            # Of its own making each time: that of an equal event would hide who was first.
            MSG_ID_HEADER: f"{message_id(event)}:{secrets.token_hex(8)}",
            EXPECTED_LAST_SEQUENCE_HEADER: "0",
            EXPECTED_LAST_SUBJECT_HEADER: subjects.same_event_filter(event),
        }
        return await self.publish_raw(
            subjects.subject_for(event), codec.encode(event), headers, within
        )

    async def publish_sweep(self, swept: JanitorSwept) -> None:
        """Say what a pass of the janitor has done. Errors as ``say``."""
        subject = f"{subjects.JANITOR}.{subjects.event_name(JanitorSwept)}"
        await self.publish_raw(subject, codec.encode(swept), {MSG_ID_HEADER: secrets.token_hex(16)})

    async def publish_raw(
        self, subject: str, body: bytes, headers: dict[str, str], within: float = PUBLISH_TIMEOUT
    ) -> int:
        """Publish a body to whichever stream takes ``subject``; errors as ``say``."""
        deadline = time.monotonic() + within
        last_error: BusUnavailable | None = None
        while True:
            try:
                return await self._publish_once(subject, body, headers)
            except BusUnavailable as error:
                # Once it may have been said, no later try makes that certain.
                if last_error is None or not isinstance(error, NotPublished):
                    last_error = error
            late = time.monotonic() + RETRY_DELAY >= deadline
            if late or self._connection.is_down:
                raise last_error
            await asyncio.sleep(RETRY_DELAY)

    async def _publish_once(self, subject: str, body: bytes, headers: dict[str, str]) -> int:
        # Not while disconnected: the client would keep the message and send it after we said no.
        if not self._connection.connected:
            raise NotPublished("the bus is not connected")
        failpoints.reach("publisher.sending")
        started_at, violations_before = (
            time.monotonic(),
            self._connection.permission_violations.count,
        )
        try:
            message = await self._connection.client.request(
                subject, body, timeout=ACK_TIMEOUT, headers=headers
            )
        except nats.errors.MaxPayloadError as error:
            raise EventTooLarge(f"{len(body)} bytes are more than the bus takes") from error
        except (nats.errors.Error, TimeoutError, OSError) as error:
            # What is not permitted is not answered either, and no server is to blame for that.
            permitted = self._connection.permission_violations.count == violations_before
            if isinstance(error, TimeoutError) and permitted:
                self._connection.publish_stats.record_timeout(started_at)
            raise BusUnavailable(f"no acknowledgement: {error}") from error
        failpoints.reach("publisher.sent")
        answer = _pub_ack.decode(message.data)
        full = answer.error is not None and answer.error.get("err_code") in _STREAM_FULL
        self._connection.publish_stats.record_reply(
            full=full, stored=answer.error is None, latency=time.monotonic() - started_at
        )
        if answer.error is not None:
            _raise_api_error(answer.error)
        if answer.duplicate and not await self._is_on_subject(subject, answer):
            # Ids are the publisher's choice: somebody has used ours for something else.
            log.warning("message id already taken", subject=subject, sequence=answer.seq)
            fresh = {**headers, MSG_ID_HEADER: f"{headers[MSG_ID_HEADER]}:{secrets.token_hex(8)}"}
            return await self._publish_once(subject, body, fresh)
        return answer.seq

    async def _is_on_subject(self, subject: str, answer: _PubAck) -> bool:
        """Whether the message that made ours a duplicate was said on the same subject."""
        query = msgspec.json.encode({"seq": answer.seq})
        stored = await self._connection.request(f"$JS.API.DIRECT.GET.{answer.stream}", query)
        return stored.headers.get("Nats-Subject") == subject


def _raise_api_error(error: dict[str, object]) -> NoReturn:
    code, text = error.get("err_code"), str(error.get("description"))
    if code in _STREAM_FULL:
        raise BusFull(text)
    if code in _TOO_LARGE:
        raise EventTooLarge(text)
    if code in _WRONG_LAST_SEQUENCE:
        raise AlreadyPublished(text)
    raise BusUnavailable(f"refused: {text} ({code})")


ACK_VALID_FOR = 10.0  # seconds an acknowledgement is proof, so that an idle log grows slowly


class Probe:
    """Publishes a small event about nothing. Nobody consumes it; the log keeps it as any other."""

    def __init__(self, connection: Connection) -> None:
        self._publish_stats = connection.publish_stats
        self._publisher = Publisher(connection)

    @property
    def problem(self) -> str | None:
        """What the last publishes say against the log; None when the last one was stored."""
        if self._publish_stats.stream_full:
            return "the log is full: it takes no more events"
        if timeouts := self._publish_stats.consecutive_timeouts:
            return f"the last {timeouts} publishes were not acknowledged"
        if self._publish_stats.seconds_since_ack is None:
            return "nothing was published since the server started"
        return None

    async def check_writable(self) -> None:
        """Publish, unless an event was stored a moment ago and none was refused since.

        :raises BusUnavailable: no acknowledgement came.
        :raises BusFull: the log has no room.
        """
        seconds_since_ack = self._publish_stats.seconds_since_ack
        if (
            self.problem is None
            and seconds_since_ack is not None
            and seconds_since_ack < ACK_VALID_FOR
        ):
            return
        subject = f"{subjects.JANITOR}.{subjects.event_name(JanitorProbed)}"
        headers = {MSG_ID_HEADER: secrets.token_hex(16)}
        await self._publisher.publish_raw(
            subject, codec.encode(JanitorProbed()), headers, within=0.0
        )
