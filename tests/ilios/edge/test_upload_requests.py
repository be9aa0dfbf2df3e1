"""What an upload URL may be asked with, and what is refused before anything is kept."""

from typing import Any

import msgspec
import pytest

from tests.ilios.edge.test_upload_urls import ASK, UPLOAD_REQUEST
from tests.ilios.edge.world import World, post_request

MISSING = "fileName and fileSize are required"


def body(**members: Any) -> bytes:
    return msgspec.json.encode(UPLOAD_REQUEST | members)


REFUSED: list[tuple[bytes, int, str]] = [
    (b"", 400, "malformed_json"),
    (b"{", 400, "malformed_json"),
    (b"[]", 400, "malformed_json"),
    (b'"x"', 400, "malformed_json"),
    (b"null", 400, "malformed_json"),
    (b"\xff\xfe{}", 400, "malformed_json"),
    (b"\xef\xbb\xbf{}", 400, "malformed_json"),
    (b'{"fileName":"a","fileSize":NaN}', 400, "malformed_json"),
    (b'{"fileName":"a","fileSize":Infinity}', 400, "malformed_json"),
    (b'{"fileName":"a","fileSize":1,"fileSize":2}', 400, "malformed_json"),
    (b'{"fileName":"a","fileSize":1,"x":{"y":1,"y":2}}', 400, "malformed_json"),
    (b'{"fileName":"a","fileSize":' + b"9" * 5000 + b"}", 400, "malformed_json"),
    (b'{"a":' * 10_000, 400, "malformed_json"),
    (b'{"x":' + b"[" * 5000 + b"]" * 5000 + b"}", 400, "malformed_json"),
    (b"{}", 400, "missing_fields"),
    (b'{"fileName":"a"}', 400, "missing_fields"),
    (b'{"fileSize":1}', 400, "missing_fields"),
    (body(fileName=""), 400, "missing_fields"),
    (body(fileName=None), 400, "missing_fields"),
    (body(fileSize=None), 400, "missing_fields"),
    (body(fileName=7), 400, "invalid_file_name"),
    (body(fileName="a" * 256), 400, "invalid_file_name"),
    (body(fileSize=0), 400, "invalid_file_size"),
    (body(fileSize=-1), 400, "invalid_file_size"),
    (body(fileSize="10"), 400, "invalid_file_size"),
    (body(fileSize=True), 400, "invalid_file_size"),
    (body(fileSize=1.5), 400, "invalid_file_size"),
    (body(fileSize=[1]), 400, "invalid_file_size"),
    (b'{"fileName":"a","fileSize":1e3}', 400, "invalid_file_size"),
    (b'{"fileName":"a","fileSize":1e999}', 400, "invalid_file_size"),
    (body(fileSize=1024 * 1024 + 1), 400, "file_too_large"),
    (b'{"fileName":"a","fileSize":' + b"9" * 4000 + b"}", 400, "file_too_large"),
    (body(mimeType=7), 400, "invalid_mime_type"),
    (body(retentionDays=0), 400, "invalid_retention_days"),
    (body(retentionDays=3651), 400, "invalid_retention_days"),
    (body(retentionDays="7"), 400, "invalid_retention_days"),
    (body(retentionDays=None), 400, "invalid_retention_days"),
    (body(engine="tesseract"), 400, "invalid_engine"),
    (body(engine=""), 400, "invalid_engine"),
    (body(engine=["local"]), 400, "invalid_engine"),
    (body(model=""), 400, "invalid_model"),
    (body(model="Mistral OCR"), 400, "invalid_model"),
    (body(model="mistral-ocr\n"), 400, "invalid_model"),
    (body(engine="local", model="mistral-ocr-latest"), 400, "invalid_model"),
    (body(engine="mistral"), 422, "engine_unavailable"),
    (body(model="mistral-ocr-latest"), 422, "engine_unavailable"),
    (b'{"\\ud800": 1}', 400, "unknown_field"),
    (body(x="y" * 64 * 1024), 413, "request_too_large"),
]


@pytest.mark.parametrize(("sent", "status", "code"), REFUSED)
async def test_an_invalid_upload_request_is_refused_and_nothing_stored(
    world: World, sent: bytes, status: int, code: str
) -> None:
    client = await world.serve(max_file_bytes=1024 * 1024)
    headers = {"Content-Type": "application/json"}

    async def in_chunks() -> Any:
        yield sent

    for data in (sent, in_chunks()):
        async with client.post(ASK, data=data, headers=headers) as answer:
            found = await answer.json()
            assert (answer.status, found["code"]) == (status, code)
            assert answer.content_type == "application/problem+json"
        if code == "missing_fields":
            assert found["error"] == MISSING
    assert world.stored_files() == set()


async def test_ten_megabytes_of_json_are_refused_by_their_header(world: World) -> None:
    await world.serve()
    # Nothing of the body is sent: the answer must not wait for it.
    raw = post_request(b"", path=ASK, content_type="application/json", length=10_000_000)
    assert (await world.send_raw(raw)).status == 413


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", None]
)
async def test_only_json_is_taken_for_json(world: World, content_type: str | None) -> None:
    await world.serve()
    answer = await world.send_raw(post_request(body(), path=ASK, content_type=content_type))
    assert (answer.status, answer.json()["code"]) == (415, "json_expected")


async def test_a_compressed_request_is_not_unpacked(world: World) -> None:
    await world.serve()
    raw = post_request(body(), "Content-Encoding: gzip", path=ASK, content_type="application/json")
    assert (await world.send_raw(raw)).status == 415


@pytest.mark.parametrize(
    "wanted",
    [
        {"fileSize": 1024 * 1024},
        {"mimeType": None},
        {"mimeType": "no type\r\nX-Evil: 1"},
        {"mimeType": "text/plain; charset=utf-8"},
        {"fileName": "\u202egnp.exe\ud800", "retentionDays": 3650},
        {"fileName": "."},
        {"pages": [2, 1, 3]},
    ],
)
async def test_what_can_be_understood_is_taken(world: World, wanted: dict[str, Any]) -> None:
    client = await world.serve(max_file_bytes=1024 * 1024)
    async with client.post(ASK, json=UPLOAD_REQUEST | wanted) as answer:
        assert answer.status == 200
        assert set(await answer.json()) == {"id", "uploadUrl", "s3Key", "expiresIn"}


async def test_a_type_with_a_charset_is_still_json(world: World) -> None:
    await world.serve()
    raw = post_request(body(), path=ASK, content_type="Application/JSON; charset=utf-8")
    assert (await world.send_raw(raw)).status == 200
