"""Admission of requests on the bus: bounded altogether, and with a share for each tenant.

A request is under way from its arrival to its answer. It works in one of few places, which are
granted to the tenant that has the fewest, and needs none while it waits for a conversion.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from ilios.edge.errors import RETRY_AFTER, HttpProblem
from ilios.runtime.fair_semaphore import FairSemaphore, HeldSlot

OVERLOADED = "overloaded"
"""The code of a request that is not admitted."""
MAX_REQUESTS = 1000
"""Requests that are under way at once."""
MAX_BYTES = 64 * 1024 * 1024
"""Bytes of the bodies of requests that have not begun."""
MAX_WORKING = 32
"""Requests that work at once, as opposed to waiting for a conversion."""
PLACE_TIMEOUT = 5.0
"""Seconds a request waits for a place before it is refused."""


class Shares:
    """Counts what tenants have of a capacity.

    Half of it is for those who come first, the other half is divided: so however much some take,
    each tenant can have its share, and one thing at least.
    """

    def __init__(self, capacity: int, tenants: int) -> None:
        self._open = capacity // 2
        self._share = max(1, (capacity - self._open) // max(1, tenants))
        self._taken: Counter[str] = Counter()
        self._beyond = 0  # what is taken beyond the shares

    def take(self, tenant: str, amount: int = 1) -> bool:
        """Take so much, if there is room for it."""
        had = self._taken[tenant]
        beyond = self._beyond_share(had + amount) - self._beyond_share(had)
        if had and self._beyond + beyond > self._open:
            return False
        self._taken[tenant] += amount
        self._beyond += beyond
        return True

    def give_back(self, tenant: str, amount: int = 1) -> None:
        """Give back what was taken."""
        had = self._taken[tenant]
        self._beyond -= self._beyond_share(had) - self._beyond_share(had - amount)
        self._taken[tenant] -= amount
        if not self._taken[tenant]:
            del self._taken[tenant]

    def _beyond_share(self, amount: int) -> int:
        return max(0, amount - self._share)


class Admission:
    """Admits requests of so many tenants."""

    def __init__(
        self,
        tenants: int,
        *,
        max_requests: int = MAX_REQUESTS,
        max_bytes: int = MAX_BYTES,
        max_working: int = MAX_WORKING,
    ) -> None:
        self._requests = Shares(max_requests, tenants)
        self._bytes = Shares(max_bytes, tenants)
        self._places = FairSemaphore(max_working, extra=0, reserved=int(tenants > 1))

    @contextmanager
    def request(self, tenant: str) -> Iterator[None]:
        """Count a request while the context is open.

        :raises HttpProblem: there are too many (503).
        """
        if not self._requests.take(tenant):
            raise _overloaded()
        try:
            yield
        finally:
            self._requests.give_back(tenant)

    @contextmanager
    def body(self, tenant: str, size: int) -> Iterator[None]:
        """Count the bytes of a body while the context is open.

        :raises HttpProblem: there are too many (503).
        """
        if not self._bytes.take(tenant, size):
            raise _overloaded()
        try:
            yield
        finally:
            self._bytes.give_back(tenant, size)

    def place(self, tenant: str) -> HeldSlot:
        """Return the context of a place, which raises an ``HttpProblem`` (503) if none is free."""
        return self._places.slot(tenant=tenant, wait_timeout=PLACE_TIMEOUT, on_timeout=_overloaded)


def _overloaded() -> HttpProblem:
    return HttpProblem(
        503,
        OVERLOADED,
        "There are too many requests at once; try again in a moment",
        headers={"Retry-After": RETRY_AFTER},
    )
