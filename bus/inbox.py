"""The deliveries of an actor from all its lanes: urgent ones first, and none starved."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from itertools import product

import nats.errors
from nats.js.errors import Error as JetStreamError

from bus import streams
from bus.connection import Connection
from bus.consumers import LANES, Consumer, Lane, ensure_lanes
from bus.delivery import Delivery
from bus.errors import BusUnavailable
from bus.intake import Intake
from bus.look_ahead import LOOK_AHEAD_INTERVAL, LookAhead, OtherTenants
from bus.pull import Pull
from bus.subjects import StreamIdentity

FinishedUpTo = Callable[[StreamIdentity], Awaitable[int]]
"""Returns the sequence of a log up to which every document has ended."""


async def nothing_finished(_log: StreamIdentity) -> int:
    """Have every event delivered."""
    return 0


class Inbox:
    """Deliveries of one consumer, from arrival to ``release``.

    Their acknowledgement deadlines are renewed every third of it, also while they wait, so that a
    long conversion is not delivered to another worker.

    With ``max_per_tenant`` no tenant has more than so many in progress, and the next delivery is
    that of the tenant with the fewest. While a tenant has that many, the lanes are searched for
    events of others. While the ``intake`` is closed nothing is requested. ``shared`` is whether
    other hosts take deliveries as well.
    """

    def __init__(
        self,
        connection: Connection,
        consumer: Consumer,
        concurrency: int,
        finished_up_to: FinishedUpTo = nothing_finished,
        *,
        max_per_tenant: int | None = None,
        intake: Intake | None = None,
        shared: bool = False,
    ) -> None:
        self._connection = connection
        self._intake = intake or Intake()
        self._finished_up_to = finished_up_to
        self._consumer = consumer
        self._max_per_tenant = max_per_tenant
        self._lanes: list[tuple[Lane, Pull]] = []
        self._look_aheads: dict[str, LookAhead] = {}  # by durable
        self._other_tenants: dict[str, OtherTenants] = {}  # by durable
        others = {source.name: OtherTenants(connection, source) for source in consumer.sources}
        for lane, source in product(LANES, consumer.sources):
            ahead = None if max_per_tenant is None else LookAhead(concurrency, shared=shared)
            durable = source.durable(lane)
            pull = Pull(connection, durable, concurrency, self._dispatch, ahead, source.wanted)
            self._lanes.append((lane, pull))
            if ahead is not None:
                self._look_aheads[durable] = ahead
                self._other_tenants[durable] = others[source.name]
        self._credit = {lane.name: 0 for lane in LANES}
        self._waiters: dict[bool, deque[asyncio.Future[Delivery]]] = {False: deque(), True: deque()}
        self._in_progress: dict[int, Delivery] = {}  # by sequence
        self._counted_tenants: dict[int, str] = {}  # tenants of deliveries that count for the limit
        self._in_progress_by_tenant: Counter[str] = Counter()  # how many these are
        self._intake.count_by(lambda: len(self._in_progress))
        self._failure: Exception | None = None  # of the subscriptions

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Inbox"]:
        """Create missing durables, and pull and renew deadlines while open.

        Deliveries that were not released are given back on closing.

        :raises BusUnavailable: the server does not answer.
        """
        ride_out = self._connection.ride_out
        async with self._connection.setup_context() as js:
            await ride_out(lambda: streams.ensure(js))
            try:
                identity = await ride_out(lambda: streams.identity(js))
                finished_up_to = await self._finished_up_to(identity)
                for source in self._consumer.sources:
                    await ride_out(partial(ensure_lanes, js, source, finished_up_to))
            except (nats.errors.Error, JetStreamError, TimeoutError) as error:
                raise BusUnavailable(f"no consumer {self._consumer.name}: {error}") from error
        async with AsyncExitStack() as stack:
            # After pulling has ended, or they would be delivered to this inbox again.
            stack.push_async_callback(self._nak_all)
            pulling = [asyncio.create_task(self._pull_loop(pull)) for _, pull in self._lanes]
            stack.push_async_callback(_end, pulling)
            renewing = asyncio.create_task(self._renew_loop(), name=f"renew {self._consumer.name}")
            stack.callback(renewing.cancel)
            if self._look_aheads:
                looking = asyncio.create_task(
                    self._look_ahead_loop(), name=f"look {self._consumer.name}"
                )
                stack.callback(looking.cancel)
            yield self

    async def get(self, *, only_urgent: bool = False) -> Delivery:
        """Wait for the next delivery; ``release`` it when it is acknowledged.

        An event in progress is not returned twice: its deadline may have passed while the process
        or the machine was suspended, and the work on it goes on.

        :raises BusUnavailable: a consumer is gone; open the inbox again.
        """
        delivery = self._next_delivery(only_urgent=only_urgent)
        if delivery is not None:
            return delivery
        future: asyncio.Future[Delivery] = asyncio.get_running_loop().create_future()
        self._waiters[only_urgent].append(future)
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                await self._return_unstarted(future.result())  # it came just now
            raise

    def release(self, delivery: Delivery) -> None:
        """Stop renewing the deadline of a delivery that was acknowledged or given back."""
        self._in_progress.pop(delivery.sequence, None)
        tenant = self._counted_tenants.pop(delivery.sequence, None)
        if tenant is not None:
            in_progress = self._in_progress_by_tenant[tenant]
            self._in_progress_by_tenant[tenant] = in_progress - 1
            if in_progress == 1:
                del self._in_progress_by_tenant[tenant]
            if in_progress == self._max_per_tenant:
                self._dispatch()  # deliveries of this tenant that waited

    async def _return_unstarted(self, delivery: Delivery) -> None:
        self.release(delivery)
        await delivery.nak(0)

    async def _pull_loop(self, pull: Pull) -> None:
        """Pull while the intake is open; give back what waits when it closes."""
        try:
            while True:
                await self._intake.wait_until_open()
                async with pull.open():
                    await self._intake.wait_until_closed()
                while pull.buffer:
                    await pull.buffer.popleft().nak(0)
        except Exception as error:  # noqa: BLE001  who waits for a delivery raises it
            unavailable = isinstance(error, nats.errors.Error | OSError)
            reason = f"cannot pull {pull.durable}: {error}"
            self._failure = BusUnavailable(reason) if unavailable else error
            self._dispatch()

    def _dispatch(self) -> None:
        """Pass deliveries that may be started to waiting workers."""
        for only_urgent, waiters in self._waiters.items():
            while waiters:
                future = waiters[0]
                if not future.done():
                    try:
                        delivery = self._next_delivery(only_urgent=only_urgent)
                    except Exception as gone:  # noqa: BLE001  raised where it is waited for
                        future.set_exception(gone)
                    else:
                        if delivery is None:
                            break
                        future.set_result(delivery)
                _ = waiters.popleft()  # done or cancelled

    def _next_delivery(self, *, only_urgent: bool) -> Delivery | None:
        if self._failure is not None:
            raise self._failure
        while self._intake.is_open:
            picked = self._pick_urgent() if only_urgent else self._pick_lane()
            if picked is None:
                return None
            pull, chosen = picked
            delivery = pull.pop(chosen)
            if delivery is None:
                return None
            existing = self._in_progress.setdefault(delivery.sequence, delivery)
            if existing is not delivery:
                existing.redirect_acks_to(delivery)
                continue
            self._intake.record(delivery.attempt - delivery.deferrals)
            if self._max_per_tenant is not None:
                tenant = delivery.tenant
                self._look_aheads[pull.durable].record_start(tenant)
                self._other_tenants[pull.durable].remember(tenant)
                if not only_urgent:
                    self._counted_tenants[delivery.sequence] = tenant
                    self._in_progress_by_tenant[tenant] += 1
            return delivery
        return None

    async def _nak_all(self) -> None:
        """Give all deliveries back at once, instead of after their deadlines."""
        for delivery in self._outstanding():
            await delivery.nak(0)
        self._in_progress.clear()
        for _, pull in self._lanes:
            pull.buffer.clear()

    def _outstanding(self) -> list[Delivery]:
        return [
            *self._in_progress.values(),
            *(delivery for _, pull in self._lanes for delivery in pull.buffer),
        ]

    def _pick_urgent(self) -> tuple[Pull, Delivery | None] | None:
        """Choose the oldest delivery of the first lane, whatever the limit of its tenant."""
        first, _ = self._lanes[0]
        ready = [pull for lane, pull in self._lanes if lane is first and pull.ready]
        if not ready:
            return None
        pull = min(ready, key=lambda pull: 0 if pull.consumer_gone else pull.buffer[0].sequence)
        return pull, None

    def _pick_lane(self) -> tuple[Pull, Delivery | None] | None:
        """Choose a lane by smooth weighted round robin over those with a startable delivery."""
        ready: dict[Lane, tuple[Pull, Delivery | None]] = {}
        for lane, pull in self._lanes:
            if not pull.ready:
                continue
            chosen = self._pick_delivery(pull)
            if chosen is None and not pull.consumer_gone:
                continue
            other = ready.get(lane)
            if other is None or self._rank(pull, chosen) < self._rank(*other):
                ready[lane] = (pull, chosen)
        if not ready:
            return None
        best = next(iter(ready))
        for lane in ready:
            self._credit[lane.name] += lane.weight
            if self._credit[lane.name] > self._credit[best.name]:
                best = lane
        self._credit[best.name] -= sum(lane.weight for lane in ready)
        return ready[best]

    def _rank(self, pull: Pull, chosen: Delivery | None) -> tuple[int, int]:
        """Return the place of a pull's next delivery among those of its lane."""
        if chosen is None or pull.consumer_gone:  # which has to be found out
            return (-1, 0)
        limited = self._max_per_tenant is not None
        return (self._in_progress_by_tenant[chosen.tenant] if limited else 0, chosen.sequence)

    def _pick_delivery(self, pull: Pull) -> Delivery | None:
        """Return the first delivery of the tenant with the fewest in progress below the limit."""
        if self._max_per_tenant is None:
            return pull.buffer[0] if pull.buffer else None
        chosen, fewest = None, self._max_per_tenant
        for delivery in pull.buffer:
            in_progress = self._in_progress_by_tenant[delivery.tenant]
            if in_progress < fewest:
                chosen, fewest = delivery, in_progress
                if not fewest:
                    break
        return chosen

    async def _look_ahead_loop(self) -> None:
        while True:
            await asyncio.sleep(LOOK_AHEAD_INTERVAL)
            for lane, pull in self._lanes:
                ahead = self._look_aheads[pull.durable]
                limit = self._max_per_tenant or 0
                full = {
                    tenant
                    for tenant, hands in self._in_progress_by_tenant.items()
                    if hands >= limit
                }
                blocked = bool(full) and self._pick_delivery(pull) is None
                if ahead.update(pull.buffer, blocked=blocked):
                    with suppress(BusUnavailable):
                        others = self._other_tenants[pull.durable]
                        if await others.have_events_in(lane, pull.last_sequence, full):
                            ahead.record_other_tenants()
                await pull.apply_look_ahead()

    async def _renew_loop(self) -> None:
        while True:
            await asyncio.sleep(self._consumer.ack_wait / 3)
            for delivery in self._outstanding():
                await delivery.in_progress()


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
