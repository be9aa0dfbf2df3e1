"""Converts documents as batches of their engine's own, which cost less and take longer.

Hears nothing: it looks at the database for documents that are held and for batches that are under
way. Says ``batch.progressed``, ``converted`` of what a batch brings, and ``fetched`` anew, held no
longer, of what none brings. Keeps nothing but when to look next: whatever is broken off is simply
done again, since a batch is handed over once by its name, and results are there to be fetched.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Protocol

import msgspec
import structlog
from msgspec import Struct

from actors import publishable
from actors.engines import EngineBatches, EngineJob, EngineUnavailable, HeldDocument, Unconvertible
from actors.ports import Blobs, StorageUnavailable
from actors.publishable import store_markdown
from bus import failpoints
from bus.connection import Connection
from bus.log import Log
from bus.publisher import Publisher
from schemas.batches import TERMINAL_JOB_STATUSES, BatchProgressed
from schemas.documents import DocumentFetched
from schemas.options import NO_OPTIONS
from schemas.records import BatchRecord, DocumentRecord, EngineBatch

DATABASE_POLL_INTERVAL = 1.0  # seconds between looks at the database, which cost next to nothing
MAX_DOCUMENTS = 5000  # documents looked at in one pass
MIN_JOB_POLL_INTERVAL = 1.0  # seconds until a job is asked about for the first time
MAX_JOB_POLL_INTERVAL = 60.0  # seconds, at most, the wait having grown by half each time
GATHER_TIMEOUT = timedelta(
    minutes=5
)  # in which documents that are still being fetched are waited for
DUE_NOW = -1.0

Ref = tuple[str, str]
"""A tenant, and the id of a batch or a document."""

log = structlog.get_logger("batcher")


class EngineBatchQueries(Protocol):
    """What the database knows about batches of engines."""

    async def held_documents(self, limit: int) -> list[DocumentRecord]:
        """Return documents that wait for a batch of their engine's, batch by batch."""
        ...

    async def engine_jobs(self) -> list[Ref]:
        """Return the tenant and id of every batch whose engine batch has not ended."""
        ...

    async def batch(self, tenant: str, batch_id: str) -> BatchRecord | None:
        """Return the tenant's batch, or None."""
        ...


class _Schedule(Struct):
    """When a batch is looked at next, and how long it is waited for after that."""

    next_poll_at: float
    interval: float = MIN_JOB_POLL_INTERVAL
    submitted: bool = False
    """Whether the engine has the batch, which the database shows only a moment later."""
    ended: bool = False
    """Whether its end was published, with all that it brought; the same holds for that."""


class Batcher:
    """One per database. Without ``engine`` whatever is held is set free at once."""

    def __init__(
        self,
        connection: Connection,
        blobs: Blobs,
        queries: EngineBatchQueries,
        engine: EngineBatches | None,
    ) -> None:
        self._publisher = Publisher(connection)
        self._log = Log(connection)
        self._blobs = blobs
        self._queries = queries
        self._engine = engine
        self._schedules: dict[Ref, _Schedule] = {}
        self._released: dict[Ref, float] = {}

    async def run(self) -> None:
        """Look for what is to be done, until cancelled; what the bus refuses is raised."""
        while True:
            await self.poll_once()
            await asyncio.sleep(DATABASE_POLL_INTERVAL)

    async def poll_once(self) -> None:
        """Do what is to be done by now for each batch."""
        waiting: dict[Ref, list[DocumentRecord]] = defaultdict(list)
        for document in await self._queries.held_documents(MAX_DOCUMENTS):
            waiting[document.tenant, document.batch_id or ""].append(document)
        names = {*waiting, *await self._queries.engine_jobs()}
        self._schedules = {name: self._schedules.get(name) or _Schedule(DUE_NOW) for name in names}
        for name in sorted(names):
            look = self._schedules[name]
            if time.monotonic() < look.next_poll_at:
                continue
            try:
                await self._process_batch(name, waiting[name])
            except (EngineUnavailable, StorageUnavailable) as error:
                log.warning("batch waits", batch_id=name[1], reason=str(error))
                look.interval = max(
                    look.interval, getattr(error, "retry_after", MAX_JOB_POLL_INTERVAL / 4)
                )
            look.next_poll_at = time.monotonic() + look.interval
            look.interval = min(1.5 * look.interval, MAX_JOB_POLL_INTERVAL)

    async def _process_batch(self, name: Ref, waiting: list[DocumentRecord]) -> None:
        batch = await self._queries.batch(*name)
        ready = [document for document in waiting if document.state == "processing"]
        if self._engine is None or batch is None or batch.engine_batch is None:
            await self._release(ready)
            return
        unsupported = [document for document in ready if document.options.unsupported]
        if unsupported:
            # Alone they are left to a worker that knows their options.
            await self._release(unsupported)
            return
        state = batch.engine_batch
        if state.job is None:
            await self._submit(batch, waiting, ready)
        elif state.status in TERMINAL_JOB_STATUSES:
            await self._release(ready)  # they came too late for it
        else:
            await self._poll_job(batch, state.job, waiting, ready)

    async def _submit(
        self, batch: BatchRecord, waiting: list[DocumentRecord], ready: list[DocumentRecord]
    ) -> None:
        """Hand the documents over once all of them are here, or have been waited for."""
        # Or of a clock that was ahead: it would be waited for until then.
        late = abs(datetime.now(UTC) - batch.submitted_at) > GATHER_TIMEOUT
        if not ready or (len(ready) < len(waiting) and not late):
            self._schedules[batch.tenant, batch.batch_id].interval = MIN_JOB_POLL_INTERVAL
            return
        poll_once = self._schedules[batch.tenant, batch.batch_id]
        if poll_once.submitted:
            return
        assert self._engine is not None
        name = _job_name(batch)
        try:
            job, excluded = await self._engine.submit(
                name, _to_held_documents(ready), ready[0].options
            )
        except Unconvertible as refusal:
            log.warning("the engine takes no batch", batch_id=batch.batch_id, reason=str(refusal))
            job, excluded = None, frozenset(one.document_id for one in ready)
        failpoints.reach("batcher.handed_over")
        if job is not None:
            # One handed over before a crash may have ended since, but is yet to be fetched.
            begun = msgspec.structs.replace(job, status="RUNNING")
            await self._publish_progress(
                batch, begun if job.status in TERMINAL_JOB_STATUSES else job
            )
            poll_once.submitted = True
            log.info("batch handed over", batch_id=batch.batch_id, job=job.id, documents=len(ready))
        await self._release(one for one in ready if one.document_id in excluded)

    async def _poll_job(
        self,
        batch: BatchRecord,
        job_id: str,
        waiting: list[DocumentRecord],
        ready: list[DocumentRecord],
    ) -> None:
        poll_once = self._schedules[batch.tenant, batch.batch_id]
        if poll_once.ended:
            return
        assert self._engine is not None
        job = await self._engine.poll(job_id)
        if job is None:  # gone, and its results with it
            await self._release(ready)
            ended = EngineJob(id=job_id, status="FAILED")
            await self._publish_progress(batch, ended)
            poll_once.ended = True
            return
        if job.status not in TERMINAL_JOB_STATUSES:
            if not waiting:
                await self._engine.cancel(job_id)
            await self._publish_progress(batch, job)
            return
        await self._store_results(batch, job, ready)
        await self._engine.delete(_job_name(batch), job_id)
        # Last: until this is known the results are fetched again, which costs nothing.
        await self._publish_progress(batch, job)
        poll_once.ended = True

    async def _store_results(
        self, batch: BatchRecord, job: EngineJob, ready: list[DocumentRecord]
    ) -> None:
        assert self._engine is not None
        missing = {document.document_id: document for document in ready}
        options = ready[0].options if ready else NO_OPTIONS
        async for document_id, conversion in self._engine.results(
            job.id, _to_held_documents(ready), options
        ):
            document = missing.pop(document_id, None)
            if document is not None and (event := publishable.fetched_event(document)) is not None:
                await self._publisher.publish(await store_markdown(self._blobs, event, conversion))
                failpoints.reach("batcher.converted")
        log.info(
            "batch fetched",
            batch_id=batch.batch_id,
            job=job.id,
            status=job.status,
            converted=len(ready) - len(missing),
            missing=len(missing),
        )
        await self._release(missing.values())

    async def _release(self, documents: Iterable[DocumentRecord]) -> None:
        """Say of documents that they are fetched and held no longer: they are converted alone."""
        now = time.monotonic()
        self._released = {
            one: at for one, at in self._released.items() if now - at < MAX_JOB_POLL_INTERVAL
        }
        for document in documents:
            event = publishable.fetched_event(document)
            name = (document.tenant, document.document_id)
            if event is None or name in self._released:
                continue  # the database has not heard of it yet
            self._released[name] = now
            if await self._is_already_published(event):
                continue  # before a restart, and the database has not heard of it yet
            await self._publisher.publish(event, msg_id_suffix="freed")
            log.info("document held no longer", document_id=document.document_id)

    async def _is_already_published(self, event: DocumentFetched) -> bool:
        """Whether the log has this already, or a conversion: a second one would be paid for."""
        name = (event.tenant, event.document_id)
        released = await self._log.last_event(*name, event_name="fetched")
        if released is not None and released.event == event:
            return True
        converted = await self._log.last_event(*name, event_name="converted")
        return converted is not None and converted.event.requeues >= event.requeues

    async def _publish_progress(self, batch: BatchRecord, job: EngineJob) -> None:
        if batch.engine_batch is not None and job == _recorded_job(batch.engine_batch):
            return
        progressed = BatchProgressed(
            tenant=batch.tenant,
            batch_id=batch.batch_id,
            job=job.id,
            status=job.status,
            total=job.total,
            completed=job.completed,
            failed=job.failed,
        )
        await self._publisher.publish(
            progressed, msg_id_suffix=f"{job.status}-{job.total}-{job.completed}-{job.failed}"
        )


def _job_name(batch: BatchRecord) -> str:
    return f"{batch.tenant}-{batch.batch_id}"


def _recorded_job(state: EngineBatch) -> EngineJob | None:
    if state.job is None or state.status is None:
        return None
    return EngineJob(
        id=state.job,
        status=state.status,
        total=state.total,
        completed=state.completed,
        failed=state.failed,
    )


def _to_held_documents(documents: list[DocumentRecord]) -> list[HeldDocument]:
    return [
        HeldDocument(one.tenant, one.document_id, one.original, one.content_type)
        for one in documents
        if one.original is not None
    ]
