import asyncio
import hashlib
import math
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import ClientPayloadError

from bus.errors import BusUnavailable
from bus.log import StoredRejection
from schemas.documents import DocumentRejected, DocumentSubmitted, Inline, Remote, Stored
from schemas.replies import PageProgress
from tests.ilios.edge.world import CREATED_AT, ID, PDF, World, record

STATUS = f"/api/documents/status/{ID}"
DOCUMENT = f"/api/documents/{ID}"
ORIGINAL = f"/api/documents/{ID}/original"
LARGE = ('Grüße, 世界 "quoted" \\ \n' * 30_000).encode()


def submission(**fields: Any) -> DocumentSubmitted:
    source = Stored(size=len(PDF), sha256=hashlib.sha256(PDF).hexdigest())
    usual: dict[str, Any] = {
        "document_id": ID,
        "source": source,
        "file_name": "paper.pdf",
        "content_type": "application/pdf",
        "submitted_at": CREATED_AT,
    }
    return DocumentSubmitted(**(usual | fields))


@pytest.mark.parametrize("state", ["pending", "processing"])
async def test_an_unfinished_document_returns_its_status(world: World, state: str) -> None:
    client = await world.serve()
    world.reads.add(record(state=state))
    async with client.get(STATUS) as answer:
        assert answer.status == 200
        assert await answer.json() == {
            "id": ID,
            "status": state,
            "fileName": "paper.pdf",
            "fileSize": len(PDF),
            "createdAt": "2026-01-15T10:30:00.123Z",
        }
        assert answer.headers["Retry-After"] == "1"
    for query in ({}, {"format": "json"}):
        async with client.get(DOCUMENT, params=query) as answer:
            assert answer.status == 202
            assert await answer.json() == {"id": ID, "status": state, "statusUrl": STATUS}


async def test_an_unfinished_document_returns_its_progress_at_both_addresses(
    world: World,
) -> None:
    client = await world.serve()
    world.reads.add(record(state="processing"))
    pages = PageProgress(pages=3, of=600)
    world.progress.members = {"progress": pages, "position": 0, "eta_seconds": 42}
    for address in (STATUS, f"/v1/documents/{ID}"):
        async with client.get(address) as answer:
            status = await answer.json()
        assert status["progress"] == {"pages": 3, "of": 600}
        assert (status["position"], status["etaSeconds"]) == (0, 42)


async def test_a_completed_document_returns_its_status(world: World) -> None:
    client = await world.serve()
    await world.add_completed(b"# Hello\n")
    async with client.get(STATUS) as answer:
        assert await answer.json() == {
            "id": ID,
            "status": "completed",
            "fileName": "paper.pdf",
            "fileSize": len(PDF),
            "createdAt": "2026-01-15T10:30:00.123Z",
            "processedAt": "2026-01-15T10:30:00.123Z",
            "metadata": {
                "pages": 3,
                "processingTimeMs": 1235,
                "model": "local-1",
                "engine": "local",
            },
            "downloadUrl": DOCUMENT,
        }


@pytest.mark.parametrize("seconds", [1e306, math.inf, math.nan, -1.0])
async def test_a_document_that_took_what_cannot_be_is_answered(
    world: World, seconds: float
) -> None:
    client = await world.serve()
    await world.add_completed(b"# Hello\n", seconds=seconds)
    for address, query in ((STATUS, {}), (DOCUMENT, {}), (DOCUMENT, {"format": "json"})):
        async with client.get(address, params=query) as answer:
            assert answer.status == 200
            assert b"ello" in await answer.read() or address == STATUS


async def test_a_failed_document_has_a_reason(world: World) -> None:
    client = await world.serve()
    world.reads.add(
        record(state="failed", code="corrupt", reason="It is damaged.", retryable=False)
    )
    async with client.get(STATUS) as answer:
        body = await answer.json()
        assert answer.status == 200
    assert (body["status"], body["error"], body["code"]) == ("failed", "It is damaged.", "corrupt")
    async with client.get(DOCUMENT) as answer:
        assert answer.status == 500
        assert await answer.json() == {
            "id": ID,
            "error": "It is damaged.",
            "code": "corrupt",
            "retryable": False,
            "status": "failed",
        }


@pytest.mark.parametrize("path", [STATUS, DOCUMENT, ORIGINAL])
async def test_an_unknown_document_is_404_and_a_wrong_id_400(world: World, path: str) -> None:
    client = await world.serve()
    async with client.get(path) as answer:
        assert answer.status == 404
        assert (await answer.json())["error"] == "Document not found"
    for wrong in ("short", "A" * 24, "a" * 31, "a" * 23 + "%0A", "%2e%2e%2fabcdefghijklmnop"):
        async with client.get(path.replace(ID, wrong)) as answer:
            assert answer.status == 400
            assert (await answer.json())["error"] == "Invalid document ID format"


async def test_a_document_found_only_in_the_log_is_pending(world: World) -> None:
    client = await world.serve()
    world.log.submissions["default", ID] = submission()
    async with client.get(STATUS) as answer:
        body = await answer.json()
    assert (answer.status, body["status"], body["fileSize"]) == (200, "pending", len(PDF))
    async with client.get(DOCUMENT) as answer:
        assert answer.status == 202
    for source, size in ((Inline(data=b"abc"), 3), (Remote(url="http://x"), None)):
        world.log.submissions["default", ID] = submission(source=source, submitted_at=None)
        async with client.get(STATUS) as answer:
            assert (await answer.json()).get("fileSize") == size


async def test_an_invalid_submission_found_only_in_the_log_has_failed(world: World) -> None:
    client = await world.serve()
    rejected = DocumentRejected(document_id=ID, sequence=7, reason="It is no event.")
    world.log.rejections["default", ID] = StoredRejection(CREATED_AT, rejected)
    async with client.get(f"/v1/documents/{ID}", params={"wait": "60"}) as answer:
        found = await answer.json()
    assert (answer.status, found["status"]) == (200, "failed")
    assert (found["code"], found["error"]) == ("invalid_event", "It is no event.")


async def test_an_unreachable_log_is_503_and_not_404(world: World) -> None:
    client = await world.serve()
    world.log.error = BusUnavailable("no")
    async with client.get(STATUS) as answer:
        assert answer.status == 503
        assert answer.headers["Retry-After"] == "2"
    world.reads.add(record())
    async with client.get(STATUS) as answer:
        assert answer.status == 200


async def test_the_markdown_can_be_read_small_and_large(world: World) -> None:
    client = await world.serve()
    for markdown in (b"", b"# Hello\n", LARGE):
        document = await world.add_completed(markdown)
        async with client.get(DOCUMENT) as answer:
            assert (answer.status, await answer.read()) == (200, markdown)
            assert answer.headers["Content-Type"] == "text/markdown; charset=utf-8"
            assert answer.headers["Content-Disposition"] == 'inline; filename="paper.pdf.md"'
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Server"] == "ilios"
            assert document.markdown is not None
            assert answer.headers["ETag"] == f'"{document.markdown.sha256}"'
        async with client.head(DOCUMENT) as answer:
            assert answer.status == 200
            assert answer.content_length == len(markdown)
            assert await answer.read() == b""


async def test_the_json_holds_the_markdown_small_and_large(world: World) -> None:
    client = await world.serve()
    for markdown in (b"", b"# Hello\n", LARGE, b"\xff broken"):
        await world.add_completed(markdown)
        async with client.get(DOCUMENT, params={"format": "json"}) as answer:
            assert answer.status == 200
            body = await answer.json()
        assert body["content"] == markdown.decode(errors="replace")
        assert body["metadata"]["pages"] == 3
        assert body["fileName"] == "paper.pdf"
        async with client.head(DOCUMENT, params={"format": "json"}) as answer:
            assert (answer.status, await answer.read()) == (200, b"")
    async with client.get(DOCUMENT, params={"format": "xml"}) as answer:
        assert answer.status == 400


async def test_missing_content_is_an_error_before_the_response_begins(world: World) -> None:
    client = await world.serve()
    for markdown in (b"x", LARGE):
        document = await world.add_completed(markdown)
        assert document.markdown is not None
        await world.blobs.delete(document.markdown.key)
        for query in ({}, {"format": "json"}):
            async with client.get(DOCUMENT, params=query) as answer:
                assert (answer.status, (await answer.json())["code"]) == (410, "content_gone")
        async with client.get(DOCUMENT, headers={"Range": "bytes=0-0"}) as answer:
            assert answer.status == 410


async def test_content_of_another_size_than_it_should_be_is_never_passed_off(world: World) -> None:
    client = await world.serve()
    document = await world.add_completed(b"0123456789")
    assert document.markdown is not None
    await world.blobs.put_bytes(document.markdown.key, b"01234")
    for query in ({}, {"format": "json"}):
        async with client.get(DOCUMENT, params=query) as answer:
            assert (answer.status, (await answer.json())["code"]) == (500, "content_damaged")
    await world.add_completed(LARGE)
    await world.blobs.put_bytes(document.markdown.key, LARGE[:-1])
    for query in ({}, {"format": "json"}):
        with pytest.raises(ClientPayloadError):
            async with client.get(DOCUMENT, params=query) as answer:
                await answer.read()


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("bytes=0-9", 0, 10),
        ("bytes=5-5", 5, 6),
        ("bytes=-7", len(LARGE) - 7, len(LARGE)),
        (f"bytes=-{len(LARGE) * 2}", 0, len(LARGE)),
        ("bytes=100-", 100, len(LARGE)),
        (f"bytes=10-{len(LARGE) * 9}", 10, len(LARGE)),
        ("bytes=100-600000", 100, 600_001),
    ],
)
async def test_a_part_of_a_document_can_be_read(
    world: World, asked: str, start: int, stop: int
) -> None:
    client = await world.serve()
    await world.add_completed(LARGE)
    async with client.get(DOCUMENT, headers={"Range": asked}) as answer:
        assert answer.status == 206
        assert await answer.read() == LARGE[start:stop]
        assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(LARGE)}"


@pytest.mark.parametrize(
    "asked", ["bytes=0-1,5-6", "lines=1-2", "bytes=", "bytes=-", "bytes=9-5", "bytes=a-b"]
)
async def test_a_range_that_makes_no_sense_is_ignored(world: World, asked: str) -> None:
    client = await world.serve()
    await world.add_completed(b"0123456789")
    async with client.get(DOCUMENT, headers={"Range": asked}) as answer:
        assert (answer.status, await answer.read()) == (200, b"0123456789")


@pytest.mark.parametrize("asked", ["bytes=10-", "bytes=99-100", "bytes=-0"])
async def test_a_range_that_is_not_there_is_416(world: World, asked: str) -> None:
    client = await world.serve()
    await world.add_completed(b"0123456789")
    async with client.get(DOCUMENT, headers={"Range": asked}) as answer:
        assert answer.status == 416
        assert answer.headers["Content-Range"] == "bytes */10"


async def test_conditions_are_honoured(world: World) -> None:
    client = await world.serve()
    document = await world.add_completed(b"0123456789")
    assert document.markdown is not None
    same, other = f'"{document.markdown.sha256}"', '"other"'

    async def asked(**headers: str) -> tuple[int, bytes]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with client.get(DOCUMENT, headers=named) as answer:
            return answer.status, await answer.read()

    assert await asked(If_None_Match=same) == (304, b"")
    assert await asked(If_None_Match=f"W/{same}, {other}") == (304, b"")
    assert (await asked(If_None_Match=other))[0] == 200
    assert (await asked(If_Match=same))[0] == 200
    assert (await asked(If_Match=other))[0] == 412
    assert await asked(Range="bytes=0-1", If_Range=same) == (206, b"01")
    assert await asked(Range="bytes=0-1", If_Range=other) == (200, b"0123456789")
    date = (CREATED_AT + timedelta(days=1)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    assert await asked(Range="bytes=0-1", If_Range=date) == (200, b"0123456789")


async def test_the_json_has_a_tag_of_its_own(world: World) -> None:
    client = await world.serve()

    async def asked(**headers: str) -> tuple[int, str, bytes]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with client.get(DOCUMENT, params={"format": "json"}, headers=named) as answer:
            return answer.status, answer.headers.get("ETag", ""), await answer.read()

    tags = set()
    for markdown, name in ((b"# Hello\n", "a.pdf"), (b"# Hallo\n", "a.pdf"), (LARGE, "b.pdf")):
        document = await world.add_completed(markdown, file_name=name)
        assert document.markdown is not None
        status, tag, body = await asked()
        assert (status, tag[0], tag[-1]) == (200, '"', '"')
        tags |= {tag, f'"{document.markdown.sha256}"'}
        assert await asked(If_None_Match=tag) == (304, tag, b"")
        assert await asked(If_None_Match=f'"{document.markdown.sha256}"') == (200, tag, body)
        assert await asked(If_Match=tag) == (200, tag, body)
        assert (await asked(If_Match='"other"'))[0] == 412
        async with client.head(DOCUMENT, params={"format": "json"}) as answer:
            assert answer.headers["ETag"] == tag
    # One more name, the same Markdown: the JSON is another, the Markdown is not.
    await world.add_completed(LARGE, file_name="c.pdf")
    tags.add((await asked())[1])
    assert len(tags) == 7


async def test_two_waiting_readers_do_not_disturb_each_other(world: World) -> None:
    client = await world.serve()
    await world.add_completed(LARGE)

    async def read() -> bytes:
        async with client.get(DOCUMENT) as answer:
            return await answer.read()

    assert set(await asyncio.gather(*(read() for _ in range(8)))) == {LARGE}
