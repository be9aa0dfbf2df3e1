"""Extent of the log, and the gaps in it."""

import asyncio
from datetime import UTC, datetime
from itertools import pairwise

import msgspec
import nats.errors
from msgspec import Struct
from nats.aio.msg import Msg
from nats.js.api import DiscardPolicy, StreamInfo
from nats.js.errors import Error as JetStreamError
from nats.js.errors import NotFoundError

from bus import log_info, streams
from bus.connection import Connection
from bus.errors import BusUnavailable
from bus.stored_messages import DirectGet

PAGE_SIZE, PAGE_BYTES = 500, 4 * 1024 * 1024  # events in one request
PAGE_PAUSE = 0.05  # seconds between two requests, for other users of the server
PAGE_TIMEOUT = 30.0  # seconds
RECHECK_DELAY = 1.0  # seconds

_DIRECT_GET = f"$JS.API.DIRECT.GET.{streams.EVENTS}"

SequenceRange = tuple[int, int]
"""The first and the last of adjacent sequences."""


class LogState(Struct, frozen=True):
    """Extent of the log, and the number of events missing between its first and its last.

    An empty log has the sequence of its next event as ``first``, and a lower ``last``. ``max_age``
    is in seconds, None where events may also be removed for other reasons than age.
    """

    created: str
    first: int
    last: int
    missing: int
    max_age: float | None

    @property
    def is_empty(self) -> bool:
        """Whether the log has no events."""
        return self.first > self.last


class _State(Struct):
    deleted: list[int] = []


class _StreamInfoReply(Struct):
    state: _State = msgspec.field(default_factory=_State)


async def fetch(connection: Connection) -> LogState | None:
    """Return the state of the log, or None without a log.

    :raises BusUnavailable: the server does not answer.
    """
    try:
        info = await log_info.current_info(connection, connection.jetstream)
    except NotFoundError:
        return None
    except (nats.errors.Error, JetStreamError, TimeoutError) as error:
        raise BusUnavailable(f"the log does not answer: {error}") from error
    state = info.state
    first = state.first_seq if state.messages else state.last_seq + 1
    return LogState(
        streams.created_at(info),
        first,
        state.last_seq,
        state.last_seq - first + 1 - state.messages,
        _max_age(info),
    )


async def missing_ranges(connection: Connection) -> list[SequenceRange]:
    """Return the gaps between the first event and the last. Raises as ``fetch``."""
    subject = f"$JS.API.STREAM.INFO.{streams.EVENTS}"
    reply = await connection.request(subject, b'{"deleted_details": true}')
    deleted = sorted(msgspec.json.decode(reply.body, type=_StreamInfoReply).state.deleted)
    if not deleted:
        return []
    breaks = [(left, right) for left, right in pairwise(deleted) if right != left + 1]
    begins = [deleted[0], *(right for _, right in breaks)]
    ends = [*(left for left, _ in breaks), deleted[-1]]
    return list(zip(begins, ends, strict=True))


async def unreadable_ranges(
    connection: Connection, state: LogState, *, after: int = 0, pause: float = PAGE_PAUSE
) -> list[SequenceRange]:
    """Read the log and return the sequences that cannot be read, deleted or damaged.

    The server counts a damaged event but skips it silently in deliveries. Only events after
    ``after`` are read, with pauses for other users of the server.

    :raises BusUnavailable: the server does not answer.
    """
    page = _Page()
    inbox = connection.client.new_inbox()
    subscription = await connection.client.subscribe(inbox, cb=page.on_message)
    found: list[SequenceRange] = []
    expected = max(state.first, after + 1)
    try:
        while expected <= state.last:
            page.reset()
            query = {"seq": expected, "batch": PAGE_SIZE, "max_bytes": PAGE_BYTES}
            try:
                async with asyncio.timeout(PAGE_TIMEOUT):
                    await connection.client.publish(
                        _DIRECT_GET, msgspec.json.encode(query), reply=inbox
                    )
                    await page.ended.wait()
            except (nats.errors.Error, TimeoutError) as error:
                raise BusUnavailable(f"the log was not read to its end: {error}") from error
            for sequence in [*page.sequences] or [state.last + 1]:
                if sequence > expected:
                    found.append((expected, min(sequence - 1, state.last)))
                expected = sequence + 1
            await asyncio.sleep(pause)
    finally:
        await subscription.unsubscribe()
    if not found:
        return []
    await asyncio.sleep(RECHECK_DELAY)  # a server of a cluster may have lagged behind
    current = await fetch(connection)  # events removed by age meanwhile are no damage
    oldest = current.first if current else state.last + 1
    left = [(max(first, oldest), last) for first, last in found if last >= oldest]
    return [candidate for candidate in left if not await _exists(connection, candidate)]


async def _exists(connection: Connection, sequences: SequenceRange) -> bool:
    messages = DirectGet(connection, streams.EVENTS)
    return any([await messages.get(sequence) is not None for sequence in sequences])


class _Page:
    """Sequences of the messages of one batched direct get (NATS ADR-31)."""

    def __init__(self) -> None:
        self.sequences: list[int] = []
        self.ended = asyncio.Event()

    def reset(self) -> None:
        self.sequences.clear()
        self.ended.clear()

    async def on_message(self, message: Msg) -> None:
        headers = message.headers or {}
        if "Nats-Sequence" in headers:
            self.sequences.append(int(headers["Nats-Sequence"]))
        else:
            self.ended.set()


async def stored_at(connection: Connection, sequence: int) -> datetime | None:
    """Return when the event with a sequence was stored; None without such an event."""
    if sequence < 1:
        return None
    found = await DirectGet(connection, streams.EVENTS).get(sequence)
    return found.stored_at.astimezone(UTC) if found else None


def _max_age(info: StreamInfo) -> float | None:
    config = info.config
    sized = (config.max_msgs or -1) > 0 or (config.max_bytes or -1) > 0
    if (sized and config.discard != DiscardPolicy.NEW) or (config.max_msgs_per_subject or -1) > 0:
        return None
    return config.max_age or float("inf")
