"""Mistral's batch API: jobs are submitted once, fetched, and deleted."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Coroutine

import pytest

from actors.blob_keys import original_key
from actors.engines import Conversion, EngineUnavailable, HeldDocument
from ilios.blobs.local import LocalBlobs
from ilios.engines.mistral import batches, uploads
from ilios.engines.mistral.engine import MistralParts
from schemas.options import NO_OPTIONS
from tests import documents
from tests.ilios.engines.mistral.conftest import OpenEngine
from tests.mistral.fake import FakeMistral
from tests.mistral.jobs import NextStatus
from tests.mistral.pages import mark
from tests.waiting import wait_until

NAME = "default-batch"

StoreDocument = Callable[..., Coroutine[object, object, HeldDocument]]


@pytest.fixture
def store_document(blobs: LocalBlobs) -> StoreDocument:
    """Return a function that stores the original of a document."""

    async def store(data: bytes, content_type: str = documents.PDF) -> HeldDocument:
        document_id = "d" + hashlib.sha256(data).hexdigest()[:23]
        blob = await blobs.put_bytes(original_key("default", document_id), data)
        return HeldDocument("default", document_id, blob, content_type)

    return store


@pytest.fixture
async def mistral(open_engine: OpenEngine) -> AsyncIterator[MistralParts]:
    async with open_engine() as mistral:
        yield mistral


async def results(
    mistral: MistralParts, job: str, held: list[HeldDocument]
) -> dict[str, Conversion]:
    return {name: one async for name, one in mistral.batches.results(job, held, NO_OPTIONS)}


async def test_a_batch_is_one_job_whose_results_are_those_of_its_documents(
    mistral: MistralParts, fake: FakeMistral, store_document: StoreDocument
) -> None:
    pdfs = [documents.pdf(f"Number {number}", "Second page") for number in range(5)]
    held = [await store_document(pdf) for pdf in pdfs]

    job, misfits = await mistral.batches.submit(NAME, held, NO_OPTIONS)
    assert job is not None
    assert not misfits
    assert len(fake.jobs.existing()) == 1
    await fake.jobs.advance(job.id, "SUCCESS")
    done = await mistral.batches.poll(job.id)
    assert done is not None
    assert (done.status, done.total, done.completed, done.failed) == ("SUCCESS", 5, 5, 0)

    converted = await results(mistral, job.id, held)
    for pdf, document in zip(pdfs, held, strict=True):
        conversion = converted[document.document_id]
        assert [mark(pdf, n) in page for n, page in enumerate(conversion.pages)] == [True, True]
        assert (conversion.variant, conversion.billed_pages) == ("batch", 2)
        assert conversion.result is not None

    await mistral.batches.delete(NAME, job.id)
    assert not fake.jobs.existing()
    assert not list(fake.files.existing())


async def test_a_submitted_job_without_a_response_is_not_submitted_again(
    mistral: MistralParts, fake: FakeMistral, store_document: StoreDocument
) -> None:
    held = [await store_document(documents.pdf("Once"))]
    first, _ = await mistral.batches.submit(NAME, held, NO_OPTIONS)
    second, _ = await mistral.batches.submit(NAME, held, NO_OPTIONS)
    assert first is not None
    assert second is not None
    assert first.id == second.id
    assert len(fake.jobs.existing()) == 1


async def test_uploads_of_a_batch_that_never_became_a_job_are_deleted(
    mistral: MistralParts,
    fake: FakeMistral,
    store_document: StoreDocument,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(uploads, "INLINE_BYTES", 10)
    held = [await store_document(documents.pdf("Once"))]
    fake.faults.fail_next("batch.create", "hang")
    first = asyncio.create_task(mistral.batches.submit(NAME, held, NO_OPTIONS))
    await wait_until(lambda: not fake.faults.remaining("batch.create"), 60)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert len(list(fake.files.existing())) == 2

    await mistral.batches.submit(NAME, held, NO_OPTIONS)
    assert len(list(fake.files.existing())) == 2, "a document and the requests, once"


async def test_the_sweep_leaves_the_uploads_of_batches_alone(
    mistral: MistralParts,
    fake: FakeMistral,
    store_document: StoreDocument,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(uploads, "INLINE_BYTES", 10)
    await mistral.batches.submit(NAME, [await store_document(documents.pdf("Once"))], NO_OPTIONS)
    assert await mistral.uploads.sweep() == 0


async def test_documents_that_do_not_fit_into_a_batch_are_returned(
    mistral: MistralParts,
    fake: FakeMistral,
    store_document: StoreDocument,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batches, "DOCUMENT_BYTES", 2000)
    small = await store_document(documents.pdf("Small"))
    large = await store_document(documents.pdf("x" * 4000))
    job, misfits = await mistral.batches.submit(NAME, [small, large], NO_OPTIONS)
    assert job is not None
    assert misfits == {large.document_id}
    assert len(fake.jobs.existing()[0].requests) == 1


async def test_no_job_is_created_if_no_document_fits(
    mistral: MistralParts,
    fake: FakeMistral,
    store_document: StoreDocument,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batches, "DOCUMENT_BYTES", 10)
    large = await store_document(documents.pdf("Large"))
    job, misfits = await mistral.batches.submit(NAME, [large], NO_OPTIONS)
    assert job is None
    assert misfits == {large.document_id}
    assert not fake.jobs.existing()


async def test_failed_requests_are_left_out_of_the_results(
    mistral: MistralParts, fake: FakeMistral, store_document: StoreDocument
) -> None:
    good = await store_document(documents.pdf("Good"))
    bad = await store_document(b"%PDF-1.4 of which nothing is left")
    job, _ = await mistral.batches.submit(NAME, [good, bad], NO_OPTIONS)
    assert job is not None
    await fake.jobs.advance(job.id, "SUCCESS")
    assert list(await results(mistral, job.id, [good, bad])) == [good.document_id]


async def test_results_that_cannot_be_fetched_are_fetched_later(
    mistral: MistralParts, fake: FakeMistral, store_document: StoreDocument
) -> None:
    held = [await store_document(documents.pdf("Once"))]
    job, _ = await mistral.batches.submit(NAME, held, NO_OPTIONS)
    assert job is not None
    await fake.jobs.advance(job.id, "SUCCESS")
    fake.faults.fail_next("files.content", "reset")
    with pytest.raises(EngineUnavailable):
        await results(mistral, job.id, held)
    assert len(await results(mistral, job.id, held)) == 1


@pytest.mark.parametrize("status", ["FAILED", "TIMEOUT_EXCEEDED", "CANCELLED"])
async def test_a_job_that_does_not_succeed_returns_its_finished_results(
    mistral: MistralParts, fake: FakeMistral, store_document: StoreDocument, status: NextStatus
) -> None:
    held = [await store_document(documents.pdf(f"Number {number}")) for number in range(4)]
    job, _ = await mistral.batches.submit(NAME, held, NO_OPTIONS)
    assert job is not None
    await fake.jobs.advance(job.id)  # half of them
    await fake.jobs.advance(job.id, status)
    ended = await mistral.batches.poll(job.id)
    assert ended is not None
    assert ended.status == status
    assert len(await results(mistral, job.id, held)) == 2


async def test_an_unknown_job_is_none(mistral: MistralParts) -> None:
    assert await mistral.batches.poll("3f0e5c1a-7f1b-4c57-9d6e-0d3f4c2b1a90") is None


async def test_a_job_can_be_cancelled(
    mistral: MistralParts, fake: FakeMistral, store_document: StoreDocument
) -> None:
    job, _ = await mistral.batches.submit(
        NAME, [await store_document(documents.pdf("One"))], NO_OPTIONS
    )
    assert job is not None
    await mistral.batches.cancel(job.id)
    assert fake.jobs.existing()[0].status == "CANCELLED"
