"""Progress, position and estimated end in the status of a document that is still converted."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from ilios.edge import batches, responses
from ilios.edge.document_progress import MAX_QUEUE, REFRESH_INTERVAL, DocumentProgress, rounded
from ilios.edge.queue_estimates import LEAST_SAMPLES
from schemas.batches import BatchProgressed
from schemas.options import EngineName
from schemas.pages import PageConverted
from schemas.records import BatchCounts, BatchRecord, DocumentRecord, EngineBatch, QueuedDocument
from tests import events
from tests.ilios.edge.world import record


class Service:
    """The queue, a clock, and what is asked of both."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.documents: list[QueuedDocument] = []
        self.looks = 0
        self.batches: dict[str, BatchRecord] = {}
        self.progress = DocumentProgress(
            None, self, self, {"local": 1, "mistral": 2}, clock=lambda: self.now
        )

    async def queue(self, limit: int) -> list[QueuedDocument]:
        assert limit == MAX_QUEUE
        self.looks += 1
        return self.documents

    async def batch(self, _tenant: str, batch_id: str) -> BatchRecord | None:
        return self.batches.get(batch_id)

    def add(
        self, number: int, tenant: str = "default", engine: EngineName = "local"
    ) -> DocumentRecord:
        one = QueuedDocument(tenant, events.id_of(number), 5, number, "application/pdf", 3, engine)
        self.documents.append(one)
        return record(tenant=tenant, document_id=events.id_of(number), state="processing")

    def complete(self, seconds: float, engine: EngineName = "local") -> None:
        for _ in range(LEAST_SAMPLES):
            event = msgspec.structs.replace(events.completed(99), seconds=seconds, engine=engine)
            self.progress.on_completed(event)

    def report(self, number: int, page: int, of: int, seconds: float) -> None:
        self.progress.on_event(
            PageConverted(
                document_id=events.id_of(number), page=page, of=of, engine="local", seconds=seconds
            )
        )

    async def members(self, document: DocumentRecord) -> dict[str, Any]:
        status = responses.document_status(document)
        found: dict[str, Any] = msgspec.to_builtins(await self.progress.add_to(status, document))
        return {key: found[key] for key in ("progress", "position", "etaSeconds") if key in found}

    async def batch_members(self, batch: BatchRecord, *documents: DocumentRecord) -> dict[str, Any]:
        status = batches.batch_status(batch, documents)
        if documents:
            details = [batches.document_status(one) for one in documents]
            status = msgspec.structs.replace(status, documents=details)
        changed = await self.progress.add_to_batch(status, batch, documents)
        found: dict[str, Any] = msgspec.to_builtins(changed)
        return {key: found[key] for key in ("position", "etaSeconds", "documents") if key in found}


async def test_what_is_not_known_is_left_out() -> None:
    service = Service()
    document = service.add(1)
    assert await service.members(document) == {"position": 0}
    unlisted = record(document_id=events.id_of(7), state="pending")
    assert await service.members(unlisted) == {}
    assert await service.members(record(state="completed", finished_at=datetime.now(UTC))) == {}


async def test_a_waiting_document_has_its_position_and_the_time_of_those_before_it() -> None:
    service = Service()
    service.complete(4.0)
    service.add(1)
    second = service.add(2)
    assert await service.members(second) == {"position": 1, "etaSeconds": 8}
    service.now += 0.9
    assert (await service.members(second))["etaSeconds"] == 8, "whole seconds, rounded up"


async def test_a_document_in_work_has_its_pages_and_the_rest_of_its_time() -> None:
    service = Service()
    document = service.add(1)
    service.report(1, page=50, of=200, seconds=10.0)
    found = await service.members(document)
    assert found == {"progress": {"pages": 50, "of": 200}, "position": 0, "etaSeconds": 30}


async def test_pages_of_another_tenants_document_with_the_same_id_are_not_shown() -> None:
    service = Service()
    theirs = service.add(1, "acme")
    service.report(1, page=50, of=200, seconds=10.0)
    assert await service.members(theirs) == {"position": 0}


async def test_the_queue_is_looked_at_once_however_many_ask() -> None:
    service = Service()
    document = service.add(1)
    for _ in range(100):
        await service.members(document)
    assert service.looks == 1
    service.now += REFRESH_INTERVAL
    await service.members(document)
    assert service.looks == 2


async def test_documents_that_have_ended_are_forgotten() -> None:
    service = Service()
    document = service.add(1)
    service.report(1, page=1, of=2, seconds=1.0)
    assert "progress" in await service.members(document)
    service.documents.clear()
    service.now += REFRESH_INTERVAL
    assert await service.members(document) == {}


async def test_documents_of_mistral_have_a_queue_of_their_own() -> None:
    service = Service()
    service.complete(4.0)
    service.complete(6.0, "mistral")
    service.add(1)
    first, second, third = (service.add(number, engine="mistral") for number in (2, 3, 4))
    assert await service.members(second) == {"position": 0, "etaSeconds": 6}
    assert await service.members(third) == {"position": 2, "etaSeconds": 12}
    service.now += 4.0
    assert (await service.members(first))["etaSeconds"] == 2, "in work, without an event"
    service.report(2, page=90, of=100, seconds=9.0)
    service.now += REFRESH_INTERVAL
    assert (await service.members(first))["progress"] == {"pages": 90, "of": 100}


def batch_of(
    number: int, pending: int, job: EngineBatch | None = None, age: float = 30
) -> BatchRecord:
    return BatchRecord(
        tenant="default",
        batch_id=events.id_of(number),
        priority=5,
        retention_days=1,
        submitted_at=datetime.now(UTC) - timedelta(seconds=age),
        progress=BatchCounts(total=3, pending=pending, completed=3 - pending),
        engine_batch=job,
    )


async def test_a_batch_ends_with_its_last_document() -> None:
    service = Service()
    service.complete(4.0)
    documents = [service.add(number) for number in (1, 2, 3)]
    batch = msgspec.structs.replace(batch_of(1, pending=2), batch_id=events.id_of(0)[:-1])
    assert all(one.document_id.startswith(batch.batch_id) for one in documents)
    del service.documents[0]
    found = await service.batch_members(batch, *documents[1:])
    assert (found["position"], found["etaSeconds"]) == (0, 8)
    assert [one["etaSeconds"] for one in found["documents"]] == [4, 8]
    assert [one["position"] for one in found["documents"]] == [0, 1]


async def test_a_batch_with_a_document_out_of_sight_has_no_end() -> None:
    service = Service()
    service.complete(4.0)
    service.add(1)
    batch = msgspec.structs.replace(batch_of(1, pending=2), batch_id=events.id_of(1))
    assert await service.batch_members(batch) == {"position": 0}
    ended = msgspec.structs.replace(batch, progress=BatchCounts(total=3, completed=3))
    assert await service.batch_members(ended) == {}


async def test_documents_that_wait_for_a_job_end_with_it() -> None:
    service = Service()
    running = EngineBatch(job="job", status="RUNNING", total=3, completed=1)
    batch = batch_of(1, pending=3, job=running, age=3000)
    service.batches[batch.batch_id] = batch
    document = record(
        document_id=events.id_of(1), state="processing", batch_id=batch.batch_id, held=True
    )
    assert await service.members(document) == {"etaSeconds": 6000}, "a third took fifty minutes"
    assert (await service.batch_members(batch))["etaSeconds"] == 6000
    assert (await service.batch_members(batch, document))["documents"][0]["etaSeconds"] == 6000


async def test_a_job_without_an_answered_request_is_estimated_by_former_ones() -> None:
    service = Service()
    batch = batch_of(1, pending=3, job=EngineBatch(job="job", status="RUNNING", total=3))
    assert await service.batch_members(batch) == {}
    for status in ("QUEUED", "RUNNING", "SUCCESS"):
        service.progress.on_job_event(
            BatchProgressed(batch_id=events.id_of(9), job="former", status=status, total=3)
        )
        service.now += 50.0
    assert await service.batch_members(batch) == {"etaSeconds": 70}


@pytest.mark.parametrize(
    ("seconds", "shown"), [(-3.0, 1), (0.2, 1), (7.1, 8), (99.0, 99), (123.4, 120), (4567.0, 4600)]
)
def test_long_times_have_two_digits(seconds: float, shown: int) -> None:
    assert rounded(seconds) == shown
