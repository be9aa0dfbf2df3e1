"""Limit of concurrent uploads, fair between tenants.

An upload holds a slot while its body is read and stored, not while it is converted. Without a free
slot it waits a moment and is then refused, before its body is invited. A tenant with half of the
slots leaves some free for the others, for an upload that has begun is never broken off.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from aiohttp import web

from ilios.edge.errors import RETRY_AFTER, HttpProblem
from ilios.runtime.fair_semaphore import FairSemaphore

RESERVED_SHARE = 8
"""One in so many slots, but at least one, is not for a tenant that has half of them."""


class UploadLimiter:
    """Grants ``capacity`` slots; ``timeout`` is in seconds."""

    def __init__(self, capacity: int, timeout: float, *, multi_tenant: bool) -> None:
        reserved = max(1, capacity // RESERVED_SHARE) if multi_tenant and capacity > 1 else 0
        self._slots = FairSemaphore(capacity, extra=0, reserved=reserved)
        self._timeout = timeout

    @asynccontextmanager
    async def slot(self, tenant: str) -> AsyncIterator[None]:
        """Hold a slot while the context is open.

        :raises HttpProblem: none was granted in time (503).
        """
        async with AsyncExitStack() as stack:
            slot = self._slots.slot(tenant=tenant, wait_timeout=self._timeout)
            try:
                await stack.enter_async_context(slot)
            except TimeoutError:
                raise _overloaded() from None
            yield


UPLOAD_LIMITER = web.AppKey("places", UploadLimiter)


def _overloaded() -> HttpProblem:
    return HttpProblem(
        503,
        "overloaded",
        "The service takes in as many uploads as it can; try again in a moment",
        headers={"Retry-After": RETRY_AFTER},
    )
