import asyncio
import hashlib
import io
from typing import Any

import pytest
from aiohttp import FormData

from actors.ports import StorageFull
from bus.errors import BusFull, BusUnavailable, EventTooLarge
from schemas.documents import Stored
from tests.ilios.edge.world import (
    PDF,
    World,
    field_part,
    file_part,
    multipart_form,
    post_request,
    read_response,
)


def form_data(content: bytes = PDF, name: str = "paper.pdf", **fields: str) -> FormData:
    data = FormData()
    for field, value in fields.items():
        data.add_field(field, value)
    data.add_field("file", io.BytesIO(content), filename=name, content_type="application/pdf")
    return data


async def test_a_submitted_document_is_stored_and_published_before_the_202(world: World) -> None:
    client = await world.serve()
    async with client.post("/api/documents/submit", data=form_data(retentionDays="30")) as answer:
        assert answer.status == 202
        body = await answer.json()
    event = world.publisher.submitted
    assert body == {
        "id": event.document_id,
        "status": "pending",
        "fileName": "paper.pdf",
        "fileSize": len(PDF),
        "retentionDays": 30,
        "createdAt": body["createdAt"],
        "statusUrl": f"/api/documents/status/{event.document_id}",
    }
    assert body["createdAt"].endswith("Z")
    assert len(body["createdAt"]) == len("2026-01-15T10:30:00.000Z")
    assert answer.headers["Location"] == body["statusUrl"]
    assert answer.headers["Retry-After"] == "1"
    assert (event.tenant, event.priority, event.operation) == ("default", 5, "convert")
    assert isinstance(event.source, Stored)
    assert (event.source.size, event.source.sha256) == (len(PDF), hashlib.sha256(PDF).hexdigest())
    assert event.source.detected == "application/pdf"
    assert event.content_type == "application/pdf"
    assert event.submitted_at is not None
    key = f"originals/default/{event.document_id}.{event.source.suffix}"
    assert [chunk async for chunk in world.blobs.read(key)] == [PDF]


@pytest.mark.parametrize(
    ("file_name", "content_type", "detected"),
    [
        ("a.md", "application/octet-stream", "text/markdown"),
        ("a", "text/html", "text/html"),
        ("a.txt", "text/html", "text/plain"),
        ("a.pdf", "application/pdf", None),
    ],
)
async def test_name_and_type_of_the_part_decide_among_texts(
    world: World, file_name: str, content_type: str, detected: str | None
) -> None:
    client = await world.serve()
    form = FormData()
    form.add_field("file", b"Some text.", filename=file_name, content_type=content_type)
    async with client.post("/api/documents/submit", data=form) as answer:
        assert answer.status == 202
    source = world.publisher.submitted.source
    assert isinstance(source, Stored)
    assert source.detected == detected


async def test_fields_may_stand_before_and_after_the_file(world: World) -> None:
    await world.serve()
    before = multipart_form(field_part("retentionDays", b"7"), field_part("_", b"x"), file_part())
    after = multipart_form(file_part(), field_part("_", b"x"), field_part("retentionDays", b"7"))
    for body in (before, after):
        world.publisher.published.clear()
        assert (await world.send_raw(post_request(body))).status == 202
        assert world.publisher.submitted.retention_days == 7


async def test_a_large_document_is_streamed(world: World) -> None:
    client = await world.serve()
    content = bytes(range(256)) * 20_000
    async with client.post("/api/documents/submit", data=form_data(content)) as answer:
        assert answer.status == 202
    source = world.publisher.submitted.source
    assert isinstance(source, Stored)
    assert (source.size, source.sha256) == (len(content), hashlib.sha256(content).hexdigest())


async def test_the_bare_bytes_are_taken_too(world: World) -> None:
    client = await world.serve()
    async with client.post(
        "/api/documents/submit",
        params={"fileName": "a b.pdf", "retentionDays": "3"},
        data=PDF,
        headers={"Content-Type": "application/pdf"},
    ) as answer:
        assert answer.status == 202
        assert (await answer.json())["fileName"] == "a b.pdf"
    event = world.publisher.submitted
    assert (event.retention_days, event.content_type) == (3, "application/pdf")


async def test_chunked_bodies_are_taken(world: World) -> None:
    client = await world.serve()

    async def chunks() -> Any:
        yield PDF
        yield PDF

    async with client.post(
        "/api/documents/submit", data=chunks(), headers={"Content-Type": "image/png"}
    ) as answer:
        assert answer.status == 202
    source = world.publisher.submitted.source
    assert isinstance(source, Stored)
    assert source.size == 2 * len(PDF)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\paper.pdf", "paper.pdf"),
        ("..", "document"),
        ("", "document"),
        ("évil\u202efdp.exe", "évilfdp.exe"),
        ("e\u0301.pdf", "é.pdf"),
        ("x" * 300 + ".pdf", "x" * 251 + ".pdf"),
        ("é" * 200 + ".pdf", "é" * 125 + ".pdf"),
        ("a\udcff.pdf", "aÿ.pdf"),
    ],
)
async def test_a_file_name_is_no_path_and_prints_well(world: World, sent: str, kept: str) -> None:
    await world.serve()
    part = ('Content-Disposition: form-data; name="file"; filename="' + sent + '"', PDF)
    if "\\" in sent:
        part = (part[0].replace("\\", "\\\\"), PDF)
    assert (await world.send_raw(post_request(multipart_form(part)))).status == 202
    assert world.publisher.submitted.file_name == kept


async def test_control_characters_in_a_name_are_dropped(world: World) -> None:
    await world.serve()
    head = "Content-Disposition: form-data; name=file; filename*=UTF-8''x%0d%0aX-Bad%3A%201%00.pdf"
    assert (await world.send_raw(post_request(multipart_form((head, PDF))))).status == 202
    assert world.publisher.submitted.file_name == "xX-Bad: 1.pdf"


@pytest.mark.parametrize("days", ["0", "3651", "007", "-1", "1.5", "many", "\uff11", "9" * 5000])
async def test_a_retention_out_of_range_is_refused_and_nothing_stored(
    world: World, days: str
) -> None:
    await world.serve()
    answer = await world.send_raw(
        post_request(multipart_form(file_part(), field_part("retentionDays", days.encode())))
    )
    assert (answer.status, answer.json()["code"]) == (400, "invalid_retention_days")
    assert world.stored_files() == set()
    assert world.publisher.published == []


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (
            multipart_form(field_part("retentionDays", b"7")),
            "multipart/form-data; boundary=BOUNDARY",
        ),
        (multipart_form(), "multipart/form-data; boundary=BOUNDARY"),
        (multipart_form(file_part("", b"")), "multipart/form-data; boundary=BOUNDARY"),
        (
            multipart_form(field_part("file", b"paper.pdf")),
            "multipart/form-data; boundary=BOUNDARY",
        ),
        (
            multipart_form(('Content-Disposition: form-data; name="doc"; filename="a.pdf"', PDF)),
            "multipart/form-data; boundary=BOUNDARY",
        ),
        (b"", "application/pdf"),
        (b"", "multipart/form-data; boundary=BOUNDARY"),
        (b"file=abc", "application/x-www-form-urlencoded"),
        (PDF, None),
    ],
)
async def test_a_request_without_a_file_is_refused(
    world: World, body: bytes, content_type: str | None
) -> None:
    await world.serve()
    answer = await world.send_raw(post_request(body, content_type=content_type))
    assert answer.status == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.json()["error"], answer.json()["code"]) == ("No file provided", "no_file")
    assert "file=@" in answer.json()["detail"]
    assert world.stored_files() == set()


@pytest.mark.parametrize("turned", [False, True])
async def test_a_file_under_another_name_beside_the_document_is_refused(
    world: World, *, turned: bool
) -> None:
    await world.serve()
    other = ('Content-Disposition: form-data; name="fille"; filename="b.pdf"', PDF)
    parts = (file_part(), other)
    answer = await world.send_raw(post_request(multipart_form(*(parts[::-1] if turned else parts))))
    assert (answer.status, answer.json()["code"]) == (400, "unknown_field")
    assert "fille" in answer.json()["error"]
    assert world.stored_files() == set()


async def test_a_file_may_come_without_a_name(world: World) -> None:
    await world.serve()
    head = 'Content-Disposition: form-data; name="file"\r\nContent-Type: application/pdf'
    assert (await world.send_raw(post_request(multipart_form((head, PDF))))).status == 202
    assert world.publisher.submitted.file_name == "document"


async def test_an_empty_file_is_refused(world: World) -> None:
    await world.serve()
    answer = await world.send_raw(post_request(multipart_form(file_part(content=b""))))
    assert (answer.status, answer.json()["code"]) == (400, "empty_file")


async def test_two_files_are_refused_and_neither_stored(world: World) -> None:
    await world.serve()
    answer = await world.send_raw(post_request(multipart_form(file_part(), file_part())))
    assert (answer.status, answer.json()["code"]) == (400, "too_many_files")
    assert world.stored_files() == set()


async def test_a_file_over_the_limit_is_refused_per_contract(world: World) -> None:
    await world.serve(max_file_bytes=1024 * 1024)
    for content_type, body in (
        (
            "multipart/form-data; boundary=BOUNDARY",
            multipart_form(file_part(content=bytes(1024 * 1024 + 1))),
        ),
        ("application/pdf", bytes(1024 * 1024 + 1)),
    ):
        answer = await world.send_raw(post_request(body, content_type=content_type))
        assert answer.status == 400
        assert answer.json()["error"] == "File size exceeds 1MB limit"
        assert answer.json()["details"] == {
            "fileSize": 1024 * 1024 + 1,
            "maxSize": 1024 * 1024,
            "fileSizeMB": "1.00",
            "maxSizeMB": 1,
        }
    assert world.stored_files() == set()


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (BusUnavailable("10.0.0.1 refused"), 503),
        (BusFull("disk"), 507),
        (EventTooLarge("big"), 413),
        (RuntimeError("secret"), 500),
    ],
)
async def test_an_upload_that_could_not_be_published_is_deleted(
    world: World, error: Exception, status: int
) -> None:
    await world.serve()
    world.publisher.error = error
    answer = await world.send_raw(post_request(multipart_form(file_part())))
    assert answer.status == status
    assert str(error) not in answer.body.decode()
    assert ("retry-after" in answer.headers) == (status in (503, 507))
    assert world.stored_files() == set()


async def test_a_full_volume_is_507(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(_key: str, _chunks: object) -> None:
        raise StorageFull

    monkeypatch.setattr(world.blobs, "put", full)
    await world.serve()
    answer = await world.send_raw(post_request(multipart_form(file_part())))
    assert (answer.status, answer.json()["code"]) == (507, "storage_full")


async def test_a_client_that_hangs_up_half_way_leaves_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    delete, discarded = world.blobs.delete, asyncio.Event()

    async def noted(key: str) -> None:
        await delete(key)
        discarded.set()

    monkeypatch.setattr(world.blobs, "delete", noted)
    await world.serve()
    body = multipart_form(file_part(content=bytes(2_000_000)))
    _, writer = await world.connect()
    writer.write(post_request(body)[:1_500_000])
    await writer.drain()
    writer.close()
    await discarded.wait()
    assert world.stored_files() == set()
    assert world.publisher.published == []


async def test_an_announced_body_is_only_invited_when_it_is_wanted(world: World) -> None:
    await world.serve("the-key")
    body = multipart_form(file_part())
    head = post_request(body, "Expect: 100-continue").removesuffix(body)
    refused = await world.send_raw(head)
    assert refused.status == 401
    reader, writer = await world.connect()
    writer.write(head.replace(b"Host:", b"X-Api-Key: the-key\r\nHost:"))
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(body)
    assert (await read_response(reader)).status == 202
    writer.close()


async def test_an_announced_body_that_is_too_large_is_not_invited(world: World) -> None:
    await world.serve(max_file_bytes=1000)
    answer = await world.send_raw(post_request(b"", "Expect: 100-continue", length=10_000_000))
    assert (answer.status, answer.json()["code"]) == (400, "file_too_large")


async def test_two_submissions_can_share_a_connection(world: World) -> None:
    await world.serve()
    reader, writer = await world.connect()
    for _ in range(2):
        writer.write(post_request(multipart_form(file_part())))
        assert (await read_response(reader)).status == 202
    writer.close()
    assert len(world.publisher.published) == 2
