"""A client written against the contract of the HTTP API finds every endpoint, key and code."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
import pytest_asyncio
from aiohttp import FormData

from schemas.ids import is_id, new_id
from tests import documents
from tests.journeys.running import RunningService, running_service
from tests.waiting import wait_until

PDF = documents.pdf("Meridian", "Page two")
BROKEN = b"%PDF-1.7 and nothing else"


class Caller:
    """A client of the API."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session

    async def json(self, verb: str, path: str, status: int, **more: Any) -> Any:
        """Send a request, check its status against the contract, and return the JSON."""
        async with self.session.request(verb, path, **more) as response:
            body = await response.read()
            assert response.status == status, (verb, path, response.status, body)
            return msgspec.json.decode(body)

    async def text(self, path: str, **more: Any) -> tuple[str, "aiohttp.ClientResponse"]:
        """Return the body of a good answer, and the answer."""
        async with self.session.get(path, **more) as response:
            assert response.status == 200, await response.text()
            return await response.text(), response

    async def ended(self, path: str) -> Any:
        """Ask until a document or a batch has ended; return its last status."""
        last: dict[str, Any] = {}

        async def has_ended() -> bool:
            last.update(await self.json("GET", path, 200))
            return last["status"] in ("completed", "failed")

        await wait_until(has_ended, 60)
        return last

    async def submitted(self) -> str:
        """Submit a document and wait until it is completed; return its id."""
        answer = await self.json("POST", "/api/documents/submit", 202, data=form("file", PDF))
        await self.ended(f"/api/documents/status/{answer['id']}")
        return str(answer["id"])


def form(name: str, *files: bytes, file_name: str = "report.pdf", **fields: str) -> FormData:
    """Return a form with files and fields, as ``curl -F`` sends it."""
    data = FormData()
    for number, content in enumerate(files):
        data.add_field(name, content, filename=f"{number}-{file_name}" if number else file_name)
    for field, value in fields.items():
        data.add_field(field, value)
    return data


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningService]:
    """A service for all tests that look at their own documents only."""
    async with running_service(tmp_path_factory.mktemp("contract")) as service:
        yield service


@pytest.fixture
async def caller(service: RunningService) -> AsyncIterator[Caller]:
    """A client of the common service."""
    async with aiohttp.ClientSession(service.url) as session:
        yield Caller(session)


@pytest.fixture
async def only_caller(edge_in_core: None, tmp_path: Path) -> AsyncIterator[Caller]:
    """A client of a service that no other test uses."""
    async with (
        running_service(tmp_path) as service,
        aiohttp.ClientSession(service.url) as session,
    ):
        yield Caller(session)


async def test_a_document_is_submitted_asked_for_and_read(caller: Caller) -> None:
    data = form("file", PDF, retentionDays="30")
    answer = await caller.json("POST", "/api/documents/submit", 202, data=data)
    named = {"id", "status", "fileName", "fileSize", "retentionDays", "createdAt"}
    assert named <= set(answer)
    assert is_id(answer["id"])
    assert (answer["status"], answer["retentionDays"]) == ("pending", 30)
    assert answer["createdAt"].endswith("Z")
    status = await caller.ended(f"/api/documents/status/{answer['id']}")
    assert status["status"] == "completed"
    assert (status["fileName"], status["fileSize"]) == ("report.pdf", len(PDF))
    assert set(status["metadata"]) == {"pages", "processingTimeMs", "model", "engine"}
    assert status["downloadUrl"] == f"/api/documents/{answer['id']}"
    text, response = await caller.text(f"/api/documents/{answer['id']}")
    assert response.headers["Content-Type"] == "text/markdown; charset=utf-8"
    assert response.headers["Content-Disposition"] == 'inline; filename="report.pdf.md"'
    assert "Meridian" in text
    assert "\n\n---\n\n" in text
    whole = await caller.json("GET", f"/api/documents/{answer['id']}?format=json", 200)
    assert {"id", "content", "metadata", "fileName", "createdAt", "processedAt"} <= set(whole)
    async with caller.session.get(f"/api/documents/{answer['id']}/original") as response:
        assert await response.read() == PDF


async def test_convert_answers_with_markdown_or_json(caller: Caller) -> None:
    async with caller.session.post("/v1/convert", data=form("file", PDF)) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/markdown; charset=utf-8"
        assert {"X-Document-Id", "X-Processing-Time-Ms", "X-Extracted-Pages"} <= set(
            response.headers
        )
        assert "Meridian" in await response.text()
    data = form("file", PDF, format="json")
    answer = await caller.json("POST", "/v1/convert", 200, data=data)
    assert {"id", "content", "metadata", "usage", "downloadUrl"} <= set(answer)
    metadata = {"model", "extractedPages", "processingTimeMs", "fileName", "fileSize", "mimeType"}
    assert metadata <= set(answer["metadata"])
    assert {"prompt_tokens", "completion_tokens", "total_tokens"} <= set(answer["usage"])


async def test_a_batch_is_submitted_asked_for_and_downloaded(caller: Caller) -> None:
    data = form("files", PDF, BROKEN, PDF, priority="8", retentionDays="10")
    answer = await caller.json("POST", "/v1/batch/submit", 202, data=data)
    assert {"batchId", "status", "totalDocuments", "documents", "statusUrl"} <= set(answer)
    assert (answer["status"], answer["totalDocuments"]) == ("queued", 3)
    for document in answer["documents"]:
        assert {"id", "fileName", "fileSize", "status"} <= set(document)
        assert document["status"] == "pending"
        await caller.json("GET", f"/api/documents/status/{document['id']}", 200)
    batch = answer["batchId"]
    assert answer["statusUrl"] == f"/v1/batch/status/{batch}"
    status = await caller.ended(answer["statusUrl"])
    assert {"batchId", "status", "progress", "createdAt", "completedAt", "downloadUrl"} <= set(
        status
    )
    progress = {"total": 3, "pending": 0, "processing": 0, "completed": 2, "failed": 1}
    assert status["progress"] == progress
    assert status["downloadUrl"] == f"/v1/batch/download/{batch}"
    detailed = await caller.json("GET", f"{answer['statusUrl']}?details=true", 200)
    for document in detailed["documents"]:
        assert {"id", "fileName", "status", "error", "processedAt"} <= set(document)
    text, response = await caller.text(f"/v1/batch/download/{batch}?format=jsonl")
    assert response.headers["Content-Type"] == "application/x-ndjson; charset=utf-8"
    name = f'attachment; filename="batch-{batch}.jsonl"'
    assert response.headers["Content-Disposition"] == name
    lines = [msgspec.json.decode(line) for line in text.splitlines()]
    assert [line["id"] for line in lines] == [one["id"] for one in answer["documents"]]
    assert [line["status"] for line in lines] == ["completed", "failed", "completed"]
    completed = {"id", "fileName", "status", "content", "metadata", "processedAt"}
    assert completed <= set(lines[0])
    assert {"id", "fileName", "status", "error"} <= set(lines[1])


async def test_a_batch_takes_both_names_of_its_files(caller: Caller) -> None:
    answer = await caller.json("POST", "/v1/batch/submit", 202, data=form("files[]", PDF, PDF))
    assert answer["totalDocuments"] == 2


async def test_an_upload_by_url_is_confirmed_and_converted_once(only_caller: Caller) -> None:
    asked = {"fileName": "big.pdf", "fileSize": len(PDF), "mimeType": "application/pdf"}
    answer = await only_caller.json("POST", "/api/documents/upload-url", 200, json=asked)
    assert {"id", "uploadUrl", "s3Key", "expiresIn"} <= set(answer)
    assert answer["expiresIn"] == 3600
    complete = f"/api/documents/upload-complete/{answer['id']}"
    missing = await only_caller.json("POST", complete, 400)
    assert missing["error"] == "File upload failed"
    async with (
        aiohttp.ClientSession() as anybody,
        anybody.put(answer["uploadUrl"], data=PDF) as response,
    ):
        assert response.status < 300, await response.text()
    first = await only_caller.json("POST", complete, 200)
    assert set(first) == {"id", "status", "message"}
    assert (first["status"], first["id"]) == ("pending", answer["id"])
    await only_caller.ended(f"/api/documents/status/{answer['id']}")
    assert await only_caller.json("POST", complete, 200) == first
    summary = await only_caller.json("GET", "/api/usage/summary", 200)
    assert summary["totalDocuments"] == summary["totalOperations"] == 1


async def test_usage_is_summed_up_and_broken_down(only_caller: Caller) -> None:
    await only_caller.submitted()
    await only_caller.json("POST", "/v1/convert", 200, data=form("file", PDF, format="json"))
    summary = await only_caller.json("GET", "/api/usage/summary", 200)
    sums = {"totalDocuments", "totalOperations", "totalInputTokens", "totalOutputTokens"}
    assert sums | {"totalCostCents"} <= set(summary)
    assert (summary["totalDocuments"], summary["totalOperations"]) == (2, 2)
    assert summary["totalCostMicros"] == 4 * 1300  # pages, $0.001 and 30 % each
    days = "startDate=2020-01-01T00:00:00Z&endDate=2020-12-31T00:00:00Z"
    before = await only_caller.json("GET", f"/api/usage/summary?{days}", 200)
    assert before["totalOperations"] == 0
    answer = await only_caller.json("GET", "/api/usage/breakdown", 200)
    assert {line["operation"] for line in answer["breakdown"]} == {"convert", "convert-immediate"}
    for line in answer["breakdown"]:
        figures = {"operation", "count", "totalInputTokens", "totalOutputTokens"}
        assert figures | {"totalCostCents", "totalCostUSD"} <= set(line)


async def test_a_document_is_deleted_and_leaves_a_receipt(caller: Caller) -> None:
    name = await caller.submitted()
    receipt = await caller.json("DELETE", f"/api/documents/{name}", 200)
    assert (receipt["id"], receipt["status"]) == (name, "deleted")
    assert await caller.json("DELETE", f"/api/documents/{name}", 200) == receipt
    await caller.json("GET", f"/api/documents/{name}", 410)
    await caller.json("GET", f"/api/documents/{name}/original", 410)
    status = await caller.json("GET", f"/api/documents/status/{name}", 200)
    assert status["status"] == "deleted"


REFUSED = (
    ("POST", "/v1/convert", 400, "No file provided"),
    ("POST", "/api/documents/submit", 400, "No file provided"),
    ("POST", "/v1/batch/submit", 400, "No files provided"),
    ("POST", "/api/documents/upload-url", 400, "fileName and fileSize are required"),
    ("POST", f"/api/documents/upload-complete/{new_id()}", 404, "Document not found"),
    ("GET", "/api/documents/status/short", 400, "Invalid document ID format"),
    ("GET", f"/api/documents/status/{new_id()}", 404, "Document not found"),
    ("GET", f"/api/documents/{new_id()}", 404, "Document not found"),
    ("GET", f"/api/documents/{new_id()}/original", 404, "Document not found"),
    ("DELETE", f"/api/documents/{new_id()}", 404, "Document not found"),
    ("GET", f"/v1/batch/status/{new_id()}", 404, "Batch not found"),
    ("GET", f"/v1/batch/download/{new_id()}", 404, "Batch not found"),
)


async def test_refusals_have_the_messages_of_the_contract(caller: Caller) -> None:
    for verb, path, status, error in REFUSED:
        more: dict[str, Any] = {"json": {}} if path.endswith("upload-url") else {}
        answer = await caller.json(verb, path, status, **more)
        assert answer["error"] == error, (verb, path)


async def test_an_unfinished_batch_reports_its_progress(only_caller: Caller) -> None:
    slow = documents.pdf(*(f"page {number} " * 30 for number in range(400)))
    answer = await only_caller.json(
        "POST", "/v1/batch/submit", 202, data=form("files", *[slow] * 6)
    )
    refused = await only_caller.json("GET", f"/v1/batch/download/{answer['batchId']}", 400)
    assert refused["error"] == "Batch not ready for download"
    assert "progress" in refused["details"]
    wrong = await only_caller.json("GET", f"/v1/batch/download/{answer['batchId']}?format=xml", 400)
    assert wrong["error"] == "Unsupported format"
    assert wrong["details"]["supportedFormats"] == ["jsonl", "zip"]


async def test_the_open_pages_need_no_key(caller: Caller) -> None:
    index = await caller.json("GET", "/", 200, headers={"Accept": "application/json"})
    assert index["endpoints"]
    health = await caller.json("GET", "/health", 200)
    assert {"status", "timestamp", "services"} <= set(health)
    assert health["services"]["database"] == "connected"
    described = await caller.json("GET", "/openapi.json", 200)
    assert described["openapi"].startswith("3.1")
    text, response = await caller.text("/docs")
    assert response.content_type == "text/html"
    assert "swagger" in text.lower()
