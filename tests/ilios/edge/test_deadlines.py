"""Deadlines of requests: seconds or a time at every door, and a time in the event."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ilios.edge.deadlines import absolute_deadline
from ilios.edge.errors import HttpProblem
from schemas.documents import DocumentFailed, DocumentSubmitted
from tests.ilios.edge.test_batches import many, submitted
from tests.ilios.edge.test_submit import form_data
from tests.ilios.edge.test_upload_urls import complete, put, request_upload_url
from tests.ilios.edge.world import PDF, World

SUBMIT, BATCH, CONVERT = "/api/documents/submit", "/v1/batch/submit", "/v1/convert"
NOW = datetime(2026, 1, 15, 10, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (None, None),
        ("3600", NOW + HOUR),
        (3600.0, NOW + HOUR),
        ("2026-01-15T11:30:00Z", NOW + HOUR),
        ("2026-01-15t12:30:00.000+01:00", NOW + HOUR),
        ("2026-01-15T12:30:00 01:00", NOW + HOUR),  # a plus that was not encoded
    ],
)
def test_a_deadline_is_a_time_or_seconds_from_now(
    given: str | float | None, found: datetime | None
) -> None:
    assert absolute_deadline(given, NOW) == found


@pytest.mark.parametrize(
    "given",
    ["0", "-1", "1.5", 1.5, "soon", "", "315360001", "2026-01-15", "2026-01-15T11:30:00",
     "2026-01-15T10:30:00Z", "2026-02-30T10:30:00Z", "2300-01-01T00:00:00Z", float("inf")],
)  # fmt: skip
def test_another_deadline_is_refused(given: str | float) -> None:
    with pytest.raises(HttpProblem) as refused:
        absolute_deadline(given, NOW)
    assert (refused.value.status, refused.value.code) == (400, "invalid_deadline")


@pytest.mark.parametrize(
    "sent",
    [
        {"data": lambda: form_data(PDF, "paper.pdf", deadline="3600")},
        {"data": lambda: PDF, "params": {"deadline": "3600"}},
        {"json": lambda: {"url": "https://example.com/a.pdf", "deadline": 3600}},
        {"json": lambda: {"url": "https://example.com/a.pdf", "deadline": "3600"}},
    ],
)
async def test_a_document_has_the_deadline_of_its_request(
    world: World, sent: dict[str, Any]
) -> None:
    client = await world.serve()
    given = {name: value() if callable(value) else value for name, value in sent.items()}
    async with client.post(SUBMIT, **given) as answer:
        assert answer.status == 202, await answer.text()
        body = await answer.json()
    event = world.publisher.submitted
    assert event.deadline is not None
    assert event.submitted_at is not None
    assert event.deadline - event.submitted_at == HOUR
    assert datetime.fromisoformat(body["deadline"]) - event.deadline < timedelta(milliseconds=1)
    async with client.get(body["statusUrl"]) as status:
        assert (await status.json())["deadline"] == body["deadline"]


async def test_the_deadline_of_a_batch_is_that_of_its_documents(world: World) -> None:
    client = await world.serve()
    data = many(b"%PDF one", b"%PDF two", deadline="2100-01-01T00:00:00Z")
    async with client.post(BATCH, data=data) as answer:
        assert (await answer.json())["deadline"] == "2100-01-01T00:00:00.000Z"
    assert submitted(world).deadline == datetime(2100, 1, 1, tzinfo=UTC)


async def test_the_deadline_of_an_upload_counts_from_its_reservation(world: World) -> None:
    client = await world.serve()
    before = datetime.now(UTC)
    asked = await request_upload_url(client, deadline=3600)
    after = datetime.now(UTC)
    await put(client, asked["path"])
    assert (await complete(client, asked["id"]))[0] == 200
    deadline = world.publisher.submitted.deadline
    assert deadline is not None
    assert before <= deadline - HOUR <= after


@pytest.mark.parametrize("path", [SUBMIT, CONVERT, BATCH])
async def test_a_deadline_that_has_passed_is_refused_and_nothing_is_stored(
    world: World, path: str
) -> None:
    client = await world.serve()
    past = {"deadline": "2026-01-15T10:30:00Z"}
    data = many(PDF, **past) if path == BATCH else form_data(PDF, "paper.pdf", **past)
    async with client.post(path, data=data) as answer:
        assert (answer.status, (await answer.json())["code"]) == (400, "invalid_deadline")
    assert world.publisher.published == []
    assert world.stored_files() == set()


async def test_a_client_that_waits_gets_the_failure_of_its_document(world: World) -> None:
    client = await world.serve()

    async def expire(event: DocumentSubmitted) -> None:
        world.outcomes.end(
            DocumentFailed(
                document_id=event.document_id,
                tenant=event.tenant,
                code="expired",
                reason="The document was not converted by its deadline.",
                retryable=True,
            )
        )

    world.publisher.on_submission = expire
    async with client.post(CONVERT, data=form_data(PDF, "paper.pdf", deadline="60")) as answer:
        body = await answer.json()
    assert (answer.status, body["code"], body["details"]) == (422, "expired", {"retryable": True})


async def test_seconds_under_one_key_are_one_request(world: World) -> None:
    client = await world.serve()
    headers = {"Idempotency-Key": "one"}
    fingerprints = []
    for deadline in ("60", "60", "61"):
        world.publisher.published.clear()
        world.log.submissions.clear()
        data = form_data(PDF, "paper.pdf", deadline=deadline)
        async with client.post(SUBMIT, data=data, headers=headers) as answer:
            assert answer.status == 202
        fingerprints.append(world.publisher.submitted.fingerprint)
    assert fingerprints[0] == fingerprints[1] != fingerprints[2]
