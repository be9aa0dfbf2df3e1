"""Erasure of the bytes of removed documents; their rows stay as receipts."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import datetime

import msgspec
import structlog
from msgspec import Struct

from actors.blob_keys import archived_key, image_key
from actors.ports import BlobNotFound, Blobs, MaintenanceQueries, StorageUnavailable
from actors.writes import DocumentRef, MarkErased, Writer
from bus import failpoints
from schemas.records import DocumentRecord
from schemas.results import PageImage, split_lines

PASS_SIZE = 500  # documents in one pass

log = structlog.get_logger("janitor")


class _ResultLine(Struct):
    """The images of a line of a result."""

    images: tuple[PageImage, ...] = ()


_line_decoder = msgspec.json.Decoder(_ResultLine)


class Erasure:
    """Deletes the bytes first and records that afterwards, so that interrupted work is repeated."""

    def __init__(self, writer: Writer, queries: MaintenanceQueries, blobs: Blobs) -> None:
        self._writer = writer
        self._queries = queries
        self._blobs = blobs

    async def sweep(self, now: datetime) -> int:
        """Erase removed documents; returns how many."""
        documents = await self._queries.documents_to_erase(PASS_SIZE)
        erased = [document for document in documents if await self._erase(document)]
        if erased:
            names = tuple(DocumentRef(one.tenant, one.document_id) for one in erased)
            await self._writer.commit(MarkErased(names, now))
        return len(erased)

    async def _erase(self, document: DocumentRecord) -> bool:
        keys = [blob.key for blob in (document.original, document.markdown) if blob]
        if document.original is not None:
            # It may have been archived just before the document was removed.
            keys.append(archived_key(document.original.key))
        try:
            # The result last: only it names the images.
            if document.result is not None:
                async for name in self._image_names(document.result.key):
                    key = image_key(document.tenant, document.document_id, name)
                    await self._blobs.delete(key)
                keys.append(document.result.key)
            for key in keys:
                await self._blobs.delete(key)
        except (OSError, StorageUnavailable) as error:
            log.warning(
                "document not erased yet", document_id=document.document_id, error=str(error)
            )
            return False
        failpoints.reach("erasing.erased")
        log.info("document erased", tenant=document.tenant, document_id=document.document_id)
        return True

    async def _image_names(self, key: str) -> AsyncIterator[str]:
        """Return the names of the images that the result under this key refers to."""
        try:
            async with aclosing(self._blobs.read(key)) as chunks:
                async for line in split_lines(chunks):
                    for image in _line_decoder.decode(line).images:
                        if image.name is not None:
                            yield image.name
        except BlobNotFound:
            return  # erased before
        except msgspec.DecodeError:
            # Images without a reference are found by the walk for orphans.
            log.warning("result cannot be read, its images are left to the walk", key=key)
