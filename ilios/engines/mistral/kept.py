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

from actors.engines import Conversion
from actors.keys import image_key, result_key
from actors.ports import BlobNotFound, Blobs, StorageUnavailable
from ilios.engines.mistral.answers import Reading
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


class Work(Struct, frozen=True):
    """What is to be done: with whose bytes, by which model, in which way."""

    tenant: str
    document_id: str
    name: str

    @classmethod
    def of(cls, tenant: str, document_id: str, sha256: str, model: str, way: str) -> "Work":
        """Name it."""
        told = f"{VERSION}\n{sha256}\n{model}\n{way}"
        return cls(tenant, document_id, hashlib.sha256(told.encode()).hexdigest()[:16])

    def key(self, part: str | None = None) -> str:
        """Return where its result lies, or that of a part."""
        return result_key(self.tenant, self.document_id, self.name, part)


class Part(Struct, frozen=True):
    """Some pages of a document, as they are kept."""

    head: ResultHead
    pages: tuple[str, ...]
    key: str


class Kept:
    """The results of one piece of work."""

    def __init__(self, blobs: Blobs, work: Work) -> None:
        self._blobs = blobs
        self._work = work

    async def found(self) -> Conversion | None:
        """Return what was finished before."""
        part = await self.part()
        if part is None:
            return None
        return _conversion(part.head, part.pages, await self._blobs.examine(part.key))

    async def part(self, name: str | None = None) -> Part | None:
        """Return what is kept of a part, or of the whole."""
        key, pending = self._work.key(name), b""
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
        return None if head is None else Part(head, tuple(pages), key)

    async def keep(self, reading: Reading, seconds: float, name: str | None = None) -> Part:
        """Keep what was read; waits, with what was paid for in hand, for a store that cannot."""
        part, _ = await self._keep(reading, seconds, name)
        return part

    async def finish(self, reading: Reading, seconds: float) -> Conversion:
        """Keep the whole of a document that was read in one call."""
        part, blob = await self._keep(reading, seconds, None)
        return _conversion(part.head, part.pages, blob)

    async def join(self, parts: list[Part]) -> Conversion:
        """Make one result of those of all parts, in their order, and forget the parts."""
        heads = [part.head for part in parts]
        head = ResultHead(
            engine=heads[-1].engine,
            model=heads[-1].model,
            pages=sum(one.pages for one in heads),
            billed_pages=sum(one.billed_pages for one in heads),
            seconds=sum(one.seconds for one in heads),
        )
        blob = await _patiently(lambda: self._blobs.put(self._work.key(), self._lines(head, parts)))
        for part in parts:
            await self._blobs.delete(part.key)
        return _conversion(head, tuple(page for part in parts for page in part.pages), blob)

    async def _lines(self, head: ResultHead, parts: list[Part]) -> AsyncIterator[bytes]:
        yield _encode(head) + b"\n"
        for part in parts:
            in_head = True
            async for chunk in self._blobs.read(part.key):
                if in_head:
                    _, newline, chunk = chunk.partition(b"\n")  # noqa: PLW2901
                    in_head = not newline
                if chunk:
                    yield chunk

    async def _keep(self, reading: Reading, seconds: float, name: str | None) -> tuple[Part, Blob]:
        head = ResultHead(
            engine="mistral",
            model=reading.model,
            pages=len(reading.pages),
            billed_pages=reading.billed_pages,
            seconds=round(seconds, 6),
        )
        await self._keep_images(reading.images)
        key = self._work.key(name)
        lines = b"".join(_encode(one) + b"\n" for one in (head, *reading.pages))
        blob = await _patiently(lambda: self._blobs.put_bytes(key, lines))
        return Part(head, tuple(page.markdown for page in reading.pages), key), blob

    async def _keep_images(self, images: dict[str, bytes]) -> None:
        """Keep the images first: nothing is ever named that is not there."""
        turns = asyncio.Semaphore(IMAGES_AT_ONCE)

        async def put(name: str, data: bytes) -> None:
            key = image_key(self._work.tenant, self._work.document_id, name)
            async with turns:
                await _patiently(lambda: self._blobs.put_bytes(key, data))

        async with asyncio.TaskGroup() as group:
            for name, data in images.items():
                group.create_task(put(name, data))


async def _patiently(put: Callable[[], Awaitable[Answer]]) -> Answer:
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
