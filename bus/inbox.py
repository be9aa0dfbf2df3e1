"""What an actor has to do: the deliveries of its lanes, urgent ones first, none starved."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import nats.errors
from nats.js.errors import Error as JetStreamError

from . import streams
from .connection import Connection
from .consumers import LANES, Consumer, Lane, ensure_lanes
from .delivery import Delivery
from .errors import BusUnavailable
from .pull import Pull

Settled = Callable[[streams.StreamIdentity], Awaitable[int]]
"""Returns up to which sequence of a log every document has ended."""


async def nothing_settled(_log: streams.StreamIdentity) -> int:
    """Have every event delivered."""
    return 0


class Inbox:
    """Deliveries of one consumer. Everything in it is held on the log until it is let go.

    Held deliveries, waiting ones too, get their acknowledgement deadline renewed every third of
    it; so a long conversion is not handed to somebody else meanwhile.
    """

    def __init__(
        self,
        connection: Connection,
        consumer: Consumer,
        at_once: int,
        settled: Settled = nothing_settled,
    ) -> None:
        self._connection = connection
        self._settled = settled
        self._consumer = consumer
        self._arrived = asyncio.Event()
        self._lanes = [
            (lane, Pull(connection, consumer.durable(lane), at_once, self._arrived.set))
            for lane in LANES
        ]
        self._credit = {lane.name: 0 for lane in LANES}
        self._in_hand: dict[int, Delivery] = {}  # by its event's place on the log

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Inbox"]:
        """Make sure the durables exist, pull from them, and renew deadlines while open.

        What was not let go when it is closed is delivered to somebody else at once.

        :raises BusUnavailable: the server does not answer.
        """
        async with self._connection.setting_up() as js:
            await streams.ensure(js)
            try:
                settled = await self._settled(await streams.identity(js))
                await ensure_lanes(js, self._consumer, settled)
            except (nats.errors.Error, JetStreamError, TimeoutError) as error:
                raise BusUnavailable(f"no consumer {self._consumer.name}: {error}") from error
        async with AsyncExitStack() as stack:
            # Only when nothing is pulled any more, or it would be delivered to ourselves.
            stack.push_async_callback(self._hand_back)
            for _, pull in self._lanes:
                await stack.enter_async_context(pull.open())
            renewing = asyncio.create_task(self._renew(), name=f"renew {self._consumer.name}")
            stack.callback(renewing.cancel)
            yield self

    async def take(self, *, only_urgent: bool = False) -> Delivery:
        """Wait for the next delivery to work on; give it back with ``let_go``.

        An event that is in hand already is not taken twice: its deadline has passed while this
        process was stopped, or its machine asleep, and whoever works on it goes on.

        :raises BusUnavailable: a consumer is gone; open the inbox anew.
        """
        while True:
            delivery = self._lanes[0][1].take() if only_urgent else self._next()
            if delivery is not None:
                held = self._in_hand.setdefault(delivery.sequence, delivery)
                if held is delivery:
                    return delivery
                held.continue_as(delivery)
                continue
            self._arrived.clear()
            await self._arrived.wait()

    def let_go(self, delivery: Delivery) -> None:
        """The delivery was answered, one way or another: its deadline is nobody's business now."""
        self._in_hand.pop(delivery.sequence, None)

    async def _hand_back(self) -> None:
        """Give what is held to somebody else at once, instead of after its deadline."""
        for delivery in self._held():
            await delivery.nak(0)
        self._in_hand.clear()
        for _, pull in self._lanes:
            pull.waiting.clear()

    def _held(self) -> list[Delivery]:
        return [
            *self._in_hand.values(),
            *(delivery for _, pull in self._lanes for delivery in pull.waiting),
        ]

    def _next(self) -> Delivery | None:
        """Smooth weighted round robin over the lanes that have something waiting."""
        ready = [(lane, pull) for lane, pull in self._lanes if pull.ready]
        if not ready:
            return None
        total = 0
        best: tuple[Lane, Pull] = ready[0]
        for lane, pull in ready:
            self._credit[lane.name] += lane.weight
            total += lane.weight
            if self._credit[lane.name] > self._credit[best[0].name]:
                best = (lane, pull)
        self._credit[best[0].name] -= total
        return best[1].take()

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._consumer.ack_within / 3)
            for delivery in self._held():
                await delivery.in_progress()
