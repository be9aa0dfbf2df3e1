"""What a document lacks is in every answer about it, on the bus, in its row, after a rebuild."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import nats
import pytest

from tests import documents
from tests.journeys.commands import run_ilios
from tests.journeys.data_directory import blob_names
from tests.journeys.running import RunningService, running_service
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("edge_in_core")

WARNINGS = [
    {
        "code": "page_unreadable",
        "message": "The page is damaged and could not be read.",
        "pages": [2],
    }
]
WITHIN = 60.0  # seconds


async def convert(service: RunningService) -> tuple[dict[str, Any], Any]:
    """Convert a document with a broken page; return the answer and the ``completed`` event."""
    credentials = (service.data_dir / "nats" / "publisher.url").read_text().strip()
    client = await nats.connect(credentials)
    try:
        completed = await client.subscribe("ilios.document.completed.*.default.*")
        await client.flush()
        form = aiohttp.FormData({"format": "json"})
        form.add_field("file", documents.pdf_with_broken_page(), filename="half.pdf")
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{service.url}/v1/convert", data=form) as answer,
        ):
            assert (answer.status, answer.headers["X-Warnings"]) == (200, "page_unreadable")
            body = await answer.json()
        event = await completed.next_msg(timeout=WITHIN)
        return body, msgspec.json.decode(event.data)
    finally:
        await client.close()


def assessment(database: Path, name: str) -> tuple[Any, Any]:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        query = "SELECT warnings, quality FROM documents WHERE id = ?"
        warnings, quality = connection.execute(query, (name,)).fetchone()
        return msgspec.json.decode(warnings), msgspec.json.decode(quality)


async def get(service: RunningService, path: str) -> Any:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{service.url}{path}") as answer,
    ):
        assert answer.status == 200
        return await answer.json()


async def test_a_damaged_page_is_named_wherever_the_document_is(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with running_service(data) as service:
        body, event = await convert(service)
        name = body["id"]
        assert body["warnings"] == event["warnings"] == WARNINGS
        quality = body["quality"]
        assert quality == event["quality"]
        assert (quality["lowest"], quality["unreadable"]) == (0.0, 1)
        assert 0.4 < quality["score"] <= 0.5
        first, second = body["pages"]
        assert "can be read" in first["markdown"]
        assert (second["index"], second["markdown"]) == (1, "")
        assert [one["code"] for one in second["warnings"]] == ["page_unreadable"]
        for path in (f"/api/documents/status/{name}", f"/api/documents/{name}?format=json"):
            answer = await get(service, path)
            assert (answer["warnings"], answer["quality"]) == (WARNINGS, quality)
    before = assessment(data / "ilios.db", name)
    assert before == (WARNINGS, quality)
    await asyncio.to_thread((data / "ilios.db").unlink)
    made = await run_ilios(data, "rebuild")
    assert made.code == 0, made
    assert assessment(data / "ilios.db", name) == before


async def test_the_report_on_pages_is_erased_with_the_document(tmp_path: Path) -> None:
    async with running_service(tmp_path, ILIOS_JANITOR_INTERVAL="1") as service:
        body, event = await convert(service)
        assert event["result"]["key"].replace("/", "+") in blob_names(tmp_path)
        async with (
            aiohttp.ClientSession() as session,
            session.delete(f"{service.url}/api/documents/{body['id']}") as answer,
        ):
            assert answer.status == 200
        await wait_until(lambda: not blob_names(tmp_path), WITHIN)
