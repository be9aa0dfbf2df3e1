"""Responses made of the record of a document."""

import re
from datetime import datetime
from typing import Any
from urllib.parse import quote

import msgspec
from aiohttp import web
from msgspec import UNSET, Struct, UnsetType, field

from ilios.edge.addresses import LEGACY, Addresses
from ilios.edge.context import Edge
from ilios.edge.errors import HttpProblem
from ilios.formats.declaration import Format
from schemas.documents import clamp_seconds
from schemas.records import DocumentRecord
from schemas.replies import (
    DocumentContent,
    DocumentMetadata,
    DocumentStatus,
    FailedDocument,
    StatusMetadata,
    TokenUsage,
    Unfinished,
    format_instant,
)
from schemas.states import READABLE_STATES, UNFINISHED_STATES

POLL_AFTER = "1"  # seconds
COULD_NOT_CONVERT = "The document could not be converted"

_QUOTABLE = re.compile(r"[ !#$&'()+,\-.0-9;=@A-Z\[\]^_`a-z{}~]+")
# RFC 8187 section 3.2.1, attr-char
_ATTR_CHARS = "!#$&+-.^_`|~"
_encode = msgspec.json.Encoder().encode


class Answer(Struct, frozen=True):
    """An answer of an operation, the same by HTTP and by the bus; ``reply`` is sent as JSON."""

    status: int
    reply: Struct
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def body(self) -> bytes:
        """The reply as JSON."""
        return _encode(self.reply)


def answer_response(answer: Answer) -> web.Response:
    """Return an answer by HTTP."""
    return json_response(answer.reply, answer.status, answer.headers)


def json_response(
    body: object, status: int = 200, headers: dict[str, str] | None = None
) -> web.Response:
    """Return a JSON answer."""
    return web.Response(
        body=_encode(body), status=status, headers=headers, content_type="application/json"
    )


def given(metadata: dict[str, Any] | None) -> dict[str, Any] | UnsetType:
    """Return the metadata of a client for a reply, which leaves out what was not given."""
    return UNSET if metadata is None else metadata


def status_headers(document_id: str, addresses: Addresses = LEGACY) -> dict[str, str]:
    """Return the headers that point a client to the status."""
    return {"Location": addresses.state_of(document_id), "Retry-After": POLL_AFTER}


def has_failed(document: DocumentRecord) -> bool:
    """Whether the document ended without Markdown, archived or not."""
    return document.state == "failed" or (document.state == "archived" and not document.markdown)


def gone_problem(document: DocumentRecord) -> HttpProblem:
    """Return the 410 of a removed document; without the time until the database has it."""
    if document.removal == "expired":
        code, what = "document_expired", "has outlived its retention and was deleted"
    else:
        code, what = f"document_{document.state}", f"was {document.state}"
    if document.removed_at is None:
        return HttpProblem(410, code, f"The document {what}", document_id=document.document_id)
    removed_at = format_instant(document.removed_at)
    return HttpProblem(
        410,
        code,
        f"The document {what} at {removed_at}",
        details={"deletedAt": removed_at},
        document_id=document.document_id,
    )


def unfinished_response(document: DocumentRecord) -> web.Response:
    """Return ``unfinished_answer`` by HTTP."""
    return answer_response(unfinished_answer(document))


def unfinished_answer(document: DocumentRecord) -> Answer:
    """Return 202: there is no Markdown yet."""
    body = Unfinished(
        id=document.document_id,
        status=document.state,
        status_url=LEGACY.state_of(document.document_id),
        reference=document.reference or UNSET,
        client_metadata=given(document.metadata),
    )
    return Answer(202, body, status_headers(document.document_id))


def failed_response(document: DocumentRecord) -> web.Response:
    """Return ``failed_answer`` by HTTP."""
    return answer_response(failed_answer(document))


def failed_answer(document: DocumentRecord) -> Answer:
    """Return the contract's 500: there will be no Markdown."""
    body = FailedDocument(
        id=document.document_id,
        error=document.reason or COULD_NOT_CONVERT,
        code=document.code or "failed",
        retryable=bool(document.retryable),
    )
    return Answer(500, body)


def failed_problem(document: DocumentRecord) -> HttpProblem:
    """Return the 409 of a document that has failed: nothing is wrong with the service."""
    return HttpProblem(
        409,
        "document_failed",
        COULD_NOT_CONVERT,
        detail=document.reason,
        members={
            "cause": document.code or "failed",
            "reason": document.reason or COULD_NOT_CONVERT,
            "retryable": bool(document.retryable),
        },
        document_id=document.document_id,
    )


def unfinished_problem(document: DocumentRecord, addresses: Addresses) -> HttpProblem:
    """Return the 409 of a document that has not ended: a success would have what was asked for."""
    return HttpProblem(
        409,
        "document_not_ready",
        "The document is not converted yet; ask for its state",
        details={
            "status": document.state,
            "statusUrl": addresses.state_of(document.document_id),
        },
        document_id=document.document_id,
        headers={"Retry-After": POLL_AFTER},
    )


async def status_answer(
    edge: Edge, document: DocumentRecord, addresses: Addresses = LEGACY
) -> Answer:
    """Return the state of a document, with its progress until it has ended."""
    body = document_status(document, addresses)
    if document.state in UNFINISHED_STATES:
        body = await edge.progress.add_to(body, document)
    if document.state in UNFINISHED_STATES:
        return Answer(200, body, {"Retry-After": POLL_AFTER})
    return Answer(200, body)


def document_status(document: DocumentRecord, addresses: Addresses = LEGACY) -> DocumentStatus:
    """Return the state of a document as a reply."""
    body = DocumentStatus(
        id=document.document_id,
        status="failed" if has_failed(document) else document.state,
        file_name=document.file_name,
        file_size=document.file_size,
        created_at=format_instant(document.submitted_at),
        # What was cancelled has ended, but was never processed.
        processed_at=None
        if document.state == "cancelled"
        else _optional_instant(document.finished_at),
        archived_at=_optional_instant(document.archived_at),
        deleted_at=_optional_instant(document.removed_at),
        reference=document.reference,
        client_metadata=document.metadata,
        deadline=_optional_instant(document.deadline),
    )
    if document.state in READABLE_STATES and not has_failed(document):
        metadata = StatusMetadata(
            pages=document.pages,
            processing_time_ms=_milliseconds(document),
            model=document.model,
            engine=document.engine,
            fallback_from=document.fallback_from,
        )
        body = msgspec.structs.replace(
            body,
            metadata=metadata,
            warnings=document.warnings,
            quality=document.quality,
            partial=document.partial,
            download_url=addresses.content_of(document.document_id),
        )
    elif document.code is not None:
        body = msgspec.structs.replace(
            body, error=document.reason, code=document.code, retryable=document.retryable
        )
    return body


def document_content(document: DocumentRecord, addresses: Addresses = LEGACY) -> DocumentContent:
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
            fallback_from=document.fallback_from or UNSET,
        ),
        usage=TokenUsage(
            prompt_tokens=tokens_in,
            completion_tokens=tokens_out,
            total_tokens=tokens_in + tokens_out,
        ),
        download_url=addresses.content_of(document.document_id),
        file_name=document.file_name,
        created_at=format_instant(document.submitted_at),
        processed_at=_optional_instant(document.finished_at),
        warnings=document.warnings,
        quality=document.quality,
        partial=document.partial,
        reference=document.reference,
        client_metadata=document.metadata,
    )


def content_headers(document: DocumentRecord) -> dict[str, str]:
    """Return the headers that come with the Markdown of a completed document."""
    headers = {
        "X-Document-Id": document.document_id,
        "X-Processing-Time-Ms": str(_milliseconds(document)),
        "X-Extracted-Pages": str(document.pages or 0),
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "private, no-cache",
    }
    if document.partial:
        headers["X-Partial"] = "true"
    if document.warnings:
        headers["X-Warnings"] = ", ".join(
            dict.fromkeys(warning.code for warning in document.warnings)
        )
    return headers


def file_headers(document: DocumentRecord, output: Format) -> dict[str, str]:
    """Return ``content_headers`` and those of a file in this format."""
    name = f"{document.file_name}.{output.suffix}"
    return {
        **content_headers(document),
        "Content-Type": output.media_type,
        "Content-Disposition": format_disposition("inline", name),
        **output.headers,
    }


def format_disposition(kind: str, name: str) -> str:
    """Return a ``Content-Disposition`` of ``inline`` or ``attachment`` (RFC 6266, RFC 8187)."""
    if _QUOTABLE.fullmatch(name):
        return f'{kind}; filename="{name}"'
    plain = "".join(c if _QUOTABLE.fullmatch(c) else "_" for c in name)
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe=_ATTR_CHARS)}"


def _optional_instant(time: datetime | None) -> str | None:
    return None if time is None else format_instant(time)


def _milliseconds(document: DocumentRecord) -> int:
    return round(clamp_seconds(document.seconds or 0) * 1000)
