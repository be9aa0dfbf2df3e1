"""Deleting and cancelling: published once, and answered with a receipt."""

import asyncio
from typing import Any

import msgspec
import pytest

from bus.errors import BusUnavailable
from ilios.api_keys import tenant_of
from schemas.documents import DocumentCancelled, DocumentDeleted, DocumentEvent
from tests import events
from tests.ilios.edge.test_documents import DOCUMENT, STATUS, submission
from tests.ilios.edge.test_removed_documents import SHA256, WHEN, removed
from tests.ilios.edge.world import ID, PDF, World, record
from tests.waiting import wait_until


def receipt(status: str, **fields: Any) -> dict[str, Any]:
    usual = {
        "id": ID,
        "status": status,
        "fileName": "paper.pdf",
        "fileSize": len(PDF),
        "sha256": SHA256,
        "deletedAt": WHEN,
    }
    return usual | fields


def apply_events(world: World, *, at_once: bool = True) -> None:
    """Have the database apply published removals, as the persister does."""
    publish = world.publisher.publish

    async def publish_and_apply(event: Any) -> int:
        answer = await publish(event)
        if at_once and isinstance(event, DocumentEvent):
            state = "cancelled" if isinstance(event, DocumentCancelled) else "deleted"
            world.reads.add(removed(state))
        return answer

    world.publisher.publish = publish_and_apply  # type: ignore[method-assign]


@pytest.mark.parametrize(
    ("state", "event_type", "status"),
    [
        ("pending", DocumentCancelled, "cancelled"),
        ("processing", DocumentCancelled, "cancelled"),
        ("completed", DocumentDeleted, "deleted"),
        ("failed", DocumentDeleted, "deleted"),
        ("archived", DocumentDeleted, "deleted"),
    ],
)
async def test_a_removal_is_published_on_the_document_subject_and_answered_with_a_receipt(
    world: World, state: str, event_type: type[DocumentEvent], status: str
) -> None:
    client = await world.serve()
    apply_events(world)
    world.reads.add(record(state=state, priority=9))
    async with client.delete(DOCUMENT) as answer:
        assert answer.status == 200
        assert await answer.json() == receipt(status)
    (event,) = world.publisher.published
    assert event == event_type(document_id=ID, priority=9)


async def test_a_repeated_removal_publishes_nothing_and_returns_the_same_receipt(
    world: World,
) -> None:
    client = await world.serve()
    apply_events(world)
    world.reads.add(record(state="completed"))
    receipts = []
    for _ in range(3):
        async with client.delete(DOCUMENT) as answer:
            receipts.append((answer.status, await answer.read()))
    assert len(set(receipts)) == 1
    assert len(world.publisher.published) == 1


async def test_concurrent_removals_are_published_once(world: World) -> None:
    client = await world.serve()
    apply_events(world)
    world.reads.add(record(state="completed"))

    async def remove() -> bytes:
        async with client.delete(DOCUMENT) as answer:
            assert answer.status == 200
            return await answer.read()

    assert len(set(await asyncio.gather(*(remove() for _ in range(10))))) == 1
    assert len(world.publisher.published) == 1


async def test_a_document_found_only_in_the_log_can_be_cancelled_by_its_owner(world: World) -> None:
    client = await world.serve()
    apply_events(world)
    world.log.submissions["default", ID] = submission(priority=3)
    async with client.delete(DOCUMENT) as answer:
        assert (answer.status, (await answer.json())["status"]) == (200, "cancelled")
    assert world.publisher.published == [DocumentCancelled(document_id=ID, priority=3)]


async def test_a_document_of_a_batch_found_only_in_the_log_can_be_cancelled(
    world: World,
) -> None:
    client = await world.serve(removal_timeout=0)
    batch = msgspec.structs.replace(events.batch(1, 2), priority=8)
    world.log.add(batch)
    document_id = batch.documents[1].document_id
    async with client.delete(f"/api/documents/{document_id}") as answer:
        body = await answer.json()
    assert (answer.status, body["id"], body["status"]) == (202, document_id, "cancelled")
    assert world.publisher.published == [DocumentCancelled(document_id=document_id, priority=8)]


async def test_a_database_that_is_behind_makes_it_a_202_with_the_receipt_to_be(
    world: World,
) -> None:
    client = await world.serve(removal_timeout=0.05)
    world.reads.add(record(original_sha256=SHA256))
    async with client.delete(DOCUMENT) as answer:
        assert answer.status == 202
        assert await answer.json() == receipt("cancelled", deletedAt=None)
        assert answer.headers["Location"] == STATUS
        assert answer.headers["Retry-After"] == "1"
    async with client.delete(DOCUMENT) as answer:
        assert answer.status == 202
    assert len(world.publisher.published) == 1


async def test_the_answer_comes_as_soon_as_the_database_shows_it(world: World) -> None:
    client = await world.serve(removal_timeout=60)
    world.reads.add(record(state="completed"))
    asked = asyncio.create_task(client.delete(DOCUMENT))
    await wait_until(lambda: bool(world.publisher.published))
    world.reads.add(removed("deleted"))
    async with await asyncio.wait_for(asked, 30) as answer:
        assert (answer.status, await answer.json()) == (200, receipt("deleted"))


async def test_a_document_that_ended_while_cancelled_is_reported_as_persisted(
    world: World,
) -> None:
    client = await world.serve(removal_timeout=60)
    world.reads.add(record(state="processing"))
    asked = asyncio.create_task(client.delete(DOCUMENT))
    await wait_until(lambda: bool(world.publisher.published))
    assert isinstance(world.publisher.published[0], DocumentCancelled)
    world.reads.add(removed("deleted"))
    async with await asyncio.wait_for(asked, 30) as answer:
        assert (await answer.json())["status"] == "deleted"


async def test_unknown_documents_and_those_of_others_are_404_and_nothing_is_published(
    world: World,
) -> None:
    client = await world.serve("mine", "theirs")
    world.reads.add(record(tenant=tenant_of("theirs"), state="completed"))
    bodies = []
    for path in (DOCUMENT, f"/api/documents/{'z' * 24}"):
        async with client.delete(path, headers={"X-Api-Key": "mine"}) as answer:
            assert answer.status == 404
            body = await answer.json()
            bodies.append((body["error"], body["code"]))
    assert len(set(bodies)) == 1
    async with client.delete(DOCUMENT) as answer:
        assert answer.status == 401
    async with client.delete("/api/documents/nonsense", headers={"X-Api-Key": "mine"}) as answer:
        assert answer.status == 400
    assert world.publisher.published == []


async def test_without_the_bus_nothing_is_removed_and_503_is_returned(world: World) -> None:
    client = await world.serve()
    world.reads.add(record(state="completed"))
    world.publisher.error = BusUnavailable("no")
    async with client.delete(DOCUMENT) as answer:
        assert (answer.status, (await answer.json())["code"]) == (503, "bus_unavailable")
        assert answer.headers["Retry-After"] == "2"
