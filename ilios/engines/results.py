"""Results of engines in the blob store: the report on each page, and the images of pages.

The key of a paid result is derived from the document's bytes and all that influences the result.
The parts of a long document have keys of their own until all of them are read. A conversion that is
repeated after a crash finds what was stored.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeVar

import msgspec
import structlog
from msgspec import Struct

from actors.blob_keys import image_key, markdown_key, new_suffix, result_key
from actors.engines import Conversion
from actors.page_markdown import MAX_RESULT_BYTES, join_pages
from actors.ports import BlobNotFound, Blobs, StorageUnavailable
from schemas.documents import Blob
from schemas.options import NO_OPTIONS, ConversionOptions
from schemas.quality import PageMeasures, measure, warnings_of
from schemas.results import PageResult, ResultHead, split_lines

VERSION = "1"
"""Version of requests and stored results; another version never finds these."""

STORE_RETRY_PAUSE = 5.0  # seconds
MAX_CONCURRENT_IMAGES = 4

Answer = TypeVar("Answer")

log = structlog.get_logger("engines")
_encode = msgspec.json.Encoder().encode
_head = msgspec.json.Decoder(ResultHead)
_page = msgspec.json.Decoder(PageResult)


class EngineResult(Struct, frozen=True):
    """What an engine has read: pages in order, and the bytes of their images by name."""

    pages: tuple[PageResult, ...]
    images: dict[str, bytes]
    engine: str
    model: str
    billed_pages: int


class CacheKey(Struct, frozen=True):
    """Identity of a result: the document, its bytes, the model, the mode and the options."""

    tenant: str
    document_id: str
    digest: str

    @classmethod
    def create(
        cls,
        tenant: str,
        document_id: str,
        sha256: str,
        model: str,
        mode: str,
        options: ConversionOptions = NO_OPTIONS,
    ) -> "CacheKey":
        """Derive the key. Options with their default are not hashed: results stay valid."""
        text = f"{VERSION}\n{sha256}\n{model}\n{mode}"
        chosen = _encode(msgspec.structs.replace(options, engine=None, model=None))
        if chosen != b"{}":
            text += f"\n{chosen.decode()}"
        return cls(tenant, document_id, hashlib.sha256(text.encode()).hexdigest()[:16])

    @classmethod
    def unique(cls, tenant: str, document_id: str) -> "CacheKey":
        """Return a key for one attempt, so that a late one cannot replace the result of another.

        The result of an attempt whose event was never published is found by the walk for orphans.
        """
        return cls(tenant, document_id, new_suffix() + new_suffix())

    def blob_key(self, part: str | None = None) -> str:
        """Return the blob key of the result, or of a part of it."""
        return result_key(self.tenant, self.document_id, self.digest, part)


class CachedPart(Struct, frozen=True):
    """Stored pages of a document: their Markdown and their measures."""

    head: ResultHead
    pages: tuple[str, ...]
    measures: tuple[PageMeasures, ...]
    key: str


class ResultCache:
    """The stored results of one document."""

    def __init__(self, blobs: Blobs, key: CacheKey) -> None:
        self._blobs = blobs
        self._key = key

    async def get(self) -> Conversion | None:
        """Return the complete result, or None."""
        part = await self.get_part()
        if part is None:
            return None
        return _conversion(part.head, [part], await self._blobs.digest(part.key))

    async def get_part(self, name: str | None = None) -> CachedPart | None:
        """Return a stored part, or the whole; None if there is none."""
        key = self._key.blob_key(name)
        head, pages, measures = None, list[str](), list[PageMeasures]()
        try:
            async for line in split_lines(self._blobs.read(key)):
                if head is None:
                    head = _head.decode(line)
                else:
                    page = _page.decode(line)
                    pages.append(page.markdown)
                    measures.append(page.measures)
        except BlobNotFound:
            return None
        except msgspec.DecodeError:
            log.warning("cached result unreadable", key=key)
            return None
        return None if head is None else CachedPart(head, tuple(pages), tuple(measures), key)

    async def put_part(
        self, result: EngineResult, seconds: float, name: str | None = None
    ) -> CachedPart:
        """Store a part; wait for a store that is unavailable, because the pages are paid for."""
        part, lines = await self._prepare(result, seconds, name)
        await retry_until_stored(lambda: self._blobs.put_bytes(part.key, lines))
        return part

    async def put(self, result: EngineResult, seconds: float) -> Conversion:
        """Store the result of a document that was read in one call.

        If it is small, its Markdown is stored with it.
        """
        part, lines = await self._prepare(result, seconds, None)
        if len(lines) > MAX_RESULT_BYTES:
            blob = await retry_until_stored(lambda: self._blobs.put_bytes(part.key, lines))
            return _conversion(part.head, [part], blob)
        text = join_pages(part.pages)
        key = markdown_key(self._key.tenant, self._key.document_id)
        blob, markdown = await retry_until_stored(
            lambda: self._blobs.put_with_derived(part.key, lines, key, text)
        )
        return msgspec.structs.replace(_conversion(part.head, [part], blob), markdown=markdown)

    async def join_parts(self, parts: list[CachedPart]) -> Conversion:
        """Store one result made of all parts, in order, and delete the parts."""
        heads = [part.head for part in parts]
        head = ResultHead(
            engine=heads[-1].engine,
            model=heads[-1].model,
            pages=sum(one.pages for one in heads),
            billed_pages=sum(one.billed_pages for one in heads),
            seconds=sum(one.seconds for one in heads),
        )
        blob = await retry_until_stored(
            lambda: self._blobs.put(self._key.blob_key(), self._lines(head, parts))
        )
        for part in parts:
            await self._blobs.delete(part.key)
        return _conversion(head, parts, blob)

    async def _lines(self, head: ResultHead, parts: list[CachedPart]) -> AsyncIterator[bytes]:
        yield _encode(head) + b"\n"
        for part in parts:
            in_head = True
            async for chunk in self._blobs.read(part.key):
                if in_head:
                    _, newline, chunk = chunk.partition(b"\n")  # noqa: PLW2901
                    in_head = not newline
                if chunk:
                    yield chunk

    async def _prepare(
        self, result: EngineResult, seconds: float, name: str | None
    ) -> tuple[CachedPart, bytes]:
        """Store the images of a part, and return it with the lines to be stored."""
        head = ResultHead(
            engine=result.engine,
            model=result.model,
            pages=len(result.pages),
            billed_pages=result.billed_pages,
            seconds=round(seconds, 6),
        )
        await self.store_images(result.images)
        key = self._key.blob_key(name)
        lines = b"".join(_encode(one) + b"\n" for one in (head, *result.pages))
        pages = tuple(page.markdown for page in result.pages)
        return CachedPart(head, pages, tuple(page.measures for page in result.pages), key), lines

    async def store_images(self, images: dict[str, bytes]) -> None:
        """Store the images, before the result that refers to them."""
        turns = asyncio.Semaphore(MAX_CONCURRENT_IMAGES)

        async def put(name: str, data: bytes) -> None:
            key = image_key(self._key.tenant, self._key.document_id, name)
            async with turns:
                await retry_until_stored(lambda: self._blobs.put_bytes(key, data))

        async with asyncio.TaskGroup() as group:
            for name, data in images.items():
                group.create_task(put(name, data))


async def retry_until_stored(put: Callable[[], Awaitable[Answer]]) -> Answer:
    """Store something; wait for a store that is unavailable, because the work is done."""
    while True:
        try:
            return await put()
        except StorageUnavailable as error:
            log.warning("blob store unavailable", reason=str(error))
            await asyncio.sleep(STORE_RETRY_PAUSE)


def _conversion(head: ResultHead, parts: Sequence[CachedPart], blob: Blob) -> Conversion:
    measures = [page for part in parts for page in part.measures]
    return Conversion(
        pages=tuple(page for part in parts for page in part.pages),
        engine=head.engine,
        model=head.model,
        seconds=head.seconds,
        result=blob,
        billed_pages=head.billed_pages,
        warnings=warnings_of(measures),
        quality=measure(measures),
    )
