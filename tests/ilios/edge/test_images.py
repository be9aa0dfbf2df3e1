"""Images of pages are read at the addresses in the Markdown, only by the tenant of the document."""

import hashlib
from typing import Any

import pytest

from actors.blob_keys import image_key
from ilios.edge.auth import tenant_of
from schemas.documents import Blob
from tests.ilios.edge.test_removed_documents import removed
from tests.ilios.edge.world import ID, World, record

JPEG = b"\xff\xd8\xff\xe0 an image"
SHA256 = hashlib.sha256(JPEG).hexdigest()
DIGITS = SHA256[:32]
IMAGE = f"/api/documents/{ID}/images/{DIGITS}.jpeg"
RESULT = Blob(f"results/default/{ID}.w", 3, "0" * 64)


async def document_with_image(
    world: World, tenant: str = "default", ending: str = "jpeg", **fields: Any
) -> str:
    """Add a document with an image to the database; returns the image's key."""
    await world.add_completed(b"# One\n", tenant=tenant, result=RESULT, **fields)
    key = image_key(tenant, ID, f"{DIGITS}.{ending}")
    await world.blobs.put_bytes(key, JPEG)
    return key


async def test_an_image_is_answered_with_what_keeps_browsers_from_running_it(world: World) -> None:
    client = await world.serve()
    for ending, kind in (
        ("jpeg", "image/jpeg"),
        ("png", "image/png"),
        ("gif", "image/gif"),
        ("webp", "image/webp"),
    ):
        await document_with_image(world, ending=ending)
        path = IMAGE.replace("jpeg", ending)
        async with client.get(path) as answer:
            assert (answer.status, await answer.read()) == (200, JPEG)
            assert answer.headers["Content-Type"] == kind
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Content-Security-Policy"].startswith("sandbox")
            name = f'inline; filename="{DIGITS}.{ending}"'
            assert answer.headers["Content-Disposition"] == name
            assert answer.headers["ETag"] == f'"{DIGITS}"'
        async with client.head(path) as answer:
            assert (answer.status, answer.content_length) == (200, len(JPEG))


async def test_an_image_supports_etag_and_range_requests(world: World) -> None:
    client = await world.serve()
    await document_with_image(world)
    for headers, status, body in (
        ({"If-None-Match": f'"{DIGITS}"'}, 304, b""),
        ({"Range": "bytes=0-2"}, 206, JPEG[:3]),
        ({"Range": "bytes=0-2", "If-Range": f'"{DIGITS}"'}, 206, JPEG[:3]),
    ):
        async with client.get(IMAGE, headers=headers) as answer:
            assert (answer.status, await answer.read()) == (status, body)
    async with client.get(IMAGE, headers={"Range": "bytes=999-"}) as answer:
        assert answer.status == 416
    async with client.get(IMAGE, headers={"If-Match": '"other"'}) as answer:
        assert answer.status == 412


async def test_an_image_that_is_not_what_was_stored_is_never_passed_off(world: World) -> None:
    client = await world.serve()
    key = await document_with_image(world)
    await world.blobs.put_bytes(key, JPEG[::-1])
    async with client.get(IMAGE) as answer:
        assert (answer.status, (await answer.json())["code"]) == (500, "content_damaged")


@pytest.mark.parametrize(
    "name",
    [
        "img-0.jpeg",
        f"{DIGITS}.svg",
        f"{DIGITS}.jpg",
        f"{DIGITS}.JPEG",
        f"{DIGITS}.jpeg%0A",
        DIGITS,
        f"{DIGITS.upper()}.jpeg",
        f"{DIGITS[1:]}.jpeg",
        f"0{DIGITS}.jpeg",
        f"{'0' * 32}.jpeg",
        f"..%2f..%2foriginals%2fdefault%2f{ID}",
        f"%2e%2e%2f{DIGITS}.jpeg",
    ],
)
async def test_what_is_no_image_of_the_document_is_404(world: World, name: str) -> None:
    client = await world.serve()
    await document_with_image(world)
    async with client.get(f"/api/documents/{ID}/images/{name}") as answer:
        assert (answer.status, (await answer.json())["code"]) == (404, "image_not_found")


async def test_an_image_of_what_is_yet_to_be_completed_is_404(world: World) -> None:
    client = await world.serve()
    await document_with_image(world)
    for document in (record(state="processing"), record(state="failed", code="x", reason="x")):
        world.reads.add(document)
        async with client.get(IMAGE) as answer:
            assert answer.status == 404


async def test_of_an_archived_document_the_images_stay(world: World) -> None:
    client = await world.serve()
    await document_with_image(world, state="archived")
    async with client.get(IMAGE) as answer:
        assert answer.status == 200


@pytest.mark.parametrize("state", ["deleted", "cancelled"])
async def test_an_image_of_a_removed_document_is_410_before_it_is_erased(
    world: World, state: str
) -> None:
    client = await world.serve()
    await document_with_image(world)
    world.reads.add(removed(state, result=RESULT))
    async with client.get(IMAGE) as answer:
        assert (answer.status, (await answer.json())["code"]) == (410, f"document_{state}")


async def test_somebody_elses_image_is_as_unknown_as_none(world: World) -> None:
    client = await world.serve("key-1", "key-2")
    await document_with_image(world, tenant=tenant_of("key-1"))
    statuses = {}
    for key in ("key-1", "key-2", "key-3"):
        async with client.get(IMAGE, headers={"X-Api-Key": key}) as answer:
            statuses[key] = answer.status
            code = (await answer.json())["code"] if answer.status == 404 else None
        assert code in (None, "document_not_found")
    assert statuses == {"key-1": 200, "key-2": 404, "key-3": 401}
    async with client.get(IMAGE) as answer:
        assert answer.status == 401


async def test_a_wrong_id_is_400(world: World) -> None:
    client = await world.serve()
    async with client.get(IMAGE.replace(ID, "short")) as answer:
        assert answer.status == 400
