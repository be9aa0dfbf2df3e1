"""Warnings and quality of a conversion are in every answer about the document, as described."""

import io
import json
import zipfile
from typing import Any

import msgspec

from schemas.documents import DocumentSubmitted
from tests import events
from tests.ilios.edge.test_batches_download import DOWNLOAD, ZIP, converted, ended
from tests.ilios.edge.test_documents import DOCUMENT, STATUS
from tests.ilios.edge.test_openapi import asked
from tests.ilios.edge.test_submit import form_data
from tests.ilios.edge.world import ID, World, completed_event

ASSESSED: dict[str, Any] = {
    "warnings": events.UNREADABLE,
    "quality": events.HALF,
    "partial": True,
}
DESCRIBED = {
    "warnings": [
        {
            "code": "page_unreadable",
            "message": "The page is damaged and could not be read.",
            "pages": [2],
        }
    ],
    "quality": {
        "score": 0.5,
        "lowest": 0.0,
        "conservation": 0.99,
        "recognised": 1,
        "unreadable": 1,
    },
    "partial": True,
}


def assessment(body: dict[str, Any]) -> dict[str, Any]:
    return {name: body[name] for name in DESCRIBED if name in body}


async def test_status_and_result_have_the_warnings_as_described(world: World) -> None:
    client = await world.serve()
    await world.add_completed(b"# One\n", **ASSESSED)
    assert assessment(await asked(client, "documentStatus", 200)) == DESCRIBED
    body = await asked(client, "readDocument", 200, params={"format": "json"})
    assert assessment(body) == DESCRIBED
    async with client.get(DOCUMENT) as answer:
        assert answer.headers["X-Warnings"] == "page_unreadable"
        assert answer.headers["X-Partial"] == "true"
        assert await answer.read() == b"# One\n"


async def test_a_clean_document_has_no_warnings(world: World) -> None:
    client = await world.serve()
    await world.add_completed(b"# One\n")
    for path, params in ((STATUS, {}), (DOCUMENT, {"format": "json"})):
        async with client.get(path, params=params) as answer:
            assert assessment(await answer.json()) == {}
            assert not {"X-Warnings", "X-Partial"} & answer.headers.keys()


async def test_a_conversion_answers_with_its_warnings(world: World) -> None:
    async def convert(submitted: DocumentSubmitted) -> None:
        markdown = await world.blobs.put_bytes(f"markdown/x/{submitted.document_id}", b"# One\n")
        ended = completed_event(submitted, markdown)
        world.outcomes.end(msgspec.structs.replace(ended, **ASSESSED))

    world.publisher.on_submission = convert
    client = await world.serve()
    async with client.post("/v1/convert", data=form_data(format="json")) as answer:
        assert answer.headers["X-Warnings"] == "page_unreadable"
        assert assessment(await answer.json()) == DESCRIBED


async def test_a_batch_lists_the_warnings_of_its_documents(world: World) -> None:
    client = await world.serve()
    await converted(world, 1, b"# One\n", **ASSESSED)
    await converted(world, 2, b"# Two\n")
    ended(world, 2)
    query = {"details": "true"}
    async with client.get(f"/v1/batch/status/{ID}", params=query) as answer:
        listed = (await answer.json())["documents"]
    async with client.get(DOWNLOAD) as answer:
        lines = [json.loads(line) for line in (await answer.text()).splitlines()]
    async with client.get(DOWNLOAD, params=ZIP) as answer:
        with zipfile.ZipFile(io.BytesIO(await answer.read())) as archive:
            manifest = json.loads(archive.read("manifest.json"))["documents"]
    for documents in (listed, lines, manifest):
        assert [assessment(document) for document in documents] == [DESCRIBED, {}]
