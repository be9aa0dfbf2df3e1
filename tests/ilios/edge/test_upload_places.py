"""How many uploads are taken in at once, whose, and what becomes of the others."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import urlsplit

import pytest

from ilios.edge.auth import tenant_of
from ilios.edge.errors import Refused
from ilios.edge.upload_places import UploadPlaces
from tests.ilios.edge import hostile
from tests.ilios.edge.test_connection import SOON, connected
from tests.ilios.edge.test_submit import form_data
from tests.ilios.edge.world import ID, PDF, World, file_part, form, post, read_answer, record
from tests.waiting import until

PARTS = form(file_part("large.pdf", PDF + bytes(600_000)))
"""Too much to be put into the store in one step, which nobody could see under way."""
RAW = post(PARTS)
LONG = 60.0  # seconds; for who is not to be refused
AT_ONCE = 0.05  # seconds; for who is


class Holder:
    """Holds places, each until it is told to give it back."""

    def __init__(self, most: int, *, wait: float = LONG, shared: bool = True) -> None:
        self._places = UploadPlaces(most, wait, shared=shared)
        self.held: list[str] = []
        self.order: list[str] = []
        self._leave: list[tuple[str, asyncio.Event]] = []

    async def hold(self, tenant: str) -> None:
        async with self._places.held_by(tenant):
            leave = asyncio.Event()
            self.held.append(tenant)
            self.order.append(tenant)
            self._leave.append((tenant, leave))
            await leave.wait()
        self.held.remove(tenant)

    def ask(self, tenant: str) -> asyncio.Task[None]:
        """Ask for a place."""
        return asyncio.create_task(self.hold(tenant))

    async def take(self, tenant: str, number: int) -> None:
        """Take so many places that are free."""
        asked = [self.ask(tenant) for _ in range(number)]
        await until(lambda: self.held.count(tenant) == number)
        assert not any(asking.done() for asking in asked)

    def give_back(self, tenant: str) -> None:
        """Give back one of the tenant's."""
        place = next(held for held in self._leave if held[0] == tenant)
        self._leave.remove(place)
        place[1].set()


async def refused(asking: asyncio.Task[None]) -> None:
    with pytest.raises(Refused) as refusal:
        await asking
    assert (refusal.value.status, refusal.value.code) == (503, "overloaded")
    assert refusal.value.headers["Retry-After"] == "2"


async def test_a_place_is_waited_for_and_had_as_soon_as_one_is_free() -> None:
    holder = Holder(2, shared=False)
    await holder.take("a", 2)
    waiting = holder.ask("a")
    await asyncio.sleep(0)
    assert holder.held == ["a", "a"]
    holder.give_back("a")
    await until(lambda: len(holder.held) == 2 and not waiting.done())


async def test_who_waits_too_long_is_refused_and_takes_nothing_with_it() -> None:
    holder = Holder(1, wait=AT_ONCE, shared=False)
    await holder.take("a", 1)
    await refused(holder.ask("a"))
    await refused(holder.ask("b"))
    holder.give_back("a")
    await until(lambda: not holder.held)
    await holder.take("b", 1)


async def test_a_single_tenant_may_have_every_place() -> None:
    await Holder(8, shared=False).take("a", 8)


async def test_where_there_are_others_one_tenant_never_has_every_place() -> None:
    holder = Holder(16, wait=AT_ONCE)
    await holder.take("a", 14)
    await refused(holder.ask("a"))
    await holder.take("b", 2)


async def test_what_becomes_free_goes_to_who_holds_least() -> None:
    holder = Holder(8)
    await holder.take("a", 7)
    await holder.take("b", 1)
    many = [holder.ask("a") for _ in range(5)]
    few = [holder.ask("b") for _ in range(4)]
    for number in range(9, 13):
        holder.give_back("a")
        await until(lambda number=number: len(holder.order) == number)  # type: ignore[misc]
    # Of 7 and 1 it takes three until they are equal; who gives back then, has less.
    assert holder.order[8:] == ["b", "b", "b", "a"]
    assert not any(task.done() for task in (*many, *few))


async def test_a_tenant_that_may_have_a_place_does_not_stand_behind_one_that_may_not() -> None:
    holder = Holder(8)
    await holder.take("a", 7)  # all it may have
    waiting = holder.ask("a")
    await holder.take("b", 1)
    assert not waiting.done()


async def test_who_hangs_up_while_waiting_is_forgotten() -> None:
    holder = Holder(1, shared=False)
    await holder.take("a", 1)
    hanging_up, staying = holder.ask("b"), holder.ask("b")
    await asyncio.sleep(0)
    hanging_up.cancel()
    await asyncio.wait([hanging_up])
    holder.give_back("a")
    await until(lambda: holder.held == ["b"])
    assert not staying.done()


async def test_a_place_that_comes_as_its_waiter_hangs_up_is_not_lost() -> None:
    holder = Holder(1, shared=False)
    await holder.take("a", 1)
    waiting = holder.ask("b")
    await asyncio.sleep(0)
    holder.give_back("a")
    for _ in range(10):
        await asyncio.sleep(0)
        if not holder.held:
            break
    waiting.cancel()
    await asyncio.wait([waiting])
    await holder.take("c", 1)


async def begun(world: World, stack: AsyncExitStack, number: int, *headers: str) -> list[Any]:
    """Begin so many uploads and end none."""
    opened = [await stack.enter_async_context(connected(world)) for _ in range(number)]
    for _, writer in opened:
        writer.write(post(PARTS, *headers)[:-10])
    await until(lambda: world.taking() == number, SOON)
    return opened


async def test_an_upload_too_many_is_refused_before_its_body_is_asked_for(world: World) -> None:
    client = await world.serve(max_uploads=2, place_within=AT_ONCE)
    world.reads.add(record())
    async with AsyncExitStack() as stack:
        opened = await begun(world, stack, 2)
        for path in (hostile.SUBMIT, hostile.BATCH, hostile.CONVERT):
            answer = await world.exchange(post(b"", "Expect: 100-continue", path=path, length=999))
            assert (answer.status, answer.json()["code"]) == (503, "overloaded")
            assert answer.headers["retry-after"] == "2"
        async with client.get(f"/api/documents/status/{ID}") as status:
            assert status.status == 200
        for reader, writer in opened:
            writer.write(RAW[-10:])
            assert (await read_answer(reader)).status == 202
        assert (await world.exchange(RAW)).status == 202


async def test_an_upload_that_waited_is_taken_as_if_it_had_not(world: World) -> None:
    await world.serve(max_uploads=1, place_within=LONG)
    async with AsyncExitStack() as stack:
        ((reader, writer),) = await begun(world, stack, 1)
        waiting = asyncio.create_task(world.exchange(RAW))
        assert (await world.exchange(hostile.request("GET /livez"))).status == 200
        assert not waiting.done()
        writer.write(RAW[-10:])
        assert (await read_answer(reader)).status == 202
        assert (await waiting).status == 202


async def test_bytes_for_an_upload_url_need_a_place_of_the_tenant_that_asked_for_it(
    world: World,
) -> None:
    client = await world.serve("key-1", "key-2", max_uploads=4, place_within=AT_ONCE)
    mine, other = {"X-Api-Key": "key-1"}, {"X-Api-Key": "key-2"}
    wanted = {"fileName": "paper.pdf", "fileSize": len(PDF)}
    async with AsyncExitStack() as stack:
        await begun(world, stack, 3, "X-Api-Key: key-1")
        for headers, status in ((mine, 503), (other, 200)):
            async with client.post(hostile.RESERVE, json=wanted, headers=headers) as answer:
                url = urlsplit((await answer.json())["uploadUrl"])
            async with client.put(f"{url.path}?{url.query}", data=PDF) as answer:
                assert answer.status == status
        async with client.post(hostile.SUBMIT, data=form_data(), headers=other) as answer:
            assert answer.status == 202
    assert world.publisher.submitted.tenant == tenant_of("key-2")


async def test_who_waits_for_a_conversion_has_given_the_place_back(world: World) -> None:
    client = await world.serve(max_uploads=1, place_within=AT_ONCE)
    converting = asyncio.ensure_future(client.post("/v1/convert", data=form_data()))
    await until(lambda: len(world.publisher.said) == 1, SOON)
    async with client.post(hostile.SUBMIT, data=form_data()) as answer:
        assert answer.status == 202
    event = world.publisher.said[0]
    await world.convert(event)  # type: ignore[arg-type]
    async with await converting as answer:
        assert answer.status == 200


@pytest.mark.parametrize("body", [b"--nonsense", form(file_part("a.pdf", b""))])
async def test_an_upload_that_fails_gives_the_place_back(world: World, body: bytes) -> None:
    await world.serve(max_uploads=1, place_within=AT_ONCE)
    for _ in range(3):
        assert (await world.exchange(post(body))).status == 400
    _, writer = await world.connect()
    writer.write(RAW[:-10])
    await until(lambda: world.taking() == 1, SOON)
    writer.close()
    await until(lambda: world.taking() == 0, SOON)
    assert (await world.exchange(RAW)).status == 202
