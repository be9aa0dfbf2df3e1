"""Import of the documents, bills and batches of the service that ilios replaces.

The bytes are stored under our keys, then an event on the log carries the facts of a row. So an
import survives a rebuild of the database, which is a projection of the log, and can be killed and
repeated: what the log has is left out, and a second event would have no effect.
"""

from collections.abc import AsyncIterator
from contextlib import aclosing

from msgspec import Struct, field

from actors import blob_keys
from actors.ports import BlobNotFound, Blobs
from bus import streams, subjects
from bus.connection import Connection
from bus.errors import AlreadyPublished
from bus.publisher import Publisher
from bus.stored_messages import DirectGet
from ilios.blobs.former import FormerFiles
from ilios.database.original import OriginalDatabase, OriginalDocument
from ilios.former_documents import (
    NotImportable,
    batch_event,
    check_id,
    document_event,
    is_completed,
    is_unfinished,
    tenant_of_row,
)
from schemas.batches import BatchEvent
from schemas.documents import Blob, DocumentEvent, DocumentSubmitted, Stored
from schemas.imports import DocumentImported

SUFFIX = "imported"
"""The end of the keys of all imported blobs: an import that is repeated stores them again."""


NO_BLOB = Blob("", 0, "0" * 64)
"""In the place of one that is not stored."""


class LeftOut(Struct, frozen=True):
    """A document or batch that was not imported, and why."""

    name: str
    why: str


class ImportReport(Struct):
    """Counts of an import, and what was left out.

    ``before`` were imported by an earlier run, ``unfinished`` ones of the others had not ended,
    ``without_file`` have no original. ``joined_bills`` are documents with several bills, which are
    one now; ``stray_bills`` are of documents without content, and are not imported.
    """

    documents: int = 0
    before: int = 0
    batches: int = 0
    unfinished: int = 0
    requeued: int = 0
    without_file: int = 0
    joined_bills: int = 0
    stray_bills: int = 0
    tenants: dict[str, int] = field(default_factory=dict)
    missing_files: list[LeftOut] = field(default_factory=list)
    refused: list[LeftOut] = field(default_factory=list)


class Importer:
    """Imports rows one by one; ``blobs`` are ours, ``files`` those of the original.

    With ``check`` nothing is stored or published. ``accept_missing`` imports documents whose file
    is missing without it. ``convert`` requeues those that had not ended.
    """

    def __init__(
        self,
        connection: Connection,
        blobs: Blobs,
        files: FormerFiles,
        *,
        check: bool = False,
        accept_missing: bool = False,
        convert: bool = False,
    ) -> None:
        self._publisher = Publisher(connection)
        self._log = DirectGet(connection, streams.EVENTS)
        self._blobs, self._files = blobs, files
        self._check, self._accept_missing, self._convert = check, accept_missing, convert
        self.report = ImportReport()

    async def run(self, database: OriginalDatabase) -> ImportReport:
        """Import everything; raises errors of bus and store."""
        for batch in database.batches():
            try:
                if await self._publish(batch_event(batch)):
                    self.report.batches += 1
            except NotImportable as error:
                self.report.refused.append(LeftOut(f"batch {batch.id}", str(error)))
        for document in database.documents():
            try:
                await self._import(document)
            except NotImportable as error:
                self.report.refused.append(LeftOut(document.id, str(error)))
        return self.report

    async def _import(self, row: OriginalDocument) -> None:
        tenant, name = tenant_of_row(row.api_key), check_id(row.id)
        imported = subjects.document_filter(subjects.event_name(DocumentImported), tenant, name)
        if await self._log.last(imported) is not None:
            self.report.before += 1
            if self._convert and is_unfinished(row):
                await self._requeue(row, await self._store_original(row, tenant))
            return
        # Before its bytes are stored: whether it can be imported does not depend on them.
        document_event(row, None, NO_BLOB if is_completed(row) else None)
        try:
            original = await self._store_original(row, tenant)
        except BlobNotFound:
            if not self._accept_missing:
                self.report.missing_files.append(LeftOut(name, row.s3_key))
                return
            original = None
            self.report.without_file += 1
        event = document_event(row, original, await self._store_markdown(row, tenant))
        if await self._publish(event):
            self._count(row, tenant)
        if self._convert and is_unfinished(row) and original is not None:
            await self._requeue(row, original)

    async def _store_original(self, row: OriginalDocument, tenant: str) -> Blob:
        """Copy the file of a document.

        :raises BlobNotFound: there is none.
        """
        key = blob_keys.original_key(tenant, row.id, SUFFIX)
        async with aclosing(self._files.read(row.s3_key)) as chunks:  # type: ignore[type-var]
            first = await anext(chunks, b"")
            if self._check:
                return NO_BLOB
            return await self._blobs.put(key, _prepend(first, chunks))

    async def _store_markdown(self, row: OriginalDocument, tenant: str) -> Blob | None:
        if not is_completed(row):
            return None
        key = blob_keys.markdown_key(tenant, row.id, SUFFIX)
        data = str(row.content).encode("utf-8", "replace")
        if self._check:
            return NO_BLOB
        return await self._blobs.put_bytes(key, data)

    async def _requeue(self, row: OriginalDocument, original: Blob) -> None:
        """Have a document converted that had not ended, as a requeued failed one."""
        event = DocumentSubmitted(
            document_id=row.id,
            tenant=tenant_of_row(row.api_key),
            requeues=1,
            source=Stored(original.size, original.sha256, suffix=SUFFIX),
            file_name=row.file_name,
            content_type=row.mime_type,
        )
        self.report.requeued += await self._publish(event)

    async def _publish(self, event: DocumentEvent | BatchEvent) -> bool:
        """Publish an event if the log has none of its kind; returns whether it had none."""
        if self._check:
            return True
        try:
            await self._publisher.publish_if_first(event)
        except AlreadyPublished:
            return False
        return True

    def _count(self, row: OriginalDocument, tenant: str) -> None:
        report = self.report
        report.documents += 1
        report.tenants[tenant] = report.tenants.get(tenant, 0) + 1
        report.unfinished += is_unfinished(row)
        report.joined_bills += is_completed(row) and row.bill.count > 1
        report.stray_bills += 0 if is_completed(row) else row.bill.count


async def _prepend(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in rest:
        yield chunk
