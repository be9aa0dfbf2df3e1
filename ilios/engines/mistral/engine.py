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
from ilios.engines.mistral import answers
from ilios.engines.mistral.answers import Reading
from ilios.engines.mistral.breaker import Breaker
from ilios.engines.mistral.calls import Calls
from ilios.engines.mistral.client import Client
from ilios.engines.mistral.faults import is_gone
from ilios.engines.mistral.kept import Kept, Part, Work
from ilios.engines.mistral.limits import (
    COUNTED_ABOVE_BYTES,
    CUTS_AT_ONCE,
    DOCUMENT_BYTES,
    DOCUMENT_PAGES,
    RANGE_PAGES,
    MistralLimits,
)
from ilios.engines.mistral.pdf_parts import PDF, PdfParts
from ilios.engines.mistral.uploads import Handover, Uploads
from ilios.engines.slots import Slots

Progress = Callable[[int, int], None]


class _Job(Struct, frozen=True):
    """A document, the model that is to read it, and what is kept of that."""

    document: SourceFile
    model: str
    kept: Kept
    size: int


class MistralEngine:
    """Reads documents through the API; ``opening`` makes one."""

    def __init__(
        self,
        client: Client,
        calls: Calls,
        breaker: Breaker,
        uploads: Uploads,
        *,
        blobs: Blobs,
        parts: PdfParts,
        limits: MistralLimits,
    ) -> None:
        self._client = client
        self._calls = calls
        self._breaker = breaker
        self._uploads = uploads
        self._blobs = blobs
        self._parts = parts
        self._limits = limits
        self._cuts = Slots(CUTS_AT_ONCE)

    @property
    def problem(self) -> str | None:
        """Why the engine is parked, for the operator; None while it is not."""
        return self._breaker.problem

    async def check(self) -> None:
        """Make sure that the engine is not parked.

        :raises EngineUnavailable: it is.
        """
        if self.problem is not None:
            raise EngineUnavailable("engine_unavailable", self.problem, after=1.0)

    async def convert(self, document: SourceFile, progress: Progress | None = None) -> Conversion:
        """Convert one document; what was paid for before is found, not bought again.

        :raises Unconvertible: the document cannot be converted, now or later.
        :raises EngineUnavailable: Mistral cannot at the moment.
        :raises EngineCrashed: a PDF could not be taken apart, through no fault of its own.
        """
        job = await self._job(document)
        if document.again and (found := await job.kept.found()) is not None:
            return found
        total = await self._count(job)
        if job.size <= DOCUMENT_BYTES and (total is None or total <= RANGE_PAGES):
            return await self._whole(job, total or 1)
        if total is None:
            raise Unconvertible(
                "too_large",
                f"Mistral takes at most {DOCUMENT_BYTES // 10**6} MB of a document of this type.",
            )
        return await self._ranges(job, total, progress or _nobody)

    async def _job(self, document: SourceFile) -> _Job:
        model = document.model or self._limits.model
        path = document.path
        sha256 = document.sha256
        if sha256 is None:
            sha256 = await asyncio.to_thread(_sha256, path)
        way = "images" if self._limits.images else "no images"
        work = Work.of(document.tenant, document.document_id, sha256, model, way)
        size = document.size
        if size is None:
            size = (await asyncio.to_thread(path.stat)).st_size
        return _Job(document, model, Kept(self._blobs, work), size)

    async def _count(self, job: _Job) -> int | None:
        """Return how many pages a PDF has that may have many; None for what is taken as it is."""
        if job.document.content_type != PDF or job.size <= COUNTED_ABOVE_BYTES:
            return None
        try:
            return await self._parts.count_pages(job.document)
        except Unconvertible as refusal:
            if refusal.code in ("password_protected", "integrity"):
                raise
            return None  # what one reader cannot open, another may

    async def _whole(self, job: _Job, pages: int) -> Conversion:
        async with self._handover(job, job.document.path) as handover:
            reading, seconds = await self._read(job, handover, None, None, pages)
        return await job.kept.finish(reading, seconds)

    async def _ranges(self, job: _Job, total: int, progress: Progress) -> Conversion:
        parts: list[Part] = []
        ranges = [
            range(start, min(start + RANGE_PAGES, total)) for start in range(0, total, RANGE_PAGES)
        ]
        chosen = job.size <= DOCUMENT_BYTES and total <= DOCUMENT_PAGES
        read = self._read_chosen(job, ranges) if chosen else self._read_cut(job, ranges)
        async for part in read:
            parts.append(part)
            progress(sum(one.head.pages for one in parts), total)
        return await job.kept.join(parts)

    async def _read_chosen(self, job: _Job, ranges: list[range]) -> AsyncIterator[Part]:
        """Read pages of one upload, range by range: one at most can be paid for and lost."""
        found = [await job.kept.part(_name(pages)) for pages in ranges]
        if all(found):
            for part in found:
                assert part is not None
                yield part
            return
        async with self._handover(job, job.document.path) as handover:
            for part, pages in zip(found, ranges, strict=True):
                yield part or await self._part(job, handover, pages, list(pages))

    async def _read_cut(self, job: _Job, ranges: list[range]) -> AsyncIterator[Part]:
        """Read PDFs made of the pages of each range, which is halved where that is too large."""
        waiting = list(reversed(ranges))
        while waiting:
            pages = waiting.pop()
            part = await job.kept.part(_name(pages))
            if part is None:
                async with self._cuts.taken(tenant=job.document.tenant):
                    part = await self._read_alone(job, pages)
            if part is not None:
                yield part
                continue
            middle = len(pages) // 2
            waiting += [pages[middle:], pages[:middle]]

    async def _read_alone(self, job: _Job, pages: range) -> Part | None:
        """Read a PDF made of some pages; None where it is too large."""
        cut = await self._cut(job, pages)
        if cut is None:
            return None
        async with self._handover(job, cut) as handover:
            return await self._part(job, handover, pages, None)

    async def _cut(self, job: _Job, pages: range) -> bytes | None:
        """Return a PDF of some pages, or None where it is too large and they are several."""
        try:
            # Its hash was looked at when its pages were counted.
            unhashed = msgspec.structs.replace(job.document, sha256=None)
            cut = await self._parts.cut_pages(unhashed, pages.start, pages.stop)
            if len(cut) <= DOCUMENT_BYTES:
                return cut
            raise Unconvertible("too_large", f"Page {pages.start + 1} alone is {len(cut)} bytes.")
        except Unconvertible as refusal:
            if refusal.code != "too_large" or len(pages) == 1:
                raise
            return None

    async def _part(
        self, job: _Job, handover: Handover, pages: range, chosen: list[int] | None
    ) -> Part:
        reading, seconds = await self._read(job, handover, chosen, pages, len(pages))
        return await job.kept.keep(reading, seconds, _name(pages))

    async def _read(
        self,
        job: _Job,
        handover: Handover,
        chosen: list[int] | None,
        numbers: Sequence[int] | None,
        count: int,
    ) -> tuple[Reading, float]:
        """Have pages read; returns them and the seconds the call took."""
        located = partial(answers.address, job.document.document_id)
        began = time.monotonic()

        async def ask() -> models.OCRResponse:
            nonlocal began
            named = await handover.name()
            began = time.monotonic()
            try:
                return await self._client.read(job.model, named, chosen, images=self._limits.images)
            except MistralError as error:
                if is_gone(error):
                    handover.forget()
                raise

        async def judge(answer: models.OCRResponse) -> tuple[Reading, float]:
            seconds = time.monotonic() - began
            if any(page.images for page in answer.pages):  # to decode many takes a while
                return await asyncio.to_thread(answers.reading, answer, numbers, located), seconds
            return answers.reading(answer, numbers, located), seconds

        document = job.document
        return await self._calls.read(
            ask, judge, pages=count, urgent=document.urgent, tenant=document.tenant
        )

    @asynccontextmanager
    async def _handover(self, job: _Job, source: Path | bytes) -> AsyncIterator[Handover]:
        document = job.document
        async with self._uploads.handing_over(
            source, document.content_type, document.document_id
        ) as handover:
            yield handover


def _name(pages: range) -> str:
    return f"{pages.start}-{pages.stop}"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _nobody(_done: int, _total: int) -> None:
    """Hear of progress nobody asked for."""
