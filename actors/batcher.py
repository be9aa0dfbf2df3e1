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

from bus import failpoints
from bus.connection import Connection
from bus.log import Log
from bus.publisher import Publisher
from schemas.batches import JOB_ENDED, BatchProgressed
from schemas.documents import DocumentFetched
from schemas.records import BatchRecord, DocumentRecord, EngineBatch

from . import repeating
from .engines import EngineBatches, EngineJob, EngineUnavailable, HeldDocument, Unconvertible
from .finishing import finished
from .ports import Blobs, StorageUnavailable

EVERY = 1.0  # seconds between looks at the database, which cost next to nothing
MOST = 5000  # documents looked at in one pass
FIRST_LOOK = 1.0  # seconds until a job is asked about for the first time
LAST_LOOK = 60.0  # seconds, at most, the wait having grown by half each time
GATHER = timedelta(minutes=5)  # in which documents that are still being fetched are waited for
NO_WAIT = -1.0

Name = tuple[str, str]
"""A tenant, and the id of a batch or a document."""

log = structlog.get_logger("batcher")


class Held(Protocol):
    """What the database knows about batches of engines."""

    async def held(self, limit: int) -> list[DocumentRecord]:
        """Return documents that wait for a batch of their engine's, batch by batch."""
        ...

    async def engine_jobs(self) -> list[Name]:
        """Return the tenant and id of every batch whose engine batch has not ended."""
        ...

    async def batch(self, tenant: str, batch_id: str) -> BatchRecord | None:
        """Return the tenant's batch, or None."""
        ...


class _Look(Struct):
    """When a batch is looked at next, and how long it is waited for after that."""

    at: float
    wait: float = FIRST_LOOK
    submitted: bool = False
    """Whether the engine has the batch, which the database shows only a moment later."""
    ended: bool = False
    """Whether its end was published, with all that it brought; the same holds for that."""


class Batcher:
    """One per database. Without ``engine`` whatever is held is set free at once."""

    def __init__(
        self, connection: Connection, blobs: Blobs, held: Held, engine: EngineBatches | None
    ) -> None:
        self._publisher = Publisher(connection)
        self._log = Log(connection)
        self._blobs = blobs
        self._held = held
        self._engine = engine
        self._looks: dict[Name, _Look] = {}
        self._freed: dict[Name, float] = {}

    async def run(self) -> None:
        """Look for what is to be done, until cancelled; what the bus refuses is raised."""
        while True:
            await self.look()
            await asyncio.sleep(EVERY)

    async def look(self) -> None:
        """Do what is to be done by now for each batch."""
        waiting: dict[Name, list[DocumentRecord]] = defaultdict(list)
        for document in await self._held.held(MOST):
            waiting[document.tenant, document.batch_id or ""].append(document)
        names = {*waiting, *await self._held.engine_jobs()}
        self._looks = {name: self._looks.get(name) or _Look(NO_WAIT) for name in names}
        for name in sorted(names):
            look = self._looks[name]
            if time.monotonic() < look.at:
                continue
            try:
                await self._look_at(name, waiting[name])
            except (EngineUnavailable, StorageUnavailable) as error:
                log.warning("batch waits", batch_id=name[1], reason=str(error))
                look.wait = max(look.wait, getattr(error, "after", LAST_LOOK / 4))
            look.at = time.monotonic() + look.wait
            look.wait = min(1.5 * look.wait, LAST_LOOK)

    async def _look_at(self, name: Name, waiting: list[DocumentRecord]) -> None:
        batch = await self._held.batch(*name)
        ready = [document for document in waiting if document.state == "processing"]
        if self._engine is None or batch is None or batch.engine_batch is None:
            await self._free(ready)
            return
        state = batch.engine_batch
        if state.job is None:
            await self._begin(batch, waiting, ready)
        elif state.status in JOB_ENDED:
            await self._free(ready)  # they came too late for it
        else:
            await self._follow(batch, state.job, waiting, ready)

    async def _begin(
        self, batch: BatchRecord, waiting: list[DocumentRecord], ready: list[DocumentRecord]
    ) -> None:
        """Hand the documents over once all of them are here, or have been waited for."""
        # Or of a clock that was ahead: it would be waited for until then.
        late = abs(datetime.now(UTC) - batch.submitted_at) > GATHER
        if not ready or (len(ready) < len(waiting) and not late):
            self._looks[batch.tenant, batch.batch_id].wait = FIRST_LOOK
            return
        look = self._looks[batch.tenant, batch.batch_id]
        if look.submitted:
            return
        assert self._engine is not None
        name = _called(batch)
        try:
            job, misfits = await self._engine.hand_over(
                name, _of_engine(ready), ready[0].model_wanted
            )
        except Unconvertible as refusal:
            log.warning("the engine takes no batch", batch_id=batch.batch_id, reason=str(refusal))
            job, misfits = None, frozenset(one.document_id for one in ready)
        failpoints.reach("batcher.handed_over")
        if job is not None:
            # One handed over before a crash may have ended since, but is yet to be fetched.
            begun = msgspec.structs.replace(job, status="RUNNING")
            await self._say(batch, begun if job.status in JOB_ENDED else job)
            look.submitted = True
            log.info("batch handed over", batch_id=batch.batch_id, job=job.id, documents=len(ready))
        await self._free(one for one in ready if one.document_id in misfits)

    async def _follow(
        self,
        batch: BatchRecord,
        job_id: str,
        waiting: list[DocumentRecord],
        ready: list[DocumentRecord],
    ) -> None:
        look = self._looks[batch.tenant, batch.batch_id]
        if look.ended:
            return
        assert self._engine is not None
        job = await self._engine.look(job_id)
        if job is None:  # gone, and its results with it
            await self._free(ready)
            ended = EngineJob(id=job_id, status="FAILED")
            await self._say(batch, ended)
            look.ended = True
            return
        if job.status not in JOB_ENDED:
            if not waiting:
                await self._engine.cancel(job_id)
            await self._say(batch, job)
            return
        await self._fetch(batch, job, ready)
        await self._engine.forget(_called(batch), job_id)
        # Last: until this is known the results are fetched again, which costs nothing.
        await self._say(batch, job)
        look.ended = True

    async def _fetch(self, batch: BatchRecord, job: EngineJob, ready: list[DocumentRecord]) -> None:
        assert self._engine is not None
        missing = {document.document_id: document for document in ready}
        model = ready[0].model_wanted if ready else None
        async for document_id, conversion in self._engine.results(job.id, _of_engine(ready), model):
            document = missing.pop(document_id, None)
            if document is not None and (about := repeating.fetched(document)) is not None:
                await self._publisher.say(await finished(self._blobs, about, conversion))
                failpoints.reach("batcher.converted")
        log.info(
            "batch fetched",
            batch_id=batch.batch_id,
            job=job.id,
            status=job.status,
            converted=len(ready) - len(missing),
            missing=len(missing),
        )
        await self._free(missing.values())

    async def _free(self, documents: Iterable[DocumentRecord]) -> None:
        """Say of documents that they are fetched and held no longer: they are converted alone."""
        now = time.monotonic()
        self._freed = {one: at for one, at in self._freed.items() if now - at < LAST_LOOK}
        for document in documents:
            about = repeating.fetched(document)
            name = (document.tenant, document.document_id)
            if about is None or name in self._freed:
                continue  # the database has not heard of it yet
            self._freed[name] = now
            if await self._is_settled(about):
                continue  # before a restart, and the database has not heard of it yet
            await self._publisher.say(about, again="freed")
            log.info("document held no longer", document_id=document.document_id)

    async def _is_settled(self, about: DocumentFetched) -> bool:
        """Whether the log has this already, or a conversion: a second one would be paid for."""
        name = (about.tenant, about.document_id)
        freed = await self._log.last_word(*name, event="fetched")
        if freed is not None and freed.event == about:
            return True
        converted = await self._log.last_word(*name, event="converted")
        return converted is not None and converted.event.requeues >= about.requeues

    async def _say(self, batch: BatchRecord, job: EngineJob) -> None:
        if batch.engine_batch is not None and job == _known(batch.engine_batch):
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
        await self._publisher.say(
            progressed, again=f"{job.status}-{job.total}-{job.completed}-{job.failed}"
        )


def _called(batch: BatchRecord) -> str:
    return f"{batch.tenant}-{batch.batch_id}"


def _known(state: EngineBatch) -> EngineJob | None:
    if state.job is None or state.status is None:
        return None
    return EngineJob(
        id=state.job,
        status=state.status,
        total=state.total,
        completed=state.completed,
        failed=state.failed,
    )


def _of_engine(documents: list[DocumentRecord]) -> list[HeldDocument]:
    return [
        HeldDocument(one.tenant, one.document_id, one.original, one.content_type)
        for one in documents
        if one.original is not None
    ]
