"""Stored portions of a long document: what a repeated conversion need not do again."""

import msgspec
import structlog
from msgspec import Struct

import ilios
from actors.engines import SourceFile
from actors.ports import BlobNotFound, Blobs
from ilios.engines.results import CacheKey, ResultCache, retry_until_stored
from schemas.results import PageResult, split_lines

log = structlog.get_logger("local engine")
_encode = msgspec.json.Encoder().encode


class PartHead(Struct, frozen=True):
    """The first line of a stored part.

    The part begins at the position ``first`` of ``total`` selected pages, and took ``seconds``, of
    which ``budgeted`` count towards the time budget. It has ``images`` of ``image_bytes``, and
    ``pictures`` that were read beside a text layer.
    """

    first: int
    total: int
    model: str
    seconds: float
    budgeted: float
    images: int = 0
    image_bytes: int = 0
    pictures: int = 0


class Part(Struct, frozen=True):
    """Converted pages of a document without a gap."""

    head: PartHead
    pages: tuple[PageResult, ...]

    @property
    def last(self) -> int:
        """The position after the last page."""
        return self.head.first + len(self.pages)


_head = msgspec.json.Decoder(PartHead)
_page = msgspec.json.Decoder(PageResult)


class PartStore:
    """The stored parts of one document, each named after the position of its first page."""

    def __init__(self, blobs: Blobs, document: SourceFile) -> None:
        self._blobs = blobs
        self._key = CacheKey.create(
            document.tenant,
            document.document_id,
            document.sha256 or "",
            "local",
            ilios.__version__,  # parts of two versions are never joined
            document.options,
        )

    def key(self, first: int) -> str:
        """Return the blob key of the part that begins at a position."""
        return self._key.blob_key(f"from-{first}")

    async def find(self) -> list[Part]:
        """Return the parts from the first page on, as far as they are without a gap."""
        parts: list[Part] = []
        while (part := await self._get(parts)) is not None:
            parts.append(part)
            if part.last >= part.head.total:
                break
        return parts

    async def put(self, part: Part, images: dict[str, bytes]) -> str:
        """Store a part after its images, and return its key."""
        await ResultCache(self._blobs, self._key).store_images(images)
        key = self.key(part.head.first)
        lines = b"".join(_encode(one) + b"\n" for one in (part.head, *part.pages))
        await retry_until_stored(lambda: self._blobs.put_bytes(key, lines))
        return key

    async def _get(self, before: list[Part]) -> Part | None:
        """Return the part after these, or None if it is missing or unreadable."""
        first = before[-1].last if before else 0
        key, head, pages = self.key(first), None, list[PageResult]()
        try:
            async for line in split_lines(self._blobs.read(key)):
                if head is None:
                    head = _head.decode(line)
                else:
                    pages.append(_page.decode(line))
        except BlobNotFound:
            return None
        except msgspec.DecodeError:
            log.warning("stored part unreadable", key=key)
            return None
        if head is None or not pages or head.first != first:
            return None
        if before and head.total != before[0].head.total:
            return None
        return Part(head, tuple(pages))
