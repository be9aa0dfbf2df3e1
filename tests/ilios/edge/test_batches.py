import asyncio
import hashlib
import io

import pytest
from aiohttp import FormData

from bus.errors import BusUnavailable
from schemas.batches import BatchSubmitted
from schemas.documents import Stored
from tests.ilios.edge.test_hostile_uploads import HOSTILE
from tests.ilios.edge.world import PDF, World, field_part, file_part, multipart_form, post_request

SUBMIT = "/v1/batch/submit"


def many(*contents: bytes, part: str = "files", **fields: str) -> FormData:
    """Return a form with a file of each content: one.pdf, two.pdf, ..."""
    data = FormData()
    for field, value in fields.items():
        data.add_field(field, value)
    names = ("one.pdf", "two.pdf", "three.pdf")
    for number, content in enumerate(contents):
        name = names[number] if number < len(names) else f"{number}.pdf"
        data.add_field(part, io.BytesIO(content), filename=name, content_type="application/pdf")
    return data


def submitted(world: World) -> BatchSubmitted:
    (event,) = world.publisher.published
    assert isinstance(event, BatchSubmitted)
    return event


async def test_a_batch_is_one_event_and_every_document_is_stored_before_the_202(
    world: World,
) -> None:
    client = await world.serve()
    data = many(b"%PDF one", b"%PDF two", priority="9", retentionDays="30")
    async with client.post(SUBMIT, data=data) as answer:
        assert answer.status == 202
        body = await answer.json()
    event = submitted(world)
    one, two = f"{event.batch_id}001", f"{event.batch_id}002"
    assert body == {
        "batchId": event.batch_id,
        "status": "queued",
        "totalDocuments": 2,
        "documents": [
            {"id": one, "fileName": "one.pdf", "fileSize": 8, "status": "pending"},
            {"id": two, "fileName": "two.pdf", "fileSize": 8, "status": "pending"},
        ],
        "createdAt": body["createdAt"],
        "statusUrl": f"/v1/batch/status/{event.batch_id}",
    }
    assert answer.headers["Location"] == body["statusUrl"]
    assert answer.headers["Retry-After"] == "1"
    assert (event.priority, event.retention_days, event.fingerprint) == (9, 30, None)
    for document, content in zip(event.documents, (b"%PDF one", b"%PDF two"), strict=True):
        source = document.source
        assert isinstance(source, Stored)
        assert source.sha256 == hashlib.sha256(content).hexdigest()
        key = f"originals/default/{document.document_id}.{source.suffix}"
        assert [chunk async for chunk in world.blobs.read(key)] == [content]
    assert len(world.stored_files()) == 2


async def test_the_parts_of_a_batch_may_have_any_of_its_names(world: World) -> None:
    await world.serve()
    parts = [
        (f'Content-Disposition: form-data; name="{name}"; filename="{name}.pdf"', PDF)
        for name in ("files", "file", "files[]")
    ]
    body = multipart_form(field_part("priority", b"1"), *parts, field_part("retentionDays", b"7"))
    assert (await world.send_raw(post_request(body, path=SUBMIT))).status == 202
    names = [document.file_name for document in submitted(world).documents]
    assert names == ["files.pdf", "file.pdf", "files[].pdf"]


async def test_a_hundred_files_are_a_batch_and_one_more_is_not(world: World) -> None:
    client = await world.serve()
    fields = {f"utm_{number}": "y" for number in range(10)}
    async with client.post(SUBMIT, data=many(*[b"x"] * 100, **fields)) as answer:
        assert (await answer.json())["totalDocuments"] == 100
    assert len(world.stored_files()) == 100
    async with client.post(SUBMIT, data=many(*[b"x"] * 101)) as answer:
        assert answer.status == 400
        body = await answer.json()
    assert (body["error"], body["code"]) == ("Maximum 100 files per batch", "too_many_files")
    assert body["provided"] == body["details"]["provided"] == 101
    assert len(world.stored_files()) == 100


async def test_a_file_that_was_not_chosen_is_no_document(world: World) -> None:
    await world.serve()
    nothing = ('Content-Disposition: form-data; name="files"; filename=""', b"")
    assert (
        await world.send_raw(post_request(multipart_form(nothing, file_part()), path=SUBMIT))
    ).status == 202
    (document,) = submitted(world).documents
    assert document.document_id.endswith("001")
    assert len(world.stored_files()) == 1


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (multipart_form(field_part("priority", b"7")), "multipart/form-data; boundary=BOUNDARY"),
        (
            multipart_form(field_part("files", b"paper.pdf")),
            "multipart/form-data; boundary=BOUNDARY",
        ),
        (
            multipart_form(('Content-Disposition: form-data; name="files"; filename=""', b"")),
            "multipart/form-data; boundary=BOUNDARY",
        ),
        (PDF, "application/pdf"),
        (b"", "multipart/form-data; boundary=BOUNDARY"),
    ],
)
async def test_a_batch_without_files_is_refused(
    world: World, body: bytes, content_type: str
) -> None:
    await world.serve()
    answer = await world.send_raw(post_request(body, path=SUBMIT, content_type=content_type))
    assert (answer.status, answer.json()["error"]) == (400, "No files provided")
    assert "files=@" in answer.json()["detail"]
    assert world.stored_files() == set()


async def test_one_bad_file_of_a_batch_is_named_and_none_is_stored(world: World) -> None:
    client = await world.serve(max_file_bytes=1024 * 1024)
    for content, error, code in (
        (b"", 'File "three.pdf" is empty', "empty_file"),
        (bytes(1024 * 1024 + 1), 'File "three.pdf" exceeds 1MB limit', "file_too_large"),
    ):
        async with client.post(SUBMIT, data=many(b"x", b"y", content)) as answer:
            assert answer.status == 400
            body = await answer.json()
        assert (body["error"], body["code"]) == (error, code)
        if code == "file_too_large":
            assert body["fileSize"] == body["details"]["fileSize"] == 1024 * 1024 + 1
    assert world.stored_files() == set()
    assert world.publisher.published == []


@pytest.mark.parametrize(
    ("field", "value", "status", "code"),
    [
        ("priority", "0", 400, "invalid_priority"),
        ("priority", "11", 400, "invalid_priority"),
        ("priority", "high", 400, "invalid_priority"),
        ("retentionDays", "0", 400, "invalid_retention_days"),
        ("useMistralBatch", "true", 422, "engine_unavailable"),
        ("useMistralBatch", "perhaps", 400, "invalid_use_mistral_batch"),
        ("model", "mistral-ocr-latest", 422, "engine_unavailable"),
        ("engine", "mistral", 422, "engine_unavailable"),
        ("engine", "tesseract", 400, "invalid_engine"),
        ("model", "Mistral OCR", 400, "invalid_model"),
    ],
)
async def test_an_unsupported_field_is_refused_and_nothing_stored(
    world: World, field: str, value: str, status: int, code: str
) -> None:
    client = await world.serve()
    async with client.post(SUBMIT, data=many(b"x", b"y", **{field: value})) as answer:
        assert (answer.status, (await answer.json())["code"]) == (status, code)
    assert world.stored_files() == set()
    assert world.publisher.published == []


async def test_fields_that_ask_for_what_is_there_anyway_are_no_matter(world: World) -> None:
    client = await world.serve()
    data = many(b"x", useMistralBatch="false", model="local", priority="")
    async with client.post(SUBMIT, data=data) as answer:
        assert answer.status == 202
    assert submitted(world).priority == 5


async def test_a_batch_that_could_not_be_published_is_deleted(world: World) -> None:
    client = await world.serve()
    world.publisher.error = BusUnavailable("no")
    async with client.post(SUBMIT, data=many(b"x", b"y")) as answer:
        assert answer.status == 503
    assert world.stored_files() == set()


async def test_a_client_that_hangs_up_in_the_second_file_leaves_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    delete, discarded = world.blobs.delete, asyncio.Event()

    async def noted(key: str) -> None:
        await delete(key)
        if not world.stored_files():
            discarded.set()

    monkeypatch.setattr(world.blobs, "delete", noted)
    await world.serve()
    body = multipart_form(file_part(), file_part(content=bytes(2_000_000)))
    _, writer = await world.connect()
    writer.write(post_request(body, path=SUBMIT)[:1_500_000])
    await writer.drain()
    writer.close()
    async with asyncio.timeout(20):
        await discarded.wait()
    assert world.publisher.published == []


@pytest.mark.parametrize("raw", HOSTILE.values(), ids=HOSTILE.keys())
async def test_hostile_batches_are_refused_and_nothing_stored(world: World, raw: bytes) -> None:
    await world.serve()
    answer = await world.send_raw(raw.replace(b"/api/documents/submit", SUBMIT.encode(), 1))
    assert 400 <= answer.status < 500
    assert world.publisher.published == []
    assert world.stored_files() == set()
