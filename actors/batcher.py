"""The batcher: converts documents in batches of their engine, which cost less and take longer.

It polls the database for held documents and running batches. It publishes ``batch.progressed``,
``converted`` for the results of a batch, and ``fetched`` without ``held`` for documents that no
batch converts. It has no state but its schedule: interrupted work is repeated, because a batch is
submitted once by its name and its results stay available.
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

DATABASE_POLL_INTERVAL = 1.0  # seconds between polls of the database
MAX_DOCUMENTS = 5000  # documents in one pass
MIN_JOB_POLL_INTERVAL = 1.0  # seconds until the first poll of a job
MAX_JOB_POLL_INTERVAL = 60.0  # seconds at most, half as much more each time
GATHER_TIMEOUT = timedelta(minutes=5)  # to wait for documents that are still being fetched
DUE_NOW = -1.0

Ref = tuple[str, str]
"""A tenant, and the id of a batch or a document."""

log = structlog.get_logger("batcher")


class EngineBatchQueries(Protocol):
    """Queries about batches of engines."""

    async def held_documents(self, limit: int) -> list[DocumentRecord]:
        """Return documents that wait for a batch of their engine, batch by batch."""
        ...

    async def engine_jobs(self) -> list[Ref]:
        """Return the tenant and id of every batch whose engine batch has not ended."""
        ...

    async def batch(self, tenant: str, batch_id: str) -> BatchRecord | None:
        """Return the tenant's batch, or None."""
        ...


class _Schedule(Struct):
    """When a batch is polled next, and the interval after that."""

    next_poll_at: float
    interval: float = MIN_JOB_POLL_INTERVAL
    submitted: bool = False
    """Whether the engine has the batch; the database shows that a moment later."""
    ended: bool = False
    """Whether its end and its results were published; the database shows that later, too."""


class Batcher:
    """Runs once per database. Without ``engine`` held documents are released at once."""

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
        """Poll until cancelled; errors of the bus are raised."""
        while True:
            await self.poll_once()
            await asyncio.sleep(DATABASE_POLL_INTERVAL)

    async def poll_once(self) -> None:
        """Process each batch that is due."""
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
            # Converted alone, they go to a worker that supports their options.
            await self._release(unsupported)
            return
        state = batch.engine_batch
        if state.job is None:
            await self._submit(batch, waiting, ready)
        elif state.status in TERMINAL_JOB_STATUSES:
            await self._release(ready)  # fetched too late for the batch
        else:
            await self._poll_job(batch, state.job, waiting, ready)

    async def _submit(
        self, batch: BatchRecord, waiting: list[DocumentRecord], ready: list[DocumentRecord]
    ) -> None:
        """Submit the documents to the engine once all are fetched, or the timeout is over."""
        # abs: a submission from the future comes from a clock that was ahead.
        late = abs(datetime.now(UTC) - batch.submitted_at) > GATHER_TIMEOUT
        if not ready or (len(ready) < len(waiting) and not late):
            self._schedules[batch.tenant, batch.batch_id].interval = MIN_JOB_POLL_INTERVAL
            return
        poll_once = self._schedules[batch.tenant, batch.batch_id]
        if poll_once.submitted:
            return
        assert self._engine is not None
        await self._publisher.ensure_current()  # a job costs money
        name = _job_name(batch)
        try:
            job, excluded = await self._engine.submit(
                name, _to_held_documents(ready), ready[0].options
            )
        except Unconvertible as refusal:
            log.warning("batch refused by the engine", batch_id=batch.batch_id, reason=str(refusal))
            job, excluded = None, frozenset(one.document_id for one in ready)
        failpoints.reach("batcher.handed_over")
        if job is not None:
            # One submitted before a crash may have ended, but its results are not stored yet.
            begun = msgspec.structs.replace(job, status="RUNNING")
            await self._publish_progress(
                batch, begun if job.status in TERMINAL_JOB_STATUSES else job
            )
            poll_once.submitted = True
            log.info(
                "batch submitted to the engine",
                batch_id=batch.batch_id,
                job=job.id,
                documents=len(ready),
            )
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
        # Last: until this is applied the results are fetched again, which costs nothing.
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
            "batch results stored",
            batch_id=batch.batch_id,
            job=job.id,
            status=job.status,
            converted=len(ready) - len(missing),
            missing=len(missing),
        )
        await self._release(missing.values())

    async def _release(self, documents: Iterable[DocumentRecord]) -> None:
        """Publish documents as fetched without ``held``, so that they are converted alone."""
        now = time.monotonic()
        self._released = {
            one: at for one, at in self._released.items() if now - at < MAX_JOB_POLL_INTERVAL
        }
        for document in documents:
            event = publishable.fetched_event(document)
            name = (document.tenant, document.document_id)
            if event is None or name in self._released:
                continue  # published, but not applied yet
            self._released[name] = now
            if await self._is_already_published(event):
                continue  # before a restart, and not applied yet
            await self._publisher.publish(event, msg_id_suffix="freed")
            log.info("document released", document_id=document.document_id)

    async def _is_already_published(self, event: DocumentFetched) -> bool:
        """Whether the log has this event or a conversion: a second one would cost money."""
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
