"""Look-ahead in a lane, so that the backlog of one tenant does not block the others.

A consumer delivers in the order of the log. While a tenant is at its limit, its waiting deliveries
are given back with a delay (not counted as attempts), until events of other tenants arrive.
"""

import time
from collections import Counter
from collections.abc import Collection
from datetime import UTC, datetime

from msgspec import Struct

from bus import streams, subjects
from bus.connection import Connection
from bus.consumers import Consumer, Lane
from bus.delivery import Delivery
from bus.stored_messages import DirectGet

LOOK_AHEAD_INTERVAL = 0.5  # seconds
MAX_DEFERRED_PER_LOOK = 256  # deliveries given back between two looks
EXTRA_CAPACITY = 256  # deliveries buffered beyond the capacity of the lane
MIN_BUFFERED_PER_TENANT = 32  # deliveries
MAX_DEFERRED = 3_000  # deliveries, far below MAX_ACK_PENDING of the consumer

FAST_BUFFER_SECONDS = 1.0  # seconds in which the buffer is worked off at the current rate
FAST_LANE_SECONDS = 3.0  # seconds in which the whole lane is
STALLED_LOOKS = 3  # looks in a row without a started delivery
OTHERS_TTL = 10.0  # seconds in which others are expected after one has arrived
MIN_DELAY, MAX_DELAY = 1.0, 20.0  # seconds of a deferral
MAX_REDELIVERIES_PER_SECOND = 100.0  # deferred deliveries that come back per second
DELAY_PER_AGE = 0.25  # share of the age as a deferral, where the rate is unknown
DELAY_PER_TURN = 0.5  # share of the time until its turn, so that no worker becomes idle
DEFERRED_TTL = 120.0  # seconds after its time, when another worker has it
SMOOTHING = 0.3  # weight of the last look in the estimated rate


class _Deferred(Struct):
    """An event that was given back: until when, its tenant, and how often so far."""

    until: float
    tenant: str
    times: int


class LookAhead:
    """Chooses the deliveries of a lane to defer; some of each tenant stay buffered.

    ``shared`` is whether other hosts take deliveries of the lane as well.
    """

    def __init__(self, capacity: int, *, shared: bool = False) -> None:
        self._capacity = capacity
        self._shared = shared
        self._deferred: dict[int, _Deferred] = {}  # by sequence
        self._deferred_by_tenant: Counter[str] = Counter()
        self._started: Counter[str] = Counter()  # deliveries since the last look
        self._rates: dict[str, float] = {}  # deliveries started per second
        self._num_pending = 0
        self._budget = 0  # deliveries that may be deferred until the next look
        self._last_look_at = time.monotonic()
        self._stalled_looks = 0  # looks in a row
        self._others_until = 0.0

    @property
    def extra_capacity(self) -> int:
        """Deliveries to request beyond the capacity."""
        return min(self._budget, EXTRA_CAPACITY)

    def record_start(self, tenant: str) -> None:
        """Record that work on a delivery of a tenant begins."""
        self._started[tenant] += 1

    def record_other_tenants(self) -> None:
        """Record that other tenants have events in the lane."""
        self._others_until = time.monotonic() + OTHERS_TTL

    def update(self, buffer: Collection[Delivery], *, blocked: bool) -> bool:
        """Decide whether to look ahead; called every ``LOOK_AHEAD_INTERVAL`` seconds.

        It looks ahead where the work is so slow that this costs little, and other tenants wait.
        Returns whether the caller should find out if other tenants wait.

        :param blocked: a tenant is at its limit, and no delivery of another is buffered.
        """
        now = time.monotonic()
        self._stalled_looks = 0 if self._started else self._stalled_looks + 1
        self._update_rates(max(now - self._last_look_at, LOOK_AHEAD_INTERVAL / 2))
        self._last_look_at = now
        for sequence in [n for n, one in self._deferred.items() if one.until < now]:
            self._remove(sequence)
        rate = sum(self._rates.values())
        slow = (
            len(buffer) > FAST_BUFFER_SECONDS * rate or self._num_pending > FAST_LANE_SECONDS * rate
        )
        # What is buffered or deferred here is not worked on by other hosts, which may be idle: only
        # for tenants that are known to wait.
        stalled = slow and self._stalled_looks >= STALLED_LOOKS and not self._shared
        others = now < self._others_until
        room = max(0, MAX_DEFERRED - len(self._deferred))
        self._budget = min(MAX_DEFERRED_PER_LOOK, room) if blocked and (stalled or others) else 0
        return blocked and (slow or others) and not stalled

    def defer(
        self, delivery: Delivery, buffer: Collection[Delivery]
    ) -> tuple[Delivery, float] | None:
        """Choose the delivery to give back and for how many seconds; None to buffer the new one.

        It is the last one of the tenant on the log, buffered or new, so that those which return
        are started in the order of the log.
        """
        self._num_pending = delivery.num_pending
        earlier = self._deferred.get(delivery.sequence)
        if earlier is not None:
            delivery.deferrals = earlier.times
            self._remove(delivery.sequence)
        if self._budget <= 0:
            return None
        tenant = delivery.tenant
        if not self._has_enough_buffered(tenant, buffer):
            if any(one.tenant != tenant for one in buffer):
                self.record_other_tenants()
            return None
        self._budget -= 1
        candidates = [delivery, *(one for one in buffer if one.tenant == tenant)]
        last = max(candidates, key=lambda one: one.sequence)
        delay = self._delay_until_turn(last, tenant)
        until = time.monotonic() + delay + DEFERRED_TTL
        self._deferred[last.sequence] = _Deferred(until, tenant, last.deferrals + 1)
        self._deferred_by_tenant[tenant] += 1
        return last, delay

    def _has_enough_buffered(self, tenant: str, buffer: Collection[Delivery]) -> bool:
        if len(buffer) >= self._capacity + EXTRA_CAPACITY:
            return True
        enough = self._capacity if self._shared else max(self._capacity, MIN_BUFFERED_PER_TENANT)
        return sum(one.tenant == tenant for one in buffer) >= enough

    def _delay_until_turn(self, delivery: Delivery, tenant: str) -> float:
        rate = self._rates.get(tenant, 0.0)
        if rate >= 1.0:
            delay = DELAY_PER_TURN * self._deferred_by_tenant[tenant] / rate
        else:
            # By age, so that it is neither late nor redelivered all the time.
            delay = DELAY_PER_AGE * (datetime.now(UTC) - delivery.stored_at).total_seconds()
        return max(
            min(max(delay, MIN_DELAY), MAX_DELAY),
            self._deferred_by_tenant[tenant] / MAX_REDELIVERIES_PER_SECOND,
        )

    def _update_rates(self, elapsed: float) -> None:
        for tenant in {*self._rates, *self._started}:
            lately = self._started[tenant] / elapsed
            rate = self._rates.get(tenant, lately)
            rate += SMOOTHING * (lately - rate)
            if rate < 0.01:
                self._rates.pop(tenant, None)
            else:
                self._rates[tenant] = rate
        self._started.clear()

    def _remove(self, sequence: int) -> None:
        self._deferred_by_tenant[self._deferred.pop(sequence).tenant] -= 1


MAX_REMEMBERED_TENANTS = 32  # tenants, the most recent ones
MAX_LOOKUPS = 4  # events per tenant: the next one may be in another lane


class OtherTenants:
    """Finds events of other tenants behind those a consumer has delivered, without a consumer.

    It checks the tenants seen so far and that of the newest event, with one request for each.
    """

    def __init__(self, connection: Connection, consumer: Consumer) -> None:
        self._direct_get = DirectGet(connection, streams.EVENTS, certain=False)
        self._event_name = subjects.event_name(consumer.event_type)
        self._tenants: dict[str, None] = {}  # the most recent last
        self._last_tenant: str | None = None

    def remember(self, tenant: str) -> None:
        """Remember a tenant."""
        if tenant == self._last_tenant:
            return
        self._last_tenant = tenant
        self._tenants.pop(tenant, None)
        self._tenants[tenant] = None
        if len(self._tenants) > MAX_REMEMBERED_TENANTS:
            del self._tenants[next(iter(self._tenants))]

    async def have_events_in(self, lane: Lane, after: int, excluded: Collection[str]) -> bool:
        """Whether the lane has an event of a tenant not ``excluded`` after a sequence.

        :raises BusUnavailable: the log does not answer.
        """
        newest = await self._direct_get.last(subjects.any_tenant_filter(self._event_name))
        if newest is not None and newest.sequence > after:
            self.remember(_priority_and_tenant(newest.subject)[1])
        for tenant in list(self._tenants):
            if tenant not in excluded and await self._has_event_in(tenant, lane, after):
                return True
        return False

    async def _has_event_in(self, tenant: str, lane: Lane, after: int) -> bool:
        subject_filter = subjects.tenant_filter(self._event_name, tenant)
        for _ in range(MAX_LOOKUPS):
            found = await self._direct_get.next_after(after, subject_filter)
            if found is None:
                return False
            if _priority_and_tenant(found.subject)[0] in lane.priorities:
                return True
            after = found.sequence
        return False


def _priority_and_tenant(subject: str) -> tuple[int, str]:
    """Return priority and tenant; 0 and empty for a malformed subject."""
    try:
        address = subjects.parse_document(subject)
    except subjects.MalformedSubject:
        return 0, ""
    return address.priority, address.tenant
