"""What the fake answers when all is well, as the real SDK reads it."""

import base64
import io

import pytest
from mistralai.client import errors, models
from PIL import Image

from tests import documents
from tests.documents import DOCX, PPTX
from tests.mistral.fake import FakeMistral
from tests.mistral.pages import mark
from tests.mistral.rules import Layout
from tests.mistral.sdk import SdkClient, data_url, inline_document, uploaded_document

PDF = documents.pdf("the first\nand more", "the second", "the third")
RICH = Layout(images=2, tables=1, links=1, header="A head", footer="A foot")
SCHEMA: models.ResponseFormatTypedDict = {
    "type": "json_schema",
    "json_schema": {"name": "bill", "schema_definition": {"properties": {"total": {}}}},
}


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


async def test_documents_that_differ_in_one_byte_have_different_marks(client: SdkClient) -> None:
    one, other = await client.process_pdf(PDF), await client.process_pdf(PDF + b"\n")

    assert one.pages[0].markdown != other.pages[0].markdown


@pytest.mark.parametrize(
    ("selection", "indices"),
    [([2, 0], [2, 0]), ("0-1", [0, 1]), ("2,0-1,1", [2, 0, 1]), ([1], [1]), (None, [0, 1, 2])],
)
async def test_pages_are_answered_in_the_order_they_were_asked_for_and_each_once(
    client: SdkClient, selection: list[int] | str | None, indices: list[int]
) -> None:
    read = await client.process_pdf(PDF, pages=selection)

    assert [page.index for page in read.pages] == indices
    assert all(mark(PDF, page.index) in page.markdown for page in read.pages)
    assert read.usage_info.pages_processed == len(indices)


@pytest.mark.parametrize("as_object", [False, True])
async def test_a_picture_is_one_page(client: SdkClient, as_object: bool) -> None:  # noqa: FBT001
    content = documents.image_file(Image.new("RGB", (30, 20)), "PNG")
    url = data_url(content, documents.PNG)
    given = models.ImageURL(url=url, detail="high") if as_object else url

    read = await client.process(models.ImageURLChunk(image_url=given))

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


async def test_what_was_not_asked_for_is_null_or_left_in_the_text(
    fake: FakeMistral, client: SdkClient
) -> None:
    fake.rules.layout = RICH

    [page] = (await client.process_pdf(PDF, pages=[1])).pages

    assert page.markdown.startswith("A head\n\n# Page 2")
    assert page.markdown.endswith("A foot")
    assert "| Item | Amount |" in page.markdown
    assert not page.tables
    assert not page.header
    assert not page.footer
    assert not page.blocks
    assert not page.confidence_scores
    assert [image.id for image in page.images] == ["img-0.jpeg", "img-1.jpeg"]
    assert all(f"![{image.id}]({image.id})" in page.markdown for image in page.images)
    assert not any(image.image_base64 for image in page.images)
    assert page.hyperlinks
    assert page.hyperlinks[0] in page.markdown


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


@pytest.mark.parametrize(("form", "ending"), [("html", "html"), ("markdown", "md")])
async def test_tables_leave_a_placeholder_when_they_are_taken_out(
    fake: FakeMistral, client: SdkClient, form: str, ending: str
) -> None:
    fake.rules.layout = RICH

    read = await client.process_pdf(PDF, table_format=form)

    for number, page in enumerate(read.pages):
        assert page.tables
        [table] = page.tables
        assert table.id == f"tbl-{number}.{ending}"
        assert table.format_ == form
        assert f"[{table.id}]({table.id})" in page.markdown
        assert table.content not in page.markdown


async def test_header_and_footer_are_taken_out_of_the_text(
    fake: FakeMistral, client: SdkClient
) -> None:
    fake.rules.layout = RICH

    read = await client.process_pdf(PDF, extract_header=True, extract_footer=True)

    assert {(page.header, page.footer) for page in read.pages} == {("A head", "A foot")}
    assert not any("A head" in page.markdown or "A foot" in page.markdown for page in read.pages)


async def test_confidence_is_given_for_pages_words_or_blocks(
    fake: FakeMistral, client: SdkClient
) -> None:
    fake.rules.layout = RICH

    by_page = await client.process_pdf(PDF, confidence_scores_granularity="page")
    by_word = await client.process_pdf(
        PDF, confidence_scores_granularity="word", table_format="markdown"
    )
    by_block = await client.process_pdf(
        PDF, confidence_scores_granularity="block", include_blocks=True
    )

    scores = by_page.pages[0].confidence_scores
    assert scores
    assert 0 < scores.minimum_page_confidence_score < scores.average_page_confidence_score < 1
    assert not scores.word_confidence_scores
    page = by_word.pages[1]
    assert page.confidence_scores
    assert page.confidence_scores.word_confidence_scores
    for word in page.confidence_scores.word_confidence_scores:
        assert page.markdown[word.start_index :].startswith(word.text)
    assert page.tables
    assert page.tables[0].word_confidence_scores
    blocks = by_block.pages[0].blocks
    assert blocks
    assert all(not isinstance(block, models.UnknownBlock) for block in blocks)
    assert [block.type for block in blocks] == [
        *("header", "title", "text", "text", "text", "image", "image", "table", "footer")
    ]


async def test_annotations_have_the_fields_of_the_wanted_schema(
    fake: FakeMistral, client: SdkClient
) -> None:
    fake.rules.layout = RICH

    read = await client.process_pdf(
        PDF, document_annotation_format=SCHEMA, bbox_annotation_format=SCHEMA
    )

    assert read.document_annotation == '{"total": null}'
    assert read.pages[0].images[0].image_annotation == '{"total": null}'


@pytest.mark.parametrize(
    ("name", "answering"),
    [
        ("mistral-ocr-latest", "mistral-ocr-4-1"),
        ("mistral-ocr-4", "mistral-ocr-4-1"),
        ("mistral-ocr-4-0", "mistral-ocr-4-0"),
        ("mistral-ocr-2512", "mistral-ocr-2512"),
    ],
)
async def test_an_alias_answers_by_the_name_of_its_model(
    client: SdkClient, name: str, answering: str
) -> None:
    read = await client.process_pdf(PDF, model=name, include_blocks=True)

    assert read.model == answering
    assert bool(read.pages[0].blocks) == answering.startswith("mistral-ocr-4")


async def test_a_retired_model_is_logged(
    client: SdkClient, caplog: pytest.LogCaptureFixture
) -> None:
    await client.process_pdf(PDF, model="mistral-ocr-2505")

    assert "mistral-ocr-2505 is deprecated" in caplog.text


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


async def test_a_fake_that_looks_into_nothing_takes_anything_for_one_page(
    fake: FakeMistral, client: SdkClient
) -> None:
    fake.rules.looks_inside = False

    [page] = (await client.process_pdf(b"%PDF-1.7 and nothing else")).pages

    assert mark(b"%PDF-1.7 and nothing else", 0) in page.markdown
    assert (await client.process(uploaded_document(await client.upload(b"nothing at all")))).pages
