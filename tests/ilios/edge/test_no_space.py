"""While a volume is short of room nothing new comes in, and everything else goes on."""

import asyncio
from typing import Any

import pytest

from ilios.runtime import disk_space
from ilios.runtime.disk_space import Volume
from schemas.documents import DocumentSubmitted
from tests.ilios.edge.test_upload_urls import complete, put, request_upload_url
from tests.ilios.edge.world import (
    ID,
    RESERVE,
    World,
    file_part,
    multipart_form,
    post_request,
    record,
)

FULL = Volume(device=1, free=RESERVE - 1, files=None)
BARE = "application/pdf"
FORM = "multipart/form-data; boundary=BOUNDARY"
MIB = 1024 * 1024


@pytest.fixture(autouse=True)
def _ask_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_space, "REFRESH_INTERVAL", 0.0)


def with_room_for(size: int) -> Volume:
    return Volume(device=1, free=RESERVE + size, files=None)


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/api/documents/submit", FORM),
        ("/api/documents/submit", BARE),
        ("/v1/convert", FORM),
        ("/v1/batch/submit", FORM),
        ("/api/documents/upload-url", "application/json"),
    ],
)
async def test_what_is_new_is_refused_before_its_body_is_sent(
    world: World, path: str, content_type: str
) -> None:
    world.volume = FULL
    await world.serve()
    request = post_request(
        b"", "Expect: 100-continue", path=path, content_type=content_type, length=10_000
    )
    answer = await world.send_raw(request)  # a "100 Continue" would be the first to come
    assert (answer.status, answer.json()["code"]) == (507, "storage_full")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["retry-after"] == "10"
    assert str(world.root) not in answer.body.decode()
    assert world.stored_files() == set()
    assert world.publisher.published == []


async def test_an_upload_by_url_is_refused_at_each_step_and_can_go_on_later(world: World) -> None:
    client, room = await world.serve(), world.volume
    asked = await request_upload_url(client)
    world.volume = FULL
    assert await put(client, asked["path"]) == (507, "storage_full")
    world.volume = room
    assert await put(client, asked["path"]) == (200, "")
    world.volume = FULL
    status, problem = await complete(client, asked["id"])
    assert (status, problem["code"], world.publisher.published) == (507, "storage_full", [])
    world.volume = room
    assert (await complete(client, asked["id"]))[0] == 200
    world.volume = FULL
    assert (await complete(client, asked["id"]))[0] == 200, "it is submitted already"


async def test_the_length_that_is_announced_counts(world: World) -> None:
    world.volume = with_room_for(MIB)
    await world.serve()
    small, large = b"x" * 1000, b"x" * (MIB + 1)
    for body, status in ((large, 507), (small, 202)):
        assert (await world.send_raw(post_request(body, content_type=BARE))).status == status
    asking = post_request(b"", "Expect: 100-continue", content_type=BARE, length=MIB + 1)
    assert (await world.send_raw(asking)).status == 507


@pytest.mark.parametrize("kind", ["bare", "form", "url"])
async def test_an_upload_of_unknown_length_ends_at_the_reserve(world: World, kind: str) -> None:
    client = await world.serve()
    path, method, headers = "/api/documents/submit", client.post, {"Content-Type": BARE}
    before, after = b"", b""
    if kind == "form":
        headers = {"Content-Type": FORM}
        before, after = multipart_form(file_part(content=b"|")).split(b"|")
    if kind == "url":
        path, method = (await request_upload_url(client, fileSize=100 * MIB))["path"], client.put
    kept = world.stored_files()
    world.volume = with_room_for(3 * MIB)
    sent = 0

    async def body() -> Any:
        nonlocal sent
        yield before
        while sent < 50 * MIB:
            yield b"x" * (256 * 1024)
            sent += 256 * 1024
            # Filled for real, the volume would show it; here it always reports the same.
            world.volume = with_room_for(max(0, 3 * MIB - sent))
            await asyncio.sleep(0)
        yield after

    async with method(path, data=body(), headers=headers) as answer:
        assert answer.status == 507
    assert sent < 50 * MIB
    assert world.stored_files() == kept
    assert world.publisher.published == []


async def test_reading_and_asking_go_on(world: World) -> None:
    await world.add_completed(b"# Text")
    world.volume = FULL
    client = await world.serve()
    for path in (f"/api/documents/{ID}", f"/api/documents/{ID}/original", "/health", "/livez"):
        async with client.get(path) as answer:
            assert answer.status == 200
    async with client.get(f"/api/documents/status/{ID}") as answer:
        assert (await answer.json())["status"] == "completed"


async def test_deleting_goes_on(world: World) -> None:
    world.reads.add(record())
    world.volume = FULL
    client = await world.serve(removal_timeout=0.01)
    async with client.delete(f"/api/documents/{ID}") as answer:
        assert answer.status == 202
    assert len(world.publisher.published) == 1


async def test_with_room_again_the_next_request_comes_in(world: World) -> None:
    room, world.volume = world.volume, FULL
    await world.serve()
    body = multipart_form(file_part())
    assert (await world.send_raw(post_request(body))).status == 507
    world.volume = room
    assert (await world.send_raw(post_request(body))).status == 202
    assert isinstance(world.publisher.submitted, DocumentSubmitted)
