"""Has an engine make Markdown of the document.

Hears ``fetched``, says ``converted``. Keeps nothing.
"""

import asyncio
from datetime import UTC, datetime
from typing import ClassVar

import structlog

from bus.connection import Connection
from bus.consumers import URGENT, Consumer
from bus.log import Log
from bus.verdicts import Reject, Retry
from schemas.documents import Blob, DocumentConverted, DocumentFetched

from .actor import Actor, Occasion
from .cancellations import Cancellations, Cancelled
from .keys import markdown_key
from .ports import (
    PAGE_SEPARATOR,
    BlobNotFound,
    Blobs,
    Conversion,
    Engine,
    EngineCrashed,
    SourceFile,
    StorageFull,
    Unconvertible,
)

BLAMED_CRASHES = 2  # engines a document may take down before it is held to be the cause
OUTSIDE_CRASHES = 5  # engines ended from outside, in one attempt
FRESH_WITHIN = 30.0  # seconds on the log in which nobody else can have finished the work
KEPT_FOR_URGENT = 2  # urgent documents that are taken in hand beside those that are in work
FULL_PAUSE = 5.0  # seconds until a full volume is tried again
CHARACTERS_PER_TOKEN = 4  # the estimate where an engine does not count tokens

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
    ) -> None:
        super().__init__(connection, at_once, kept_for_urgent=KEPT_FOR_URGENT)
        self._cancellations = cancellations
        self._log = Log(connection)
        self._blobs = blobs
        self._engine = engine

    async def receive(self, heard: DocumentFetched, occasion: Occasion) -> DocumentConverted | None:
        if await self._cancellations.includes(heard, occasion.stored_at):
            return None
        if await self._is_done(heard, occasion):
            return None
        try:
            async with self._blobs.local_path(heard.original.key) as path:
                urgent = heard.priority in URGENT.priorities
                document = SourceFile(path, heard.content_type, heard.original.sha256, urgent)
                conversion, text, markdown = await self._cancellations.unless(
                    heard, self._make(heard, document)
                )
        except Cancelled:
            log.info("conversion broken off, the document was cancelled")
            return None
        except BlobNotFound:
            raise Reject("source_missing", "The original is no longer in the store.") from None
        except Unconvertible as error:
            raise Reject(error.code, error.reason) from error
        return DocumentConverted(
            document_id=heard.document_id,
            tenant=heard.tenant,
            priority=heard.priority,
            requeues=heard.requeues,
            markdown=markdown,
            pages=len(conversion.pages),
            engine=conversion.engine,
            model=conversion.model,
            seconds=round(conversion.seconds, 6),
            input_tokens=conversion.input_tokens or -(-len(text) // CHARACTERS_PER_TOKEN),
            output_tokens=conversion.output_tokens,
        )

    async def _make(
        self, heard: DocumentFetched, document: SourceFile
    ) -> tuple[Conversion, str, Blob]:
        conversion = await self._convert(document)
        text = PAGE_SEPARATOR.join(conversion.pages)
        markdown = await self._store(markdown_key(heard.tenant, heard.document_id), text)
        return conversion, text, markdown

    async def _store(self, key: str, text: str) -> Blob:
        """Store the Markdown; on a full volume wait with it in hand, not to do the work again."""
        while True:
            try:
                # "replace": half a surrogate pair, which a damaged font can yield, has no UTF-8.
                return await self._blobs.put_bytes(key, text.encode(errors="replace"))
            except StorageFull:
                log.warning("the blob store is full, waiting")
                await asyncio.sleep(FULL_PAUSE)

    async def _is_done(self, heard: DocumentFetched, occasion: Occasion) -> bool:
        """Whether the conversion was said already; what is heard fresh and first cannot be.

        A consumer that was made anew hears the whole log again, as if for the first time.
        """
        age = (datetime.now(UTC) - occasion.stored_at).total_seconds()
        if occasion.attempt == 1 and age < FRESH_WITHIN:
            return False
        said = await self._log.last_word(heard.tenant, heard.document_id, event="converted")
        return said is not None and said.event.requeues >= heard.requeues

    async def _convert(self, document: SourceFile) -> Conversion:
        blamed = outside = 0
        while True:
            try:
                return await self._engine.convert(document)
            except EngineCrashed as error:
                if error.full:
                    raise Retry(error.reason, after=FULL_PAUSE, counted=False) from error
                if error.blame:
                    blamed += 1
                else:
                    outside += 1
                if blamed >= BLAMED_CRASHES:
                    raise Reject(
                        "crashed", f"The document crashed the converter {blamed} times."
                    ) from error
                if outside >= OUTSIDE_CRASHES:
                    raise Retry(error.reason) from error
