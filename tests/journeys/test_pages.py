"""The pages of a document are followed while it is converted, whatever is killed meanwhile."""

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from bus.connection import connect
from bus.pages import page_events
from ilios.chaos.processes import ENGINE
from schemas.pages import PageConverted
from tests import documents
from tests.journeys.running import running_service

PAGES = [f"Page {number} of many, with words of its own" for number in range(1, 301)]


async def lines(answer: aiohttp.ClientResponse) -> AsyncIterator[dict[str, Any]]:
    async for line in answer.content:
        yield msgspec.json.decode(line)


@pytest.mark.parametrize("edge_processes", ["1", pytest.param("0", marks=pytest.mark.slow)])
async def test_pages_come_while_the_rest_is_converted_also_after_its_process_was_killed(
    tmp_path: Path, edge_processes: str
) -> None:
    drafts: dict[int, str] = {}
    final: list[tuple[int, str]] = []
    events: list[PageConverted] = []
    last: dict[str, Any] = {}
    async with (
        running_service(tmp_path, ILIOS_EDGE_PROCESSES=edge_processes) as service,
        aiohttp.ClientSession(service.url) as session,
    ):
        url = (tmp_path / "nats" / "publisher.url").read_text().strip()
        async with connect(url, name="publisher") as bus, page_events(bus, events.append, "*"):
            form = aiohttp.FormData()
            form.add_field("file", documents.pdf(*PAGES), filename="long.pdf")
            async with session.post("/api/documents/submit", data=form) as submitted:
                document = (await submitted.json())["id"]
            pages = f"/v1/documents/{document}/pages"
            async with session.get(pages, params={"follow": "true"}) as answer:
                async for line in lines(answer):
                    if "index" not in line:
                        last = line
                    elif line["final"]:
                        final.append((line["index"], line["markdown"]))
                    else:
                        if not drafts:
                            for pid in service.children(ENGINE):
                                os.kill(pid, signal.SIGKILL)
                        assert not final, "no draft after the result"
                        drafts[line["index"]] = line["markdown"]
    assert last == {"state": "completed", "pages": len(PAGES)}
    assert final == list(enumerate(PAGES))
    assert drafts.keys() >= set(range(64)), "the first batch came while others were converted"
    assert {drafts[index] for index in range(64)} == set(PAGES[:64])
    assert {event.document_id for event in events} == {document}
    assert (events[-1].page, events[-1].of, events[-1].engine) == (300, 300, "local")
