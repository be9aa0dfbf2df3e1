"""Replies made of what is known about a document."""

import msgspec
from aiohttp import web

from ilios.edge.names import disposition
from schemas.records import DocumentRecord
from schemas.replies import (
    DocumentContent,
    DocumentMetadata,
    DocumentStatus,
    FailedDocument,
    StatusMetadata,
    TokenUsage,
    Unfinished,
    instant,
)

ASK_AGAIN_AFTER = "1"  # seconds

_encode = msgspec.json.Encoder().encode


def answer(body: object, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """Return a JSON answer."""
    return web.Response(
        body=_encode(body), status=status, headers=headers, content_type="application/json"
    )


def status_url(document_id: str) -> str:
    """Return where the status of a document can be asked."""
    return f"/api/documents/status/{document_id}"


def download_url(document_id: str) -> str:
    """Return where the Markdown of a document can be read."""
    return f"/api/documents/{document_id}"


def see_status(document_id: str) -> dict[str, str]:
    """Return the headers that send a client to ask for the status."""
    return {"Location": status_url(document_id), "Retry-After": ASK_AGAIN_AFTER}


def unfinished(document: DocumentRecord) -> web.Response:
    """Return 202: there is no Markdown yet."""
    body = Unfinished(
        id=document.document_id,
        status=document.state,
        status_url=status_url(document.document_id),
    )
    return answer(body, 202, see_status(document.document_id))


def failed(document: DocumentRecord) -> web.Response:
    """Return the contract's 500: there will be no Markdown."""
    body = FailedDocument(
        id=document.document_id,
        error=document.reason or "The document could not be converted",
        code=document.code or "failed",
        retryable=bool(document.retryable),
    )
    return answer(body, 500)


def status(document: DocumentRecord) -> web.Response:
    """Return how far a document is."""
    body = DocumentStatus(
        id=document.document_id,
        status=document.state,
        file_name=document.file_name,
        file_size=document.file_size,
        created_at=instant(document.submitted_at),
        processed_at=instant(document.finished_at) if document.finished_at else None,
    )
    if document.state == "completed":
        metadata = StatusMetadata(
            pages=document.pages,
            processing_time_ms=_milliseconds(document),
            model=document.model,
        )
        body = msgspec.structs.replace(
            body, metadata=metadata, download_url=download_url(document.document_id)
        )
    elif document.state == "failed":
        body = msgspec.structs.replace(
            body, error=document.reason, code=document.code, retryable=document.retryable
        )
    if document.state in ("pending", "processing"):
        return answer(body, headers={"Retry-After": ASK_AGAIN_AFTER})
    return answer(body)


def content(document: DocumentRecord) -> DocumentContent:
    """Return the JSON reply of a completed document, its content still empty."""
    size = document.file_size if document.original is None else document.original.size
    tokens_in, tokens_out = document.input_tokens or 0, document.output_tokens or 0
    return DocumentContent(
        id=document.document_id,
        content="",
        metadata=DocumentMetadata(
            model=document.model,
            engine=document.engine,
            pages=document.pages or 0,
            extracted_pages=document.pages or 0,
            processing_time_ms=_milliseconds(document),
            file_name=document.file_name,
            file_size=size or 0,
            mime_type=document.content_type,
        ),
        usage=TokenUsage(
            prompt_tokens=tokens_in,
            completion_tokens=tokens_out,
            total_tokens=tokens_in + tokens_out,
        ),
        download_url=download_url(document.document_id),
        file_name=document.file_name,
        created_at=instant(document.submitted_at),
        processed_at=instant(document.finished_at) if document.finished_at else None,
    )


def content_headers(document: DocumentRecord) -> dict[str, str]:
    """Return the headers that come with the Markdown of a completed document."""
    return {
        "X-Document-Id": document.document_id,
        "X-Processing-Time-Ms": str(_milliseconds(document)),
        "X-Extracted-Pages": str(document.pages or 0),
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "private, no-cache",
    }


def markdown_headers(document: DocumentRecord) -> dict[str, str]:
    """Return ``content_headers`` and those that make it a Markdown file."""
    return content_headers(document) | {
        "Content-Type": "text/markdown; charset=utf-8",
        "Content-Disposition": disposition("inline", f"{document.file_name}.md"),
    }


def _milliseconds(document: DocumentRecord) -> int:
    return round((document.seconds or 0) * 1000)
