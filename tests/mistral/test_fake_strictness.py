"""What the fake refuses, and how the real SDK says so."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import aiohttp
import pytest
from mistralai.client import errors, models

from tests import documents
from tests.mistral.fake import FakeMistral
from tests.mistral.sdk import (
    MODEL,
    SdkClient,
    connected,
    data_url,
    inline_document,
    uploaded_document,
)

PDF = documents.pdf("one", "two")
DOCUMENT = {"type": "document_url", "document_url": data_url(PDF, documents.PDF)}
UNKNOWN_ID = "00000000-0000-4000-8000-000000000000"


async def answer(fake: FakeMistral, body: Any) -> tuple[int, Any]:
    """Post what no SDK would send."""
    headers = {"Authorization": f"Bearer {fake.key}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(f"{fake.url}/v1/ocr", json=body) as response,
    ):
        return response.status, await response.json()


@pytest.mark.parametrize("key", [None, "somebody-elses"])
async def test_without_the_right_key_nothing_is_answered(
    fake: FakeMistral, key: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MISTRAL_API_KEY", raising=False)
    async with connected(fake.url, key) as stranger:
        for ask in (
            partial(stranger.process_pdf, PDF),
            stranger.files.list_async,
            stranger.jobs.list_async,
        ):
            with pytest.raises(errors.SDKError) as refused:
                await ask()
            assert refused.value.status_code == 401
            assert '"detail"' in refused.value.body
    assert not fake.call_log.calls


@pytest.mark.parametrize(
    ("more", "where"),
    [
        ({"includeImageBase64": True}, ["body", "includeImageBase64"]),
        ({"id": "mine"}, ["body", "id"]),
        ({"pages": []}, ["body", "pages"]),
        ({"pages": [-1]}, ["body", "pages"]),
        ({"pages": [True]}, ["body", "pages"]),
        ({"pages": "1-"}, ["body", "pages"]),
        ({"pages": "5-2"}, ["body", "pages"]),
        ({"pages": "1, 2"}, ["body", "pages"]),
        ({"include_blocks": None}, ["body", "include_blocks"]),
        ({"extract_header": "yes"}, ["body", "extract_header"]),
        ({"image_limit": -1}, ["body", "image_limit"]),
        ({"image_min_size": 1.5}, ["body", "image_min_size"]),
        ({"table_format": "csv"}, ["body", "table_format"]),
        ({"confidence_scores_granularity": "token"}, ["body", "confidence_scores_granularity"]),
        ({"document_annotation_format": {"type": "text"}}, ["body", "document_annotation_format"]),
        ({"document_annotation_prompt": "Sum it up"}, ["body"]),
        ({"model": 7}, ["body", "model"]),
        ({"document": "a.pdf"}, ["body", "document"]),
        ({"document": {"type": "audio_url"}}, ["body", "document"]),
        ({"document": {"type": "file"}}, ["body", "document", "file", "file_id"]),
        ({"document": {"type": "file", "file_id": "7"}}, ["body", "document", "file", "file_id"]),
        (
            {"document": {**DOCUMENT, "documentName": "a"}},
            ["body", "document", "document_url", "documentName"],
        ),
        (
            {
                "document": {
                    "type": "image_url",
                    "image_url": {"url": "data:image/png;base64,", "x": 1},
                }
            },
            ["body", "document", "image_url", "image_url", "x"],
        ),
    ],
    ids=str,
)
async def test_an_invalid_request_is_answered_with_the_location(
    fake: FakeMistral, more: Mapping[str, Any], where: list[str]
) -> None:
    status, body = await answer(fake, {"model": MODEL, "document": DOCUMENT, **more})

    assert status == 422
    assert [problem["loc"] for problem in body["detail"]] == [where]


async def test_all_problems_are_reported_at_once(fake: FakeMistral) -> None:
    _, body = await answer(fake, {"documentUrl": "https://example.org/a.pdf", "pages": "x"})

    assert [problem["loc"][-1] for problem in body["detail"]] == [
        *("documentUrl", "model", "document", "pages")
    ]


async def test_a_missing_document_type_is_inferred_from_its_fields(
    fake: FakeMistral,
) -> None:
    document = {"document_url": DOCUMENT["document_url"], "document_name": None}

    status, body = await answer(fake, {"model": MODEL, "document": document, "pages": None})

    assert status == 200
    assert len(body["pages"]) == 2


async def test_the_sdk_raises_a_validation_error_with_what_was_wrong(client: SdkClient) -> None:
    with pytest.raises(errors.HTTPValidationError) as refused:
        await client.process_pdf(PDF, image_limit=-1)

    assert refused.value.status_code == 422
    assert refused.value.data.detail
    [problem] = refused.value.data.detail
    assert problem.loc == ["body", "image_limit"]
    assert problem.type == "greater_than_equal"


@pytest.mark.parametrize(
    "document",
    [
        models.DocumentURLChunk(document_url="data:image/png;base64,iVBORw0="),
        models.DocumentURLChunk(document_url="ftp://example.org/a.pdf"),
        models.DocumentURLChunk(document_url="http://example.org/a.pdf"),
        models.DocumentURLChunk(document_url="JVBERi0="),
        models.ImageURLChunk(image_url=data_url(PDF, documents.PDF)),
        models.ImageURLChunk(image_url="data:image/png,iVBORw0="),
    ],
    ids=lambda chunk: str(chunk)[:60],
)
async def test_pictures_and_documents_have_each_their_own_field(
    client: SdkClient, document: models.DocumentUnion
) -> None:
    with pytest.raises(errors.HTTPValidationError) as refused:
        await client.process(document)

    # The whole of what was sent comes back: such a message is not for a log.
    sent = getattr(document, "document_url", None) or getattr(document, "image_url", None)
    assert str(sent) in str(refused.value)


@pytest.mark.parametrize(
    ("document", "status", "kind"),
    [
        (
            models.DocumentURLChunk(document_url="https://example.org/a"),
            400,
            "invalid_request_file",
        ),
        (models.ImageURLChunk(image_url="https://example.org/a.png"), 400, "invalid_request_file"),
        (models.DocumentURLChunk(document_url="data:application/pdf;base64,J-_="), 400, "fetch"),
        (models.DocumentURLChunk(document_url="data:application/pdf;base64,JVB"), 400, "fetch"),
        (inline_document(b"hello"), 400, "document_parser_invalid_file"),
        (inline_document(b"%PDF-1.7 and nothing else"), 400, "document_parser_invalid_file"),
        (inline_document(documents.encrypted_pdf()), 400, "document_parser_invalid_file"),
        (inline_document(PDF, documents.DOCX), 400, "not a valid docx"),
        (inline_document(b"hello", documents.PPTX), 400, "not a valid pptx"),
        (inline_document(b"hello", "application/zip"), 400, "application/zip is not supported"),
        (models.ImageURLChunk(image_url=data_url(b"hello", "image/png")), 400, "not a valid image"),
        (uploaded_document(UNKNOWN_ID), 404, "File not found"),
    ],
    ids=lambda given: str(given)[:40],
)
async def test_a_document_that_cannot_be_had_or_read_is_refused(
    client: SdkClient, document: models.DocumentUnion, status: int, kind: str
) -> None:
    with pytest.raises(errors.SDKError, match=kind) as refused:
        await client.process(document)

    assert refused.value.status_code == status


async def test_a_page_that_is_not_there_and_a_model_that_is_not_there_are_refused(
    client: SdkClient,
) -> None:
    with pytest.raises(errors.SDKError, match=r"Page 2 .* has 2 pages") as beyond:
        await client.process_pdf(PDF, pages="0-2")
    with pytest.raises(errors.SDKError, match="Invalid model: mistral-large-latest") as unknown:
        await client.process_pdf(PDF, model="mistral-large-latest")

    assert (beyond.value.status_code, unknown.value.status_code) == (400, 400)


async def test_what_is_no_json_and_where_nothing_is_are_refused(fake: FakeMistral) -> None:
    headers = {"Authorization": f"Bearer {fake.key}"}
    async with aiohttp.ClientSession(fake.url, headers=headers) as session:
        for method, path, status in (
            ("POST", "/v1/ocr", 422),
            ("POST", "/v1/ocr/process", 404),
            ("GET", "/v1/ocr", 405),
            ("GET", "/v1/files?order=name", 422),
            ("GET", "/v1/files/7", 422),
        ):
            async with session.request(method, path, data=b'{"model":') as response:
                assert response.status == status
                assert "detail" in await response.json()
