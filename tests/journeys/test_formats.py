"""A document and a batch in each format, from the submission to the answer, as by the CLI."""

import io
import zipfile
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from actors.engines import PAGE_SEPARATOR
from tests import documents
from tests.journeys.commands import run_ilios
from tests.journeys.running import running_service
from tests.journeys.test_batches import submit, wait_for_end

PAGES = ("Title <script>alert(1)</script>", "Second page of the report")


@pytest.mark.slow
@pytest.mark.usefixtures("edge_in_core")
async def test_a_document_and_a_batch_have_the_same_words_in_each_format(tmp_path: Path) -> None:
    content = documents.pdf(*PAGES)
    file = tmp_path / "paper-1.pdf"
    file.write_bytes(content)
    async with running_service(tmp_path / "data") as service, aiohttp.ClientSession() as session:
        accepted = await submit(session, service.url, content, content)
        batch = accepted["batchId"]
        ended = await wait_for_end(session, service.url, batch)
        document = f"{service.url}/api/documents/{ended['documents'][0]['id']}"
        download = f"{service.url}/v1/batch/download/{batch}"
        markdown = await _get(session, document)
        served = {}
        for form, suffix in (("text", "txt"), ("html", "html"), ("chunks", "jsonl")):
            served[form] = await _get(session, document, format=form)
            lines = (await _get(session, download, contentFormat=form)).splitlines()
            assert msgspec.json.decode(lines[0])["content"].encode() == served[form]
            packed = await _get(session, download, contentFormat=form, format="zip")
            with zipfile.ZipFile(io.BytesIO(packed)) as archive:
                assert archive.read(f"001-paper-1.{suffix}") == served[form]
    for form in ("text", "html"):
        printed = await run_ilios(tmp_path, "convert", str(file), "--format", form)
        assert printed.out.encode() == served[form]
    assert served["text"].decode() == f"{PAGES[0]}\n\f{PAGES[1]}\n"
    assert b"<script" not in served["html"]
    assert b"&lt;script&gt;alert(1)&lt;/script&gt;" in served["html"]
    (chunk,) = map(msgspec.json.decode, served["chunks"].splitlines())
    assert (chunk["pages"], chunk["start"], chunk["end"]) == ([1, 2], 0, len(markdown))
    assert chunk["text"] == markdown.decode().replace(PAGE_SEPARATOR, "\n\n")


async def _get(session: aiohttp.ClientSession, url: str, **query: Any) -> bytes:
    async with session.get(url, params=query) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.read()
