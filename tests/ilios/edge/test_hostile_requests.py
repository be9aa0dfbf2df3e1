"""Hundreds of broken requests, made of good ones by a seeded hand, through every door."""

import logging

import msgspec
import pytest

from ilios.edge import app
from tests.ilios.edge import hostile
from tests.ilios.edge.world import ID, PDF, World, field_part, file_part

FIELDS = (
    field_part("retentionDays", b"7"),
    field_part("engine", b"local"),
    field_part("pages", b"1-3"),
)
WANTED = {
    "fileName": "paper.pdf",
    "fileSize": len(PDF),
    "mimeType": "application/pdf",
    "retentionDays": 7,
}


async def doors(world: World) -> list[bytes]:
    """Start the edge and return a good request for each of its doors."""
    client = await world.serve(read_timeout=0.05, convert_timeout=0.01, removal_timeout=0.01)
    async with client.post(hostile.UPLOAD_URL, json=WANTED) as answer:
        url = (await answer.json())["uploadUrl"]
    files = [(file_part(f"{n}.pdf")[0].replace('"file"', '"files"'), PDF) for n in range(3)]
    json = "Content-Type: application/json"
    return [
        hostile.upload(hostile.SUBMIT),
        hostile.upload(hostile.CONVERT, *FIELDS, file_part()),
        hostile.upload(hostile.BATCH, *FIELDS, *files),
        hostile.request(f"PUT {url.partition(str(world.port))[2]}", PDF),
        hostile.request(f"POST {hostile.UPLOAD_URL}", msgspec.json.encode(WANTED), json),
        hostile.request("POST /v1/convert?fileName=a.pdf", PDF, "Content-Type: application/pdf"),
        hostile.request("GET /api/usage/summary?startDate=2026-01-01&endDate=2026-01-31"),
        hostile.request(f"GET /api/documents/{ID}?format=json"),
        hostile.request(f"GET /v1/batch/status/{ID}?details=true"),
        hostile.request(f"DELETE /api/documents/{ID}"),
        hostile.request(f"POST /api/documents/upload-complete/{ID}"),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 3])
async def test_a_broken_request_is_refused_clearly_or_taken_whole(
    world: World, seed: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "LINGER", 0.05)
    good, statuses = await doors(world), set[int]()
    now = len(world.publisher.published), world.stored_files()
    for raw in hostile.mutations(seed, good, 200):
        answers = await hostile.exchange_then_probe(world, raw)
        assert answers, raw
        for answer in answers:
            statuses.add(answer.status)
            if answer.status >= 300:
                hostile.assert_refused(answer)
        before, now = now, (len(world.publisher.published), world.stored_files())
        assert answers[0].status < 300 or now == before, raw
    # Or the mutations would be so wild, or so tame, that they show nothing.
    assert {200, 202, 400, 404, 408} <= statuses
    assert [line for line in caplog.records if line.levelno >= logging.WARNING] == []


async def test_the_good_requests_they_are_made_of_are_taken(world: World) -> None:
    found = [
        (await hostile.exchange_then_probe(world, raw))[0].status for raw in await doors(world)
    ]
    assert found == [202, 202, 202, 200, 200, 202, 200, 404, 404, 404, 404]
