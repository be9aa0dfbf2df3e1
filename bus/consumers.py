"""The durable consumers: their filters, deadlines and lanes by priority."""

from collections.abc import Callable
from typing import Protocol

import nats.errors
import structlog
from msgspec import Struct, structs
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, ConsumerInfo, DeliverPolicy
from nats.js.errors import Error as JetStreamError
from nats.js.errors import NotFoundError

from bus import streams, subjects
from bus.connection import Connection
from bus.errors import BusUnavailable
from schemas.documents import AnyDocumentEvent
from schemas.events import AnyEvent

MAX_ACK_PENDING = 10_000  # far above what is in progress; naks with a delay count too
# Finished events that a durable may still have to deliver; each costs its actor 1 ms.
MAX_FINISHED_REDELIVERIES = 500

log = structlog.get_logger("bus")


class Lane(Struct, frozen=True):
    """A range of priorities with its own consumer; ``weight`` is its share under load."""

    name: str
    priorities: range
    weight: int


LANES = (
    Lane("high", range(8, 11), 8),
    Lane("normal", range(4, 8), 3),
    Lane("low", range(1, 4), 1),
)
URGENT = LANES[0]


def lane_for(priority: int) -> Lane:
    """Return the lane of a priority."""
    (lane,) = (lane for lane in LANES if priority in lane.priorities)
    return lane


class HasBody(Protocol):
    """An event as bytes: a delivery, or a stored message."""

    @property
    def body(self) -> bytes: ...


class Consumer(Struct, frozen=True, kw_only=True):
    """The consumer of an actor. It has one durable per lane, so that urgent work comes first.

    ``ack_wait`` is the acknowledgement deadline in seconds, renewed while work goes on. ``backoff``
    holds the delays in seconds between attempts; after the last of them the event becomes a dead
    letter. One process handles ``concurrency`` events at a time. Deliveries that are not ``wanted``
    are acknowledged as they arrive. ``beside`` is another consumer whose events the actor handles
    together with these, lane by lane; of it only name, description, type and ``wanted`` count.
    """

    name: str
    description: str
    event_type: type[AnyDocumentEvent]
    ack_wait: float = 5.0
    backoff: tuple[float, ...] = (5.0, 10.0, 20.0)
    concurrency: int = 16
    wanted: Callable[[HasBody], bool] | None = None
    beside: "Consumer | None" = None

    @property
    def sources(self) -> tuple["Consumer", ...]:
        """This consumer, and the one beside it."""
        if self.beside is None:
            return (self,)
        # The deadlines of both are renewed together.
        return (self, structs.replace(self.beside, ack_wait=self.ack_wait))

    @property
    def event_types(self) -> tuple[type[AnyDocumentEvent], ...]:
        """The types of the events that the actor handles."""
        return tuple(source.event_type for source in self.sources)

    def durable(self, lane: Lane) -> str:
        """Return the name of the durable of a lane, as ``nats consumer report`` shows it."""
        return f"{self.name}-{lane.name}"


async def ensure_lanes(js: JetStreamContext, consumer: Consumer, finished_up_to: int = 0) -> None:
    """Create missing durables of the consumer, and reset those with a wrong position.

    Events up to the sequence ``finished_up_to`` need no more work: a durable that is new, or has
    lost its position, begins after them.
    """
    for lane in LANES:
        lowest, highest = lane.priorities[0], lane.priorities[-1]
        wanted = ConsumerConfig(
            # With the name, too: otherwise the client uses an older API on another subject.
            name=consumer.durable(lane),
            durable_name=consumer.durable(lane),
            description=f"{consumer.description} (priorities {lowest}-{highest})",
            deliver_policy=DeliverPolicy.ALL,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=consumer.ack_wait,
            # Unlimited: a message the server gave up would stay on the log, never delivered again.
            # The actor counts attempts itself and files a dead letter.
            max_deliver=-1,
            max_ack_pending=MAX_ACK_PENDING,
            filter_subjects=[subjects.filter_for(consumer.event_type, p) for p in lane.priorities],
        )
        await _ensure_consumer(js, wanted)
        await _reset_if_misplaced(js, consumer.durable(lane), finished_up_to)


async def _reset_if_misplaced(js: JetStreamContext, durable: str, finished_up_to: int) -> None:
    """Reset a durable that is far before ``finished_up_to`` or behind the end of the log.

    A reset and not a start sequence, because that could not be moved back later.
    """
    info = await js.consumer_info(streams.EVENTS, durable)
    floor = info.ack_floor.stream_seq if info.ack_floor else 0
    delivered = info.delivered.stream_seq if info.delivered else 0
    last = (await js.stream_info(streams.EVENTS)).state.last_seq  # later: it only grows
    finished_up_to = min(finished_up_to, last)
    if max(floor, delivered) > last or finished_up_to - floor > MAX_FINISHED_REDELIVERIES:
        log.warning("consumer reset", consumer=durable, after=finished_up_to, floor=floor)
        await js.reset_consumer(streams.EVENTS, durable, seq=finished_up_to + 1)


async def ensure_reader(
    js: JetStreamContext,
    name: str,
    description: str,
    event_types: tuple[type[AnyEvent], ...],
    ack_wait: float,
) -> None:
    """Create the durable of a reader of the log, if it is missing."""
    await _ensure_consumer(
        js,
        ConsumerConfig(
            name=name,
            durable_name=name,
            description=description,
            deliver_policy=DeliverPolicy.ALL,
            ack_policy=AckPolicy.ALL,
            ack_wait=ack_wait,
            max_deliver=-1,
            max_ack_pending=MAX_ACK_PENDING,
            filter_subjects=[subjects.filter_for(event_type) for event_type in event_types],
        ),
    )


async def _ensure_consumer(js: JetStreamContext, config: ConsumerConfig) -> None:
    """Create the consumer if it is missing, and add missing filter subjects to an existing one."""
    durable = str(config.durable_name)
    try:
        found = (await js.consumer_info(streams.EVENTS, durable)).config
    except NotFoundError:
        await js.add_consumer(streams.EVENTS, config)
        return
    subscribed = found.filter_subjects or [found.filter_subject]
    missing = [subject for subject in config.filter_subjects or [] if subject not in subscribed]
    if found.ack_policy != config.ack_policy:
        # Its settings were damaged, and the acknowledgement policy cannot be changed.
        log.warning("consumer with another ack policy replaced", consumer=durable)
        await js.delete_consumer(streams.EVENTS, durable)
        await js.add_consumer(streams.EVENTS, config)
    elif missing:
        found.filter_subject, found.filter_subjects = None, config.filter_subjects
        await js.add_consumer(streams.EVENTS, found)  # of an existing one: an update


class Waiting(Struct, frozen=True):
    """Whether events of a consumer wait for their outcome, all of them after ``sequence``."""

    any: bool
    sequence: int


class ConsumerProgress:
    """Positions and workers of the consumers of ``ILIOS_EVENTS``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def ack_floor(self, durable: str) -> int:
        """Return the sequence up to which everything was acknowledged; 0 without such a consumer.

        :raises BusUnavailable: the server does not answer.
        """
        info = await self._info(durable)
        return int(info.ack_floor.stream_seq) if info and info.ack_floor else 0

    async def has_workers(self, durable: str) -> bool:
        """Whether a worker waits for deliveries of a durable or has some; raises as ``ack_floor``.

        Deliveries of a worker that has died count until another one has them.
        """
        info = await self._info(durable)
        return info is not None and bool(info.num_waiting or info.num_ack_pending)

    async def waiting_after(self, durable: str) -> Waiting | None:
        """Return what waits at a durable; None without such a one. Raises as ``ack_floor``."""
        info = await self._info(durable)
        if info is None:
            return None
        floor = int(info.ack_floor.stream_seq) if info.ack_floor else 0
        return Waiting(bool(info.num_pending or info.num_ack_pending), floor)

    async def _info(self, durable: str) -> ConsumerInfo | None:
        try:
            info: ConsumerInfo = await self._connection.jetstream.consumer_info(
                streams.EVENTS, durable
            )
        except NotFoundError:
            return None
        except (nats.errors.Error, JetStreamError, TimeoutError) as error:
            raise BusUnavailable(f"the log does not answer: {error}") from error
        return info
