"""What an actor has to do: the deliveries of its lanes, urgent ones first, none starved."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import nats.errors
from nats.js.errors import Error as JetStreamError

from . import streams
from .connection import Connection
from .consumers import LANES, Consumer, Lane, ensure_lanes
from .delivery import Delivery
from .errors import BusUnavailable
from .look_ahead import LOOK_EVERY, LookAhead
from .others import Others
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

    With ``per_tenant`` no tenant has more than so many in hand, and the next goes to the one with
    the fewest. The lanes are looked through for others while one has as many as it may.
    """

    def __init__(
        self,
        connection: Connection,
        consumer: Consumer,
        at_once: int,
        settled: Settled = nothing_settled,
        *,
        per_tenant: int | None = None,
    ) -> None:
        self._connection = connection
        self._settled = settled
        self._consumer = consumer
        self._per_tenant = per_tenant
        self._lanes: list[tuple[Lane, Pull]] = []
        self._ahead: dict[str, LookAhead] = {}  # by lane
        for lane in LANES:
            ahead = None if per_tenant is None else LookAhead(at_once)
            pull = Pull(connection, consumer.durable(lane), at_once, self._hand_out, ahead)
            self._lanes.append((lane, pull))
            if ahead is not None:
                self._ahead[lane.name] = ahead
        self._others = Others(connection, consumer)
        self._credit = {lane.name: 0 for lane in LANES}
        self._idle: dict[bool, deque[asyncio.Future[Delivery]]] = {False: deque(), True: deque()}
        self._in_hand: dict[int, Delivery] = {}  # by its event's place on the log
        self._counted: dict[int, str] = {}  # the tenants of those that count for the limit
        self._hands: Counter[str] = Counter()  # how many that are

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
            if self._ahead:
                looking = asyncio.create_task(self._look(), name=f"look {self._consumer.name}")
                stack.callback(looking.cancel)
            yield self

    async def take(self, *, only_urgent: bool = False) -> Delivery:
        """Wait for the next delivery to work on; give it back with ``let_go``.

        An event that is in hand already is not taken twice: its deadline has passed while this
        process was stopped, or its machine asleep, and whoever works on it goes on.

        :raises BusUnavailable: a consumer is gone; open the inbox anew.
        """
        delivery = self._find(only_urgent=only_urgent)
        if delivery is not None:
            return delivery
        found: asyncio.Future[Delivery] = asyncio.get_running_loop().create_future()
        self._idle[only_urgent].append(found)
        try:
            return await found
        except asyncio.CancelledError:
            if found.done() and not found.cancelled() and found.exception() is None:
                await self._give_back(found.result())  # it was found at the same moment
            raise

    def let_go(self, delivery: Delivery) -> None:
        """The delivery was answered, one way or another: its deadline is nobody's business now."""
        self._in_hand.pop(delivery.sequence, None)
        tenant = self._counted.pop(delivery.sequence, None)
        if tenant is not None:
            hands = self._hands[tenant]
            self._hands[tenant] = hands - 1
            if hands == 1:
                del self._hands[tenant]
            if hands == self._per_tenant:
                self._hand_out()  # what waited for this

    async def _give_back(self, delivery: Delivery) -> None:
        self.let_go(delivery)
        await delivery.nak(0)

    def _hand_out(self) -> None:
        """Give what may be taken in hand to those who wait for it."""
        for only_urgent, idle in self._idle.items():
            while idle:
                found = idle[0]
                if not found.done():
                    try:
                        delivery = self._find(only_urgent=only_urgent)
                    except BusUnavailable as gone:
                        found.set_exception(gone)
                    else:
                        if delivery is None:
                            break
                        found.set_result(delivery)
                _ = idle.popleft()  # answered, or nobody's any more

    def _find(self, *, only_urgent: bool) -> Delivery | None:
        while True:
            found = (*self._lanes[0], None) if only_urgent else self._next()
            if found is None:
                return None
            lane, pull, chosen = found
            delivery = pull.take(chosen)
            if delivery is None:
                return None
            held = self._in_hand.setdefault(delivery.sequence, delivery)
            if held is not delivery:
                held.continue_as(delivery)
                continue
            if self._per_tenant is not None:
                tenant = delivery.tenant
                self._ahead[lane.name].took(tenant)
                self._others.meet(tenant)
                if not only_urgent:
                    self._counted[delivery.sequence] = tenant
                    self._hands[tenant] += 1
            return delivery

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

    def _next(self) -> tuple[Lane, Pull, Delivery | None] | None:
        """Smooth weighted round robin over the lanes that have something to take."""
        ready = [
            (lane, pull, chosen)
            for lane, pull in self._lanes
            if pull.ready and ((chosen := self._choose(pull)) is not None or pull.gone)
        ]
        if not ready:
            return None
        total = 0
        best = ready[0]
        for one in ready:
            self._credit[one[0].name] += one[0].weight
            total += one[0].weight
            if self._credit[one[0].name] > self._credit[best[0].name]:
                best = one
        self._credit[best[0].name] -= total
        return best

    def _choose(self, pull: Pull) -> Delivery | None:
        """Return the first delivery of the tenant that has the fewest in hand, and may have it."""
        if self._per_tenant is None:
            return pull.waiting[0] if pull.waiting else None
        chosen, fewest = None, self._per_tenant
        for delivery in pull.waiting:
            hands = self._hands[delivery.tenant]
            if hands < fewest:
                chosen, fewest = delivery, hands
                if not fewest:
                    break
        return chosen

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            for lane, pull in self._lanes:
                ahead = self._ahead[lane.name]
                limit = self._per_tenant or 0
                full = {tenant for tenant, hands in self._hands.items() if hands >= limit}
                blocked = bool(full) and self._choose(pull) is None
                if ahead.look(pull.waiting, blocked=blocked):
                    with suppress(BusUnavailable):
                        if await self._others.wait_in(lane, pull.newest, full):
                            ahead.found_others()
                await pull.reach_out()

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._consumer.ack_within / 3)
            for delivery in self._held():
                await delivery.in_progress()
