"""A corpus of real and hostile documents, all at once: each reaches its end, nobody else suffers.

Not part of the project: a directory named by ILIOS_CORPUS, with a ``manifest.json`` that lists
``path`` and ``kind`` of each document.
"""

import asyncio
import json
import os
from io import BytesIO
from pathlib import Path

import aiohttp
import pytest

from tests.journeys.running import RunningService, running_service

CORPUS = Path(os.environ.get("ILIOS_CORPUS", "corpus"))
ENDED_WITHIN = 280.0  # seconds; recognising the scans takes about 100 CPU seconds
ASKED_EVERY = 0.5  # seconds
HOSTILE = ("adversarial", "malformed", "encrypted")
BLANK = ("blank",)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        not (CORPUS / "manifest.json").exists(), reason="ILIOS_CORPUS names no corpus"
    ),
]


@pytest.mark.parametrize("every", [3, pytest.param(1, marks=pytest.mark.long)])
async def test_every_document_of_the_corpus_reaches_its_end_and_harms_nobody(
    tmp_path: Path, every: int
) -> None:
    entries = json.loads((CORPUS / "manifest.json").read_text())[::every]
    async with running_service(tmp_path) as service, aiohttp.ClientSession() as session:
        own = service.pid, service.children("nats-server")

        async with asyncio.timeout(ENDED_WITHIN):
            ends = await asyncio.gather(
                *(_end_of(session, service, CORPUS / entry["path"]) for entry in entries)
            )

        assert (service.pid, service.children("nats-server")) == own
        assert not service.has_ended
    for entry, (state, text) in zip(entries, ends, strict=True):
        if entry["kind"] in HOSTILE:
            assert state in ("completed", "failed", "refused"), entry["path"]
            assert state == "completed" or text.endswith("."), f"{entry['path']}: {text}"
        else:
            assert state == "completed", f"{entry['path']}: {text}"
            assert bool(text.strip()) is (entry["kind"] not in BLANK), entry["path"]


async def _end_of(
    session: aiohttp.ClientSession, service: RunningService, path: Path
) -> tuple[str, str]:
    """Return (state, Markdown or reason)."""
    form = aiohttp.FormData()
    form.add_field("file", BytesIO(path.read_bytes()), filename=path.name)
    async with session.post(f"{service.url}/api/documents/submit", data=form) as answer:
        assert answer.status < 500, await answer.text()
        submitted = await answer.json(content_type=None)
        if answer.status != 202:
            return "refused", submitted["error"] + "."
    document = submitted["id"]
    while True:
        async with session.get(f"{service.url}/api/documents/status/{document}") as answer:
            assert answer.status == 200
            status = await answer.json()
        if status["status"] == "failed":
            return "failed", status["error"]
        if status["status"] == "completed":
            async with session.get(f"{service.url}/api/documents/{document}") as answer:
                return "completed", await answer.text()
        await asyncio.sleep(ASKED_EVERY)
