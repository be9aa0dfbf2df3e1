"""What was said of a document, said again from its row: the log may have lost it since."""

from actors.blob_keys import original_key
from schemas.documents import DocumentFetched, DocumentSubmitted, Stored
from schemas.records import DocumentRecord
from schemas.times import is_implausible


def submitted_event(document: DocumentRecord) -> DocumentSubmitted | None:
    """Return its submission; None where its bytes were never stored."""
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
        # Rows of former versions may hold any time, and the log's own clock goes before it anyway.
        submitted_at=None if is_implausible(document.submitted_at) else document.submitted_at,
        fingerprint=document.fingerprint,
        options=document.options,
        held=document.held,
    )


def fetched_event(document: DocumentRecord) -> DocumentFetched | None:
    """Return that it was fetched, held by nobody; None where it was not."""
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
    )
