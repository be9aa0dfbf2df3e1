"""The Mistral engine: converts documents by Mistral's OCR API and pays for each page once."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import msgspec
from msgspec import Struct

from actors.content_types import NAMES, PDF
from actors.engines import (
    Conversion,
    EngineUnavailable,
    Progress,
    SourceFile,
    Unconvertible,
    name_engine,
    report_drafts,
)
from actors.ports import Blobs
from ilios.engines import page_images
from ilios.engines.mistral import (
    CONTENT_TYPES,
    COUNTED_ABOVE_BYTES,
    DOCUMENT_BYTES,
    DOCUMENT_PAGES,
    MAX_CONCURRENT_CUTS,
    RANGE_PAGES,
    MistralLimits,
    responses,
)
from ilios.engines.mistral.batches import MistralBatches
from ilios.engines.mistral.calls import CircuitBreaker, RateLimiter, RetryingCalls
from ilios.engines.mistral.client import MistralClient
from ilios.engines.mistral.errors import RefusedCall, is_file_missing
from ilios.engines.mistral.ocr import OcrResponse
from ilios.engines.mistral.protection import BINDING_CODES, unprotected
from ilios.engines.mistral.uploads import DocumentUpload, Uploads
from ilios.engines.pages import PageSplitter, selected_indices
from ilios.engines.results import CachedPart, CacheKey, EngineResult, ResultCache
from ilios.runtime.fair_semaphore import FairSemaphore
from ilios.secret import Secret
from schemas.options import ConversionOptions
from schemas.results import PageResult


class _Job(Struct, frozen=True):
    """A document, the model to read it, and the cache of its results."""

    document: SourceFile
    model: str
    cache: ResultCache
    size: int


class MistralEngine:
    """Converts documents by the API; :func:`open_engine` makes one."""

    def __init__(
        self,
        client: MistralClient,
        calls: RetryingCalls,
        breaker: CircuitBreaker,
        uploads: Uploads,
        *,
        blobs: Blobs,
        splitter: PageSplitter,
        limits: MistralLimits,
    ) -> None:
        self._client = client
        self._calls = calls
        self._breaker = breaker
        self._uploads = uploads
        self._blobs = blobs
        self._splitter = splitter
        self._limits = limits
        self._cuts = FairSemaphore(MAX_CONCURRENT_CUTS)

    @property
    def problem(self) -> str | None:
        """Why the circuit is open, for the operator; None while it is closed."""
        return self._breaker.problem

    async def check(self) -> None:
        """Make sure that the circuit is closed; a key that was refused is tried again now and then.

        :raises EngineUnavailable: it is open.
        """
        await self._calls.try_refused_key(self._client.check_key)
        if self.problem is not None:
            refused = self._breaker.refuses_account
            raise EngineUnavailable(
                "engine_unavailable", self.problem, retry_after=1.0, refused=refused
            )

    async def convert(self, document: SourceFile, progress: Progress | None = None) -> Conversion:
        """Convert the selected pages of a document; pages already paid for come from the cache.

        :raises Unconvertible: the document cannot be converted, now or later.
        :raises EngineUnavailable: Mistral does not work at the moment.
        :raises EngineCrashed: a PDF could not be split, which is not due to the PDF.
        """
        _check_type(document.content_type)
        _check_options(document.options)
        name_engine(progress, "mistral")
        job = await self._prepare(document)
        if document.may_be_repeated and (found := await job.cache.get()) is not None:
            return found
        async with unprotected(document, self._splitter) as sent:
            size = job.size if sent is document else sent.size or 0
            return await self._convert(
                msgspec.structs.replace(job, document=sent, size=size), progress
            )

    async def _convert(self, job: _Job, progress: Progress | None) -> Conversion:
        document = job.document
        total = await self._count(job)
        indices = None if total is None else selected_indices(document.options.page_ranges, total)
        if job.size > DOCUMENT_BYTES and (indices is None or document.content_type != PDF):
            raise Unconvertible(
                "too_large",
                f"Mistral takes at most {DOCUMENT_BYTES // 10**6} MB of a document of this type.",
            )
        if total is None or indices is None:
            return _reported(await self._convert_in_one_call(job, None, 1), progress)
        fits = job.size <= DOCUMENT_BYTES and total <= DOCUMENT_PAGES
        if (fits or document.content_type != PDF) and len(indices) <= RANGE_PAGES:
            selected = None if len(indices) == total else indices
            done = await self._convert_in_one_call(job, selected, len(indices))
            return _reported(done, progress)
        read = self._read_uploaded_parts if fits else self._read_cut_parts
        parts: list[CachedPart] = []
        async for part in read(job, indices):
            parts.append(part)
            if progress is not None:
                progress(sum(one.head.pages for one in parts), len(indices))
            report_drafts(progress, _pages_of(part))
        return await job.cache.join_parts(parts)

    async def _prepare(self, document: SourceFile) -> _Job:
        model = document.options.model or self._limits.model
        path = document.path
        sha256 = document.sha256
        if sha256 is None:
            sha256 = await asyncio.to_thread(_sha256, path)
        mode = "images" if self._limits.images else "no images"
        key = CacheKey.create(
            document.tenant, document.document_id, sha256, model, mode, document.options
        )
        size = document.size
        if size is None:
            size = (await asyncio.to_thread(path.stat)).st_size
        return _Job(document, model, ResultCache(self._blobs, key), size)

    async def _count(self, job: _Job) -> int | None:
        """Return the number of pages where it is needed: for a selection, and for a large PDF."""
        selection = job.document.options.page_ranges
        large = job.document.content_type == PDF and job.size > COUNTED_ABOVE_BYTES
        if not selection and not large:
            return None
        try:
            return await self._splitter.count_pages(job.document)
        except Unconvertible as refusal:
            if selection or refusal.code in BINDING_CODES:
                raise
            return None  # Mistral may be able to read a document that the local engine cannot

    async def _convert_in_one_call(
        self, job: _Job, indices: Sequence[int] | None, count: int
    ) -> Conversion:
        async with self._document_upload(job, job.document.path) as upload:
            requested = None if indices is None else list(indices)
            result, seconds = await self._read(job, upload, requested, indices, count)
        return await job.cache.put(result, seconds)

    async def _read_uploaded_parts(
        self, job: _Job, indices: Sequence[int]
    ) -> AsyncIterator[CachedPart]:
        """Read pages of one upload, part by part: a crash loses one paid part at most."""
        parts = _parts(len(indices))
        found = [await job.cache.get_part(_part_name(part)) for part in parts]
        if all(found):
            for cached in found:
                assert cached is not None
                yield cached
            return
        async with self._document_upload(job, job.document.path) as upload:
            for cached, part in zip(found, parts, strict=True):
                pages = indices[part.start : part.stop]
                yield cached or await self._read_part(job, upload, part, pages, list(pages))

    async def _read_cut_parts(self, job: _Job, indices: Sequence[int]) -> AsyncIterator[CachedPart]:
        """Read PDFs of the pages of each part; a part that is too large is halved."""
        waiting = list(reversed(_parts(len(indices))))
        while waiting:
            part = waiting.pop()
            cached = await job.cache.get_part(_part_name(part))
            if cached is None:
                async with self._cuts.slot(tenant=job.document.tenant):
                    cached = await self._read_cut_part(job, part, indices[part.start : part.stop])
            if cached is not None:
                yield cached
                continue
            middle = len(part) // 2
            waiting += [part[middle:], part[:middle]]

    async def _read_cut_part(
        self, job: _Job, part: range, indices: Sequence[int]
    ) -> CachedPart | None:
        """Read a PDF made of some pages; return None if it is too large."""
        cut = await self._cut(job, indices)
        if cut is None:
            return None
        async with self._document_upload(job, cut) as upload:
            return await self._read_part(job, upload, part, indices, None)

    async def _cut(self, job: _Job, indices: Sequence[int]) -> bytes | None:
        """Return a PDF of some pages, or None if several pages are too large."""
        try:
            # The hash was verified when the pages were counted.
            unhashed = msgspec.structs.replace(job.document, sha256=None)
            cut = await self._splitter.cut_pages(unhashed, indices)
            if len(cut) <= DOCUMENT_BYTES:
                return cut
            raise Unconvertible("too_large", f"Page {indices[0] + 1} alone is {len(cut)} bytes.")
        except Unconvertible as refusal:
            if refusal.code != "too_large" or len(indices) == 1:
                raise
            return None

    async def _read_part(
        self,
        job: _Job,
        upload: DocumentUpload,
        part: range,
        indices: Sequence[int],
        requested: list[int] | None,
    ) -> CachedPart:
        result, seconds = await self._read(job, upload, requested, indices, len(indices))
        return await job.cache.put_part(result, seconds, _part_name(part))

    async def _read(
        self,
        job: _Job,
        upload: DocumentUpload,
        requested: list[int] | None,
        indices: Sequence[int] | None,
        count: int,
    ) -> tuple[EngineResult, float]:
        """Return the result of one call and the seconds it took.

        :param requested: pages of the upload to read; None is all.
        :param indices: the pages of the answer in the document; None if they are all.
        :param count: the expected number of pages.
        """
        image_url = partial(page_images.image_path, job.document.document_id)
        began = time.monotonic()

        async def call() -> OcrResponse:
            nonlocal began
            reference = await upload.reference()
            began = time.monotonic()
            try:
                return await self._client.ocr(
                    job.model, reference, requested, images=self._limits.images
                )
            except RefusedCall as error:
                if is_file_missing(error):
                    upload.reset()
                raise

        async def parse(answer: OcrResponse) -> tuple[EngineResult, float]:
            seconds = time.monotonic() - began
            if any(page.images for page in answer.pages):  # decoding many takes a while
                return await asyncio.to_thread(
                    responses.parse_response, answer, indices, image_url
                ), seconds
            return responses.parse_response(answer, indices, image_url), seconds

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


class MistralParts(Struct, frozen=True):
    """The opened engine, its batch API, and its uploads, whose ``run`` deletes what is left."""

    engine: MistralEngine
    batches: MistralBatches
    uploads: Uploads


@asynccontextmanager
async def open_engine(
    key: Secret,
    server_url: str | None,
    *,
    blobs: Blobs,
    splitter: PageSplitter,
    limits: MistralLimits,
    prefix: str,
) -> AsyncIterator[MistralParts]:
    """Open the engine; no call is made yet.

    :param prefix: of the names of all uploads of this installation.
    """
    async with MistralClient.open(
        key,
        server_url,
        max_concurrent_calls=limits.max_concurrent_calls,
        call_timeout=limits.call_timeout,
    ) as client:
        breaker = CircuitBreaker()
        calls = RetryingCalls(limits, breaker, RateLimiter(limits))
        uploads = Uploads(client, calls, prefix)
        engine = MistralEngine(
            client, calls, breaker, uploads, blobs=blobs, splitter=splitter, limits=limits
        )
        batches = MistralBatches(client, calls, uploads, blobs, splitter, limits)
        yield MistralParts(engine, batches, uploads)


def _check_type(content_type: str) -> None:
    """Refuse types that are not sent to Mistral.

    :raises Unconvertible: ``unsupported_type``.
    """
    if content_type not in CONTENT_TYPES:
        name = NAMES.get(content_type, content_type or "an unknown type")
        raise Unconvertible(
            "unsupported_type",
            f"Only the engine local converts this type of document ({name}): submit it with "
            "engine=local, or without an engine and a model.",
        )


def _check_options(options: ConversionOptions) -> None:
    """Refuse options that Mistral does not have.

    :raises Unconvertible: ``option_not_supported``.
    """
    if options.only_local:
        names = " and ".join(options.only_local)
        raise Unconvertible(
            "option_not_supported",
            f'Only the engine "local" has {names}: leave this out, or submit with engine=local.',
        )


def _reported(conversion: Conversion, progress: Progress | None) -> Conversion:
    """Report all pages of a conversion at once, and return it."""
    if progress is not None:
        progress(len(conversion.pages), len(conversion.pages))
    return conversion


def _pages_of(part: CachedPart) -> list[PageResult]:
    """Return the pages of a part with their Markdown alone."""
    return [
        PageResult(index=one.index, markdown=markdown)
        for one, markdown in zip(part.measures, part.pages, strict=True)
    ]


def _parts(count: int) -> list[range]:
    """Return positions among the selected pages, ``RANGE_PAGES`` to a call."""
    return [range(start, min(start + RANGE_PAGES, count)) for start in range(0, count, RANGE_PAGES)]


def _part_name(part: range) -> str:
    return f"{part.start}-{part.stop}"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
