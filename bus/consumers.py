"""The durable consumers: who hears what, and how long an answer may take."""

import structlog
from msgspec import Struct
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import NotFoundError

from schemas.documents import AnyDocumentEvent
from schemas.events import AnyEvent

from . import streams, subjects

MAX_ACK_PENDING = 10_000  # far above what is in hand; naks with a delay count too
FAR_BEHIND = 500  # settled events a durable may still have to deliver; each costs its actor 1 ms

log = structlog.get_logger("bus")


class Lane(Struct, frozen=True):
    """A range of priorities with a consumer of its own; ``weight`` is its share under load."""

    name: str
    priorities: range
    weight: int


LANES = (
    Lane("high", range(8, 11), 8),
    Lane("normal", range(4, 8), 3),
    Lane("low", range(1, 4), 1),
)
URGENT = LANES[0]


def lane_of(priority: int) -> Lane:
    """Return the lane that events of this priority travel in."""
    (lane,) = (lane for lane in LANES if priority in lane.priorities)
    return lane


class Consumer(Struct, frozen=True, kw_only=True):
    """What an actor hears. One durable per lane, so that urgent work overtakes the rest.

    ``ack_within`` is the acknowledgement deadline in seconds, renewed while work goes on.
    ``retry_after`` holds the delays in seconds between attempts; when they are used up the event
    becomes a dead letter. ``at_once`` events are worked on at the same time in one process.
    """

    name: str
    description: str
    hears: type[AnyDocumentEvent]
    ack_within: float = 5.0
    retry_after: tuple[float, ...] = (5.0, 10.0, 20.0)
    at_once: int = 16

    def durable(self, lane: Lane) -> str:
        """Name the lane's durable consumer, as ``nats consumer report`` shows it."""
        return f"{self.name}-{lane.name}"


async def ensure_lanes(js: JetStreamContext, consumer: Consumer, settled: int = 0) -> None:
    """Create the consumer's durables that are missing, and mend those whose state is wrong.

    Events up to the sequence ``settled`` have nothing left to be done: a durable that is new, or
    has lost its place, begins behind them.
    """
    for lane in LANES:
        lowest, highest = lane.priorities[0], lane.priorities[-1]
        wanted = ConsumerConfig(
            # By name as well: else the client asks in an older way, on another subject.
            name=consumer.durable(lane),
            durable_name=consumer.durable(lane),
            description=f"{consumer.description} (priorities {lowest}-{highest})",
            deliver_policy=DeliverPolicy.ALL,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=consumer.ack_within,
            # Never given up by the server: the message would stay on the log, invisible. The
            # actor counts and gives up itself, with a dead letter.
            max_deliver=-1,
            max_ack_pending=MAX_ACK_PENDING,
            filter_subjects=[subjects.every(consumer.hears, p) for p in lane.priorities],
        )
        await _ensure(js, wanted)
        await _mend(js, consumer.durable(lane), settled)


async def _mend(js: JetStreamContext, durable: str, settled: int) -> None:
    """Set a durable behind ``settled`` that is far before it, or at a place that cannot be.

    By a reset, not by where a new one begins: that could not be set back later.
    """
    info = await js.consumer_info(streams.EVENTS, durable)
    floor = info.ack_floor.stream_seq if info.ack_floor else 0
    delivered = info.delivered.stream_seq if info.delivered else 0
    last = (await js.stream_info(streams.EVENTS)).state.last_seq  # later: it only grows
    settled = min(settled, last)
    if max(floor, delivered) > last or settled - floor > FAR_BEHIND:
        log.warning("consumer begins again", consumer=durable, after=settled, floor=floor)
        await js.reset_consumer(streams.EVENTS, durable, seq=settled + 1)


async def ensure_reader(
    js: JetStreamContext,
    name: str,
    description: str,
    words: tuple[type[AnyEvent], ...],
    ack_within: float,
) -> None:
    """Create the durable of somebody who reads the log in order, if it is missing."""
    await _ensure(
        js,
        ConsumerConfig(
            name=name,
            durable_name=name,
            description=description,
            deliver_policy=DeliverPolicy.ALL,
            ack_policy=AckPolicy.ALL,
            ack_wait=ack_within,
            max_deliver=-1,
            max_ack_pending=MAX_ACK_PENDING,
            filter_subjects=[subjects.every(word) for word in words],
        ),
    )


async def _ensure(js: JetStreamContext, config: ConsumerConfig) -> None:
    """Create the consumer if it is missing; one that hears too little is told to hear more."""
    durable = str(config.durable_name)
    try:
        found = (await js.consumer_info(streams.EVENTS, durable)).config
    except NotFoundError:
        await js.add_consumer(streams.EVENTS, config)
        return
    heard = found.filter_subjects or [found.filter_subject]
    missing = [subject for subject in config.filter_subjects or [] if subject not in heard]
    if found.ack_policy != config.ack_policy:
        # Its settings were damaged, and how it is acknowledged cannot be changed afterwards.
        log.warning("consumer with other settings is made again", consumer=durable)
        await js.delete_consumer(streams.EVENTS, durable)
        await js.add_consumer(streams.EVENTS, config)
    elif missing:
        found.filter_subject, found.filter_subjects = None, config.filter_subjects
        await js.add_consumer(streams.EVENTS, found)  # of an existing one: an update
