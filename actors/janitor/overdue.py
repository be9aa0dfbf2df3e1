"""Documents that are not converted by their deadline fail, wherever they are."""

import asyncio
from datetime import UTC

import structlog

from actors import publishable
from actors.deadlines import Deadlines
from actors.ports import OverdueQueries
from bus.errors import BusFull, BusUnavailable
from bus.publisher import Publisher
from schemas.documents import EXPIRED
from schemas.records import DocumentRecord
from schemas.replies import format_instant

INTERVAL = 1.0  # seconds between looks; a deadline is noticed so late at most
PASS_SIZE = 500  # documents in one pass
MAX_REMEMBERED = 10_000  # published failures that the database may not show yet

log = structlog.get_logger("janitor")


class OverdueDocuments:
    """Publishes the failure of documents whose deadline has passed. Runs once per database."""

    def __init__(
        self,
        publisher: Publisher,
        queries: OverdueQueries,
        deadlines: Deadlines,
        interval: float = INTERVAL,
    ) -> None:
        self._publisher = publisher
        self._queries = queries
        self._deadlines = deadlines
        self._interval = interval
        self._published: dict[tuple[str, str], None] = {}

    async def run(self) -> None:
        """Look for them regularly until cancelled."""
        while True:
            try:
                await self.sweep()
            except (BusUnavailable, BusFull) as error:
                log.warning("overdue documents wait for the bus", error=str(error))
            except Exception:
                log.exception("overdue documents not found")
            await asyncio.sleep(self._interval)

    async def sweep(self) -> int:
        """Publish the failure of those whose deadline has passed; returns how many."""
        now = self._deadlines.now()
        if now is None:
            return 0
        found = await self._queries.overdue_documents(now, PASS_SIZE)
        failed = 0
        for document in found:
            name = (document.tenant, document.document_id)
            if name in self._published or self._deadlines.is_in_work(name):
                continue
            await self._fail(document)
            self._published[name] = None
            failed += 1
            while len(self._published) > MAX_REMEMBERED:
                del self._published[next(iter(self._published))]
        if len(found) < PASS_SIZE:
            left = {(one.tenant, one.document_id) for one in found}
            self._published = {name: None for name in self._published if name in left}
        return failed

    async def _fail(self, document: DocumentRecord) -> None:
        assert document.deadline is not None  # by which it was found
        deadline = format_instant(document.deadline.astimezone(UTC))
        reason = f"The document was not converted by its deadline, {deadline}."
        await self._publisher.publish(publishable.failed_event(document, EXPIRED, reason))
        log.info("document expired", tenant=document.tenant, document_id=document.document_id)
