"""Publishing of events. A publish returns when the log has the event on disk."""

import asyncio
import secrets
import time
from typing import NoReturn

import msgspec
import nats.errors
import structlog
from nats.aio.msg import Msg

from bus import codec, failpoints, subjects, tracing
from bus.connection import Connection
from bus.delivery import EXPECTED_LAST_SEQUENCE_HEADER, EXPECTED_LAST_SUBJECT_HEADER
from bus.errors import (
    AlreadyPublished,
    BusFull,
    BusUnavailable,
    EventTooLarge,
    NewerEvents,
    NotPublished,
    Superseded,
)
from bus.stored_messages import DirectGet
from schemas.batches import BatchEvent
from schemas.documents import DocumentEvent
from schemas.events import JanitorProbed, JanitorSwept

ACK_TIMEOUT = 2.0  # seconds for one try; the log acknowledges within milliseconds
NODE_ACK_TIMEOUT = 1.0  # seconds for one try in a cluster, whose leader may be gone
PUBLISH_TIMEOUT = 10.0  # seconds for all tries: a local server that died is back in less
RETRY_DELAY = 0.1  # seconds
DECIDED_WITHIN = 2.0  # seconds for a publish that is on its way to be stored, or to fail
DECISION_PAUSE = 0.02  # seconds
MSG_ID_HEADER = "Nats-Msg-Id"

# JetStream API error codes, nats-server server/errors.json
_STREAM_FULL = {10077, 10023, 10122, 10047}
_TOO_LARGE = {10054, 10141}
_WRONG_LAST_SEQUENCE = 10071
# In a cluster: another publish is on its way that decides about this one. It may fail.
_UNDECIDED = 10164


class _PubAck(msgspec.Struct):
    """The reply to a publish: a sequence or an error."""

    stream: str = ""
    seq: int = 0
    duplicate: bool = False
    error: dict[str, object] | None = None


class _Undecided(BusUnavailable):
    """Another publish, which is not stored yet, decides whether this one is the first."""


log = structlog.get_logger("bus")

_pub_ack = msgspec.json.Decoder(_PubAck)


def message_id(event: DocumentEvent | BatchEvent) -> str:
    """Return the ``Nats-Msg-Id``, one for each kind of event, document and number of requeues."""
    name = subjects.event_name(type(event))
    if isinstance(event, BatchEvent):
        return f"{event.tenant}:{event.batch_id}:batch-{name}"
    suffix = f":{event.requeues}" if event.requeues else ""
    return f"{event.tenant}:{event.document_id}:{name}{suffix}"


class Publisher:
    """Publishes events. An event is on disk when ``publish`` returns.

    A try whose acknowledgement is lost is repeated with the same ``Nats-Msg-Id``. Usually the
    duplicate window is over by then and the event is stored twice, which has no effect.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def publish(
        self,
        event: DocumentEvent | BatchEvent,
        within: float | None = None,
        *,
        msg_id_suffix: str = "",
    ) -> int:
        """Publish an event on its own subject; returns its sequence on the log.

        An event that has to be delivered once more needs another ``msg_id_suffix`` each time.
        ``within`` is by default what a server takes to restart, or a cluster to elect a leader.

        :raises NotPublished: the bus was away for ``within`` seconds, or has been for long.
        :raises BusUnavailable: no acknowledgement ``within`` seconds; it may have been stored.
        :raises BusFull: the log has no room.
        :raises EventTooLarge: the log does not take events of this size.
        """
        msg_id = f"{message_id(event)}:{msg_id_suffix}" if msg_id_suffix else message_id(event)
        headers = {MSG_ID_HEADER: msg_id, **tracing.headers()}
        return await self.publish_raw(
            subjects.subject_for(event), codec.encode(event), headers, within
        )

    async def publish_if_first(
        self, event: DocumentEvent | BatchEvent, within: float | None = None
    ) -> int:
        """Publish an event if it is the first of its kind about its document or batch.

        :raises AlreadyPublished: it is not; perhaps an earlier try without acknowledgement was
            stored. The rest as ``publish``.
        """
        headers = {
            # Unique: with the id of an equal event the reply would not show which was first.
            MSG_ID_HEADER: f"{message_id(event)}:{secrets.token_hex(8)}",
            EXPECTED_LAST_SEQUENCE_HEADER: "0",
            EXPECTED_LAST_SUBJECT_HEADER: subjects.same_event_filter(event),
            **tracing.headers(),
        }
        return await self.publish_raw(
            subjects.subject_for(event), codec.encode(event), headers, within
        )

    async def publish_after(
        self, event: DocumentEvent, sequence: int, within: float | None = None
    ) -> int:
        """Publish an event unless the log has one about its document after ``sequence``.

        :raises NewerEvents: it has; perhaps an earlier try without acknowledgement was stored. The
            rest as ``publish``.
        """
        headers = {
            MSG_ID_HEADER: f"{message_id(event)}:{secrets.token_hex(8)}",
            EXPECTED_LAST_SEQUENCE_HEADER: str(sequence),
            EXPECTED_LAST_SUBJECT_HEADER: subjects.document_filter(
                "*", event.tenant, event.document_id
            ),
            **tracing.headers(),
        }
        try:
            return await self.publish_raw(
                subjects.subject_for(event), codec.encode(event), headers, within
            )
        except AlreadyPublished as error:
            raise NewerEvents(str(error)) from error

    async def publish_sweep(self, swept: JanitorSwept) -> None:
        """Publish the result of a pass of the janitor. Raises as ``publish``."""
        subject = f"{subjects.JANITOR}.{subjects.event_name(JanitorSwept)}"
        await self.publish_raw(subject, codec.encode(swept), {MSG_ID_HEADER: secrets.token_hex(16)})

    async def publish_raw(
        self, subject: str, body: bytes, headers: dict[str, str], within: float | None = None
    ) -> int:
        """Publish a body on a subject. Raises as ``publish``."""
        if within is None:
            within = max(PUBLISH_TIMEOUT, self._connection.election_timeout)
        deadline = time.monotonic() + within
        last_error: BusUnavailable | None = None
        undecided_since: float | None = None
        while True:
            try:
                return await self._publish_once(subject, body, headers)
            except _Undecided as error:
                now = time.monotonic()
                if undecided_since is None:
                    undecided_since = now
                    log.debug("publish undecided", subject=subject)
                if now - undecided_since >= DECIDED_WITHIN:
                    raise BusUnavailable(str(error)) from error
                await asyncio.sleep(DECISION_PAUSE)
                continue
            except Superseded:
                raise
            except BusUnavailable as error:
                # After a try that may have been stored, no later one is certain not to be.
                if last_error is None or not isinstance(error, NotPublished):
                    last_error = error
            late = time.monotonic() + RETRY_DELAY >= deadline
            if late or self._connection.is_down:
                raise last_error
            await asyncio.sleep(RETRY_DELAY)

    async def _publish_once(self, subject: str, body: bytes, headers: dict[str, str]) -> int:
        # Not while disconnected: the client would buffer it and send it after this has raised.
        if not self._connection.connected:
            raise NotPublished("the bus is not connected")
        failpoints.reach("publisher.sending")
        started_at, violations_before = (
            time.monotonic(),
            self._connection.permission_violations.count,
        )
        try:
            message = await self._send(subject, body, headers)
        except nats.errors.MaxPayloadError as error:
            raise EventTooLarge(f"{len(body)} bytes are more than the bus takes") from error
        except nats.errors.NoRespondersError as error:
            self._connection.publish_stats.record_no_leader()
            await self._connection.record_no_answer()
            raise BusUnavailable(f"no acknowledgement: {error}") from error
        except (nats.errors.Error, TimeoutError, OSError) as error:
            # A denied publish gets no reply either, which proves nothing about the server.
            permitted = self._connection.permission_violations.count == violations_before
            if isinstance(error, TimeoutError) and permitted:
                self._connection.publish_stats.record_timeout(started_at)
            if permitted:
                await self._connection.record_no_answer()
            raise BusUnavailable(f"no acknowledgement: {error}") from error
        failpoints.reach("publisher.sent")
        self._connection.record_answer()
        answer = _pub_ack.decode(message.data)
        full = answer.error is not None and answer.error.get("err_code") in _STREAM_FULL
        self._connection.publish_stats.record_reply(
            full=full, stored=answer.error is None, latency=time.monotonic() - started_at
        )
        if answer.error is not None:
            _raise_api_error(answer.error)
        if answer.duplicate and not await self._is_on_subject(subject, answer):
            # Publishers choose their ids: another message has used this one.
            log.warning("message id already taken", subject=subject, sequence=answer.seq)
            fresh = {**headers, MSG_ID_HEADER: f"{headers[MSG_ID_HEADER]}:{secrets.token_hex(8)}"}
            return await self._publish_once(subject, body, fresh)
        return answer.seq

    async def _send(self, subject: str, body: bytes, headers: dict[str, str]) -> Msg:
        timeout = NODE_ACK_TIMEOUT if self._connection.in_cluster else ACK_TIMEOUT
        if (fence := self._connection.fence) is not None:
            return await fence.request(subject, body, headers, timeout)
        client = self._connection.client
        return await client.request(subject, body, timeout=timeout, headers=headers)

    async def ensure_current(self) -> None:
        """Make sure that no other core has taken the log over.

        :raises Superseded: one has.
        :raises BusUnavailable: the log does not answer.
        """
        if (fence := self._connection.fence) is not None:
            await fence.confirm()

    async def _is_on_subject(self, subject: str, answer: _PubAck) -> bool:
        """Whether the message that made this one a duplicate has the same subject."""
        stored = await DirectGet(self._connection, answer.stream).get(answer.seq)
        return stored is not None and stored.subject == subject


def _raise_api_error(error: dict[str, object]) -> NoReturn:
    code, text = error.get("err_code"), str(error.get("description"))
    if code in _STREAM_FULL:
        raise BusFull(text)
    if code in _TOO_LARGE:
        raise EventTooLarge(text)
    if code == _WRONG_LAST_SEQUENCE:
        raise AlreadyPublished(text)
    if code == _UNDECIDED:
        raise _Undecided(f"another publish decides about this one: {text} ({code})")
    raise BusUnavailable(f"refused: {text} ({code})")


# Seconds for which an acknowledgement is proof, so that an idle log grows slowly.
ACK_VALID_FOR = 10.0
# The same in a cluster, whose log may lose its leader while every server still answers.
ACK_VALID_FOR_IN_CLUSTER = 5.0


class Probe:
    """Checks that the log can be written, by a small event that has no consumer."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._publish_stats = connection.publish_stats
        self._publisher = Publisher(connection)

    @property
    def problem(self) -> str | None:
        """The problem that the last publishes show; None if the last one was stored."""
        if self._publish_stats.stream_full:
            return "the log is full: it takes no more events"
        if self._publish_stats.has_no_leader:
            return "the log takes no events: it has no leader, or its stream is missing"
        if timeouts := self._publish_stats.consecutive_timeouts:
            return f"the last {timeouts} publishes were not acknowledged"
        if self._publish_stats.seconds_since_ack is None:
            return "nothing was published since the server started"
        return None

    async def check_writable(self) -> None:
        """Publish the event, unless another one was stored a moment ago and none failed since.

        :raises BusUnavailable: no acknowledgement came.
        :raises BusFull: the log has no room.
        """
        seconds_since_ack = self._publish_stats.seconds_since_ack
        valid_for = ACK_VALID_FOR_IN_CLUSTER if self._connection.may_lag else ACK_VALID_FOR
        if self.problem is None and seconds_since_ack is not None and seconds_since_ack < valid_for:
            return
        subject = f"{subjects.JANITOR}.{subjects.event_name(JanitorProbed)}"
        headers = {MSG_ID_HEADER: secrets.token_hex(16)}
        await self._publisher.publish_raw(
            subject, codec.encode(JanitorProbed()), headers, within=0.0
        )
