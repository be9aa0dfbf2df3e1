import hashlib
import io
import os
import threading
import tracemalloc
import zipfile
import zlib
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from aiohttp import ClientPayloadError
from structlog.testing import capture_logs

from schemas.records import BatchCounts, DocumentRecord
from tests.ilios.edge.test_batches_status import batch
from tests.ilios.edge.world import CREATED_AT, ID, World, record
from tests.waiting import wait_until

DOWNLOAD = f"/v1/batch/download/{ID}"
ZIP = {"format": "zip"}
LARGE = ('Grüße, 世界 "quoted" \\ \n' * 30_000).encode()


async def converted(
    world: World, number: int, markdown: bytes, *, file_name: str = "paper.pdf", **fields: Any
) -> DocumentRecord:
    """Add a completed document of the batch to the database."""
    document_id = f"{ID}{number:03d}"
    blob = await world.blobs.put_bytes(f"markdown/default/{document_id}.0", markdown)
    usual: dict[str, Any] = {
        "state": "completed",
        "markdown": blob,
        "pages": 3,
        "engine": "local",
        "model": "local-1",
        "seconds": 1.5,
        "finished_at": CREATED_AT + timedelta(seconds=number),
    }
    document = record(document_id=document_id, batch_id=ID, file_name=file_name, **(usual | fields))
    world.reads.add(document)
    return document


def broken(world: World, number: int, **fields: Any) -> None:
    """Add a failed document of the batch to the database."""
    usual: dict[str, Any] = {
        "state": "failed",
        "code": "corrupt",
        "reason": "The PDF is damaged.",
        "finished_at": CREATED_AT,
    }
    world.reads.add(record(document_id=f"{ID}{number:03d}", batch_id=ID, **(usual | fields)))


def ended(world: World, completed: int, failed: int = 0) -> None:
    progress = BatchCounts(total=completed + failed, completed=completed, failed=failed)
    world.batches.add(batch(progress=progress, completed_at=CREATED_AT))


def lines(body: bytes) -> list[dict[str, Any]]:
    assert body.endswith(b"\n")
    return [msgspec.json.decode(line) for line in body.splitlines()]


async def test_the_lines_stand_in_the_order_of_submission(world: World) -> None:
    client = await world.serve()
    await converted(world, 3, LARGE, file_name='a"content":"".pdf')
    broken(world, 2)
    await converted(world, 1, b"# One\n", file_name="one.pdf")
    ended(world, 2, 1)
    async with client.get(DOWNLOAD) as answer:
        assert answer.status == 200
        body = await answer.read()
    assert answer.headers["Content-Type"] == "application/x-ndjson; charset=utf-8"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="batch-{ID}.jsonl"'
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    one, two, three = lines(body)
    assert one == {
        "id": f"{ID}001",
        "fileName": "one.pdf",
        "status": "completed",
        "content": "# One\n",
        "metadata": {
            "model": "local-1",
            "engine": "local",
            "pages": 3,
            "extractedPages": 3,
            "processingTimeMs": 1500,
            "fileName": "one.pdf",
            "fileSize": 21,
            "mimeType": "application/pdf",
        },
        "error": None,
        "processedAt": "2026-01-15T10:30:01.123Z",
    }
    assert two == {
        "id": f"{ID}002",
        "fileName": "paper.pdf",
        "status": "failed",
        "error": "The PDF is damaged.",
        "code": "corrupt",
        "processedAt": "2026-01-15T10:30:00.123Z",
    }
    assert three["content"] == LARGE.decode()


async def test_the_archive_holds_every_markdown_and_a_manifest(world: World) -> None:
    client = await world.serve()
    await converted(world, 1, LARGE, file_name="..\\CON: Größe?.tar.pdf")
    broken(world, 2)
    await converted(world, 3, b"", file_name="..\\CON: Größe?.tar.pdf")
    ended(world, 2, 1)
    async with client.get(DOWNLOAD, params=ZIP) as answer:
        assert answer.status == 200
        body = await answer.read()
    assert answer.headers["Content-Type"] == "application/zip"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="batch-{ID}.zip"'
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        assert archive.testzip() is None
        names = ["001-CON_ Größe_.tar.md", "003-CON_ Größe_.tar.md"]
        assert archive.namelist() == ["manifest.json", *names]
        assert archive.read(names[0]) == LARGE
        assert archive.read(names[1]) == b""
        entry = archive.getinfo(names[0])
        assert entry.flag_bits & 0x800, "the name is UTF-8 and flagged so"
        assert entry.date_time == (2026, 1, 15, 10, 30, 1 // 2 * 2)
        assert entry.compress_size < len(LARGE) / 10
        manifest = msgspec.json.decode(archive.read("manifest.json"))
    assert manifest["batchId"] == ID
    assert manifest["progress"]["failed"] == 1
    assert manifest["documents"][0] == {
        "id": f"{ID}001",
        "fileName": "..\\CON: Größe?.tar.pdf",
        "status": "completed",
        "entry": names[0],
        "pages": 3,
        "size": len(LARGE),
        "sha256": hashlib.sha256(LARGE).hexdigest(),
        "error": None,
        "code": None,
        "processedAt": "2026-01-15T10:30:01.123Z",
    }
    failed = manifest["documents"][1]
    assert (failed["status"], failed["entry"], failed["code"]) == ("failed", None, "corrupt")


async def test_a_batch_that_is_not_done_cannot_be_downloaded(world: World) -> None:
    client = await world.serve()
    world.batches.add(batch(progress=BatchCounts(total=3, completed=1, failed=1, processing=1)))
    counts = {"total": 3, "pending": 0, "processing": 1, "completed": 1, "failed": 1}
    async with client.get(DOWNLOAD) as answer:
        assert answer.status == 400
        body = await answer.json()
    assert (body["error"], body["code"]) == ("Batch not ready for download", "batch_not_ready")
    assert body["details"] == {"status": "processing", "progress": counts}
    assert body["progress"] == counts
    assert body["status"] == 400
    assert "Retry-After" in answer.headers


async def test_an_unknown_batch_format_is_refused(world: World) -> None:
    client = await world.serve()
    async with client.get(DOWNLOAD, params={"format": "tar"}) as answer:
        assert answer.status == 400
        body = await answer.json()
    assert (body["error"], body["code"]) == ("Unsupported format", "unsupported_format")
    assert body["supportedFormats"] == body["details"]["supportedFormats"] == ["jsonl", "zip"]


@pytest.mark.parametrize("form", ["jsonl", "zip"])
async def test_head_returns_the_headers_of_a_download(world: World, form: str) -> None:
    client = await world.serve()
    await converted(world, 1, LARGE)
    ended(world, 1)
    async with client.head(DOWNLOAD, params={"format": form}) as answer:
        assert answer.status == 200
        assert f'batch-{ID}.{form}"' in answer.headers["Content-Disposition"]
        assert await answer.read() == b""


async def test_a_download_reports_documents_removed_since(world: World) -> None:
    client = await world.serve()
    await converted(world, 1, b"archived", state="archived")
    await converted(world, 2, b"deleted", state="deleted")
    broken(world, 3, state="cancelled", code="cancelled", reason="The document was cancelled.")
    broken(world, 4, state="archived")
    ended(world, 2, 2)
    async with client.get(DOWNLOAD) as answer:
        entries = lines(await answer.read())
    assert [line["status"] for line in entries] == ["archived", "deleted", "cancelled", "failed"]
    assert [line.get("content") for line in entries] == ["archived", None, None, None]
    assert [line.get("code") for line in entries] == [None, None, "cancelled", "corrupt"]
    async with client.get(DOWNLOAD, params=ZIP) as answer:
        with zipfile.ZipFile(io.BytesIO(await answer.read())) as archive:
            assert archive.namelist() == ["manifest.json", "001-paper.md"]


@pytest.mark.parametrize("form", ["jsonl", "zip"])
async def test_a_download_that_cannot_be_whole_is_broken_off(world: World, form: str) -> None:
    client = await world.serve()
    await converted(world, 1, LARGE)
    lost = await converted(world, 2, LARGE)
    await converted(world, 3, LARGE)
    ended(world, 3)
    assert lost.markdown is not None
    await world.blobs.put_bytes(lost.markdown.key, LARGE[:-1])
    with pytest.raises(ClientPayloadError):
        async with client.get(DOWNLOAD, params={"format": form}) as answer:
            await answer.read()


async def test_a_missing_document_is_reported_and_the_others_are_included(world: World) -> None:
    client = await world.serve()
    lost = await converted(world, 1, LARGE)
    await converted(world, 2, b"there")
    ended(world, 2)
    assert lost.markdown is not None
    await world.blobs.delete(lost.markdown.key)
    async with client.get(DOWNLOAD) as answer:
        first, second = lines(await answer.read())
    assert (first["code"], "content" in first) == ("content_gone", False)
    assert second["content"] == "there"
    async with client.get(DOWNLOAD, params=ZIP) as answer:
        with zipfile.ZipFile(io.BytesIO(await answer.read())) as archive:
            manifest = msgspec.json.decode(archive.read("manifest.json"))
            assert archive.namelist() == ["manifest.json", "002-paper.md"]
    assert [one["entry"] for one in manifest["documents"]] == [None, "002-paper.md"]


@pytest.mark.parametrize("form", ["jsonl", "zip"])
async def test_memory_use_does_not_grow_with_the_download(world: World, form: str) -> None:
    client = await world.serve()
    text = b"".join(b"%09d ordinary words of a page\n" % n for n in range(26_000))  # 1 MB
    for number in range(1, 31):
        await converted(world, number, text)
    ended(world, 30)
    async with client.get(DOWNLOAD, params={"format": form}) as answer:
        await answer.content.readany()  # what is loaded once is loaded
    size = 0
    tracemalloc.start()
    try:
        async with client.get(DOWNLOAD, params={"format": form}) as answer:
            async for chunk in answer.content.iter_any():
                size += len(chunk)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size > (30 * len(text) if form == "jsonl" else len(text))
    assert peak < 8 * 1024 * 1024


async def test_compression_does_not_block_the_event_loop(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await world.serve()
    await converted(world, 1, LARGE)
    ended(world, 1)
    packers: set[threading.Thread] = set()
    crc32 = zlib.crc32

    def noted(data: bytes, value: int = 0) -> int:
        packers.add(threading.current_thread())
        return crc32(data, value)

    monkeypatch.setattr(zipfile, "crc32", noted)
    async with client.get(DOWNLOAD, params=ZIP) as answer:
        await answer.read()
    assert packers
    assert threading.main_thread() not in packers


async def test_a_client_that_leaves_half_way_ends_the_download(world: World) -> None:
    await world.serve()
    for number in range(1, 11):
        await converted(world, number, os.urandom(1_000_000).hex().encode())
    ended(world, 10)
    for form in ("jsonl", "zip"):
        with capture_logs() as logs:
            reader, writer = await world.connect()
            writer.write(f"GET {DOWNLOAD}?format={form} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            await reader.readexactly(100_000)
            writer.transport.abort()
            await wait_until(lambda logs=logs: bool(logs))  # type: ignore[misc]
        assert [(line["event"], line["status"]) for line in logs] == [("request", 499)]
