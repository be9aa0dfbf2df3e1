"""What is left of a batch is cancelled, and what has ended stays."""

from typing import Any

import pytest

from bus.errors import BusUnavailable
from bus.log import NewestEvent
from schemas.documents import DocumentCancelled
from schemas.records import BatchCounts
from tests.ilios.edge.test_batches import SUBMIT, many
from tests.ilios.edge.test_batches_status import batch
from tests.ilios.edge.world import ID, World, record

BATCH = f"/v1/batch/{ID}"


def document(number: int, **fields: Any) -> Any:
    return record(document_id=f"{ID}{number:03d}", batch_id=ID, **fields)


def apply_events(world: World) -> None:
    """Have the database apply cancellations, as the persister does."""
    publish = world.publisher.publish

    async def publish_and_apply(event: Any) -> int:
        answer = await publish(event)
        world.reads.add(
            record(document_id=event.document_id, batch_id=ID, state="cancelled", priority=8)
        )
        name = (event.tenant, event.document_id)
        world.log.newest_events[name] = NewestEvent(99, "cancelled")
        return answer

    world.publisher.publish = publish_and_apply  # type: ignore[method-assign]


async def test_what_is_unfinished_is_cancelled_and_the_rest_stays(world: World) -> None:
    client = await world.serve()
    apply_events(world)
    world.batches.add(batch(progress=BatchCounts(total=4, completed=1, failed=3)))
    states = ("completed", "processing", "pending", "failed")
    for number, state in enumerate(states, 1):
        world.reads.add(document(number, state=state, priority=8))
    expected = {
        "batchId": ID,
        "status": "completed",
        "cancelled": 2,
        "progress": {"total": 4, "pending": 0, "processing": 0, "completed": 1, "failed": 3},
    }
    for _ in range(2):
        async with client.delete(BATCH) as answer:
            assert (answer.status, await answer.json()) == (200, expected)
    assert world.publisher.published == [
        DocumentCancelled(document_id=f"{ID}{number:03d}", priority=8) for number in (2, 3)
    ]


@pytest.mark.parametrize("name", ["converted", "failed"])
async def test_what_has_ended_on_the_log_stays_though_the_database_is_behind(
    world: World, name: str
) -> None:
    client = await world.serve(removal_timeout=0)
    world.batches.add(batch())
    world.reads.add(document(1, state="processing"))
    world.log.newest_events["default", f"{ID}001"] = NewestEvent(5, name)
    async with client.delete(BATCH) as answer:
        assert (answer.status, (await answer.json())["cancelled"]) == (202, 0)
    assert world.publisher.published == []


@pytest.mark.parametrize(
    ("submitted_at", "cancelled"), [(1, 0), (6, 1)], ids=["repeated", "requeued"]
)
async def test_an_end_counts_also_where_an_earlier_event_was_repeated_after_it(
    world: World, submitted_at: int, cancelled: int
) -> None:
    client = await world.serve(removal_timeout=0)
    world.batches.add(batch())
    world.reads.add(document(1, state="processing"))
    name = ("default", f"{ID}001")
    world.log.newest_events[name] = NewestEvent(7, "fetched")
    world.log.earlier_events[*name, "converted"] = NewestEvent(5, "converted")
    world.log.earlier_events[*name, "submitted"] = NewestEvent(submitted_at, "submitted")
    async with client.delete(BATCH) as answer:
        assert (await answer.json())["cancelled"] == cancelled


async def test_an_end_between_the_lookup_and_the_cancellation_wins(world: World) -> None:
    client = await world.serve(removal_timeout=0)
    world.batches.add(batch())
    world.reads.add(document(1, state="processing"))
    name = ("default", f"{ID}001")
    publish_after = world.publisher.publish_after

    async def overtaken(event: Any, sequence: int) -> int:
        world.log.newest_events[name] = NewestEvent(6, "converted")
        return await publish_after(event, sequence)

    world.publisher.publish_after = overtaken  # type: ignore[method-assign]
    async with client.delete(BATCH) as answer:
        assert (await answer.json())["cancelled"] == 0
    assert world.publisher.published == []


async def test_a_batch_that_is_only_on_the_log_can_be_cancelled(world: World) -> None:
    client = await world.serve(removal_timeout=0)
    async with client.post(SUBMIT, data=many(b"%PDF one", b"%PDF two")) as answer:
        accepted = await answer.json()
    async with client.delete(f"/v1/batch/{accepted['batchId']}") as answer:
        assert (answer.status, (await answer.json())["cancelled"]) == (202, 2)
        assert answer.headers["Location"] == accepted["statusUrl"]
    cancelled = [
        event for event in world.publisher.published if isinstance(event, DocumentCancelled)
    ]
    assert [event.document_id for event in cancelled] == [
        one["id"] for one in accepted["documents"]
    ]


async def test_an_interrupted_cancellation_is_finished_by_the_next_one(world: World) -> None:
    client = await world.serve()
    apply_events(world)
    world.batches.add(batch(progress=BatchCounts(total=3, failed=3)))
    for number in range(1, 4):
        world.reads.add(document(number, state="pending"))
    publish_after = world.publisher.publish_after

    async def unlucky(event: Any, sequence: int) -> int:
        if event.document_id.endswith("2"):
            raise BusUnavailable("no")
        return await publish_after(event, sequence)

    world.publisher.publish_after = unlucky  # type: ignore[method-assign]
    async with client.delete(BATCH) as answer:
        assert (answer.status, (await answer.json())["code"]) == (503, "bus_unavailable")
    world.publisher.publish_after = publish_after  # type: ignore[method-assign]
    async with client.delete(BATCH) as answer:
        assert (answer.status, (await answer.json())["cancelled"]) == (200, 3)
    assert len(world.publisher.published) == 3


async def test_a_batch_of_somebody_else_is_unknown(world: World) -> None:
    client = await world.serve("key-1", "key-2")
    world.batches.add(batch(tenant="another"))
    for path, status, code in ((BATCH, 404, "batch_not_found"), ("/v1/batch/x", 400, "invalid_id")):
        async with client.delete(path, headers={"X-Api-Key": "key-1"}) as answer:
            assert (answer.status, (await answer.json())["code"]) == (status, code)
    async with client.delete("/v1/batch/submit", headers={"X-Api-Key": "key-1"}) as answer:
        assert answer.status == 405
