"""Search for blobs without a document: interrupted uploads and late attempts."""

from collections import defaultdict
from datetime import datetime, timedelta

import structlog

from actors.blob_keys import (
    IMAGES,
    ORIGINALS,
    PASSWORDS,
    PREFIXES,
    RESULTS,
    UPLOADS,
    BlobOwner,
    owner_of,
)
from actors.ports import Blobs, Losses, MaintenanceQueries, NoLosses, StoredBlob
from bus.log import Log
from schemas.batches import batch_id_of
from schemas.records import DocumentRecord
from schemas.states import UNFINISHED_STATES

PASS_SIZE = 2000  # blobs in one pass
MIN_ORPHAN_AGE = timedelta(hours=24)  # longer than any upload or conversion may take
ALWAYS_DELETABLE = 20  # orphans that may be deleted in any case
ENGINE_PREFIXES = (RESULTS, IMAGES)
"""Intermediate results of engines: any number of them may be left of an existing document."""
# Of more than those, the share of blobs that may be orphans: else the database may be wrong.
SHARE_DIVISOR = 4

log = structlog.get_logger("janitor")


class TooManyOrphans(Exception):
    """There are so many orphans that the database is probably the wrong one."""


class Orphans:
    """Goes through the whole store, a portion in each pass, and starts again at its end."""

    def __init__(
        self,
        event_log: Log,
        queries: MaintenanceQueries,
        blobs: Blobs,
        losses: Losses | None = None,
    ) -> None:
        self._losses = losses or NoLosses()
        self._log = event_log
        self._queries = queries
        self._blobs = blobs
        self._prefix = 0
        self._position: str | None = None

    async def sweep(self, now: datetime) -> int:
        """Delete the orphans of the next portion; returns how many.

        :raises TooManyOrphans: nothing was deleted; an operator should look.
        """
        prefix = PREFIXES[self._prefix]
        found, self._position = await self._blobs.list_page(prefix, self._position, PASS_SIZE)
        if self._position is None:
            self._prefix = (self._prefix + 1) % len(PREFIXES)
        left_behind, others = await self._split_removed(found)
        old = [blob for blob in others if now - blob.modified_at > MIN_ORPHAN_AGE]
        orphans, leftovers = await self._find_unowned(old)
        # Uploads have no document until they are complete: any number of them is normal. The same
        # goes for passwords that were given with them.
        if prefix not in (UPLOADS, PASSWORDS) and len(orphans) > max(
            ALWAYS_DELETABLE, len(old) // SHARE_DIVISOR
        ):
            raise TooManyOrphans(
                f"{len(orphans)} of {len(old)} blobs under {prefix} belong to no document of this "
                "database; none was deleted. Is it the database that belongs to this store?"
            )
        orphans += left_behind + leftovers
        for key in orphans:
            await self._blobs.delete(key)
            log.info("orphan deleted", key=key)
        return len(orphans)

    async def _split_removed(self, blobs: list[StoredBlob]) -> tuple[list[str], list[StoredBlob]]:
        """Return the keys of removed documents, of any age, and the other blobs.

        An interrupted or late attempt may have stored a blob that no event names. Passwords go when
        their documents end.
        """
        owners = {blob.key: owner for blob in blobs if (owner := owner_of(blob.key)) is not None}
        names = {(owner.tenant, owner.document_id) for owner in owners.values()}
        removed, ended = set(), set()
        for document in await self._queries.lookup(names):
            owner = BlobOwner(document.tenant, document.document_id)
            if document.removed_at is not None:
                removed.add(owner)
            if document.state not in UNFINISHED_STATES:
                ended.add(owner)
        left_behind = {
            key
            for key, owner in owners.items()
            if owner in removed or (owner in ended and key.startswith(PASSWORDS))
        }
        return list(left_behind), [blob for blob in blobs if blob.key not in left_behind]

    async def _find_unowned(self, blobs: list[StoredBlob]) -> tuple[list[str], list[str]]:
        """Return the keys without a document, and unused results of existing documents."""
        by_owner: dict[BlobOwner, list[str]] = defaultdict(list)
        older: set[str] = set()
        first = await self._queries.first_sweep_at()
        for blob in blobs:
            if (owner := owner_of(blob.key)) is not None:  # others are not of this service
                by_owner[owner].append(blob.key)
                if first is None or blob.modified_at < first or self._may_be_of_lost_event(blob):
                    older.add(blob.key)
        names = [(owner.tenant, owner.document_id) for owner in by_owner]
        documents = {
            BlobOwner(document.tenant, document.document_id): document
            for document in await self._queries.lookup(names)
        }
        orphans: list[str] = []
        leftovers: list[str] = []
        for owner, keys in by_owner.items():
            document = documents.get(owner)
            if document is not None:
                for key in keys:
                    if not _needs(document, key):
                        (leftovers if key.startswith(ENGINE_PREFIXES) else orphans).append(key)
            elif not await self._is_on_log(owner):
                # Blobs older than the database may belong to a lost one, and those of lost events
                # are all that is left of an accepted document: they stay.
                orphans += [key for key in keys if key not in older]
            else:
                orphans += [key for key in keys if key.startswith(UPLOADS)]
        return orphans, leftovers

    def _may_be_of_lost_event(self, blob: StoredBlob) -> bool:
        return blob.key.startswith(ORIGINALS) and self._losses.may_affect(blob.modified_at)

    async def _is_on_log(self, owner: BlobOwner) -> bool:
        """Whether the log has a submission that is not in the database yet."""
        if await self._log.submission(owner.tenant, owner.document_id) is not None:
            return True
        batch_id = batch_id_of(owner.document_id)  # its documents may not be submitted yet
        return batch_id is not None and await self._log.batch(owner.tenant, batch_id) is not None


def _needs(document: DocumentRecord, key: str) -> bool:
    """Whether a document may still need a blob; pending uploads have no document yet."""
    if key.startswith(UPLOADS):
        return False
    if document.state in UNFINISHED_STATES:
        return True
    if document.state == "failed" and key.startswith(ENGINE_PREFIXES):
        return True  # it may be requeued, and paid results are then found
    if key.startswith(IMAGES):
        # Only the whole result names the images in use: too much to read here.
        return document.result is not None
    blobs = (document.original, document.markdown, document.result)
    return key in {blob.key for blob in blobs if blob}
