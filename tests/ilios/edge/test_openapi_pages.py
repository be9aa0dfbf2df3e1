"""Results of pages and their images are answered as described."""

from actors.blob_keys import image_key
from tests.ilios.edge.test_images import DIGITS, JPEG
from tests.ilios.edge.test_openapi import IMAGE, asked
from tests.ilios.edge.test_results import PAGES, store_result
from tests.ilios.edge.world import ID, World


async def test_the_pages_of_a_document_are_answered_as_described(world: World) -> None:
    client = await world.serve()
    await world.add_completed(
        b"# Hello\n", result=await store_result(world, *PAGES), fallback_from="mistral"
    )
    await asked(client, "documentStatus", 200)
    body = await asked(client, "readDocument", 200, params={"format": "json"})
    assert len(body["pages"]) == len(PAGES)


async def test_an_image_is_answered_as_described(world: World) -> None:
    client = await world.serve()
    await world.add_completed(b"# Hello\n", result=await store_result(world, *PAGES))
    for ending in ("jpeg", "png", "gif", "webp"):
        await world.blobs.put_bytes(image_key("default", ID, f"{DIGITS}.{ending}"), JPEG)
        await asked(client, "readImage", 200, name_of_image=f"{DIGITS}.{ending}")
    image = {"name_of_image": f"{DIGITS}.jpeg"}
    await asked(client, "readImage", 304, headers={"If-None-Match": f'"{DIGITS}"'}, **image)
    await asked(client, "readImage", 412, headers={"If-Match": '"other"'}, **image)
    await asked(client, "readImage", 206, headers={"Range": "bytes=0-1"}, **image)
    await asked(client, "readImage", 416, headers={"Range": "bytes=999-"}, **image)
    await asked(client, "readImage", 404, name_of_image=IMAGE)
