"""A look beyond the head of a lane, so that one tenant's backlog does not hide the others'.

A consumer delivers in the order of the log. While a tenant has as much in hand as it may, what it
has waiting is given back with a delay (and counted as no attempt), until events of others come.
"""

import time
from collections import Counter
from collections.abc import Collection
from datetime import UTC, datetime

from msgspec import Struct

from .delivery import Delivery

LOOK_EVERY = 0.5  # seconds
AT_A_LOOK = 256  # deliveries that are given back between two looks
KEPT = 256  # deliveries that may wait here beyond the capacity of the lane
ENOUGH = 32  # of one tenant
MOST_PUT_OFF = 3_000  # far below what a consumer hands out without an answer (MAX_ACK_PENDING)

SOON = 1.0  # seconds in which what waits here is worked off, if it goes on as now
NOT_LONG = 3.0  # seconds in which all of the lane is
STALLED_LOOKS = 3  # looks in a row between which nothing was taken
REMEMBERED = 10.0  # seconds for which it is believed that others come, after one has come
SHORTEST, LONGEST = 1.0, 20.0  # seconds that a delivery is put off
MOST_RETURNS = 100.0  # deliveries a second that come back
OF_ITS_AGE = 0.25  # of what is put off where nobody can tell when its turn comes
EARLIER = 0.5  # share of the time until its turn that a delivery is put off: nobody shall idle
FORGOTTEN_AFTER = 120.0  # seconds beyond its time; somebody else has it
SMOOTHING = 0.3  # weight of the last look in what is believed of the speed


class _PutOff(Struct):
    """One event that was given back: until when, whose it is, and how often by now."""

    until: float
    tenant: str
    times: int


class LookAhead:
    """Decides for one lane which deliveries are put off; some of each tenant are not."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._put_off: dict[int, _PutOff] = {}  # by their places on the log
        self._of_tenant: Counter[str] = Counter()
        self._taken: Counter[str] = Counter()  # since the last look
        self._speed: dict[str, float] = {}  # deliveries taken a second
        self._behind = 0
        self._left = 0  # deliveries that may be put off until the next look
        self._looked_at = time.monotonic()
        self._stalled = 0  # looks in a row
        self._others_until = 0.0

    @property
    def beyond(self) -> int:
        """How many deliveries to ask for beyond the capacity."""
        return min(self._left, KEPT)

    def took(self, tenant: str) -> None:
        """Note that work on a delivery of this tenant begins."""
        self._taken[tenant] += 1

    def found_others(self) -> None:
        """Note that further tenants wait in the lane."""
        self._others_until = time.monotonic() + REMEMBERED

    def look(self, waiting: Collection[Delivery], *, blocked: bool) -> bool:
        """Decide again whether to look ahead; call it every ``LOOK_EVERY`` seconds.

        It does where work goes on so slowly that it costs nothing beside it, and where others are
        there. Returns whether somebody should find out if they are.

        :param blocked: a tenant has as much in hand as it may, and nothing waits for another.
        """
        now = time.monotonic()
        self._stalled = 0 if self._taken else self._stalled + 1
        self._measure(max(now - self._looked_at, LOOK_EVERY / 2))
        self._looked_at = now
        for sequence in [n for n, one in self._put_off.items() if one.until < now]:
            self._forget(sequence)
        speed = sum(self._speed.values())
        slow = len(waiting) > SOON * speed or self._behind > NOT_LONG * speed
        stalled = slow and self._stalled >= STALLED_LOOKS
        others = now < self._others_until
        room = max(0, MOST_PUT_OFF - len(self._put_off))
        self._left = min(AT_A_LOOK, room) if blocked and (stalled or others) else 0
        return blocked and (slow or others) and not stalled

    def puts_off(self, delivery: Delivery, waiting: Collection[Delivery]) -> float | None:
        """Return for how many seconds a delivery that has come is given back; None: it is kept."""
        self._behind = delivery.behind
        before = self._put_off.get(delivery.sequence)
        if before is not None:
            delivery.put_off = before.times
            self._forget(delivery.sequence)
        if self._left <= 0:
            return None
        tenant = delivery.tenant
        if not self._has_enough(tenant, waiting):
            if any(one.tenant != tenant for one in waiting):
                self.found_others()
            return None
        self._left -= 1
        after = self._until_its_turn(delivery, tenant)
        until = time.monotonic() + after + FORGOTTEN_AFTER
        self._put_off[delivery.sequence] = _PutOff(until, tenant, delivery.put_off + 1)
        self._of_tenant[tenant] += 1
        return after

    def _has_enough(self, tenant: str, waiting: Collection[Delivery]) -> bool:
        if len(waiting) >= self._capacity + KEPT:
            return True
        enough = max(self._capacity, ENOUGH)
        return sum(one.tenant == tenant for one in waiting) >= enough

    def _until_its_turn(self, delivery: Delivery, tenant: str) -> float:
        speed = self._speed.get(tenant, 0.0)
        if speed >= 1.0:
            after = EARLIER * self._of_tenant[tenant] / speed
        else:
            # By its age, so that it is neither late nor delivered all the time.
            after = OF_ITS_AGE * (datetime.now(UTC) - delivery.stored_at).total_seconds()
        return max(min(max(after, SHORTEST), LONGEST), self._of_tenant[tenant] / MOST_RETURNS)

    def _measure(self, seconds: float) -> None:
        for tenant in {*self._speed, *self._taken}:
            lately = self._taken[tenant] / seconds
            speed = self._speed.get(tenant, lately)
            speed += SMOOTHING * (lately - speed)
            if speed < 0.01:
                self._speed.pop(tenant, None)
            else:
                self._speed[tenant] = speed
        self._taken.clear()

    def _forget(self, sequence: int) -> None:
        self._of_tenant[self._put_off.pop(sequence).tenant] -= 1
