"""Batches by HTTP, on the real service, also when it is killed half way."""

import asyncio
import io
import sqlite3
import zipfile
from base64 import b64encode
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import nats
import pytest

from schemas.ids import new_id
from tests import documents
from tests.journeys.running import RunningService, Target, running_service
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("edge_in_core")

BROKEN = b"%PDF-1.7 and nothing else"
TIMEOUT = aiohttp.ClientTimeout(total=30)


def form(*contents: bytes, part: str = "files", **fields: str) -> aiohttp.FormData:
    data = aiohttp.FormData()
    for number, content in enumerate(contents, 1):
        data.add_field(part, io.BytesIO(content), filename=f"paper-{number}.pdf")
    for field, value in fields.items():
        data.add_field(field, value)
    return data


async def submit(session: aiohttp.ClientSession, url: str, *contents: bytes) -> Any:
    async with session.post(f"{url}/v1/batch/submit", data=form(*contents)) as answer:
        assert answer.status == 202, await answer.text()
        return await answer.json()


async def status(session: aiohttp.ClientSession, url: str, batch: str) -> dict[str, Any]:
    path = f"{url}/v1/batch/status/{batch}"
    async with session.get(path, params={"details": "true"}) as answer:
        assert answer.status == 200, "what was accepted is never unknown"
        batch_status: dict[str, Any] = await answer.json()
    counts, states = (
        dict(batch_status["progress"]),
        [one["status"] for one in batch_status["documents"]],
    )
    assert counts.pop("total") == len(states)
    # Both are read a moment apart, so a document may have come further in between.
    assert sum(counts.values()) == len(states)
    return batch_status


async def wait_for_end(session: aiohttp.ClientSession, url: str, batch: str) -> dict[str, Any]:
    async def ended() -> bool:
        batch_status = await status(session, url, batch)
        return batch_status["status"] in ("completed", "failed")

    await wait_until(ended, within=60)
    return await status(session, url, batch)


async def download(session: aiohttp.ClientSession, url: str, batch: str, form: str) -> bytes:
    path = f"{url}/v1/batch/download/{batch}"
    async with session.get(path, params={"format": form}) as answer:
        assert answer.status == 200
        return await answer.read()


async def test_a_batch_is_submitted_asked_for_and_downloaded(tmp_path: Path) -> None:
    async with (
        running_service(tmp_path) as service,
        aiohttp.ClientSession(timeout=TIMEOUT) as session,
    ):
        accepted = await submit(
            session, service.url, documents.pdf("First"), BROKEN, documents.pdf("Third", "Page two")
        )
        batch = accepted["batchId"]
        for document in accepted["documents"]:
            path = f"{service.url}/api/documents/status/{document['id']}"
            async with session.get(path) as answer:
                assert answer.status == 200, "what was accepted is never unknown"
        batch_status = await wait_for_end(session, service.url, batch)
        counts = {"total": 3, "pending": 0, "processing": 0, "completed": 2, "failed": 1}
        assert (batch_status["status"], batch_status["progress"]) == ("completed", counts)
        assert [one["status"] for one in batch_status["documents"]] == [
            "completed",
            "failed",
            "completed",
        ]
        assert batch_status["completedAt"]
        assert batch_status["downloadUrl"] == f"/v1/batch/download/{batch}"

        body = await download(session, service.url, batch, "jsonl")
        lines = [msgspec.json.decode(line) for line in body.splitlines()]
        assert [line["id"] for line in lines] == [one["id"] for one in accepted["documents"]]
        assert lines[0]["content"].strip() == "First"
        assert lines[2]["metadata"]["pages"] == 2
        assert (lines[1]["status"], lines[1]["code"]) == ("failed", "corrupt")
        assert lines[1]["error"]
        archive = zipfile.ZipFile(io.BytesIO(await download(session, service.url, batch, "zip")))
        assert archive.testzip() is None
        names = ["manifest.json", "001-paper-1.md", "003-paper-3.md"]
        assert archive.namelist() == names
        assert archive.read(names[2]).decode() == lines[2]["content"]


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["service", "all"])
async def test_a_batch_outlives_a_kill_with_exact_counters_and_bills(
    tmp_path: Path, victim: Target
) -> None:
    contents = [documents.pdf(f"Word{number:03d}") for number in range(1, 41)]
    contents[6] = contents[20] = BROKEN
    async with (
        running_service(tmp_path) as service,
        aiohttp.ClientSession(timeout=TIMEOUT) as session,
    ):
        accepted = await submit(session, service.url, *contents)
        batch = accepted["batchId"]

        async def under_way() -> bool:
            batch_status = await status(session, service.url, batch)
            return bool(batch_status["progress"]["completed"] >= 5)

        await wait_until(under_way, within=60)
        await service.kill(victim)
        await service.start()
        batch_status = await wait_for_end(session, service.url, batch)

        counts = {"total": 40, "pending": 0, "processing": 0, "completed": 38, "failed": 2}
        assert (batch_status["status"], batch_status["progress"]) == ("completed", counts)
        body = await download(session, service.url, batch, "jsonl")
        for number, line in enumerate(map(msgspec.json.decode, body.splitlines()), 1):
            if number not in (7, 21):
                assert line["content"].strip() == f"Word{number:03d}"

        def written_down() -> bool:
            with sqlite3.connect(tmp_path / "ilios.db") as connection:
                found = connection.execute("SELECT completed_at FROM batches").fetchall()
            return len(found) == 1 and found[0][0] is not None

        await wait_until(written_down)
        with sqlite3.connect(tmp_path / "ilios.db") as connection:
            billed = connection.execute("SELECT document_id FROM usage").fetchall()
            stored = connection.execute("SELECT id FROM documents").fetchall()
        assert len(stored) == 40
        assert len(billed) == len(set(billed)) == 38


async def test_a_batch_is_submitted_and_completed_over_the_bus(tmp_path: Path) -> None:
    batch = new_id()
    submitted = {
        "type": "batch.submitted/1",
        "batch_id": batch,
        "documents": [
            {
                "document_id": f"{batch}{number:03d}",
                "file_name": f"{number}.pdf",
                "source": {"kind": "inline", "data": b64encode(content).decode()},
            }
            for number, content in enumerate((documents.pdf("By the bus"), BROKEN), 1)
        ],
    }
    async with (
        running_service(tmp_path) as service,
        aiohttp.ClientSession(timeout=TIMEOUT) as session,
    ):
        publisher = await nats.connect((tmp_path / "nats" / "publisher.url").read_text().strip())
        ends = await publisher.subscribe(f"ilios.batch.completed.default.{batch}")
        subject = f"ilios.batch.submitted.default.{batch}"
        answer = await publisher.request(subject, msgspec.json.encode(submitted), timeout=30)
        assert msgspec.json.decode(answer.data).get("seq")
        assert (await status(session, service.url, batch))["progress"]["total"] == 2
        end = msgspec.json.decode((await ends.next_msg(timeout=60)).data)
        assert (end["total"], end["completed"], end["failed"]) == (2, 1, 1)
        body = await download(session, service.url, batch, "jsonl")
        lines = [msgspec.json.decode(line) for line in body.splitlines()]
        assert lines[0]["content"].strip() == "By the bus"
        assert lines[1]["code"] == "corrupt"
        await publisher.close()


async def _post(
    session: aiohttp.ClientSession, url: str, data: aiohttp.FormData
) -> tuple[int, Any, bool]:
    async with session.post(url, data=data, headers={"Idempotency-Key": '"order-7"'}) as answer:
        is_json = "json" in answer.content_type
        body = await answer.json(content_type=None) if is_json else await answer.text()
        return answer.status, body, "Idempotent-Replayed" in answer.headers


async def _only_blobs_of_one(service: RunningService) -> None:
    """Wait until nothing is in the store but what one completed document has."""
    blobs = service.data_dir / "blobs"

    def only_those() -> bool:
        found = [path for path in blobs.rglob("*") if path.is_file() and "+" in path.name]
        kinds = sorted(path.name.partition("+")[0] for path in found)
        return kinds == ["markdown", "originals", "results"]

    await wait_until(only_those, within=20)


@pytest.mark.parametrize(
    "path",
    [
        "/api/documents/submit",
        pytest.param("/v1/batch/submit", marks=pytest.mark.slow),
        pytest.param("/v1/convert", marks=pytest.mark.slow),
    ],
)
async def test_a_repeated_request_makes_one_document_also_across_a_kill(
    tmp_path: Path, path: str
) -> None:
    part = "files" if "batch" in path else "file"
    content, ok = documents.pdf("Order seven"), 200 if "convert" in path else 202
    async with (
        running_service(tmp_path) as service,
        aiohttp.ClientSession(timeout=TIMEOUT) as session,
    ):
        answers = await asyncio.gather(
            *(_post(session, service.url + path, form(content, part=part)) for _ in range(10))
        )
        assert {answer[0] for answer in answers} == {ok}
        assert all(answer[1] == answers[0][1] for answer in answers)
        assert sorted(answer[2] for answer in answers) == [False] + [True] * 9

        await service.kill("all")
        await service.start()
        again = await _post(session, service.url + path, form(content, part=part))
        assert again == (ok, answers[0][1], True)
        other = await _post(session, service.url + path, form(content + b"\n", part=part))
        assert (other[0], other[1]["code"]) == (422, "idempotency_key_reused")
        await _only_blobs_of_one(service)

        def counted(table: str) -> int:
            with sqlite3.connect(tmp_path / "ilios.db") as connection:
                return len(connection.execute(f"SELECT * FROM {table}").fetchall())

        await wait_until(lambda: counted("usage") == 1, within=20)
        assert counted("documents") == 1
