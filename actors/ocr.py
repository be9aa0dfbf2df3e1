"""Has an engine make Markdown of the document.

Hears ``fetched``, says ``converted``. Keeps nothing.
"""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

import structlog

from bus.connection import Connection
from bus.consumers import URGENT, Consumer
from bus.inbox import Settled, nothing_settled
from bus.log import Log
from bus.verdicts import Reject, Retry
from schemas.documents import DocumentConverted, DocumentFetched

from .actor import Actor, Occasion
from .cancellations import Cancellations, Cancelled
from .engines import (
    Conversion,
    Engine,
    EngineCrashed,
    EngineUnavailable,
    SourceFile,
    Unconvertible,
)
from .finishing import finished
from .ports import BlobNotFound, Blobs

BLAMED_CRASHES = 2  # engines a document may take down before it is held to be the cause
MEMORY_CRASHES = 2  # engines ended for want of memory before the document is held to need too much
OUTSIDE_CRASHES = 5  # engines ended from outside, in one attempt
FRESH_WITHIN = 30.0  # seconds on the log in which nobody else can have finished the work
KEPT_FOR_URGENT = 2  # urgent documents that are taken in hand beside those that are in work
PATIENCE = 3600.0  # seconds in which an engine that cannot work is waited for
WAITS_GROW, LONGEST_WAIT = 1.5, 180.0  # times each wait, up to so many seconds: 30 in an hour
MOST_WAITS = 100_000  # documents of which it is remembered that they wait
MOST_BEGUN = 10_000  # documents of which it is remembered that they were begun
_ENDS = ("converted", "failed")
FULL_PAUSE = 5.0  # seconds until a full volume is tried again

BEYOND_MEMORY = (
    "Converting the document needs more memory than this service has: each time its conversion was "
    "ended because memory ran out."
)

log = structlog.get_logger("ocr")


class Ocr(Actor[DocumentFetched]):
    """Finished work is found, not done again: the log knows whether it was said."""

    consumer: ClassVar = Consumer(
        name="ocr",
        description="Makes Markdown of originals with an engine",
        hears=DocumentFetched,
    )

    def __init__(
        self,
        connection: Connection,
        blobs: Blobs,
        engine: Engine,
        cancellations: Cancellations,
        *,
        at_once: int,
        settled: Settled = nothing_settled,
    ) -> None:
        super().__init__(
            connection,
            at_once,
            kept_for_urgent=KEPT_FOR_URGENT,
            kept_for_others=at_once,
            settled=settled,
        )
        self._cancellations = cancellations
        self._log = Log(connection)
        self._blobs = blobs
        self._engine = engine
        # Begun by this process, the latest last: what is repeated afterwards may have ended. What
        # was stored before it started, others may have begun.
        self._started_at = time.time()
        self._begun: dict[tuple[str, str, int], None] = {}
        self._in_hand: set[tuple[str, str, int]] = set()
        # Since when, and how often, of those whose engine could not work.
        self._waits: dict[tuple[str, str], tuple[float, int]] = {}

    async def receive(self, heard: DocumentFetched, occasion: Occasion) -> DocumentConverted | None:
        if heard.held or await self._cancellations.includes(heard, occasion.stored_at):
            return None
        name = (heard.tenant, heard.document_id, heard.requeues)
        if name in self._in_hand:
            # A repetition, for the same delivery is never handled twice at a time.
            log.info("already being converted", document_id=heard.document_id)
            return None
        repeated = name in self._begun
        self._begun[name] = None
        while len(self._begun) > MOST_BEGUN:
            del self._begun[next(iter(self._begun))]
        self._in_hand.add(name)
        try:
            return await self._receive(heard, occasion, repeated=repeated)
        finally:
            self._in_hand.discard(name)

    async def _receive(
        self, heard: DocumentFetched, occasion: Occasion, *, repeated: bool
    ) -> DocumentConverted | None:
        repeated = repeated or _may_be_known(heard, occasion)
        if repeated and await self._is_done(heard):
            return None
        try:
            async with self._blobs.local_path(heard.original.key) as path:
                if not repeated and self._is_old(path, occasion) and await self._is_done(heard):
                    return None
                document = _source(path, heard, occasion)
                said = await self._cancellations.unless(heard, self._make(heard, document))
        except Cancelled:
            log.info("conversion broken off, the document was cancelled")
            return None
        except BlobNotFound:
            if await self._is_done(heard):  # and removed since
                return None
            raise Reject("source_missing", "The original is no longer in the store.") from None
        except Unconvertible as error:
            raise Reject(error.code, error.reason) from error
        except EngineUnavailable as error:
            raise self._judged(heard, error) from error
        else:
            self._waits.pop((heard.tenant, heard.document_id), None)
            return said

    def _judged(self, heard: DocumentFetched, error: EngineUnavailable) -> Retry | Reject:
        """Say what becomes of a document whose engine cannot work: it waits, but not for ever.

        Counted is the time since it first had to, not that before: a backlog may be long. The waits
        become longer, lest the next life of this process take them for so many deaths.
        """
        name = (heard.tenant, heard.document_id)
        now = time.monotonic()
        since, times = self._waits.pop(name, (now, 0))
        if now - since > PATIENCE:
            return Reject(error.code, error.reason, retryable=True)
        self._waits[name] = (since, times + 1)
        after = max(error.after, min(error.after * WAITS_GROW**times, LONGEST_WAIT))
        while len(self._waits) > MOST_WAITS:
            del self._waits[next(iter(self._waits))]
        return Retry(error.reason, after=after, counted=False, held=False)

    async def _make(self, heard: DocumentFetched, document: SourceFile) -> DocumentConverted:
        return await finished(self._blobs, heard, await self._convert(document))

    def _is_old(self, path: Path, occasion: Occasion) -> bool:
        """Whether the original was stored so long ago that its conversion may have been made."""
        stored_at = path.stat().st_mtime
        waited = occasion.stored_at.timestamp() - stored_at
        return stored_at < self._started_at or waited > FRESH_WITHIN

    async def _is_done(self, heard: DocumentFetched) -> bool:
        """Whether the log has the end of this conversion already."""
        for end in _ENDS:
            said = await self._log.last_word(heard.tenant, heard.document_id, event=end)
            if said is not None and said.event.requeues >= heard.requeues:
                return True
        return False

    async def _convert(self, document: SourceFile) -> Conversion:
        blamed = outside = memory = 0
        while True:
            try:
                return await self._engine.convert(document)
            except EngineCrashed as error:
                if error.full:
                    raise Retry(error.reason, after=FULL_PAUSE, counted=False) from error
                if error.memory:
                    memory += 1
                elif error.blame:
                    blamed += 1
                else:
                    outside += 1
                if memory >= MEMORY_CRASHES:
                    raise Reject("out_of_memory", BEYOND_MEMORY) from error
                if blamed >= BLAMED_CRASHES:
                    raise Reject(
                        "crashed", f"The document crashed the converter {blamed} times."
                    ) from error
                if outside >= OUTSIDE_CRASHES:
                    reason = f"The converter did not get through: {error.reason}."
                    raise Retry(reason, code="engine_crashed") from error


def _source(path: Path, heard: DocumentFetched, occasion: Occasion) -> SourceFile:
    return SourceFile(
        path,
        heard.content_type,
        heard.original.sha256,
        urgent=heard.priority in URGENT.priorities,
        tenant=heard.tenant,
        document_id=heard.document_id,
        engine=heard.engine,
        model=heard.model,
        again=_may_be_known(heard, occasion),
        size=heard.original.size,
    )


def _may_be_known(heard: DocumentFetched, occasion: Occasion) -> bool:
    """Whether somebody may have worked on it; what is heard fresh and first cannot be known.

    A consumer that was made anew hears the whole log again, as if for the first time.
    """
    # Of an event that comes from the future by a clock that was set back nothing is certain.
    age = abs((datetime.now(UTC) - occasion.stored_at).total_seconds())
    return occasion.attempt > 1 or age >= FRESH_WITHIN or heard.requeues > 0
