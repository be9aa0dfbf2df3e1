"""The durable consumers: who hears what, and how long an answer may take."""

import nats.errors
import structlog
from msgspec import Struct
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import Error as JetStreamError
from nats.js.errors import NotFoundError

from bus import streams, subjects
from bus.connection import Connection
from bus.errors import BusUnavailable
from schemas.documents import AnyDocumentEvent
from schemas.events import AnyEvent

MAX_ACK_PENDING = 10_000  # far above what is in hand; naks with a delay count too
MAX_FINISHED_REDELIVERIES = (
    500  # settled events a durable may still have to deliver; each costs its actor 1 ms
)

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


def lane_for(priority: int) -> Lane:
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
    event_type: type[AnyDocumentEvent]
    ack_wait: float = 5.0
    backoff: tuple[float, ...] = (5.0, 10.0, 20.0)
    concurrency: int = 16

    def durable(self, lane: Lane) -> str:
        """Name the lane's durable consumer, as ``nats consumer report`` shows it."""
        return f"{self.name}-{lane.name}"


async def ensure_lanes(js: JetStreamContext, consumer: Consumer, finished_up_to: int = 0) -> None:
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
            ack_wait=consumer.ack_wait,
            # Never given up by the server: the message would stay on the log, invisible. The
            # actor counts and gives up itself, with a dead letter.
            max_deliver=-1,
            max_ack_pending=MAX_ACK_PENDING,
            filter_subjects=[subjects.filter_for(consumer.event_type, p) for p in lane.priorities],
        )
        await _ensure_consumer(js, wanted)
        await _reset_if_misplaced(js, consumer.durable(lane), finished_up_to)


async def _reset_if_misplaced(js: JetStreamContext, durable: str, finished_up_to: int) -> None:
    """Set a durable behind ``settled`` that is far before it, or at a place that cannot be.

    By a reset, not by where a new one begins: that could not be set back later.
    """
    info = await js.consumer_info(streams.EVENTS, durable)
    floor = info.ack_floor.stream_seq if info.ack_floor else 0
    delivered = info.delivered.stream_seq if info.delivered else 0
    last = (await js.stream_info(streams.EVENTS)).state.last_seq  # later: it only grows
    finished_up_to = min(finished_up_to, last)
    if max(floor, delivered) > last or finished_up_to - floor > MAX_FINISHED_REDELIVERIES:
        log.warning("consumer begins again", consumer=durable, after=finished_up_to, floor=floor)
        await js.reset_consumer(streams.EVENTS, durable, seq=finished_up_to + 1)


async def ensure_reader(
    js: JetStreamContext,
    name: str,
    description: str,
    event_types: tuple[type[AnyEvent], ...],
    ack_wait: float,
) -> None:
    """Create the durable of somebody who reads the log in order, if it is missing."""
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
    """Create the consumer if it is missing; one that hears too little is told to hear more."""
    durable = str(config.durable_name)
    try:
        found = (await js.consumer_info(streams.EVENTS, durable)).config
    except NotFoundError:
        await js.add_consumer(streams.EVENTS, config)
        return
    subscribed = found.filter_subjects or [found.filter_subject]
    missing = [subject for subject in config.filter_subjects or [] if subject not in subscribed]
    if found.ack_policy != config.ack_policy:
        # Its settings were damaged, and how it is acknowledged cannot be changed afterwards.
        log.warning("consumer with other settings is made again", consumer=durable)
        await js.delete_consumer(streams.EVENTS, durable)
        await js.add_consumer(streams.EVENTS, config)
    elif missing:
        found.filter_subject, found.filter_subjects = None, config.filter_subjects
        await js.add_consumer(streams.EVENTS, found)  # of an existing one: an update


class ConsumerProgress:
    """Asks the consumers of ``ILIOS_EVENTS``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def ack_floor(self, durable: str) -> int:
        """Return the sequence up to which everything was acknowledged (the consumer's ack floor).

        0 where there is no such consumer.

        :raises BusUnavailable: the server does not answer.
        """
        try:
            info = await self._connection.jetstream.consumer_info(streams.EVENTS, durable)
        except NotFoundError:
            return 0
        except (nats.errors.Error, JetStreamError, TimeoutError) as error:
            raise BusUnavailable(f"the log does not answer: {error}") from error
        return int(info.ack_floor.stream_seq) if info.ack_floor else 0
