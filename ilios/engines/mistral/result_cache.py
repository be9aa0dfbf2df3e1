"""What was paid for, kept in the blob store before anything else is done with it.

The result of a document lies under a key made of what was done with which bytes, as the results of
its ranges of pages do until it is whole. So whoever comes back to it finds what is there.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import msgspec
import structlog
from msgspec import Struct

from actors.blob_keys import image_key, result_key
from actors.engines import Conversion
from actors.ports import BlobNotFound, Blobs, StorageUnavailable
from ilios.engines.mistral.responses import OcrResult
from schemas.documents import Blob
from schemas.results import PageResult, ResultHead

VERSION = "1"
"""Of what is asked and how it is kept; another one is other work."""

PAUSE = 5.0  # seconds until a store is tried again that does not take what was paid for
IMAGES_AT_ONCE = 4

Answer = TypeVar("Answer")

log = structlog.get_logger("mistral")
_encode = msgspec.json.Encoder().encode
_head = msgspec.json.Decoder(ResultHead)
_page = msgspec.json.Decoder(PageResult)


class CacheKey(Struct, frozen=True):
    """What is to be done: with whose bytes, by which model, in which way."""

    tenant: str
    document_id: str
    digest: str

    @classmethod
    def create(
        cls, tenant: str, document_id: str, sha256: str, model: str, mode: str
    ) -> "CacheKey":
        """Name it."""
        text = f"{VERSION}\n{sha256}\n{model}\n{mode}"
        return cls(tenant, document_id, hashlib.sha256(text.encode()).hexdigest()[:16])

    def blob_key(self, part: str | None = None) -> str:
        """Return where its result lies, or that of a part."""
        return result_key(self.tenant, self.document_id, self.digest, part)


class CachedPart(Struct, frozen=True):
    """Some pages of a document, as they are kept."""

    head: ResultHead
    pages: tuple[str, ...]
    key: str


class ResultCache:
    """The results of one piece of work."""

    def __init__(self, blobs: Blobs, key: CacheKey) -> None:
        self._blobs = blobs
        self._key = key

    async def get(self) -> Conversion | None:
        """Return what was finished before."""
        part = await self.get_part()
        if part is None:
            return None
        return _conversion(part.head, part.pages, await self._blobs.digest(part.key))

    async def get_part(self, name: str | None = None) -> CachedPart | None:
        """Return what is kept of a part, or of the whole."""
        key, pending = self._key.blob_key(name), b""
        head, pages = None, list[str]()
        try:
            async for chunk in self._blobs.read(key):
                *lines, pending = (pending + chunk).split(b"\n")
                for line in lines:
                    if head is None:
                        head = _head.decode(line)
                    else:
                        pages.append(_page.decode(line).markdown)
        except BlobNotFound:
            return None
        except msgspec.DecodeError:
            log.warning("what was kept cannot be read", key=key)
            return None
        return None if head is None else CachedPart(head, tuple(pages), key)

    async def put_part(
        self, result: OcrResult, seconds: float, name: str | None = None
    ) -> CachedPart:
        """Keep what was read; waits, with what was paid for in hand, for a store that cannot."""
        part, _ = await self._store(result, seconds, name)
        return part

    async def put(self, result: OcrResult, seconds: float) -> Conversion:
        """Keep the whole of a document that was read in one call."""
        part, blob = await self._store(result, seconds, None)
        return _conversion(part.head, part.pages, blob)

    async def join_parts(self, parts: list[CachedPart]) -> Conversion:
        """Make one result of those of all parts, in their order, and forget the parts."""
        heads = [part.head for part in parts]
        head = ResultHead(
            engine=heads[-1].engine,
            model=heads[-1].model,
            pages=sum(one.pages for one in heads),
            billed_pages=sum(one.billed_pages for one in heads),
            seconds=sum(one.seconds for one in heads),
        )
        blob = await _retry_until_stored(
            lambda: self._blobs.put(self._key.blob_key(), self._lines(head, parts))
        )
        for part in parts:
            await self._blobs.delete(part.key)
        return _conversion(head, tuple(page for part in parts for page in part.pages), blob)

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

    async def _store(
        self, result: OcrResult, seconds: float, name: str | None
    ) -> tuple[CachedPart, Blob]:
        head = ResultHead(
            engine="mistral",
            model=result.model,
            pages=len(result.pages),
            billed_pages=result.billed_pages,
            seconds=round(seconds, 6),
        )
        await self._store_images(result.images)
        key = self._key.blob_key(name)
        lines = b"".join(_encode(one) + b"\n" for one in (head, *result.pages))
        blob = await _retry_until_stored(lambda: self._blobs.put_bytes(key, lines))
        return CachedPart(head, tuple(page.markdown for page in result.pages), key), blob

    async def _store_images(self, images: dict[str, bytes]) -> None:
        """Keep the images first: nothing is ever named that is not there."""
        turns = asyncio.Semaphore(IMAGES_AT_ONCE)

        async def put(name: str, data: bytes) -> None:
            key = image_key(self._key.tenant, self._key.document_id, name)
            async with turns:
                await _retry_until_stored(lambda: self._blobs.put_bytes(key, data))

        async with asyncio.TaskGroup() as group:
            for name, data in images.items():
                group.create_task(put(name, data))


async def _retry_until_stored(put: Callable[[], Awaitable[Answer]]) -> Answer:
    while True:
        try:
            return await put()
        except StorageUnavailable as error:
            log.warning("the blob store takes nothing, waiting", reason=str(error))
            await asyncio.sleep(PAUSE)


def _conversion(head: ResultHead, pages: tuple[str, ...], blob: Blob) -> Conversion:
    return Conversion(
        pages=pages,
        engine=head.engine,
        model=head.model,
        seconds=head.seconds,
        result=blob,
        billed_pages=head.billed_pages,
    )
