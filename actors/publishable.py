"""Events that several actors publish, made from a row or from a conversion."""

import asyncio
from collections.abc import Sequence

import structlog

from actors.blob_keys import markdown_key, original_key
from actors.engines import PAGE_SEPARATOR, Conversion
from actors.page_markdown import join_pages
from actors.ports import Blobs, StorageUnavailable
from schemas.documents import (
    Blob,
    DocumentConverted,
    DocumentEvent,
    DocumentFailed,
    DocumentFetched,
    DocumentSubmitted,
    Stored,
    clamp_seconds,
    is_implausible,
)
from schemas.records import DocumentRecord


def submitted_event(document: DocumentRecord) -> DocumentSubmitted | None:
    """Return the submission of a document from its row; None if its bytes were never stored."""
    original = document.original
    if original is None or document.file_size is None:
        return None
    stem = original_key(document.tenant, document.document_id)
    suffix = original.key.removeprefix(stem).removeprefix(".") or None
    return DocumentSubmitted(
        tenant=document.tenant,
        document_id=document.document_id,
        priority=document.priority,
        requeues=document.requeues,
        source=Stored(size=original.size, sha256=original.sha256, suffix=suffix),
        file_name=document.file_name,
        content_type=document.content_type,
        retention_days=document.retention_days,
        operation=document.operation,
        # Rows of former versions may have any time; without one the time of the log counts.
        submitted_at=None if is_implausible(document.submitted_at) else document.submitted_at,
        fingerprint=document.fingerprint,
        options=document.options,
        held=document.held,
        reference=document.reference,
        metadata=document.metadata,
        deadline=document.deadline,
    )


def fetched_event(document: DocumentRecord) -> DocumentFetched | None:
    """Return the ``fetched`` event of a document from its row, not held; None if not fetched."""
    if document.original is None:
        return None
    return DocumentFetched(
        tenant=document.tenant,
        document_id=document.document_id,
        priority=document.priority,
        requeues=document.requeues,
        original=document.original,
        content_type=document.content_type,
        options=document.options,
        reference=document.reference,
        metadata=document.metadata,
        deadline=document.deadline,
    )


def failed_event(document: DocumentRecord, code: str, reason: str) -> DocumentFailed:
    """Return the failure of an unfinished document, which may be submitted again."""
    return DocumentFailed(
        tenant=document.tenant,
        document_id=document.document_id,
        priority=document.priority,
        requeues=document.requeues,
        code=code,
        reason=reason,
        retryable=True,
        reference=document.reference,
        metadata=document.metadata,
    )


def fetched_from(submitted: DocumentSubmitted) -> DocumentFetched | None:
    """Return what the fetcher would publish of a submission; None if it has to fetch or detect."""
    if submitted.detected is None or not isinstance(submitted.source, Stored):
        return None
    source = submitted.source
    key = original_key(submitted.tenant, submitted.document_id, source.suffix)
    return DocumentFetched(
        document_id=submitted.document_id,
        tenant=submitted.tenant,
        priority=submitted.priority,
        requeues=submitted.requeues,
        original=Blob(key, source.size, source.sha256),
        content_type=submitted.detected,
        options=submitted.options,
        reference=submitted.reference,
        metadata=submitted.metadata,
        deadline=submitted.deadline,
    )


RETRY_PAUSE = 5.0  # seconds between attempts to store the Markdown
CHARACTERS_PER_TOKEN = 4  # the estimate where an engine does not count tokens

log = structlog.get_logger("conversions")


async def store_markdown(
    blobs: Blobs, event: DocumentEvent, conversion: Conversion
) -> DocumentConverted:
    """Store the Markdown of a conversion, if it is not, and return the event that it was made.

    While the store is unavailable it is retried, so that the conversion is not repeated.
    """
    markdown = conversion.markdown
    if markdown is None:
        key = markdown_key(event.tenant, event.document_id)
        markdown = await _put_with_retries(blobs, key, join_pages(conversion.pages))
    return DocumentConverted(
        document_id=event.document_id,
        tenant=event.tenant,
        priority=event.priority,
        requeues=event.requeues,
        markdown=markdown,
        pages=len(conversion.pages),
        engine=conversion.engine,
        model=conversion.model,
        seconds=round(clamp_seconds(conversion.seconds), 6),
        input_tokens=conversion.input_tokens or _estimate_tokens(conversion.pages),
        output_tokens=conversion.output_tokens,
        result=conversion.result,
        billed_pages=conversion.billed_pages,
        variant=conversion.variant,
        fallback_from=conversion.fallback_from,
        warnings=conversion.warnings,
        quality=conversion.quality,
        partial=conversion.partial,
    )


def _estimate_tokens(pages: Sequence[str]) -> int:
    characters = sum(map(len, pages)) + len(PAGE_SEPARATOR) * max(len(pages) - 1, 0)
    return -(-characters // CHARACTERS_PER_TOKEN)


async def _put_with_retries(blobs: Blobs, key: str, data: bytes) -> Blob:
    while True:
        try:
            return await blobs.put_bytes(key, data)
        except StorageUnavailable as error:
            log.warning("blob store unavailable, waiting", reason=str(error))
            await asyncio.sleep(RETRY_PAUSE)
