import pytest

from schemas.documents import Inline, Remote, Source
from tests.ilios.edge.test_documents import submission
from tests.ilios.edge.world import ID, PDF, World, record

DOCUMENT = f"/api/documents/{ID}"
ORIGINAL = f"{DOCUMENT}/original"


async def test_the_original_comes_back_as_a_file_and_never_as_a_page(world: World) -> None:
    client = await world.serve()
    await world.add_completed(b"x", content_type="text/html", file_name='a"b\\ü.html')
    async with client.get(ORIGINAL) as answer:
        assert (answer.status, await answer.read()) == (200, PDF)
        assert answer.headers["Content-Type"] == "text/html"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert (
            answer.headers["Content-Disposition"]
            == "attachment; filename=\"a_b__.html\"; filename*=UTF-8''a%22b%5C%C3%BC.html"
        )


@pytest.mark.parametrize("headers", [{}, {"Range": "bytes=0-3"}])
async def test_a_browser_runs_nothing_of_an_original(world: World, headers: dict[str, str]) -> None:
    client = await world.serve()
    await world.add_completed(b"x", content_type="text/html", file_name="a.html")
    async with client.get(ORIGINAL, headers=headers) as answer:
        assert answer.status in (200, 206)
        assert answer.headers["Content-Security-Policy"] == "sandbox; default-src 'none'"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Disposition"].startswith("attachment;")
        assert answer.headers["Cache-Control"] == "private, no-cache"


async def test_the_original_can_be_read_before_the_document_is_done(world: World) -> None:
    client = await world.serve()
    await world.blobs.put_bytes(f"originals/default/{ID}", PDF)
    world.reads.add(record())
    world.log.submissions["default", ID] = submission()
    async with client.get(ORIGINAL) as answer:
        assert (answer.status, await answer.read()) == (200, PDF)


@pytest.mark.parametrize("source", [Remote(url="http://x/y.pdf"), Inline(data=PDF)])
@pytest.mark.parametrize("state", ["pending", "processing"])
async def test_an_original_that_is_yet_to_be_fetched_is_answered_as_unfinished(
    world: World, source: Source, state: str
) -> None:
    client = await world.serve()
    world.log.submissions["default", ID] = submission(source=source)
    world.reads.add(record(state=state))
    async with client.get(ORIGINAL) as answer:
        assert answer.status == 202
        assert await answer.json() == {
            "id": ID,
            "status": state,
            "statusUrl": f"/api/documents/status/{ID}",
        }
        assert answer.headers["Location"] == f"/api/documents/status/{ID}"
        assert answer.headers["Retry-After"] == "1"


async def test_an_original_found_only_in_the_log_is_not_missing(world: World) -> None:
    client = await world.serve()
    world.log.submissions["default", ID] = submission(source=Remote(url="http://x/y.pdf"))
    async with client.get(ORIGINAL) as answer:
        assert (answer.status, (await answer.json())["status"]) == (202, "pending")


async def test_an_original_that_could_not_be_fetched_has_a_reason(world: World) -> None:
    client = await world.serve()
    world.log.submissions["default", ID] = submission(source=Remote(url="http://x/y.pdf"))
    world.reads.add(
        record(state="failed", code="unreachable", reason="It did not answer.", retryable=True)
    )
    bodies = []
    for path in (ORIGINAL, DOCUMENT):
        async with client.get(path) as answer:
            assert answer.status == 500
            bodies.append(await answer.json())
    assert bodies[0] == bodies[1]
    assert bodies[0]["error"] == "It did not answer."


async def test_a_failed_document_still_has_the_original_it_came_with(world: World) -> None:
    client = await world.serve()
    await world.blobs.put_bytes(f"originals/default/{ID}", PDF)
    world.log.submissions["default", ID] = submission()
    world.reads.add(record(state="failed", code="corrupt", reason="x", retryable=False))
    async with client.get(ORIGINAL) as answer:
        assert (answer.status, await answer.read()) == (200, PDF)
