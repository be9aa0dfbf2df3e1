"""Lets documents expire that have outlived their retention, but never because a clock jumped."""

from datetime import datetime, timedelta

import msgspec
import structlog
from msgspec import Struct

from bus import failpoints
from bus.publisher import Publisher
from schemas.documents import Blob, DocumentArchived, DocumentDeleted
from schemas.records import DocumentRecord

from .keys import archived_key
from .ports import BlobNotFound, Blobs
from .upkeep import Disposal, Upkeep

PASS = 500  # documents that may expire in one pass
FEW = 10  # so many may in any case
SHARE = 10  # of more, one in so many in one pass: a mistake that is noticed early is a small one
JUMP = timedelta(hours=1)  # more than the wall clock may gain on the monotonic one between passes
LONG_ASLEEP = timedelta(days=30)  # between two passes of two processes
HOLD = 24 * 3600.0  # seconds nothing expires after a jump, so that somebody can set the clock right

log = structlog.get_logger("janitor")


class ClockGuard:
    """Whether the wall clock may be believed when it says that documents are due.

    ``last`` is when the pass before was, by the wall clock, in this process or in one before it.
    A clock that jumps ahead holds everything for ``HOLD`` seconds of running; one that is set back
    again lifts that.
    """

    def __init__(self, last: datetime | None) -> None:
        self._last = last
        self._monotonic: float | None = None
        self._held_since: float | None = None

    def look(self, now: datetime, monotonic: float) -> str | None:
        """Return why nothing may expire now, or None. ``monotonic`` is in seconds."""
        ahead = self._ahead(now, monotonic)
        if self._held_since is not None:
            if ahead is None:
                self._held_since = None
            elif monotonic - self._held_since < HOLD:
                return self._sentence(ahead)
        elif ahead is not None:
            self._held_since = monotonic
            return self._sentence(ahead)
        self._held_since = None
        self._last, self._monotonic = now, monotonic
        return None

    @property
    def holds(self) -> bool:
        """Whether everything is held; then the time of the pass must not be remembered either."""
        return self._held_since is not None

    def _ahead(self, now: datetime, monotonic: float) -> timedelta | None:
        """Return by how much the clock seems to have jumped ahead since it was last believed."""
        if self._last is None:
            return None
        gone = now - self._last
        if self._monotonic is None:
            return gone if gone > LONG_ASLEEP else None
        gained = gone - timedelta(seconds=monotonic - self._monotonic)
        return gained if gained > JUMP else None

    def _sentence(self, ahead: timedelta) -> str:
        return (
            f"the clock is {ahead / timedelta(days=1):.1f} days ahead of the pass before; if it is "
            f"right, do nothing: documents expire again after {HOLD / 3600:.0f} hours of running"
        )


class Expired(Struct, frozen=True):
    """How many documents a pass has let expire."""

    archived: int = 0
    deleted: int = 0


class Retention:
    """Moves originals to the archive, or says that documents are deleted."""

    def __init__(
        self, publisher: Publisher, upkeep: Upkeep, blobs: Blobs, disposal: Disposal
    ) -> None:
        self._publisher = publisher
        self._upkeep = upkeep
        self._blobs = blobs
        self._disposal = disposal

    async def expire(self, now: datetime) -> Expired:
        """Let a bounded number of documents expire; what is left over waits for the next pass."""
        deleting = self._disposal == "delete"
        due = await self._upkeep.expired(now, PASS, with_archived=deleting)
        if not due:
            return Expired()
        due = due[: max(FEW, await self._upkeep.can_expire() // SHARE)]
        for document in due:
            if deleting:
                await self._delete(document)
            else:
                await self._archive(document)
        return Expired(deleted=len(due)) if deleting else Expired(archived=len(due))

    async def _delete(self, document: DocumentRecord) -> None:
        await self._publisher.say(
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
        await self._publisher.say(
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
                await self._blobs.size(moved.key)  # moved already, before somebody was killed?
            except BlobNotFound:
                log.warning("original to be archived is missing", key=original.key)
                return None
        return moved
