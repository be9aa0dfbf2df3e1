"""Saying something on the log: returns when the log has it on disk."""

import asyncio
import secrets
import time
from typing import NoReturn

import msgspec
import nats.errors
import structlog

from schemas.batches import BatchEvent
from schemas.documents import DocumentEvent
from schemas.upkeep import Swept

from . import failpoints, subjects, wire
from .connection import Connection
from .errors import AlreadySaid, BusFull, BusUnavailable, EventTooLarge, NothingSaid

ACKNOWLEDGED_WITHIN = 2.0  # seconds for one try; the log acknowledges in milliseconds
SAID_WITHIN = 10.0  # seconds for all tries: a local server that died is back in less
TRY_AGAIN_AFTER = 0.1  # seconds
MESSAGE_ID = "Nats-Msg-Id"
LAST_SEQUENCE = "Nats-Expected-Last-Subject-Sequence"
LAST_SEQUENCE_OF = "Nats-Expected-Last-Subject-Sequence-Subject"

# JetStream API error codes, nats-server server/errors.json
_STREAM_FULL = {10077, 10023, 10122, 10047}
_TOO_LARGE = {10054, 10141}
_WRONG_LAST = {10071, 10164}


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
    again = f":{event.requeues}" if event.requeues else ""
    return f"{event.tenant}:{event.document_id}:{name}{again}"


class Publisher:
    """Says events. What was said is on disk when ``say`` returns.

    A try whose acknowledgement is lost is repeated under the same ``Nats-Msg-Id``. As a rule the
    log has forgotten that by then and stores the event twice, which changes nothing.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def say(
        self, event: DocumentEvent | BatchEvent, within: float = SAID_WITHIN, *, again: str = ""
    ) -> int:
        """Publish an event on its own subject; returns its sequence on the log.

        ``again`` is for what was said before and must be heard once more: another text each time.

        :raises NothingSaid: the bus was away for ``within`` seconds, or has been for long.
        :raises BusUnavailable: no acknowledgement ``within`` seconds; it may have been stored.
        :raises BusFull: the log has no room.
        :raises EventTooLarge: the log does not take events of this size.
        """
        name = f"{message_id(event)}:{again}" if again else message_id(event)
        headers = {MESSAGE_ID: name}
        return await self.publish(subjects.subject(event), wire.encode(event), headers, within)

    async def say_first(
        self, event: DocumentEvent | BatchEvent, within: float = SAID_WITHIN
    ) -> int:
        """Say something only if it was not said of this document or batch by anybody before.

        :raises AlreadySaid: it was, perhaps by a try of ours whose acknowledgement was lost; the
            rest as ``say``.
        """
        headers = {
            # Of its own making each time: that of an equal event would hide who was first.
            MESSAGE_ID: f"{message_id(event)}:{secrets.token_hex(8)}",
            LAST_SEQUENCE: "0",
            LAST_SEQUENCE_OF: subjects.same_thing(event),
        }
        return await self.publish(subjects.subject(event), wire.encode(event), headers, within)

    async def note(self, swept: Swept) -> None:
        """Say what a pass of the janitor has done. Errors as ``say``."""
        name = f"{subjects.JANITOR}.{subjects.event_name(Swept)}"
        await self.publish(name, wire.encode(swept), {MESSAGE_ID: secrets.token_hex(16)})

    async def publish(
        self, subject: str, body: bytes, headers: dict[str, str], within: float = SAID_WITHIN
    ) -> int:
        """Publish a body to whichever stream takes ``subject``; errors as ``say``."""
        deadline = time.monotonic() + within
        fault: BusUnavailable | None = None
        while True:
            try:
                return await self._publish_once(subject, body, headers)
            except BusUnavailable as error:
                # Once it may have been said, no later try makes that certain.
                if fault is None or not isinstance(error, NothingSaid):
                    fault = error
            late = time.monotonic() + TRY_AGAIN_AFTER >= deadline
            if late or self._connection.is_given_up:
                raise fault
            await asyncio.sleep(TRY_AGAIN_AFTER)

    async def _publish_once(self, subject: str, body: bytes, headers: dict[str, str]) -> int:
        # Not while disconnected: the client would keep the message and send it after we said no.
        if not self._connection.connected:
            raise NothingSaid("the bus is not connected")
        failpoints.reach("publisher.sending")
        began, refused = time.monotonic(), self._connection.refusals.count
        try:
            message = await self._connection.client.request(
                subject, body, timeout=ACKNOWLEDGED_WITHIN, headers=headers
            )
        except nats.errors.MaxPayloadError as error:
            raise EventTooLarge(f"{len(body)} bytes are more than the bus takes") from error
        except (nats.errors.Error, TimeoutError, OSError) as error:
            # What is not permitted is not answered either, and no server is to blame for that.
            permitted = self._connection.refusals.count == refused
            if isinstance(error, TimeoutError) and permitted:
                self._connection.acknowledgements.missed(began)
            raise BusUnavailable(f"no acknowledgement: {error}") from error
        failpoints.reach("publisher.sent")
        answer = _pub_ack.decode(message.data)
        full = answer.error is not None and answer.error.get("err_code") in _STREAM_FULL
        self._connection.acknowledgements.answered(
            full=full, stored=answer.error is None, took=time.monotonic() - began
        )
        if answer.error is not None:
            _refused(answer.error)
        if answer.duplicate and not await self._lies_on(subject, answer):
            # Ids are the publisher's choice: somebody has used ours for something else.
            log.warning("message id already taken", subject=subject, sequence=answer.seq)
            fresh = {**headers, MESSAGE_ID: f"{headers[MESSAGE_ID]}:{secrets.token_hex(8)}"}
            return await self._publish_once(subject, body, fresh)
        return answer.seq

    async def _lies_on(self, subject: str, answer: _PubAck) -> bool:
        """Whether the message that made ours a duplicate was said on the same subject."""
        query = msgspec.json.encode({"seq": answer.seq})
        stored = await self._connection.request(f"$JS.API.DIRECT.GET.{answer.stream}", query)
        return stored.headers.get("Nats-Subject") == subject


def _refused(error: dict[str, object]) -> NoReturn:
    code, text = error.get("err_code"), str(error.get("description"))
    if code in _STREAM_FULL:
        raise BusFull(text)
    if code in _TOO_LARGE:
        raise EventTooLarge(text)
    if code in _WRONG_LAST:
        raise AlreadySaid(text)
    raise BusUnavailable(f"refused: {text} ({code})")
