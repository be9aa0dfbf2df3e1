"""The JSON has each page's result of the engine, in constant memory and never in part."""

import hashlib
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from aiohttp import ClientPayloadError

from actors.blob_keys import result_key
from ilios.edge.blob_responses import MAX_BUFFERED_BYTES
from ilios.formats.as_json import as_json_items
from schemas.documents import Blob, DocumentSubmitted
from schemas.results import Box, PageDimensions, PageImage, PageResult, PageTable, ResultHead
from tests.ilios.edge.test_documents import DOCUMENT, LARGE, STATUS
from tests.ilios.edge.test_submit import form_data
from tests.ilios.edge.world import ID, World, completed_event

HEAD = ResultHead(engine="mistral", model="mistral-ocr-2512", pages=2, billed_pages=2)
NAME = f"{'0123456789abcdef' * 2}.jpeg"
PAGES = (
    PageResult(
        index=0,
        markdown=f"# One\n\n![img-0.jpeg](/api/documents/{ID}/images/{NAME})",
        images=(PageImage(id="img-0.jpeg", name=NAME, box=Box(1, 2, 3, 4)),),
        dimensions=PageDimensions(dpi=200, height=2200, width=1700),
    ),
    PageResult(index=1, markdown="zwei", tables=(PageTable("tbl-0", "| a |", "markdown"),)),
)
DESCRIBED_PAGES = [
    {
        "index": 0,
        "markdown": PAGES[0].markdown,
        "images": [
            {
                "id": "img-0.jpeg",
                "name": NAME,
                "box": {"topLeftX": 1, "topLeftY": 2, "bottomRightX": 3, "bottomRightY": 4},
            }
        ],
        "dimensions": {"dpi": 200, "height": 2200, "width": 1700},
    },
    {
        "index": 1,
        "markdown": "zwei",
        "tables": [{"id": "tbl-0", "content": "| a |", "format": "markdown"}],
    },
]
REMOTE: dict[str, Any] = {"engine": "mistral", "model": "mistral-ocr-2512"}


def lines(*pages: PageResult) -> bytes:
    return b"".join(msgspec.json.encode(one) + b"\n" for one in (HEAD, *pages))


async def store_result(world: World, *pages: PageResult) -> Blob:
    """Keep a result as an engine does."""
    return await world.blobs.put_bytes(result_key("default", ID, "w"), lines(*pages))


async def test_the_json_has_the_details_of_each_page(world: World) -> None:
    client = await world.serve()
    for markdown in (b"", b"# One\n", LARGE):
        for pages, described in (((), []), (PAGES, DESCRIBED_PAGES)):
            await world.add_completed(markdown, result=await store_result(world, *pages), **REMOTE)
            async with client.get(DOCUMENT, params={"format": "json"}) as answer:
                assert (answer.status, answer.content_type) == (200, "application/json")
                body = await answer.json()
            assert (body["content"], body["pages"]) == (markdown.decode(), described)
            assert (body["metadata"]["engine"], body["metadata"]["model"]) == (
                "mistral",
                "mistral-ocr-2512",
            )
            assert "fallbackFrom" not in body["metadata"]
            async with client.head(DOCUMENT, params={"format": "json"}) as answer:
                assert (answer.status, await answer.read()) == (200, b"")


async def test_a_result_larger_than_what_is_held_in_memory_is_streamed_whole(world: World) -> None:
    client = await world.serve()
    text = LARGE.decode()[: MAX_BUFFERED_BYTES // 4]
    pages = [PageResult(index=number, markdown=text) for number in range(12)]
    await world.add_completed(b"# One\n", result=await store_result(world, *pages))
    async with client.get(DOCUMENT, params={"format": "json"}) as answer:
        assert answer.content_length is None
        body = await answer.json()
    assert body["pages"] == [{"index": number, "markdown": text} for number in range(12)]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
async def test_lines_become_items_wherever_the_pieces_are_cut(size: int) -> None:
    for count in range(4):
        text = b'{"head":1}\n' + b"".join(b'{"n":%d}\n' % number for number in range(count))

        async def cut(text: bytes = text) -> AsyncIterator[bytes]:
            for start in range(0, len(text), size):
                yield text[start : start + size]

        items = b"".join([piece async for piece in as_json_items(cut())])
        assert msgspec.json.decode(b"[" + items + b"]") == [{"n": one} for one in range(count)]


async def test_a_document_without_a_result_has_no_page_details(world: World) -> None:
    client = await world.serve()
    await world.add_completed(b"# One\n")
    async with client.get(DOCUMENT, params={"format": "json"}) as answer:
        assert "pages" not in await answer.json()


async def test_another_result_has_another_tag(world: World) -> None:
    client = await world.serve()
    tags = set()
    for pages in (None, (), PAGES):
        result = None if pages is None else await store_result(world, *pages)
        await world.add_completed(b"# One\n", result=result)
        async with client.get(DOCUMENT, params={"format": "json"}) as answer:
            tag = answer.headers["ETag"]
        tags.add(tag)
        headers = {"If-None-Match": tag}
        async with client.get(DOCUMENT, params={"format": "json"}, headers=headers) as answer:
            assert (answer.status, await answer.read()) == (304, b"")
    assert len(tags) == 3


async def test_a_missing_result_is_an_error_before_the_response_begins(world: World) -> None:
    client = await world.serve()
    for markdown in (b"# One\n", LARGE):
        await world.add_completed(markdown, result=Blob("results/default/none", 3, "0" * 64))
        async with client.get(DOCUMENT, params={"format": "json"}) as answer:
            assert (answer.status, (await answer.json())["code"]) == (410, "content_gone")
        async with client.get(DOCUMENT) as answer:
            assert await answer.read() == markdown


async def test_a_result_that_is_not_what_was_stored_is_never_passed_off(world: World) -> None:
    client = await world.serve()
    result = await store_result(world, *PAGES)
    await world.blobs.put_bytes(result.key, lines(*PAGES).replace(b"zwei", b"drei"))
    await world.add_completed(b"# One\n", result=result)
    async with client.get(DOCUMENT, params={"format": "json"}) as answer:
        assert (answer.status, (await answer.json())["code"]) == (500, "content_damaged")
    await world.add_completed(LARGE, result=result)
    with pytest.raises(ClientPayloadError):
        async with client.get(DOCUMENT, params={"format": "json"}) as answer:
            await answer.read()


async def test_a_conversion_answers_with_its_pages_too(world: World) -> None:
    async def convert(submitted: DocumentSubmitted) -> None:
        markdown = await world.blobs.put_bytes(f"markdown/x/{submitted.document_id}", b"# One\n")
        ended = completed_event(submitted, markdown)
        result = await store_result(world, *PAGES)
        world.outcomes.end(
            msgspec.structs.replace(ended, result=result, fallback_from="mistral"),
        )

    world.publisher.on_submission = convert
    client = await world.serve()
    async with client.post("/v1/convert", data=form_data(format="json")) as answer:
        body = await answer.json()
    assert (answer.status, body["pages"]) == (200, DESCRIBED_PAGES)
    assert body["metadata"]["fallbackFrom"] == "mistral"


async def test_the_fallback_engine_is_reported(world: World) -> None:
    client = await world.serve()
    await world.add_completed(b"# One\n", fallback_from="mistral")
    async with client.get(STATUS) as answer:
        described = (await answer.json())["metadata"]
    assert (described["engine"], described["model"]) == ("local", "local-1")
    assert described["fallbackFrom"] == "mistral"
    async with client.get(DOCUMENT, params={"format": "json"}) as answer:
        assert (await answer.json())["metadata"]["fallbackFrom"] == "mistral"


async def test_the_markdown_has_the_tag_of_its_own_bytes_whatever_the_result(world: World) -> None:
    client = await world.serve()
    await world.add_completed(b"# One\n", result=await store_result(world, *PAGES))
    async with client.get(DOCUMENT) as answer:
        assert answer.headers["ETag"] == f'"{hashlib.sha256(b"# One" + bytes([10])).hexdigest()}"'
