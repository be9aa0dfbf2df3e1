"""Markdown that a power cut took is answered from the result of its engine."""

import io
import zipfile

import msgspec
import pytest

from actors.blob_keys import result_key
from schemas.documents import Blob
from schemas.results import PageResult, ResultHead
from tests.ilios.edge.test_batches_download import DOWNLOAD, converted, ended, lines
from tests.ilios.edge.test_documents import DOCUMENT
from tests.ilios.edge.world import ID, World

TEXT = "# Überschrift\n\nund Text"
DATA = TEXT.encode()
LEFT = [None, b"", bytes(len(DATA)), DATA[:-1]]
"""What is left of the file: none, an empty one, zeros, a part."""


async def store_result(world: World, document_id: str) -> Blob:
    head = ResultHead(engine="local", model="m", pages=1, billed_pages=0)
    page = PageResult(index=0, markdown=TEXT)
    text = b"".join(msgspec.json.encode(one) + b"\n" for one in (head, page))
    return await world.blobs.put_bytes(result_key("default", document_id, "w"), text)


async def lose(world: World, markdown: Blob | None, left: bytes | None) -> None:
    assert markdown is not None
    await world.blobs.delete(markdown.key)
    if left is not None:
        await world.blobs.put_bytes(markdown.key, left)


@pytest.mark.parametrize("left", LEFT)
async def test_it_is_the_same_in_every_format_and_range(world: World, left: bytes | None) -> None:
    client = await world.serve()
    document = await world.add_completed(DATA, result=await store_result(world, ID))
    async with client.get(DOCUMENT) as answer:
        tag = answer.headers["ETag"]
    await lose(world, document.markdown, left)
    async with client.get(DOCUMENT) as answer:
        assert (answer.status, await answer.read(), answer.headers["ETag"]) == (200, DATA, tag)
    async with client.get(DOCUMENT, headers={"Range": "bytes=3-8"}) as answer:
        assert (answer.status, await answer.read()) == (206, DATA[3:9])
        assert answer.headers["Content-Range"] == f"bytes 3-8/{len(DATA)}"
    async with client.get(DOCUMENT, params={"format": "json"}) as answer:
        assert (await answer.json())["content"] == TEXT


@pytest.mark.parametrize("left", LEFT)
async def test_it_is_in_the_download_of_its_batch(world: World, left: bytes | None) -> None:
    client = await world.serve()
    document = await converted(world, 1, DATA)
    result = await store_result(world, document.document_id)
    world.reads.add(msgspec.structs.replace(document, result=result))
    ended(world, 1)
    await lose(world, document.markdown, left)
    async with client.get(DOWNLOAD) as answer:
        (line,) = lines(await answer.read())
    assert line["content"] == TEXT
    async with client.get(DOWNLOAD, params={"format": "zip"}) as answer:
        with zipfile.ZipFile(io.BytesIO(await answer.read())) as archive:
            assert DATA in [archive.read(name) for name in archive.namelist()]


@pytest.mark.parametrize("left", LEFT)
async def test_without_a_result_it_is_gone_or_damaged(world: World, left: bytes | None) -> None:
    client = await world.serve()
    lost = Blob(result_key("default", ID, "w"), 200, "0" * 64)
    document = await world.add_completed(DATA, result=lost)
    await lose(world, document.markdown, left)
    expected = (410, "content_gone") if left is None else (500, "content_damaged")
    for headers in ({}, {"Range": "bytes=0-0"}):
        async with client.get(DOCUMENT, headers=headers) as answer:
            assert (answer.status, (await answer.json())["code"]) == expected
