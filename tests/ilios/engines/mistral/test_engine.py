"""The Mistral engine: requests, uploads, stored results and images."""

import asyncio
import hashlib
import io

import pytest
from msgspec.structs import replace

from actors.blob_keys import image_key
from actors.content_types import CSV
from actors.engines import EngineUnavailable, Unconvertible
from ilios.blobs.local import LocalBlobs
from ilios.engines.mistral import calls, uploads
from ilios.engines.mistral import engine as module
from ilios.engines.mistral.engine import MistralEngine
from tests import documents
from tests.ilios.engines.mistral.conftest import ID, PREFIX, MakeSource, OpenEngine, read_result
from tests.mistral.fake import FakeMistral
from tests.mistral.pages import mark
from tests.mistral.rules import Layout
from tests.waiting import wait_until

ONE_PAGE = documents.pdf("Hello from the first page")


async def test_a_small_document_is_read_in_one_call(
    engine: MistralEngine, fake: FakeMistral, make_source: MakeSource
) -> None:
    conversion = await engine.convert(make_source(ONE_PAGE))

    assert mark(ONE_PAGE, 0) in conversion.pages[0]
    assert "Hello from the first page" in conversion.pages[0]
    assert conversion.engine == "mistral"
    assert conversion.model == "mistral-ocr-4-1", "what the answer names, not what was asked for"
    assert conversion.billed_pages == 1
    assert dict(fake.call_log.requests) == {"ocr": 1}


async def test_an_image_is_sent_as_an_image(
    engine: MistralEngine, fake: FakeMistral, make_source: MakeSource
) -> None:
    conversion = await engine.convert(
        make_source(documents.image_file(documents.text_image("Hello"), "PNG"), documents.PNG)
    )
    assert len(conversion.pages) == 1
    assert [call.how for call in fake.call_log.calls] == ["image_url"]


async def test_a_large_document_is_uploaded_and_the_upload_deleted(
    engine: MistralEngine,
    fake: FakeMistral,
    make_source: MakeSource,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(uploads, "INLINE_BYTES", 100)
    conversion = await engine.convert(make_source(ONE_PAGE))

    assert mark(ONE_PAGE, 0) in conversion.pages[0]
    assert [call.how for call in fake.call_log.calls] == ["file"]
    assert not list(fake.files.existing())


async def test_a_large_image_is_uploaded_as_well(
    engine: MistralEngine,
    fake: FakeMistral,
    make_source: MakeSource,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(uploads, "INLINE_BYTES", 100)
    picture = documents.image_file(documents.text_image("Hello"), "PNG")
    conversion = await engine.convert(make_source(picture, documents.PNG))
    assert mark(picture, 0) in conversion.pages[0]
    assert [call.how for call in fake.call_log.calls] == ["file"]


async def test_the_upload_of_a_refused_document_is_deleted(
    engine: MistralEngine,
    fake: FakeMistral,
    make_source: MakeSource,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(uploads, "INLINE_BYTES", 4)
    with pytest.raises(Unconvertible) as refused:
        await engine.convert(make_source(b"%PDF-1.4 of which nothing is left"))

    assert refused.value.code == "corrupt"
    assert not list(fake.files.existing())


async def test_the_upload_of_a_cancelled_document_is_deleted(
    engine: MistralEngine,
    fake: FakeMistral,
    make_source: MakeSource,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(uploads, "INLINE_BYTES", 100)
    fake.rules.latency = 60.0
    task = asyncio.create_task(engine.convert(make_source(ONE_PAGE)))
    await wait_until(lambda: fake.call_log.in_hand == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not list(fake.files.existing())


async def test_only_uploads_of_a_killed_process_are_swept(
    open_engine: OpenEngine, fake: FakeMistral
) -> None:
    async with open_engine() as mistral:
        client = mistral.uploads._client
        await client.upload(f"{PREFIX}one-{ID}.pdf", io.BytesIO(ONE_PAGE))
        others = await client.upload("ilios-others-one-x.pdf", io.BytesIO(ONE_PAGE))
        assert await mistral.uploads.sweep() == 1
    assert [file.id for file in fake.files.existing()] == [others]


async def test_an_upload_deleted_by_another_process_is_repeated(
    engine: MistralEngine,
    fake: FakeMistral,
    make_source: MakeSource,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(uploads, "INLINE_BYTES", 100)
    fake.faults.fail_next("ocr", "file_not_found")
    conversion = await engine.convert(make_source(ONE_PAGE))
    assert mark(ONE_PAGE, 0) in conversion.pages[0]
    assert fake.call_log.requests["files.upload"] == 2


async def test_all_page_details_of_a_response_are_stored(
    engine: MistralEngine, fake: FakeMistral, blobs: LocalBlobs, make_source: MakeSource
) -> None:
    fake.rules.layout = Layout(images=2, tables=1, links=1, header="Head", footer="Foot")
    conversion = await engine.convert(make_source(ONE_PAGE))

    assert conversion.result is not None
    head, (page,) = await read_result(blobs, conversion.result.key)
    assert (head.engine, head.model, head.billed_pages) == ("mistral", "mistral-ocr-4-1", 1)
    assert (page.header, page.footer) == ("Head", "Foot")
    assert page.tables[0].content in conversion.pages[0], "tables stand where they belong"
    assert "tbl-" not in conversion.pages[0]
    assert len(page.hyperlinks) == 1
    assert page.dimensions is not None
    assert page.confidence is not None
    assert page.markdown == conversion.pages[0]
    assert [image.id for image in page.images] == ["img-0.jpeg", "img-1.jpeg"]


async def test_images_are_blobs_that_the_markdown_links_to(
    engine: MistralEngine, fake: FakeMistral, blobs: LocalBlobs, make_source: MakeSource
) -> None:
    fake.rules.layout = Layout(images=1)
    conversion = await engine.convert(make_source(ONE_PAGE))

    assert conversion.result is not None
    _, (page,) = await read_result(blobs, conversion.result.key)
    name = page.images[0].name
    assert name is not None
    assert f"![img-0.jpeg](/api/documents/{ID}/images/{name})" in conversion.pages[0]
    key = image_key("default", ID, name)
    data = b"".join([chunk async for chunk in blobs.read(key)])
    assert hashlib.sha256(data).hexdigest().startswith(name.partition(".")[0])
    assert data.startswith(b"\xff\xd8"), "a JPEG, not its base64"


async def test_images_are_not_requested_if_they_are_switched_off(
    open_engine: OpenEngine, fake: FakeMistral, make_source: MakeSource
) -> None:
    fake.rules.layout = Layout(images=2)
    async with open_engine(images=False) as mistral:
        conversion = await mistral.engine.convert(make_source(ONE_PAGE))
    assert "img-" not in conversion.pages[0]


async def test_a_stored_result_is_used_when_the_document_is_redelivered(
    engine: MistralEngine, fake: FakeMistral, make_source: MakeSource
) -> None:
    first = await engine.convert(make_source(ONE_PAGE))
    again = await engine.convert(make_source(ONE_PAGE, again=True))
    assert again == replace(first, markdown=None)
    assert fake.call_log.pages_paid == 1


async def test_results_of_another_model_are_not_used(
    engine: MistralEngine, fake: FakeMistral, make_source: MakeSource
) -> None:
    await engine.convert(make_source(ONE_PAGE))
    other = await engine.convert(make_source(ONE_PAGE, model="mistral-ocr-2512", again=True))
    assert other.model == "mistral-ocr-2512"
    assert fake.call_log.pages_paid == 2


async def test_a_large_document_that_cannot_be_cut_is_refused(
    engine: MistralEngine,
    fake: FakeMistral,
    make_source: MakeSource,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "DOCUMENT_BYTES", 1000)
    with pytest.raises(Unconvertible) as refused:
        await engine.convert(
            make_source(documents.docx(*[documents.paragraph("Hello")] * 2000), documents.DOCX)
        )
    assert refused.value.code == "too_large"
    assert not fake.call_log.requests


async def test_an_unknown_model_is_refused(engine: MistralEngine, make_source: MakeSource) -> None:
    with pytest.raises(Unconvertible) as refused:
        await engine.convert(make_source(ONE_PAGE, model="mistral-ocr-1999"))
    assert refused.value.code == "model_unknown"


async def test_options_of_the_local_engine_are_refused_with_the_remedy_and_nothing_is_sent(
    engine: MistralEngine, fake: FakeMistral, make_source: MakeSource
) -> None:
    source = make_source(ONE_PAGE)
    options = replace(source.options, language="de", recognition="force")
    with pytest.raises(Unconvertible) as refused:
        await engine.convert(replace(source, options=options))
    assert refused.value.code == "option_not_supported"
    assert "language and recognition" in str(refused.value)
    assert "engine=local" in str(refused.value)
    assert dict(fake.call_log.requests) == {}


async def test_types_that_are_not_sent_are_refused_with_the_remedy(
    engine: MistralEngine, fake: FakeMistral, make_source: MakeSource
) -> None:
    with pytest.raises(Unconvertible) as refused:
        await engine.convert(make_source(b"a,b\n1,2\n", CSV))
    assert refused.value.code == "unsupported_type"
    assert "(CSV)" in str(refused.value)
    assert "engine=local" in str(refused.value)
    assert dict(fake.call_log.requests) == {}


async def test_a_wrong_key_opens_the_circuit_with_a_reason(
    open_engine: OpenEngine, fake: FakeMistral, make_source: MakeSource
) -> None:
    async with open_engine(key="wrong") as mistral:
        await mistral.engine.check()
        with pytest.raises(EngineUnavailable) as refused:
            await mistral.engine.convert(make_source(ONE_PAGE))
        assert refused.value.code == "engine_bad_key"
        assert "MISTRAL_API_KEY" in refused.value.reason
        with pytest.raises(EngineUnavailable, match="MISTRAL_API_KEY"):
            await mistral.engine.check()
        with pytest.raises(EngineUnavailable):
            await mistral.engine.convert(make_source(ONE_PAGE))
    assert fake.call_log.requests["ocr"] == 1, "while it is parked nothing is sent"


async def test_a_refused_key_that_is_accepted_again_closes_the_circuit_without_a_document(
    open_engine: OpenEngine,
    fake: FakeMistral,
    make_source: MakeSource,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(calls, "FIRST_OPEN_SECONDS", 0.05)
    monkeypatch.setattr(calls, "MAX_OPEN_SECONDS", 0.05)
    async with open_engine(key="another") as mistral:
        with pytest.raises(EngineUnavailable):
            await mistral.engine.convert(make_source(ONE_PAGE))
        for _ in range(2):
            with pytest.raises(EngineUnavailable, match="MISTRAL_API_KEY") as refused:
                await mistral.engine.check()
            assert refused.value.refused
            await asyncio.sleep(0.1)
        fake.key = "another"
        await mistral.engine.check()
    assert fake.call_log.requests["ocr"] == 1
