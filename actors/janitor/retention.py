"""Expiry of documents whose retention is over, a portion at a time."""

from datetime import datetime

import msgspec
import structlog
from msgspec import Struct

from actors.blob_keys import archived_key
from actors.ports import BlobNotFound, Blobs, ExpiryAction, MaintenanceQueries
from bus import failpoints
from bus.publisher import Publisher
from schemas.documents import Blob, DocumentArchived, DocumentDeleted
from schemas.records import DocumentRecord

PASS_SIZE = 500  # documents that may expire in one pass
MIN_PER_PASS = 10  # documents that may expire in any case
SHARE_DIVISOR = 10  # of more than those, one in so many per pass: it limits the damage of a mistake

log = structlog.get_logger("janitor")


class ExpiredCounts(Struct, frozen=True):
    """Expired documents of a pass."""

    archived: int = 0
    deleted: int = 0


class Retention:
    """Archives or deletes expired documents."""

    def __init__(
        self, publisher: Publisher, queries: MaintenanceQueries, blobs: Blobs, action: ExpiryAction
    ) -> None:
        self._publisher = publisher
        self._queries = queries
        self._blobs = blobs
        self._action = action

    async def expire(self, now: datetime) -> ExpiredCounts:
        """Expire a bounded number of documents; the others wait for the next pass."""
        deleting = self._action == "delete"
        due = await self._queries.expired_documents(now, PASS_SIZE, with_archived=deleting)
        if not due:
            return ExpiredCounts()
        due = due[: max(MIN_PER_PASS, await self._queries.count_expirable() // SHARE_DIVISOR)]
        for document in due:
            if deleting:
                await self._delete(document)
            else:
                await self._archive(document)
        return ExpiredCounts(deleted=len(due)) if deleting else ExpiredCounts(archived=len(due))

    async def _delete(self, document: DocumentRecord) -> None:
        await self._publisher.publish(
            DocumentDeleted(
                tenant=document.tenant,
                document_id=document.document_id,
                priority=document.priority,
                requeues=document.requeues,
                cause="expired",
            )
        )
        log.info("document expired", tenant=document.tenant, document_id=document.document_id)

    async def _archive(self, document: DocumentRecord) -> None:
        original = document.original and await self._move(document.original)
        failpoints.reach("retention.moved")
        await self._publisher.publish(
            DocumentArchived(
                tenant=document.tenant,
                document_id=document.document_id,
                priority=document.priority,
                requeues=document.requeues,
                original=original,
            )
        )
        log.info("document archived", tenant=document.tenant, document_id=document.document_id)

    async def _move(self, original: Blob) -> Blob | None:
        moved = msgspec.structs.replace(original, key=archived_key(original.key))
        try:
            await self._blobs.move(original.key, moved.key)
        except BlobNotFound:
            try:
                await self._blobs.size(moved.key)  # moved already, before a crash?
            except BlobNotFound:
                log.warning("original to be archived is missing", key=original.key)
                return None
        return moved
