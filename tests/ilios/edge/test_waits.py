"""A state is waited for: answered when it is final, or when time is up, or the service closes."""

import asyncio
import time
from typing import Any

import msgspec
import pytest

from bus.errors import BusUnavailable
from bus.log import NewestEvent
from bus.micro import Request
from ilios.api_keys import tenant_of
from ilios.edge import waits
from ilios.edge.bus_service.service import BusDoor
from ilios.edge.context import WAIT_SHARE
from schemas.documents import DocumentFailed
from schemas.records import BatchCounts
from tests.ilios.edge.test_batches_status import STATUS, batch
from tests.ilios.edge.world import ID, World, record
from tests.waiting import wait_until

DOCUMENT = f"/v1/documents/{ID}"
LONG = {"wait": "60"}
ENDED = BatchCounts(total=2, completed=1, failed=1)


async def begin(world: World, client: Any, path: str = DOCUMENT) -> asyncio.Task[Any]:
    """Ask for a state with a long wait, and return when the edge listens."""

    async def ask() -> Any:
        async with client.get(path, params=LONG) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    asking = asyncio.create_task(ask())
    await wait_until(lambda: bool(world.outcomes.watched or world.outcomes.watched_batches))
    return asking


async def test_a_wait_ends_with_the_document(world: World) -> None:
    client = await world.serve()
    world.reads.add(record(state="processing"))
    asking = await begin(world, client)
    world.reads.add(record(state="failed", code="corrupt"))
    world.outcomes.end(DocumentFailed(document_id=ID, code="corrupt", reason="It is."))
    async with asyncio.timeout(waits.FIRST_READ_AFTER * 20):
        assert (await asking)["status"] == "failed"


async def test_a_wait_ends_with_the_batch(world: World) -> None:
    client = await world.serve()
    world.batches.add(batch())
    asking = await begin(world, client, STATUS)
    world.batches.add(batch(progress=ENDED))
    world.outcomes.watched_batches["default", ID].set()
    assert (await asking)["status"] == "completed"


@pytest.mark.parametrize("path", [DOCUMENT, STATUS])
async def test_without_an_end_the_answer_is_the_state_when_time_is_up(
    world: World, path: str
) -> None:
    client = await world.serve()
    world.reads.add(record(state="processing"))
    world.batches.add(batch())
    began = time.monotonic()
    async with client.get(path, params={"wait": "1"}) as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (200, "1")
        assert (await answer.json())["status"] in ("processing", "pending")
    assert time.monotonic() - began >= 1


@pytest.mark.parametrize("path", [DOCUMENT, STATUS])
async def test_what_has_ended_is_not_waited_for(world: World, path: str) -> None:
    client = await world.serve()
    world.reads.add(record(state="failed"))
    world.batches.add(batch(progress=ENDED))
    async with client.get(path, params=LONG) as answer:
        assert answer.status == 200
    assert not world.outcomes.watched
    assert not world.outcomes.watched_batches


async def test_an_end_between_reading_and_listening_is_not_missed(world: World) -> None:
    """The log has it, the database not yet, and no event comes any more."""
    client = await world.serve()
    world.reads.add(record(state="processing"))
    world.log.newest_events["default", ID] = NewestEvent(7, "failed")
    asking = await begin(world, client)
    world.reads.add(record(state="failed"))
    async with asyncio.timeout(waits.FIRST_READ_AFTER * 20):
        assert (await asking)["status"] == "failed"


async def test_an_event_that_the_bus_has_lost_is_found_in_the_database(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waits, "FIRST_READ_AFTER", 0.01)
    client = await world.serve()
    world.reads.add(record(state="processing"))
    asking = await begin(world, client)
    world.reads.add(record(state="completed"))
    assert (await asking)["status"] == "completed"


async def test_the_database_is_read_a_few_times_only(world: World) -> None:
    client = await world.serve()
    world.reads.add(record(state="processing"))
    count, read = 0, world.reads.document

    async def counted(tenant: str, document_id: str) -> Any:
        nonlocal count
        count += 1
        return await read(tenant, document_id)

    world.reads.document = counted  # type: ignore[method-assign]
    async with client.get(DOCUMENT, params={"wait": "1"}) as answer:
        assert answer.status == 200
    assert count <= 4


@pytest.mark.parametrize("path", [DOCUMENT, STATUS])
async def test_a_service_that_closes_answers_with_the_present_state(
    world: World, path: str
) -> None:
    client = await world.serve()
    world.reads.add(record(state="processing"))
    world.batches.add(batch())
    asking = await begin(world, client, path)
    closing = asyncio.create_task(world.stop_edge())
    assert (await asking)["status"] in ("processing", "pending")
    await closing


@pytest.mark.parametrize(
    ("operation", "member"), [("status", "document_id"), ("batch.status", "batch_id")]
)
async def test_a_request_on_the_bus_waits_for_the_end_as_well(
    world: World, operation: str, member: str
) -> None:
    world.reads.add(record(state="processing"))
    world.batches.add(batch())
    body = msgspec.json.encode({member: ID, "wait": 60})
    subject = f"ilios.api.{operation}.default"
    door = BusDoor(world.edge())
    asking = asyncio.create_task(
        door.handle(Request(operation.replace(".", "-"), subject, body, {}))
    )
    await wait_until(lambda: bool(world.outcomes.watched or world.outcomes.watched_batches))
    world.reads.add(record(state="failed", code="corrupt"))
    world.batches.add(batch(progress=ENDED))
    if world.outcomes.watched_batches:
        world.outcomes.watched_batches["default", ID].set()
    else:
        world.outcomes.end(DocumentFailed(document_id=ID, code="corrupt", reason="It is."))
    async with asyncio.timeout(waits.FIRST_READ_AFTER * 20):
        found = msgspec.json.decode((await asking).body)
    assert found["status"] == ("failed" if operation == "status" else "completed")


async def test_beyond_its_share_of_connections_a_client_does_not_wait(world: World) -> None:
    client = await world.serve(max_connections=8)
    world.reads.add(record(state="processing"))
    asking = []
    for _ in range(8 // WAIT_SHARE):
        world.outcomes.watched.clear()
        asking.append(await begin(world, client))
    async with asyncio.timeout(20), client.get(DOCUMENT, params=LONG) as answer:
        assert (await answer.json())["status"] == "processing"
    for one in asking:
        one.cancel()
    await asyncio.wait(asking)


async def test_one_of_several_tenants_leaves_room_for_the_waits_of_others(world: World) -> None:
    client = await world.serve("key-1", "key-2", max_connections=8)
    for key in ("key-1", "key-2"):
        world.reads.add(record(tenant=tenant_of(key), state="processing"))

    async def begin_as(key: str) -> asyncio.Task[Any]:
        world.outcomes.watched.clear()
        return await begin(world, client, f"{DOCUMENT}?apiKey={key}")

    asking = [await begin_as("key-1") for _ in range(2)]
    one = {"X-Api-Key": "key-1"}
    async with asyncio.timeout(20), client.get(DOCUMENT, params=LONG, headers=one) as answer:
        assert answer.status == 200
    asking.append(await begin_as("key-2"))
    for waiting in asking:
        waiting.cancel()
    await asyncio.wait(asking)


async def test_a_client_that_hangs_up_gives_its_place_back(world: World) -> None:
    client = await world.serve(max_connections=2, half_closed_timeout=0.05)
    world.reads.add(record(state="processing"))
    _, writer = await world.connect()
    writer.write(f"GET {DOCUMENT}?wait=60 HTTP/1.1\r\nHost: ilios\r\n\r\n".encode())
    await wait_until(lambda: bool(world.outcomes.watched))
    writer.close()
    async with asyncio.timeout(20):
        await world.outcomes.released.wait()
    world.outcomes.watched.clear()
    (await begin(world, client)).cancel()


async def test_while_the_bus_is_away_a_state_is_answered_at_once(world: World) -> None:
    client = await world.serve()
    world.reads.add(record(state="processing"))
    world.outcomes.error = BusUnavailable("no")
    async with asyncio.timeout(20), client.get(DOCUMENT, params=LONG) as answer:
        assert (answer.status, (await answer.json())["status"]) == (200, "processing")


@pytest.mark.parametrize("wait", ["61", "-1", "1.5", "soon"])
@pytest.mark.parametrize("path", [DOCUMENT, STATUS])
async def test_a_wait_that_is_none_is_refused(world: World, path: str, wait: str) -> None:
    client = await world.serve()
    async with client.get(path, params={"wait": wait}) as answer:
        assert (answer.status, (await answer.json())["code"]) == (400, "invalid_wait")
