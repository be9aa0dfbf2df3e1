"""The files of the fake: uploaded, listed, linked to, downloaded, deleted."""

import io
import time

import httpx2
import pytest
from mistralai.client import errors, models

from tests import documents
from tests.mistral.fake import FakeMistral
from tests.mistral.sdk import RETRIES, SdkClient, uploaded_document

PDF = documents.pdf("one")
LINE = b'{"custom_id": "0", "body": {"document": {}}}\n'
UNKNOWN_ID = "00000000-0000-4000-8000-000000000000"


async def test_an_upload_is_described_by_what_it_is_not_by_what_it_is_called(
    client: SdkClient,
) -> None:
    file = await client.files.upload_async(
        file={"file_name": "a.docx", "content": PDF, "content_type": "text/plain"},
        purpose="ocr",
        expiry=1,
        visibility="user",
    )

    assert file.filename == "a.docx"
    assert file.mimetype == documents.PDF
    assert file.size_bytes == len(PDF)
    assert (file.purpose, file.source, file.visibility) == ("ocr", "upload", "user")
    # The SDK does not know this word, and hands it on all the same.
    assert file.sample_type == "ocr_input"
    assert file.expires_at
    assert 3_500 < file.expires_at - time.time() < 3_601


async def test_an_open_file_is_uploaded_again_from_its_beginning_when_asked_to_retry(
    fake: FakeMistral, client: SdkClient
) -> None:
    fake.faults.fail_next("files.upload", "503", times=2)

    file = await client.files.upload_async(
        file={"file_name": "a.pdf", "content": io.BytesIO(PDF)}, purpose="ocr", retries=RETRIES
    )

    assert await client.download(file.id) == PDF
    assert fake.call_log.requests["files.upload"] == 3
    assert fake.files.uploads == 1


async def test_what_no_document_is_is_not_taken_for_ocr(client: SdkClient) -> None:
    for content in (b"", b"hello", documents.zip_of({"a.txt": "hello"})):
        with pytest.raises(errors.SDKError, match="Invalid file format") as refused:
            await client.upload(content)
        assert refused.value.status_code == 422


async def test_a_file_for_a_batch_is_looked_through_line_by_line(client: SdkClient) -> None:
    file = await client.files.upload_async(
        file={"file_name": "a.jsonl", "content": LINE * 3}, purpose="batch"
    )

    assert (file.num_lines, file.sample_type) == (3, "batch_request")
    for wrong in (b"", LINE + b"{\n", LINE + b'{"custom_id": "1"}\n', b"[]\n"):
        with pytest.raises(errors.SDKError, match="Invalid file format") as refused:
            await client.upload(wrong, "a.jsonl", "batch")
        assert refused.value.status_code == 422


async def test_the_list_has_pages_and_filters(client: SdkClient) -> None:
    for name in ("a.pdf", "b.pdf", "ab.pdf"):
        await client.upload(PDF, name)
    await client.upload(LINE, "a.jsonl", "batch")

    async def names(
        page: int = 0,
        page_size: int = 100,
        search: str | None = None,
        purpose: models.FilePurpose | None = None,
        mimetypes: list[str] | None = None,
    ) -> list[str]:
        listed = await client.files.list_async(
            page=page, page_size=page_size, search=search, purpose=purpose, mimetypes=mimetypes
        )
        return [file.filename for file in listed.data]

    assert await names() == ["a.jsonl", "ab.pdf", "b.pdf", "a.pdf"]
    assert await names(page=1, page_size=3) == ["a.pdf"]
    assert await names(search="A", purpose="ocr") == ["ab.pdf", "a.pdf"]
    assert await names(mimetypes=[documents.PDF, documents.PNG]) == ["ab.pdf", "b.pdf", "a.pdf"]
    counted = await client.files.list_async(
        page_size=1, source=["upload"], sample_type=["pretrain"]
    )
    assert counted.total == 0
    uncounted = await client.files.list_async(include_total=False)
    assert not uncounted.total


async def test_a_deleted_file_is_gone_for_everything(fake: FakeMistral, client: SdkClient) -> None:
    id_ = await client.upload(PDF)
    link = await client.files.get_signed_url_async(file_id=id_)
    assert (await client.files.retrieve_async(file_id=id_)).deleted is False

    gone = await client.files.delete_async(file_id=id_)

    assert (gone.id, gone.deleted) == (id_, True)
    for again in (
        client.files.delete_async,
        client.files.retrieve_async,
        client.files.download_async,
        client.files.get_signed_url_async,
    ):
        with pytest.raises(errors.SDKError) as refused:
            await again(file_id=id_)
        assert refused.value.status_code == 404
    with pytest.raises(errors.SDKError, match="404"):
        await client.process(uploaded_document(id_))
    with pytest.raises(errors.SDKError, match="could not be fetched"):
        await client.process(models.DocumentURLChunk(document_url=link.url))
    assert len(fake.files) == 0


async def test_an_expired_file_is_gone_as_well(fake: FakeMistral, client: SdkClient) -> None:
    id_ = await client.upload(PDF)
    link = (await client.files.get_signed_url_async(file_id=id_)).url

    fake.files.expire(id_)

    for ask in (client.files.retrieve_async, client.files.download_async):
        with pytest.raises(errors.SDKError) as refused:
            await ask(file_id=id_)
        assert refused.value.status_code == 404
    with pytest.raises(errors.SDKError, match="could not be fetched"):
        await client.process(models.DocumentURLChunk(document_url=link))
    assert not (await client.files.list_async()).data


async def test_a_link_opens_its_file_without_a_key_until_it_expires(
    fake: FakeMistral, client: SdkClient
) -> None:
    id_ = await client.upload(PDF)
    link = (await client.files.get_signed_url_async(file_id=id_, expiry=168)).url
    expired = fake.files.sign(fake.url, id_, hours=-1)

    async with httpx2.AsyncClient() as http:
        assert (await http.get(link)).content == PDF
        for other in (expired, link + "0", link.replace("expires=1", "expires=2"), link[:80]):
            assert (await http.get(other)).status_code == 403
    with pytest.raises(errors.SDKError, match="could not be fetched"):
        await client.process(models.DocumentURLChunk(document_url=expired))


@pytest.mark.parametrize("hours", [0, 169])
async def test_a_link_holds_one_to_a_hundred_and_sixty_eight_hours(
    client: SdkClient, hours: int
) -> None:
    id_ = await client.upload(PDF)

    with pytest.raises(errors.SDKError) as refused:
        await client.files.get_signed_url_async(file_id=id_, expiry=hours)

    assert refused.value.status_code == 422


async def test_the_same_bytes_can_be_made_to_share_one_file(
    fake: FakeMistral, client: SdkClient
) -> None:
    assert await client.upload(PDF) != await client.upload(PDF)

    fake.rules.share_uploads = True
    mine, yours = await client.upload(PDF), await client.upload(PDF)

    assert mine == yours
    await client.files.delete_async(file_id=mine)
    with pytest.raises(errors.SDKError, match="404"):
        await client.process(uploaded_document(yours))


async def test_files_endpoints_can_fail_too(fake: FakeMistral, client: SdkClient) -> None:
    id_ = await client.upload(PDF)
    fake.faults.fail_next("files.delete", "file_not_found")
    fake.faults.fail_next("files.content", "truncated")
    fake.faults.fail_next("files.retrieve", "other_shape")

    with pytest.raises(errors.SDKError, match="404"):
        await client.files.delete_async(file_id=id_)
    with pytest.raises(httpx2.RemoteProtocolError):
        await client.download(id_)
    with pytest.raises(errors.ResponseValidationError):
        await client.files.retrieve_async(file_id=id_)
    assert await client.download(id_) == PDF
    with pytest.raises(errors.SDKError, match="404"):
        await client.files.delete_async(file_id=UNKNOWN_ID)
