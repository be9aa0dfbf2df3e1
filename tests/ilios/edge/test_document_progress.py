"""Progress, position and estimated end in the status of a document that is still converted."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from ilios.edge import responses
from ilios.edge.document_progress import MAX_QUEUE, REFRESH_INTERVAL, DocumentProgress, rounded
from ilios.edge.queue_estimates import LEAST_SAMPLES
from schemas.pages import PageConverted
from schemas.records import DocumentRecord, QueuedDocument
from tests import events
from tests.ilios.edge.world import record


class Service:
    """The queue, a clock, and what is asked of both."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.documents: list[QueuedDocument] = []
        self.looks = 0
        self.progress = DocumentProgress(None, self, processes=1, clock=lambda: self.now)

    async def queue(self, limit: int) -> list[QueuedDocument]:
        assert limit == MAX_QUEUE
        self.looks += 1
        return self.documents

    def add(self, number: int, tenant: str = "default") -> DocumentRecord:
        one = QueuedDocument(tenant, events.id_of(number), 5, number, "application/pdf", 3)
        self.documents.append(one)
        return record(tenant=tenant, document_id=events.id_of(number), state="processing")

    def complete(self, seconds: float) -> None:
        for _ in range(LEAST_SAMPLES):
            event = msgspec.structs.replace(events.completed(99), seconds=seconds)
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


@pytest.mark.parametrize(
    ("seconds", "shown"), [(-3.0, 1), (0.2, 1), (7.1, 8), (99.0, 99), (123.4, 120), (4567.0, 4600)]
)
def test_long_times_have_two_digits(seconds: float, shown: int) -> None:
    assert rounded(seconds) == shown
