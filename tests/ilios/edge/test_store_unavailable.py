"""While the store of the documents does not answer, clients get a Retry-After."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from actors.ports import StorageUnavailable
from tests.ilios.edge.world import ID, PDF, World, file_part, multipart_form, post_request

UNAVAILABLE = StorageUnavailable("S3 does not answer at http://bucket.internal:9000: look after it")
ORIGINAL = f"/api/documents/{ID}/original"


@pytest.fixture
def away(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing be read and nothing be put."""

    async def refuse(*_: object, **__: object) -> Any:
        raise UNAVAILABLE

    async def read(*_: object, **__: object) -> AsyncIterator[bytes]:
        chunks: tuple[bytes, ...] = ()
        for chunk in chunks:
            yield chunk
        raise UNAVAILABLE

    for name in ("put", "put_bytes", "size"):
        monkeypatch.setattr(world.blobs, name, refuse)
    monkeypatch.setattr(world.blobs, "read", read)


async def test_a_submission_is_refused_and_nothing_is_published(world: World, away: None) -> None:
    await world.serve()
    answer = await world.send_raw(post_request(multipart_form(file_part())))
    assert (answer.status, answer.json()["code"]) == (503, "storage_unavailable")
    assert int(answer.headers["retry-after"]) > 0
    assert "bucket.internal" not in answer.body.decode(), "that is for the operator"
    assert world.publisher.published == []


@pytest.mark.parametrize("path", [ORIGINAL, f"/api/documents/{ID}"])
async def test_what_cannot_be_read_now_can_be_read_later(
    world: World, path: str, request: pytest.FixtureRequest
) -> None:
    client = await world.serve()
    await world.add_completed(b"text")
    request.getfixturevalue("away")
    async with client.get(path) as answer:
        assert (answer.status, (await answer.json())["code"]) == (503, "storage_unavailable")
        assert int(answer.headers["Retry-After"]) > 0


@pytest.mark.parametrize("signed", ["https://bucket.example/original?signature=x", None])
async def test_clients_are_redirected_to_the_bucket_where_configured(
    world: World, monkeypatch: pytest.MonkeyPatch, signed: str | None
) -> None:
    async def presign_get(*_: object, **__: object) -> str | None:
        return signed

    monkeypatch.setattr(world.blobs, "presign_get", presign_get)
    world.original_redirect = True
    client = await world.serve()
    await world.add_completed(b"text")
    async with client.get(ORIGINAL, allow_redirects=False) as answer:
        if signed is None:
            assert (answer.status, await answer.read()) == (200, PDF)
        else:
            assert (answer.status, answer.headers["Location"]) == (307, signed)
            assert answer.headers["Cache-Control"] == "no-store"
