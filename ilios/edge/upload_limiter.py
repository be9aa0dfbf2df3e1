"""The bound on concurrent uploads, shared fairly between tenants.

An upload holds a slot while its body is read and stored, not while the document is converted. The
slot is acquired before the body is asked for, so that a refused client has sent nothing.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from aiohttp import web

from ilios.edge.errors import RETRY_AFTER, HttpProblem
from ilios.runtime.fair_semaphore import FairSemaphore

RESERVED_SHARE = 8
"""One in so many slots, but at least one, is not for a tenant that holds half of them: an upload
that has begun is not aborted to make room for another tenant."""


class UploadLimiter:
    """Grants ``capacity`` slots; a request that waits ``timeout`` seconds is refused."""

    def __init__(self, capacity: int, timeout: float, *, multi_tenant: bool) -> None:
        reserved = max(1, capacity // RESERVED_SHARE) if multi_tenant and capacity > 1 else 0
        self._slots = FairSemaphore(capacity, extra=0, reserved=reserved)
        self._timeout = timeout

    @asynccontextmanager
    async def slot(self, tenant: str) -> AsyncIterator[None]:
        """Hold a slot while the context is open.

        :raises HttpProblem: none became free in time (503).
        """
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(
                    self._slots.slot(tenant=tenant, wait_timeout=self._timeout)
                )
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
