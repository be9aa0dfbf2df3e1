"""The OCR endpoint as the real SDK reads it: pages, images, tables, limits, refusals."""

import base64
import io
from collections.abc import Mapping
from typing import Any

import aiohttp
import pytest
from mistralai.client import errors, models
from PIL import Image

from tests import documents
from tests.documents import DOCX, PPTX
from tests.mistral.fake import FakeMistral
from tests.mistral.pages import mark
from tests.mistral.rules import Layout
from tests.mistral.sdk import (
    MODEL,
    SdkClient,
    connected,
    data_url,
    inline_document,
    uploaded_document,
)

PDF = documents.pdf("the first\nand more", "the second", "the third")
RICH = Layout(images=2, tables=1, links=1, header="A head", footer="A foot")
DOCUMENT = {"type": "document_url", "document_url": data_url(PDF, documents.PDF)}


async def test_each_page_of_a_pdf_carries_the_mark_of_its_document_and_its_own_text(
    client: SdkClient,
) -> None:
    read = await client.process_pdf(PDF)

    assert [page.index for page in read.pages] == [0, 1, 2]
    for number, line in enumerate(("the first", "the second", "the third")):
        assert mark(PDF, number) in read.pages[number].markdown
        assert line in read.pages[number].markdown
    assert read.usage_info.pages_processed == 3
    assert read.usage_info.doc_size_bytes == len(PDF)
    size = read.pages[0].dimensions
    assert size is not None
    assert (size.dpi, size.width, size.height) == (200, 1700, 2200)


@pytest.mark.parametrize(
    ("selection", "indices"),
    [([2, 0], [2, 0]), ("2,0-1,1", [2, 0, 1])],
)
async def test_pages_are_answered_in_the_order_they_were_asked_for_and_each_once(
    client: SdkClient, selection: list[int] | str | None, indices: list[int]
) -> None:
    read = await client.process_pdf(PDF, pages=selection)

    assert [page.index for page in read.pages] == indices
    assert all(mark(PDF, page.index) in page.markdown for page in read.pages)
    assert read.usage_info.pages_processed == len(indices)


async def test_a_picture_is_one_page(client: SdkClient) -> None:
    content = documents.image_file(Image.new("RGB", (30, 20)), "PNG")

    url = data_url(content, documents.PNG)
    read = await client.process(models.ImageURLChunk(image_url=url))

    [page] = read.pages
    assert mark(content, 0) in page.markdown
    assert page.dimensions is not None
    assert (page.dimensions.width, page.dimensions.height) == (30, 20)


async def test_a_docx_is_one_page_and_every_slide_is_one(client: SdkClient) -> None:
    text = documents.docx(documents.paragraph("In a word"))
    show = documents.pptx({"Plans": ["Grow"], "Risks": ["Shrink"]})

    [page] = (await client.process(inline_document(text, DOCX))).pages
    slides = (await client.process(inline_document(show, PPTX))).pages

    assert "In a word" in page.markdown
    assert ["Plans" in slides[0].markdown, "Risks" in slides[1].markdown] == [True, True]


async def test_an_office_document_without_images_needs_them_to_be_limited_to_none(
    client: SdkClient,
) -> None:
    document = inline_document(documents.docx(documents.paragraph("In a word")), DOCX)

    with pytest.raises(errors.SDKError, match="image_limit=0") as refused:
        await client.process(document, include_image_base64=False)
    assert refused.value.status_code == 400
    assert (await client.process(document, include_image_base64=False, image_limit=0)).pages


async def test_images_are_real_ones_as_many_and_as_large_as_was_asked_for(
    fake: FakeMistral, client: SdkClient
) -> None:
    fake.rules.layout = RICH

    read = await client.process_pdf(
        PDF, include_image_base64=True, image_limit=3, image_min_size=48
    )

    images = [image for page in read.pages for image in page.images]
    assert [image.id for image in images] == ["img-0.jpeg", "img-1.jpeg", "img-2.jpeg"]
    head, _, data = str(images[0].image_base64).partition(",")
    assert head == "data:image/jpeg;base64"
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (64, 48)
    none = await client.process_pdf(PDF, include_image_base64=True, image_min_size=49)
    assert "img-" not in "".join(page.markdown for page in none.pages)


async def test_tables_leave_a_placeholder_when_they_are_taken_out(
    fake: FakeMistral, client: SdkClient
) -> None:
    fake.rules.layout = RICH

    read = await client.process_pdf(PDF, table_format="html")

    for number, page in enumerate(read.pages):
        assert page.tables
        [table] = page.tables
        assert table.id == f"tbl-{number}.html"
        assert table.format_ == "html"
        assert f"[{table.id}]({table.id})" in page.markdown
        assert table.content not in page.markdown


async def test_header_and_footer_are_taken_out_of_the_text(
    fake: FakeMistral, client: SdkClient
) -> None:
    fake.rules.layout = RICH

    read = await client.process_pdf(PDF, extract_header=True, extract_footer=True)

    assert {(page.header, page.footer) for page in read.pages} == {("A head", "A foot")}
    assert not any("A head" in page.markdown or "A foot" in page.markdown for page in read.pages)


async def test_a_file_can_be_read_by_its_id_and_by_a_link(
    fake: FakeMistral, client: SdkClient
) -> None:
    id_ = await client.upload(PDF)
    link = await client.files.get_signed_url_async(file_id=id_, expiry=1)

    by_file = await client.process(uploaded_document(id_), pages=[2])
    by_link = await client.process(models.DocumentURLChunk(document_url=link.url), pages="2")

    assert by_file == by_link
    assert mark(PDF, 2) in by_file.pages[0].markdown
    assert [call.how for call in fake.call_log.calls] == ["file", "signed_url"]


async def test_a_fake_that_opens_no_document_takes_anything_for_one_page(
    fake: FakeMistral, client: SdkClient
) -> None:
    fake.rules.looks_inside = False

    [page] = (await client.process_pdf(b"%PDF-1.7 and nothing else")).pages

    assert mark(b"%PDF-1.7 and nothing else", 0) in page.markdown
    assert (await client.process(uploaded_document(await client.upload(b"nothing at all")))).pages


async def test_a_document_of_too_many_pages_is_refused_whatever_part_of_it_is_wanted(
    fake: FakeMistral, client: SdkClient
) -> None:
    fake.rules.document_pages = 2
    for pages in (None, [0]):
        with pytest.raises(errors.SDKError, match=r"3 pages.*maximum allowed of 2") as refused:
            await client.process_pdf(PDF, pages=pages)
        assert refused.value.status_code == 400
        assert "document_parser_too_many_pages" in refused.value.body


async def test_a_document_that_is_too_large_is_refused(
    fake: FakeMistral, client: SdkClient
) -> None:
    fake.rules.document_bytes = len(PDF)

    assert (await client.process_pdf(PDF)).pages
    with pytest.raises(errors.SDKError) as refused:
        await client.process_pdf(PDF + b"\n")
    assert refused.value.status_code == 413


async def test_only_so_many_pages_go_into_a_minute(fake: FakeMistral, client: SdkClient) -> None:
    fake.rules.pages_per_minute = 7

    await client.process_pdf(PDF)
    await client.process_pdf(PDF)
    with pytest.raises(errors.SDKError) as refused:
        await client.process_pdf(PDF)
    await client.process_pdf(PDF, pages=[0])

    assert refused.value.status_code == 429
    assert fake.call_log.pages_paid == 7
    fake.rules.minute = 0.0
    assert (await client.process_pdf(PDF)).pages


@pytest.mark.parametrize("key", [None, "another"])
async def test_without_the_right_key_nothing_is_answered(
    fake: FakeMistral, key: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MISTRAL_API_KEY", raising=False)
    async with connected(fake.url, key) as stranger:
        with pytest.raises(errors.SDKError) as refused:
            await stranger.process_pdf(PDF)
    assert refused.value.status_code == 401
    assert not fake.call_log.calls


@pytest.mark.parametrize(
    ("more", "where"),
    [
        ({"includeImageBase64": True}, ["body", "includeImageBase64"]),
        ({"pages": []}, ["body", "pages"]),
        ({"pages": "5-2"}, ["body", "pages"]),
        ({"image_limit": -1}, ["body", "image_limit"]),
        ({"document": {"type": "file", "file_id": "7"}}, ["body", "document", "file", "file_id"]),
    ],
    ids=str,
)
async def test_an_invalid_request_is_answered_with_the_location(
    fake: FakeMistral, more: Mapping[str, Any], where: list[str]
) -> None:
    body = {"model": MODEL, "document": DOCUMENT, **more}
    headers = {"Authorization": f"Bearer {fake.key}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(f"{fake.url}/v1/ocr", json=body) as response,
    ):
        assert response.status == 422
        assert [problem["loc"] for problem in (await response.json())["detail"]] == [where]


@pytest.mark.parametrize(
    ("document", "status", "kind"),
    [
        (models.DocumentURLChunk(document_url="https://example.org/a"), 400, "invalid_request"),
        (inline_document(b"%PDF-1.7 and nothing else"), 400, "document_parser_invalid_file"),
        (inline_document(documents.encrypted_pdf()), 400, "document_parser_invalid_file"),
        (inline_document(PDF, documents.DOCX), 400, "not a valid docx"),
        (uploaded_document("00000000-0000-4000-8000-000000000000"), 404, "File not found"),
    ],
    ids=lambda given: str(given)[:40],
)
async def test_a_document_that_cannot_be_fetched_or_read_is_refused(
    client: SdkClient, document: models.DocumentUnion, status: int, kind: str
) -> None:
    with pytest.raises(errors.SDKError, match=kind) as refused:
        await client.process(document)

    assert refused.value.status_code == status


async def test_a_page_or_model_that_does_not_exist_is_refused(
    client: SdkClient,
) -> None:
    with pytest.raises(errors.SDKError, match=r"Page 3 .* has 3 pages") as beyond:
        await client.process_pdf(PDF, pages="0-3")
    with pytest.raises(errors.SDKError, match="Invalid model: mistral-large-latest") as unknown:
        await client.process_pdf(PDF, model="mistral-large-latest")

    assert (beyond.value.status_code, unknown.value.status_code) == (400, 400)
