"""Whether events of further tenants lie behind those that a consumer has delivered so far."""

from collections.abc import Collection

from bus import streams, subjects
from bus.connection import Connection
from bus.consumers import Consumer, Lane
from bus.direct_get import DirectGet

MAX_REMEMBERED = 32  # tenants, the latest
MAX_LOOKUPS = 4  # events of one tenant that are looked at: the next may travel in another lane


class OtherTenants:
    """Asks the log, without a consumer: for tenants it has met, and for whose the newest event is.

    That costs one request for each, however long the log is.
    """

    def __init__(self, connection: Connection, consumer: Consumer) -> None:
        self._direct_get = DirectGet(connection, streams.EVENTS)
        self._event_name = subjects.event_name(consumer.event_type)
        self._tenants: dict[str, None] = {}  # the latest last
        self._last_tenant: str | None = None

    def remember(self, tenant: str) -> None:
        """Remember a tenant."""
        if tenant == self._last_tenant:
            return
        self._last_tenant = tenant
        self._tenants.pop(tenant, None)
        self._tenants[tenant] = None
        if len(self._tenants) > MAX_REMEMBERED:
            del self._tenants[next(iter(self._tenants))]

    async def have_events_in(self, lane: Lane, after: int, excluded: Collection[str]) -> bool:
        """Tell whether the lane has an event after this place on the log that is another's.

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
    """Return priority and tenant; 0 and nobody where the subject is malformed."""
    try:
        address = subjects.parse_document(subject)
    except subjects.MalformedSubject:
        return 0, ""
    return address.priority, address.tenant
