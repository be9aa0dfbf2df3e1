"""Cancels documents whose clients have hung up, where all of them wanted that.

Several requests may wait for one document, under one idempotency key. It is cancelled when the last
of them is gone, if the first one has made the document here, if one has hung up, and if nobody was
promised that the conversion goes on: by a request without the preference, or by an answer 202. When
the service closes a connection, to stop or to make room, that is no hang-up.
"""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import structlog
from aiohttp import web

from bus.errors import BusFull, BusUnavailable
from ilios.edge import connection, lookup, removals
from ilios.edge.context import SHUTTING_DOWN, Edge
from ilios.edge.publishing import Accepted
from ilios.edge.waited import Waited
from schemas.documents import DocumentSubmitted

FIRST_RETRY_AFTER, MAX_RETRY_AFTER = 0.5, 30.0  # seconds, doubled each time
CLOSE_TIMEOUT = 2.0  # seconds for cancellations under way when the service stops

log = structlog.get_logger("edge")


class WaitingRequest:
    """A request that waits for a document; ``cancels`` is its preference."""

    def __init__(self, waited: Waited, *, cancels: bool) -> None:
        self._waited = waited
        self._cancels = cancels
        self.accepting: asyncio.Task[Accepted] | None = None

    async def accept(self, accepting: Coroutine[Any, Any, Accepted]) -> Accepted:
        """Return what the submission was accepted as.

        If the client hangs up meanwhile this goes on: the event may be on the log by then.
        """
        if not self._cancels:
            accepted = await accepting
            self._waited.goes_on = True
            return accepted
        self.accepting = asyncio.ensure_future(accepting)
        self.accepting.add_done_callback(self._note_accepted)
        return await asyncio.shield(self.accepting)

    def promise(self) -> None:
        """Note that the client is answered that the conversion goes on."""
        self._waited.goes_on = True

    def _note_accepted(self, task: asyncio.Task[Accepted]) -> None:
        if not task.cancelled() and task.exception() is None and task.result().prior is None:
            self._waited.made_here = True


class HangUps:
    """The documents that requests of this edge wait for."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        self._waited = edge.waited
        self._cancelling: set[asyncio.Task[None]] = set()

    @contextmanager
    def waiting(
        self, request: web.Request, event: DocumentSubmitted, *, cancels: bool
    ) -> Iterator[WaitingRequest]:
        """Count a request as waiting for the document of an event while the context is open."""
        waited = self._waited.enter((event.tenant, event.document_id))
        one = WaitingRequest(waited, cancels=cancels)
        try:
            yield one
        except asyncio.CancelledError:
            closing = request.app[SHUTTING_DOWN].is_set()
            if cancels and not closing and connection.has_hung_up(request):
                waited.hung_up = True
            else:
                waited.goes_on = True
            raise
        finally:
            if one.accepting is None or one.accepting.done():
                self._leave(event, waited)
            else:
                one.accepting.add_done_callback(lambda _: self._leave(event, waited))

    async def close(self) -> None:
        """Let the cancellations under way end, within a moment."""
        if self._cancelling:
            _, late = await asyncio.wait(self._cancelling, timeout=CLOSE_TIMEOUT)
            for task in late:
                task.cancel()

    def _leave(self, event: DocumentSubmitted, waited: Waited) -> None:
        is_last = self._waited.leave((event.tenant, event.document_id))
        if is_last and waited.hung_up and waited.made_here and not waited.goes_on:
            task = asyncio.ensure_future(self._cancel(event))
            self._cancelling.add(task)
            task.add_done_callback(self._cancelling.discard)

    async def _cancel(self, event: DocumentSubmitted) -> None:
        """Cancel a document, unless it has ended or another request has come to wait for it."""
        document, pause = lookup.pending_record(event), FIRST_RETRY_AFTER
        while (event.tenant, event.document_id) not in self._waited:
            try:
                cancelled = await removals.cancel_unfinished(self._edge, document)
            except (BusUnavailable, BusFull) as error:
                log.warning("cancellation waits", document_id=event.document_id, error=str(error))
                await asyncio.sleep(pause)
                pause = min(2 * pause, MAX_RETRY_AFTER)
                continue
            log.info("client hung up", document_id=event.document_id, cancelled=cancelled)
            return


HANG_UPS = web.AppKey("hang_ups", HangUps)
