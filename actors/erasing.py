"""Takes away the bytes of documents that were removed; their rows stay, as receipts."""

from datetime import datetime

import structlog

from bus import failpoints
from schemas.records import DocumentRecord

from .keys import archived_key
from .ports import Blobs
from .upkeep import Upkeep
from .writer import Writer
from .writes import DocumentName, MarkErased

PASS = 500  # documents in one pass

log = structlog.get_logger("janitor")


class Erasing:
    """First the bytes, then the note that they are gone: what is broken off is done again."""

    def __init__(self, writer: Writer, upkeep: Upkeep, blobs: Blobs) -> None:
        self._writer = writer
        self._upkeep = upkeep
        self._blobs = blobs

    async def sweep(self, now: datetime) -> int:
        """Erase what was removed; returns how many documents."""
        documents = await self._upkeep.to_erase(PASS)
        erased = [document for document in documents if await self._erase(document)]
        if erased:
            names = tuple(DocumentName(one.tenant, one.document_id) for one in erased)
            await self._writer.keep(MarkErased(names, now))
        return len(erased)

    async def _erase(self, document: DocumentRecord) -> bool:
        keys = [blob.key for blob in (document.original, document.markdown) if blob]
        if document.original is not None:
            # It may have been moved there just before the document was removed.
            keys.append(archived_key(document.original.key))
        try:
            for key in keys:
                await self._blobs.delete(key)
        except OSError as error:
            log.warning("bytes not erased yet", document_id=document.document_id, error=str(error))
            return False
        failpoints.reach("erasing.erased")
        log.info("document erased", tenant=document.tenant, document_id=document.document_id)
        return True
