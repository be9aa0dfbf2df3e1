"""Finds blobs no document refers to: uploads that were broken off, attempts that came late."""

from collections import defaultdict
from datetime import datetime, timedelta

import structlog

from actors.blob_keys import IMAGES, ORIGINALS, PREFIXES, RESULTS, UPLOADS, BlobOwner, owner_of
from actors.janitor.queries import MaintenanceQueries
from actors.ports import Blobs, Losses, NoLosses, StoredBlob
from bus.log import Log
from schemas.batches import batch_id_of
from schemas.records import DocumentRecord
from schemas.states import UNFINISHED_STATES

PASS_SIZE = 2000  # blobs looked at in one pass
MIN_ORPHAN_AGE = timedelta(hours=24)  # longer than any upload or conversion may take
ALWAYS_DELETABLE = 20  # so many orphans may be deleted in any case
ENGINE_PREFIXES = (RESULTS, IMAGES)
"""What engines keep while they work: of a document that is known, however much, it says nothing."""
SHARE_DIVISOR = 4  # of more, one in so many looked at: else it is rather the database that is wrong

log = structlog.get_logger("janitor")


class TooManyOrphans(Exception):
    """So many blobs belong to nobody that the database is to be doubted, not they."""


class Orphans:
    """Walks the whole store, a portion in each pass, and begins again at its end."""

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
        # Uploads belong to nobody until they are complete: however many, they say nothing.
        if prefix != UPLOADS and len(orphans) > max(ALWAYS_DELETABLE, len(old) // SHARE_DIVISOR):
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
        """Sort out what is left of removed documents, which nobody needs, however young it is.

        An attempt that was killed, or did not hear of it in time, may have stored something that
        no event names.
        """
        owners = {blob.key: owner for blob in blobs if (owner := owner_of(blob.key)) is not None}
        names = {(owner.tenant, owner.document_id) for owner in owners.values()}
        removed = {
            BlobOwner(document.tenant, document.document_id)
            for document in await self._queries.lookup(names)
            if document.removed_at is not None
        }
        left_behind = [key for key, owner in owners.items() if owner in removed]
        return left_behind, [blob for blob in blobs if owners.get(blob.key) not in removed]

    async def _find_unowned(self, blobs: list[StoredBlob]) -> tuple[list[str], list[str]]:
        """Return what belongs to no document, and what engines have left behind of known ones."""
        by_owner: dict[BlobOwner, list[str]] = defaultdict(list)
        older: set[str] = set()
        first = await self._queries.first_sweep_at()
        for blob in blobs:
            if (owner := owner_of(blob.key)) is not None:  # else it is not ours to judge
                by_owner[owner].append(blob.key)
                if first is None or blob.modified_at < first or self._may_be_of_lost_event(blob):
                    older.add(blob.key)
        names = [(owner.tenant, owner.document_id) for owner in by_owner]
        known = {
            BlobOwner(document.tenant, document.document_id): document
            for document in await self._queries.lookup(names)
        }
        orphans: list[str] = []
        leftovers: list[str] = []
        for owner, keys in by_owner.items():
            document = known.get(owner)
            if document is not None:
                for key in keys:
                    if not _needs(document, key):
                        (leftovers if key.startswith(ENGINE_PREFIXES) else orphans).append(key)
            elif not await self._is_on_log(owner):
                # What is older than the database may be of one that was lost, and what came with
                # an event that was lost is all that is left of an accepted document: it stays.
                orphans += [key for key in keys if key not in older]
            else:
                orphans += [key for key in keys if key.startswith(UPLOADS)]
        return orphans, leftovers

    def _may_be_of_lost_event(self, blob: StoredBlob) -> bool:
        return blob.key.startswith(ORIGINALS) and self._losses.may_affect(blob.modified_at)

    async def _is_on_log(self, owner: BlobOwner) -> bool:
        """Whether the log knows what the database does not know yet."""
        if await self._log.submission(owner.tenant, owner.document_id) is not None:
            return True
        batch_id = batch_id_of(owner.document_id)  # nobody may have said it of each document yet
        return batch_id is not None and await self._log.batch(owner.tenant, batch_id) is not None


def _needs(document: DocumentRecord, key: str) -> bool:
    """Whether a document may still need a blob. What waits for an upload has no document yet."""
    if key.startswith(UPLOADS):
        return False
    if document.state in UNFINISHED_STATES:
        return True
    if document.state == "failed" and key.startswith(ENGINE_PREFIXES):
        return True  # it may be tried again, and what was paid for is then found
    if key.startswith(IMAGES):
        # Which of them an attempt has left, only the whole result tells: too much for each walk.
        return document.result is not None
    blobs = (document.original, document.markdown, document.result)
    return key in {blob.key for blob in blobs if blob}
