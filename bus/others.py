"""Whether events of further tenants lie behind those that a consumer has delivered so far."""

from collections.abc import Collection

from . import streams, subjects
from .connection import Connection
from .consumers import Consumer, Lane
from .messages import Messages

MOST_REMEMBERED = 32  # tenants, the latest
MOST_STEPS = 4  # events of one tenant that are looked at: the next may travel in another lane


class Others:
    """Asks the log, without a consumer: for tenants it has met, and for whose the newest event is.

    That costs one request for each, however long the log is.
    """

    def __init__(self, connection: Connection, consumer: Consumer) -> None:
        self._messages = Messages(connection, streams.EVENTS)
        self._event = subjects.event_name(consumer.hears)
        self._met: dict[str, None] = {}  # the latest last
        self._latest: str | None = None

    def meet(self, tenant: str) -> None:
        """Remember a tenant."""
        if tenant == self._latest:
            return
        self._latest = tenant
        self._met.pop(tenant, None)
        self._met[tenant] = None
        if len(self._met) > MOST_REMEMBERED:
            del self._met[next(iter(self._met))]

    async def wait_in(self, lane: Lane, after: int, besides: Collection[str]) -> bool:
        """Tell whether the lane has an event after this place on the log that is another's.

        :raises BusUnavailable: the log does not answer.
        """
        newest = await self._messages.last(subjects.of_any_tenant(self._event))
        if newest is not None and newest.sequence > after:
            self.meet(_address(newest.subject)[1])
        for tenant in list(self._met):
            if tenant not in besides and await self._has_one(tenant, lane, after):
                return True
        return False

    async def _has_one(self, tenant: str, lane: Lane, after: int) -> bool:
        filtered = subjects.of_tenant(self._event, tenant)
        for _ in range(MOST_STEPS):
            found = await self._messages.following(after, filtered)
            if found is None:
                return False
            if _address(found.subject)[0] in lane.priorities:
                return True
            after = found.sequence
        return False


def _address(subject: str) -> tuple[int, str]:
    """Return priority and tenant; 0 and nobody where the subject is malformed."""
    try:
        address = subjects.parse(subject)
    except subjects.NotAnAddress:
        return 0, ""
    return address.priority, address.tenant
