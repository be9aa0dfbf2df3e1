"""Mistral's batch API: many documents at half the price, some time later.

The metadata of a job and the names of its files contain the name of the batch. After a crash the
job is found by it, and not created a second time.
"""

import tempfile
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any

import msgspec
import structlog

from actors.content_types import PDF
from actors.engines import Conversion, EngineJob, HeldDocument, SourceFile, Unconvertible
from actors.ports import BlobNotFound, Blobs
from ilios.engines import page_images
from ilios.engines.mistral import (
    CONTENT_TYPES,
    COUNTED_ABOVE_BYTES,
    DOCUMENT_BYTES,
    DOCUMENT_PAGES,
    MistralLimits,
    responses,
)
from ilios.engines.mistral.calls import RetryingCalls
from ilios.engines.mistral.client import MistralClient, ocr_options
from ilios.engines.mistral.errors import CALL_ERRORS, ApiError
from ilios.engines.mistral.ocr import decode_response
from ilios.engines.mistral.protection import unprotected
from ilios.engines.mistral.records import BatchJob
from ilios.engines.mistral.uploads import DocumentReference, Uploads
from ilios.engines.pages import PageSplitter, selected_indices
from ilios.engines.results import CacheKey, ResultCache
from schemas.batches import EngineJobStatus
from schemas.options import ConversionOptions

METADATA_KEY = "ilios_batch"
"""Member of a job's metadata with the name of the batch."""

log = structlog.get_logger("mistral")


class _Response(msgspec.Struct):
    status_code: int = 0
    body: msgspec.Raw = msgspec.Raw(b"{}")


class _ResultLine(msgspec.Struct):
    """A line of a job's output file, as users of the API report it."""

    custom_id: str = ""
    response: _Response = msgspec.field(default_factory=_Response)


_rows = msgspec.json.Decoder(_ResultLine)


class MistralBatches:
    """Submits documents as jobs and fetches their results; implements ``EngineBatches``."""

    def __init__(
        self,
        client: MistralClient,
        calls: RetryingCalls,
        uploads: Uploads,
        blobs: Blobs,
        splitter: PageSplitter,
        limits: MistralLimits,
    ) -> None:
        self._client = client
        self._calls = calls
        self._uploads = uploads
        self._blobs = blobs
        self._splitter = splitter
        self._limits = limits

    async def submit(
        self, name: str, documents: Sequence[HeldDocument], options: ConversionOptions
    ) -> tuple[EngineJob | None, frozenset[str]]:
        """Create a job of documents, unless it exists; see ``EngineBatches.submit``."""
        found = await self._calls.run(partial(self._client.find_job, {METADATA_KEY: name}))
        if found is not None:
            return _job(found), frozenset()
        await self._uploads.delete_batch(name)
        model = options.model or self._limits.model
        excluded: set[str] = set()
        with tempfile.TemporaryFile() as file:
            written = 0
            for document in documents:
                line = await self._line(name, document, model, options)
                if line is None:
                    excluded.add(document.document_id)
                    continue
                file.write(line)
                written += 1
            if not written:
                return None, frozenset(excluded)
            job = await self._create(name, file, model)
        return _job(job), frozenset(excluded)

    async def poll(self, job: str) -> EngineJob | None:
        """Return the progress of a job, or None."""
        found = await self._calls.run(partial(self._client.get_job, job))
        return None if found is None else _job(found)

    async def results(
        self, job: str, documents: Sequence[HeldDocument], options: ConversionOptions
    ) -> AsyncIterator[tuple[str, Conversion]]:
        """Fetch the results of a job; each is stored before it is returned."""
        found = await self._calls.run(partial(self._client.get_job, job))
        if found is None or not found.output_file:
            return
        by_id = {document.document_id: document for document in documents}
        async for line in self._lines(found.output_file):
            try:
                row = _rows.decode(line)
                document = by_id.get(row.custom_id)
                if document is None or row.response.status_code != 200:
                    continue
                answer = decode_response(row.response.body)
                result = responses.parse_response(
                    answer,
                    _answered_indices(options, len(answer.pages)),
                    partial(page_images.image_path, document.document_id),
                )
            except (msgspec.DecodeError, ValueError, ApiError) as error:
                log.warning("batch result unreadable", job=job, error=str(error))
                continue
            cache = ResultCache(self._blobs, self._cache_key(document, options))
            conversion = await cache.put(result, 0.0)
            yield document.document_id, msgspec.structs.replace(conversion, variant="batch")

    async def _lines(self, file_id: str) -> AsyncIterator[bytes]:
        try:
            async for line in self._client.read_lines(file_id):
                yield line
        except CALL_ERRORS as error:
            raise self._calls.as_unavailable(error) from error

    async def cancel(self, job: str) -> None:
        """Ask a job to stop."""
        await self._calls.run(partial(self._client.cancel_job, job))

    async def delete(self, name: str, job: str) -> None:
        """Delete the files of a job that has ended, and the job."""
        found = await self._calls.run(partial(self._client.get_job, job))
        if found is not None:
            for file in (found.output_file, found.error_file):
                if file:
                    await self._calls.run(partial(self._client.delete, file))
        await self._uploads.delete_batch(name)
        await self._calls.run(partial(self._client.delete_job, job))

    async def _line(
        self, name: str, document: HeldDocument, model: str, options: ConversionOptions
    ) -> bytes | None:
        """Return the request for a document; None if it does not fit into a batch."""
        try:
            async with (
                self._blobs.local_path(document.original.key) as path,
                unprotected(_source_file(path, document), self._splitter) as source,
            ):
                size, ranges = source.size or 0, options.page_ranges
                sendable = document.content_type in CONTENT_TYPES
                if size > DOCUMENT_BYTES or options.only_local or not sendable:
                    return None
                pages = None
                large = document.content_type == PDF and size > COUNTED_ABOVE_BYTES
                if ranges or large:
                    count = await self._splitter.count_pages(source)
                    if document.content_type == PDF and count > DOCUMENT_PAGES:
                        return None
                    selected = selected_indices(ranges, count)
                    pages = None if len(selected) == count else list(selected)
                sent = await self._uploads.batch_document(name, source.path, document.content_type)
        except (BlobNotFound, Unconvertible):
            return None  # converted alone it fails with the reason
        return _request(document.document_id, sent, model, pages, images=self._limits.images)

    async def _create(self, name: str, file: IO[bytes], model: str) -> BatchJob:
        async def upload() -> str:
            file.seek(0)
            return await self._uploads.upload_requests(name, file)

        input_file = await self._calls.run(upload)
        return await self._calls.run(
            partial(self._client.create_job, input_file, model, {METADATA_KEY: name})
        )

    def _cache_key(self, document: HeldDocument, options: ConversionOptions) -> CacheKey:
        return CacheKey.create(
            document.tenant,
            document.document_id,
            document.original.sha256,
            options.model or self._limits.model,
            "batch",
            options,
        )


def _source_file(path: Path, document: HeldDocument) -> SourceFile:
    original = document.original
    return SourceFile(
        path,
        document.content_type,
        original.sha256,
        tenant=document.tenant,
        document_id=document.document_id,
        size=original.size,
    )


def _answered_indices(options: ConversionOptions, count: int) -> Sequence[int] | None:
    """Return the pages of an answer with ``count`` pages; None if they are all.

    A selection ends at the document's end, so the pages of an answer are its first ones.
    """
    ranges = options.page_ranges
    if not ranges:
        return None
    indices: list[int] = []
    for one in ranges:
        first, missing = one.first - 1, count - len(indices)
        last = missing if one.last is None else min(missing, one.last - first)
        indices.extend(range(first, first + last))
    return indices


def _request(
    document_id: str,
    sent: DocumentReference,
    model: str,
    pages: list[int] | None,
    *,
    images: bool,
) -> bytes:
    body: dict[str, Any] = {"model": model, "document": sent}
    body |= ocr_options(model, pages, images=images)
    return msgspec.json.encode({"custom_id": document_id, "body": body}) + b"\n"


def _job(job: BatchJob) -> EngineJob:
    return EngineJob(
        id=job.id,
        status=msgspec.convert(job.status, EngineJobStatus),
        total=job.total_requests,
        completed=job.completed_requests,
        failed=job.failed_requests,
    )
