"""Long polls: a state that is answered once it is final, or after some seconds.

A wait ends by the event of the end, and reads the database a few times besides: an event is missed
while the bus reconnects. When too many clients wait, or the service closes, a further one gets the
present state at once, as from a poll without a wait.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from msgspec import Struct

from bus.errors import BusUnavailable
from ilios.edge import lookup
from ilios.edge.context import Edge, Outcome
from ilios.edge.removals import ENDS
from schemas.records import BatchRecord, DocumentRecord
from schemas.requests import Wait
from schemas.states import UNFINISHED_STATES

FIRST_READ_AFTER = 1.0
"""Seconds without an event until the database is read, then twice as many each time."""
BEHIND_INTERVAL = 0.02
"""Seconds until the database is read when the log is ahead of it, then twice as many each time."""
MAX_BEHIND_INTERVAL = 0.5

_R = TypeVar("_R")


class WaitQuery(Struct, frozen=True):
    """The query of a state that can be waited for."""

    wait: Wait = 0


async def wait_for_document(
    edge: Edge, document: DocumentRecord, seconds: float, closing: asyncio.Event
) -> DocumentRecord:
    """Return the document when it has ended, and otherwise as it is after some seconds."""
    tenant, document_id = document.tenant, document.document_id
    if not seconds or document.state not in UNFINISHED_STATES:
        return document

    async def read() -> DocumentRecord:
        return await lookup.get_document(edge, tenant, document_id) or document

    with suppress(BusUnavailable), edge.wait_slots.slot(tenant) as may_wait:
        if may_wait:
            async with edge.outcomes.watch(tenant, document_id, document.priority) as outcome:
                return await _wait(
                    read,
                    lambda found: found.state not in UNFINISHED_STATES,
                    lambda: _document_end(edge, document, outcome),
                    closing,
                    seconds,
                )
    return document


async def wait_for_batch(
    edge: Edge, batch: BatchRecord, seconds: float, closing: asyncio.Event
) -> BatchRecord:
    """Return the batch when it has ended, and otherwise as it is after some seconds."""
    tenant, batch_id = batch.tenant, batch.batch_id
    if not seconds or batch.progress.is_finished:
        return batch

    async def read() -> BatchRecord:
        return await lookup.get_batch(edge, tenant, batch_id) or batch

    with suppress(BusUnavailable), edge.wait_slots.slot(tenant) as may_wait:
        if may_wait:
            async with edge.outcomes.watch_batch(tenant, batch_id) as ended:
                return await _wait(
                    read,
                    lambda found: found.progress.is_finished,
                    ended.wait,
                    closing,
                    seconds,
                )
    return batch


async def _document_end(edge: Edge, document: DocumentRecord, outcome: Outcome) -> None:
    """Wait until the log has the end of a document.

    It may have had it before the subscription, while the database has not even now.
    """
    with suppress(BusUnavailable):
        newest = await edge.log.newest(document.tenant, document.document_id)
        if newest is not None and newest.name in ENDS:
            return
    await outcome.wait()


async def _wait(
    read: Callable[[], Awaitable[_R]],
    is_final: Callable[[_R], bool],
    end: Callable[[], Awaitable[object]],
    closing: asyncio.Event,
    seconds: float,
) -> _R:
    """Return what is read once it is final, time is up, or the service closes."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    end_task, closing_task = asyncio.ensure_future(end()), asyncio.ensure_future(closing.wait())
    pause, behind = FIRST_READ_AFTER, BEHIND_INTERVAL
    try:
        while True:
            found = await read()
            remaining = deadline - loop.time()
            if is_final(found) or closing.is_set() or remaining <= 0:
                return found
            if end_task.done():
                pause, behind = behind, min(2 * behind, MAX_BEHIND_INTERVAL)
                await asyncio.wait({closing_task}, timeout=min(pause, remaining))
            else:
                await asyncio.wait(
                    {end_task, closing_task},
                    timeout=min(pause, remaining),
                    return_when=asyncio.FIRST_COMPLETED,
                )
                pause *= 2
    finally:
        end_task.cancel()
        closing_task.cancel()
