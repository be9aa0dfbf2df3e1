"""Originals that publishers put into the bucket of their tenant on the bus.

An object is deleted only after ``fetched`` is on the log, which names the blob with its bytes. So a
process may end at any point: a redelivery finds the object, or the document needs it no more.
"""

from contextlib import aclosing
from datetime import datetime, timedelta

import structlog

from actors.blob_keys import original_key, owner_of
from actors.errors import Reject, RetryLater
from actors.ports import Blobs
from bus.errors import BusUnavailable
from bus.objects import BucketObject, Objects, ObjectUnusable, bucket_name, sha256_of
from schemas.documents import Blob, DocumentSubmitted, Object

KEY_DIGITS = 16  # of the digest, in the key of the original
CLOCK_SKEW = timedelta(seconds=2)
"""Between the servers of a cluster: an object that was put before its submission may seem so much
later."""
MAX_ORIGINALS = 100  # blobs of one document that are looked at

log = structlog.get_logger("fetcher")


class ObjectSource:
    """Stores objects as originals, and deletes those of documents that need them no more."""

    def __init__(self, objects: Objects, blobs: Blobs) -> None:
        self._objects = objects
        self._blobs = blobs

    async def store(
        self, event: DocumentSubmitted, source: Object, submitted_at: datetime, *, repeated: bool
    ) -> Blob:
        """Store the object as the original of a document, in constant memory.

        ``submitted_at`` is the time of the log, and ``repeated`` is whether another process may
        have stored it before.

        :raises Reject: there is no such object, or it cannot be converted.
        :raises RetryLater: its bytes are damaged, or there is no bucket.
        :raises StorageFull: the volume of the blobs has no room.
        """
        try:
            return await self._copy(event, source, submitted_at)
        except ObjectUnusable as error:
            if repeated and (stored := await self._find_stored(event, source)) is not None:
                return stored
            if error.retryable:
                raise RetryLater(error.reason, code=error.code) from error
            raise Reject(error.code, error.reason) from error

    async def _copy(self, event: DocumentSubmitted, source: Object, submitted_at: datetime) -> Blob:
        found = await self._objects.find(event.tenant, source.name)
        if found is None:
            bucket = bucket_name(event.tenant)
            raise ObjectUnusable(
                "source_missing",
                f'There is no object "{source.name}" in the bucket {bucket}; put it there first. '
                "It is deleted when a document has it.",
            )
        if _is_other(found, source):
            reason = f'The object "{source.name}" has another digest than the submission.'
            raise ObjectUnusable("source_changed", reason)
        if source.digest is None and found.stored_at > submitted_at + CLOCK_SKEW:
            reason = (
                f'The object "{source.name}" was put later than the document was submitted. Use a '
                "name once, or submit with its digest."
            )
            raise ObjectUnusable("source_changed", reason)
        async with aclosing(self._objects.read(found)) as chunks:
            return await self._blobs.put(_key(event, found.sha256), chunks)

    async def has_original(self, event: DocumentSubmitted, source: Object) -> bool:
        """Whether an attempt has stored the object. Errors as ``Blobs.list_page``."""
        return await self._find_stored(event, source) is not None

    async def discard(
        self, event: DocumentSubmitted, source: Object, submitted_at: datetime
    ) -> None:
        """Delete the object of a document that has ended or has its original.

        An object of this name that was put later than the submission is of another document. What
        cannot be deleted now is left to the janitor. ``submitted_at`` is the time of the log.
        """
        try:
            found = await self._objects.find(event.tenant, source.name)
            if (
                found is not None
                and found.stored_at <= submitted_at
                and not _is_other(found, source)
            ):
                await self._objects.remove(found)
        except (BusUnavailable, ObjectUnusable) as error:
            log.warning("object not deleted", document_id=event.document_id, reason=str(error))

    async def _find_stored(self, event: DocumentSubmitted, source: Object) -> Blob | None:
        """Return the original that a former attempt has stored."""
        wanted = sha256_of(source.digest)
        key = _key(event, wanted) if wanted else original_key(event.tenant, event.document_id)
        blobs, _ = await self._blobs.list_page(key, None, MAX_ORIGINALS)
        for blob in blobs:
            owner = owner_of(blob.key)
            if owner is not None and owner.document_id == event.document_id:
                return await self._blobs.digest(blob.key)
        return None


def _is_other(found: BucketObject, source: Object) -> bool:
    return source.digest is not None and sha256_of(source.digest) != found.sha256


def _key(event: DocumentSubmitted, sha256: str) -> str:
    # Of the digest, so that attempts at the same bytes share a blob, and others do not.
    return original_key(event.tenant, event.document_id, sha256[:KEY_DIGITS] or None)
