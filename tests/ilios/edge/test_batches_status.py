from datetime import timedelta
from typing import Any

import pytest

from schemas.batches import BatchDocument, BatchSubmitted
from schemas.documents import Stored
from schemas.records import BatchCounts, BatchRecord, EngineBatch
from tests.ilios.edge.test_batches import SUBMIT, many
from tests.ilios.edge.world import CREATED_AT, ID, World, record

STATUS = f"/v1/batch/status/{ID}"


def batch(**fields: Any) -> BatchRecord:
    """Return a record of a batch with the usual values where none are given."""
    usual: dict[str, Any] = {
        "tenant": "default",
        "batch_id": ID,
        "priority": 5,
        "retention_days": 365,
        "submitted_at": CREATED_AT,
        "progress": BatchCounts(total=2, pending=2),
    }
    return BatchRecord(**(usual | fields))


async def test_a_batch_and_its_documents_are_found_right_after_the_202(world: World) -> None:
    client = await world.serve()
    async with client.post(SUBMIT, data=many(b"%PDF one", b"%PDF two")) as answer:
        accepted = await answer.json()
    async with client.get(accepted["statusUrl"], params={"details": "true"}) as answer:
        assert answer.status == 200
        assert answer.headers["Retry-After"] == "1"
        assert await answer.json() == {
            "batchId": accepted["batchId"],
            "status": "pending",
            "progress": {"total": 2, "pending": 2, "processing": 0, "completed": 0, "failed": 0},
            "createdAt": accepted["createdAt"],
            "completedAt": None,
            "downloadUrl": None,
            "documents": [
                {
                    "id": document["id"],
                    "fileName": document["fileName"],
                    "status": "pending",
                    "error": None,
                    "code": None,
                    "processedAt": None,
                }
                for document in accepted["documents"]
            ],
        }
    second = accepted["documents"][1]
    async with client.get(f"/api/documents/status/{second['id']}") as answer:
        assert answer.status == 200
        assert (await answer.json())["fileName"] == "two.pdf"
    async with client.get(f"/api/documents/{second['id']}/original") as answer:
        assert await answer.read() == b"%PDF two"
    async with client.get(f"/api/documents/status/{accepted['batchId']}003") as answer:
        assert answer.status == 404


async def test_the_time_a_batch_came_is_the_logs_when_its_publisher_gave_none(
    world: World,
) -> None:
    client = await world.serve()
    source = Stored(size=1, sha256="0" * 64)
    document = BatchDocument(document_id=f"{ID}001", source=source)
    world.log.add(BatchSubmitted(batch_id=ID, documents=(document,)))
    stored_at = world.log.batches["default", ID].stored_at
    async with client.get(STATUS) as answer:
        created = (await answer.json())["createdAt"]
    assert created[:19] == stored_at.isoformat()[:19]


@pytest.mark.parametrize(
    ("progress", "status"),
    [
        (BatchCounts(total=3, pending=3), "pending"),
        (BatchCounts(total=3, processing=1, pending=2), "pending"),
        (BatchCounts(total=3, completed=1, processing=2), "processing"),
        (BatchCounts(total=3, completed=1, failed=2), "completed"),
        (BatchCounts(total=3, failed=3), "failed"),
    ],
)
async def test_a_batch_reports_its_progress(
    world: World, progress: BatchCounts, status: str
) -> None:
    client = await world.serve()
    finished = CREATED_AT + timedelta(seconds=5)
    world.batches.add(
        batch(progress=progress, completed_at=finished if progress.is_finished else None)
    )
    async with client.get(STATUS) as answer:
        body = await answer.json()
    assert body["status"] == status
    assert body["downloadUrl"] == (f"/v1/batch/download/{ID}" if progress.is_finished else None)
    assert body["completedAt"] == ("2026-01-15T10:30:05.123Z" if progress.is_finished else None)
    assert ("Retry-After" in answer.headers) == (not progress.is_finished)
    assert "documents" not in body


async def test_a_batch_whose_end_is_not_written_down_yet_ended_with_its_last_document(
    world: World,
) -> None:
    client = await world.serve()
    world.batches.add(batch(progress=BatchCounts(total=2, completed=1, failed=1)))
    for number, seconds in ((1, 7), (2, 3)):
        finished = CREATED_AT + timedelta(seconds=seconds)
        world.reads.add(
            record(document_id=f"{ID}00{number}", batch_id=ID, state="failed", finished_at=finished)
        )
    async with client.get(STATUS) as answer:
        assert (await answer.json())["completedAt"] == "2026-01-15T10:30:07.123Z"


async def test_the_details_have_the_reason_of_a_failure(world: World) -> None:
    client = await world.serve()
    world.batches.add(batch(progress=BatchCounts(total=1, failed=1), completed_at=CREATED_AT))
    world.reads.add(
        record(
            document_id=f"{ID}001",
            batch_id=ID,
            state="archived",
            code="corrupt",
            reason="The PDF is damaged.",
            finished_at=CREATED_AT,
        )
    )
    async with client.get(STATUS, params={"details": "true"}) as answer:
        (document,) = (await answer.json())["documents"]
    assert document == {
        "id": f"{ID}001",
        "fileName": "paper.pdf",
        "status": "failed",
        "error": "The PDF is damaged.",
        "code": "corrupt",
        "processedAt": "2026-01-15T10:30:00.123Z",
    }


@pytest.mark.parametrize(
    ("path", "status", "code", "error"),
    [
        (f"/v1/batch/status/{'z' * 24}", 404, "batch_not_found", "Batch not found"),
        (f"/v1/batch/download/{'z' * 24}", 404, "batch_not_found", "Batch not found"),
        ("/v1/batch/status/BAD", 400, "invalid_id", "Invalid batch ID format"),
        ("/v1/batch/download/BAD", 400, "invalid_id", "Invalid batch ID format"),
        (
            f"{STATUS}?details=perhaps",
            400,
            "invalid_details",
            'details must be "true" or "false"',
        ),
    ],
)
async def test_a_batch_that_cannot_be_shown_has_a_reason(
    world: World, path: str, status: int, code: str, error: str
) -> None:
    client = await world.serve()
    world.batches.add(batch())
    async with client.get(path) as answer:
        body = await answer.json()
        assert (answer.status, body["code"], body["error"]) == (status, code, error)


async def test_another_tenants_batch_is_unknown(world: World) -> None:
    client = await world.serve("key-1", "key-2")
    headers = {"X-Api-Key": "key-1"}
    async with client.post(SUBMIT, data=many(b"x"), headers=headers) as answer:
        accepted = await answer.json()
    for path in (accepted["statusUrl"], f"/api/documents/status/{accepted['documents'][0]['id']}"):
        async with client.get(path, headers={"X-Api-Key": "key-2"}) as answer:
            assert answer.status == 404
        async with client.get(path, headers=headers) as answer:
            assert answer.status == 200


async def test_how_far_mistrals_own_batch_is_can_be_seen_once_it_has_it(world: World) -> None:
    client = await world.serve()
    running = EngineBatch(job="job-1", status="RUNNING", total=2, completed=1)
    for state, expected in (
        (None, {}),
        (EngineBatch(), {}),
        (
            running,
            {
                "mistralBatchJobId": "job-1",
                "mistralStatus": {
                    "status": "RUNNING",
                    "totalRequests": 2,
                    "completedRequests": 1,
                    "failedRequests": 0,
                },
            },
        ),
    ):
        world.batches.add(batch(engine_batch=state))
        async with client.get(STATUS) as answer:
            body = await answer.json()
        assert {name: body[name] for name in body if name.startswith("mistral")} == expected
