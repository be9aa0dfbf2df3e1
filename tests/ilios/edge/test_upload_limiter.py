"""Concurrent uploads are limited, fairly between tenants."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import urlsplit

import pytest

from ilios.edge.auth import tenant_of
from ilios.edge.errors import HttpProblem
from ilios.edge.uploads import UploadLimiter
from tests.ilios.edge import hostile
from tests.ilios.edge.test_connection import SOON, connected
from tests.ilios.edge.test_submit import form_data
from tests.ilios.edge.world import (
    ID,
    PDF,
    World,
    file_part,
    multipart_form,
    post_request,
    read_response,
    record,
)
from tests.waiting import wait_until

LARGE_FORM = multipart_form(file_part("large.pdf", PDF + bytes(600_000)))
"""Too large to be stored in one step, so that a test can see it in progress."""
RAW = post_request(LARGE_FORM)
LONG = 60.0  # seconds; for who is not to be refused
AT_ONCE = 0.05  # seconds; for who is


class SlotHolder:
    """Holds slots until they are released."""

    def __init__(self, most: int, *, wait: float = LONG, shared: bool = True) -> None:
        self._limiter = UploadLimiter(most, wait, multi_tenant=shared)
        self.holders: list[str] = []
        self.order: list[str] = []
        self._leave: list[tuple[str, asyncio.Event]] = []

    async def hold(self, tenant: str) -> None:
        async with self._limiter.slot(tenant):
            leave = asyncio.Event()
            self.holders.append(tenant)
            self.order.append(tenant)
            self._leave.append((tenant, leave))
            await leave.wait()
        self.holders.remove(tenant)

    def request_slot(self, tenant: str) -> asyncio.Task[None]:
        """Ask for a slot."""
        return asyncio.create_task(self.hold(tenant))

    async def take(self, tenant: str, number: int) -> None:
        """Take so many free slots."""
        asked = [self.request_slot(tenant) for _ in range(number)]
        await wait_until(lambda: self.holders.count(tenant) == number)
        assert not any(asking.done() for asking in asked)

    def release(self, tenant: str) -> None:
        """Release one slot of the tenant."""
        place = next(held for held in self._leave if held[0] == tenant)
        self._leave.remove(place)
        place[1].set()


async def refused(asking: asyncio.Task[None]) -> None:
    with pytest.raises(HttpProblem) as refusal:
        await asking
    assert (refusal.value.status, refusal.value.code) == (503, "overloaded")
    assert refusal.value.headers["Retry-After"] == "2"


async def test_a_place_is_waited_for_and_had_as_soon_as_one_is_free() -> None:
    holder = SlotHolder(2, shared=False)
    await holder.take("a", 2)
    waiting = holder.request_slot("a")
    await asyncio.sleep(0)
    assert holder.holders == ["a", "a"]
    holder.release("a")
    await wait_until(lambda: len(holder.holders) == 2 and not waiting.done())


async def test_who_waits_too_long_is_refused_and_takes_nothing_with_it() -> None:
    holder = SlotHolder(1, wait=AT_ONCE, shared=False)
    await holder.take("a", 1)
    await refused(holder.request_slot("a"))
    await refused(holder.request_slot("b"))
    holder.release("a")
    await wait_until(lambda: not holder.holders)
    await holder.take("b", 1)


async def test_a_single_tenant_may_have_every_place() -> None:
    await SlotHolder(8, shared=False).take("a", 8)


async def test_where_there_are_others_one_tenant_never_has_every_place() -> None:
    holder = SlotHolder(16, wait=AT_ONCE)
    await holder.take("a", 14)
    await refused(holder.request_slot("a"))
    await holder.take("b", 2)


async def test_what_becomes_free_goes_to_who_holds_least() -> None:
    holder = SlotHolder(8)
    await holder.take("a", 7)
    await holder.take("b", 1)
    many = [holder.request_slot("a") for _ in range(5)]
    few = [holder.request_slot("b") for _ in range(4)]
    for number in range(9, 13):
        holder.release("a")
        await wait_until(lambda number=number: len(holder.order) == number)  # type: ignore[misc]
    # Of 7 and 1 it takes three until they are equal; who gives back then, has less.
    assert holder.order[8:] == ["b", "b", "b", "a"]
    assert not any(task.done() for task in (*many, *few))


async def test_a_tenant_that_may_have_a_place_does_not_stand_behind_one_that_may_not() -> None:
    holder = SlotHolder(8)
    await holder.take("a", 7)  # all it may have
    waiting = holder.request_slot("a")
    await holder.take("b", 1)
    assert not waiting.done()


async def test_who_hangs_up_while_waiting_is_forgotten() -> None:
    holder = SlotHolder(1, shared=False)
    await holder.take("a", 1)
    hanging_up, staying = holder.request_slot("b"), holder.request_slot("b")
    await asyncio.sleep(0)
    hanging_up.cancel()
    await asyncio.wait([hanging_up])
    holder.release("a")
    await wait_until(lambda: holder.holders == ["b"])
    assert not staying.done()


async def test_a_place_that_comes_as_its_waiter_hangs_up_is_not_lost() -> None:
    holder = SlotHolder(1, shared=False)
    await holder.take("a", 1)
    waiting = holder.request_slot("b")
    await asyncio.sleep(0)
    holder.release("a")
    for _ in range(10):
        await asyncio.sleep(0)
        if not holder.holders:
            break
    waiting.cancel()
    await asyncio.wait([waiting])
    await holder.take("c", 1)


async def start_uploads(
    world: World, stack: AsyncExitStack, number: int, *headers: str
) -> list[Any]:
    """Begin so many uploads and end none."""
    opened = [await stack.enter_async_context(connected(world)) for _ in range(number)]
    for _, writer in opened:
        writer.write(post_request(LARGE_FORM, *headers)[:-10])
    await wait_until(lambda: world.uploads_in_progress() == number, SOON)
    return opened


async def test_an_upload_too_many_is_refused_before_its_body_is_asked_for(world: World) -> None:
    client = await world.serve(max_uploads=2, upload_slot_timeout=AT_ONCE)
    world.reads.add(record())
    async with AsyncExitStack() as stack:
        opened = await start_uploads(world, stack, 2)
        for path in (hostile.SUBMIT, hostile.BATCH, hostile.CONVERT):
            answer = await world.send_raw(
                post_request(b"", "Expect: 100-continue", path=path, length=999)
            )
            assert (answer.status, answer.json()["code"]) == (503, "overloaded")
            assert answer.headers["retry-after"] == "2"
        async with client.get(f"/api/documents/status/{ID}") as status:
            assert status.status == 200
        for reader, writer in opened:
            writer.write(RAW[-10:])
            assert (await read_response(reader)).status == 202
        assert (await world.send_raw(RAW)).status == 202


async def test_an_upload_that_waited_is_taken_as_if_it_had_not(world: World) -> None:
    await world.serve(max_uploads=1, upload_slot_timeout=LONG)
    async with AsyncExitStack() as stack:
        ((reader, writer),) = await start_uploads(world, stack, 1)
        waiting = asyncio.create_task(world.send_raw(RAW))
        assert (await world.send_raw(hostile.request("GET /livez"))).status == 200
        assert not waiting.done()
        writer.write(RAW[-10:])
        assert (await read_response(reader)).status == 202
        assert (await waiting).status == 202


async def test_bytes_for_an_upload_url_need_a_place_of_the_tenant_that_asked_for_it(
    world: World,
) -> None:
    client = await world.serve("key-1", "key-2", max_uploads=4, upload_slot_timeout=AT_ONCE)
    mine, other = {"X-Api-Key": "key-1"}, {"X-Api-Key": "key-2"}
    wanted = {"fileName": "paper.pdf", "fileSize": len(PDF)}
    async with AsyncExitStack() as stack:
        await start_uploads(world, stack, 3, "X-Api-Key: key-1")
        for headers, status in ((mine, 503), (other, 200)):
            async with client.post(hostile.UPLOAD_URL, json=wanted, headers=headers) as answer:
                url = urlsplit((await answer.json())["uploadUrl"])
            async with client.put(f"{url.path}?{url.query}", data=PDF) as answer:
                assert answer.status == status
        async with client.post(hostile.SUBMIT, data=form_data(), headers=other) as answer:
            assert answer.status == 202
    assert world.publisher.submitted.tenant == tenant_of("key-2")


async def test_who_waits_for_a_conversion_has_given_the_place_back(world: World) -> None:
    client = await world.serve(max_uploads=1, upload_slot_timeout=AT_ONCE)
    converting = asyncio.ensure_future(client.post("/v1/convert", data=form_data()))
    await wait_until(lambda: len(world.publisher.published) == 1, SOON)
    async with client.post(hostile.SUBMIT, data=form_data()) as answer:
        assert answer.status == 202
    event = world.publisher.published[0]
    await world.convert(event)  # type: ignore[arg-type]
    async with await converting as answer:
        assert answer.status == 200


@pytest.mark.parametrize("body", [b"--nonsense", multipart_form(file_part("a.pdf", b""))])
async def test_an_upload_that_fails_gives_the_place_back(world: World, body: bytes) -> None:
    await world.serve(max_uploads=1, upload_slot_timeout=AT_ONCE)
    for _ in range(3):
        assert (await world.send_raw(post_request(body))).status == 400
    _, writer = await world.connect()
    writer.write(RAW[:-10])
    await wait_until(lambda: world.uploads_in_progress() == 1, SOON)
    writer.close()
    await wait_until(lambda: world.uploads_in_progress() == 0, SOON)
    assert (await world.send_raw(RAW)).status == 202
