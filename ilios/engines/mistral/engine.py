"""The Mistral engine: pages are read by Mistral's OCR, and each is paid for once."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import msgspec
from mistralai.client import models
from mistralai.client.errors import MistralError
from msgspec import Struct

from actors.engines import Conversion, EngineUnavailable, SourceFile, Unconvertible
from actors.ports import Blobs
from ilios.engines.local.fair_semaphore import FairSemaphore
from ilios.engines.mistral import responses
from ilios.engines.mistral.calls import RetryingCalls
from ilios.engines.mistral.circuit_breaker import CircuitBreaker
from ilios.engines.mistral.client import MistralClient
from ilios.engines.mistral.errors import is_file_missing
from ilios.engines.mistral.limits import (
    COUNTED_ABOVE_BYTES,
    DOCUMENT_BYTES,
    DOCUMENT_PAGES,
    MAX_CONCURRENT_CUTS,
    RANGE_PAGES,
    MistralLimits,
)
from ilios.engines.mistral.pdf_splitter import PDF, PdfSplitter
from ilios.engines.mistral.responses import OcrResult
from ilios.engines.mistral.result_cache import CachedPart, CacheKey, ResultCache
from ilios.engines.mistral.uploads import DocumentUpload, Uploads

Progress = Callable[[int, int], None]


class _Job(Struct, frozen=True):
    """A document, the model that is to read it, and what is kept of that."""

    document: SourceFile
    model: str
    cache: ResultCache
    size: int


class MistralEngine:
    """Reads documents through the API; ``opening`` makes one."""

    def __init__(
        self,
        client: MistralClient,
        calls: RetryingCalls,
        breaker: CircuitBreaker,
        uploads: Uploads,
        *,
        blobs: Blobs,
        pdf_splitter: PdfSplitter,
        limits: MistralLimits,
    ) -> None:
        self._client = client
        self._calls = calls
        self._breaker = breaker
        self._uploads = uploads
        self._blobs = blobs
        self._pdf_splitter = pdf_splitter
        self._limits = limits
        self._cuts = FairSemaphore(MAX_CONCURRENT_CUTS)

    @property
    def problem(self) -> str | None:
        """Why the engine is parked, for the operator; None while it is not."""
        return self._breaker.problem

    async def check(self) -> None:
        """Make sure that the engine is not parked.

        :raises EngineUnavailable: it is.
        """
        if self.problem is not None:
            raise EngineUnavailable("engine_unavailable", self.problem, retry_after=1.0)

    async def convert(self, document: SourceFile, progress: Progress | None = None) -> Conversion:
        """Convert one document; what was paid for before is found, not bought again.

        :raises Unconvertible: the document cannot be converted, now or later.
        :raises EngineUnavailable: Mistral cannot at the moment.
        :raises EngineCrashed: a PDF could not be taken apart, through no fault of its own.
        """
        job = await self._prepare(document)
        if document.may_be_repeated and (found := await job.cache.get()) is not None:
            return found
        total = await self._count(job)
        if job.size <= DOCUMENT_BYTES and (total is None or total <= RANGE_PAGES):
            return await self._convert_whole(job, total or 1)
        if total is None:
            raise Unconvertible(
                "too_large",
                f"Mistral takes at most {DOCUMENT_BYTES // 10**6} MB of a document of this type.",
            )
        return await self._convert_ranges(job, total, progress or _ignore_progress)

    async def _prepare(self, document: SourceFile) -> _Job:
        model = document.options.model or self._limits.model
        path = document.path
        sha256 = document.sha256
        if sha256 is None:
            sha256 = await asyncio.to_thread(_sha256, path)
        mode = "images" if self._limits.images else "no images"
        key = CacheKey.create(document.tenant, document.document_id, sha256, model, mode)
        size = document.size
        if size is None:
            size = (await asyncio.to_thread(path.stat)).st_size
        return _Job(document, model, ResultCache(self._blobs, key), size)

    async def _count(self, job: _Job) -> int | None:
        """Return how many pages a PDF has that may have many; None for what is taken as it is."""
        if job.document.content_type != PDF or job.size <= COUNTED_ABOVE_BYTES:
            return None
        try:
            return await self._pdf_splitter.count_pages(job.document)
        except Unconvertible as refusal:
            if refusal.code in ("password_protected", "integrity"):
                raise
            return None  # what one reader cannot open, another may

    async def _convert_whole(self, job: _Job, pages: int) -> Conversion:
        async with self._document_upload(job, job.document.path) as upload:
            result, seconds = await self._read(job, upload, None, None, pages)
        return await job.cache.put(result, seconds)

    async def _convert_ranges(self, job: _Job, total: int, progress: Progress) -> Conversion:
        parts: list[CachedPart] = []
        ranges = [
            range(start, min(start + RANGE_PAGES, total)) for start in range(0, total, RANGE_PAGES)
        ]
        chosen = job.size <= DOCUMENT_BYTES and total <= DOCUMENT_PAGES
        read = (
            self._read_uploaded_ranges(job, ranges)
            if chosen
            else self._read_cut_ranges(job, ranges)
        )
        async for part in read:
            parts.append(part)
            progress(sum(one.head.pages for one in parts), total)
        return await job.cache.join_parts(parts)

    async def _read_uploaded_ranges(
        self, job: _Job, ranges: list[range]
    ) -> AsyncIterator[CachedPart]:
        """Read pages of one upload, range by range: one at most can be paid for and lost."""
        found = [await job.cache.get_part(_range_name(pages)) for pages in ranges]
        if all(found):
            for part in found:
                assert part is not None
                yield part
            return
        async with self._document_upload(job, job.document.path) as upload:
            for part, pages in zip(found, ranges, strict=True):
                yield part or await self._read_part(job, upload, pages, list(pages))

    async def _read_cut_ranges(self, job: _Job, ranges: list[range]) -> AsyncIterator[CachedPart]:
        """Read PDFs made of the pages of each range, which is halved where that is too large."""
        waiting = list(reversed(ranges))
        while waiting:
            pages = waiting.pop()
            part = await job.cache.get_part(_range_name(pages))
            if part is None:
                async with self._cuts.slot(tenant=job.document.tenant):
                    part = await self._read_cut_range(job, pages)
            if part is not None:
                yield part
                continue
            middle = len(pages) // 2
            waiting += [pages[middle:], pages[:middle]]

    async def _read_cut_range(self, job: _Job, pages: range) -> CachedPart | None:
        """Read a PDF made of some pages; None where it is too large."""
        cut = await self._cut(job, pages)
        if cut is None:
            return None
        async with self._document_upload(job, cut) as upload:
            return await self._read_part(job, upload, pages, None)

    async def _cut(self, job: _Job, pages: range) -> bytes | None:
        """Return a PDF of some pages, or None where it is too large and they are several."""
        try:
            # Its hash was looked at when its pages were counted.
            unhashed = msgspec.structs.replace(job.document, sha256=None)
            cut = await self._pdf_splitter.cut_pages(unhashed, pages.start, pages.stop)
            if len(cut) <= DOCUMENT_BYTES:
                return cut
            raise Unconvertible("too_large", f"Page {pages.start + 1} alone is {len(cut)} bytes.")
        except Unconvertible as refusal:
            if refusal.code != "too_large" or len(pages) == 1:
                raise
            return None

    async def _read_part(
        self, job: _Job, upload: DocumentUpload, pages: range, selected: list[int] | None
    ) -> CachedPart:
        result, seconds = await self._read(job, upload, selected, pages, len(pages))
        return await job.cache.put_part(result, seconds, _range_name(pages))

    async def _read(
        self,
        job: _Job,
        upload: DocumentUpload,
        selected: list[int] | None,
        numbers: Sequence[int] | None,
        count: int,
    ) -> tuple[OcrResult, float]:
        """Have pages read; returns them and the seconds the call took."""
        image_url = partial(responses.image_path, job.document.document_id)
        began = time.monotonic()

        async def call() -> models.OCRResponse:
            nonlocal began
            reference = await upload.reference()
            began = time.monotonic()
            try:
                return await self._client.ocr(
                    job.model, reference, selected, images=self._limits.images
                )
            except MistralError as error:
                if is_file_missing(error):
                    upload.reset()
                raise

        async def parse(answer: models.OCRResponse) -> tuple[OcrResult, float]:
            seconds = time.monotonic() - began
            if any(page.images for page in answer.pages):  # to decode many takes a while
                return await asyncio.to_thread(
                    responses.parse_response, answer, numbers, image_url
                ), seconds
            return responses.parse_response(answer, numbers, image_url), seconds

        document = job.document
        return await self._calls.run_ocr(
            call, parse, pages=count, urgent=document.urgent, tenant=document.tenant
        )

    @asynccontextmanager
    async def _document_upload(
        self, job: _Job, source: Path | bytes
    ) -> AsyncIterator[DocumentUpload]:
        document = job.document
        async with self._uploads.document_upload(
            source, document.content_type, document.document_id
        ) as upload:
            yield upload


def _range_name(pages: range) -> str:
    return f"{pages.start}-{pages.stop}"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _ignore_progress(_done: int, _total: int) -> None:
    """Hear of progress nobody asked for."""
